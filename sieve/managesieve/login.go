package managesieve

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	"letterlock/internal/auth"
)

const (
	// maxResponse is how long one message of a SASL exchange may be, in octets
	// of base64.
	maxResponse = 12 << 10
	maxTurns    = 8 // messages of one exchange
)

// capability tells what the server can do, unasked at the start and when TLS is
// up (RFC 5804 §1.7). STARTTLS stands before the long line of SIEVE, since
// clients have been known to overlook the last.
func (s *session) capability(text string) {
	opt := s.srv.opt
	implementation := "Letterlock"
	if opt.Version != "" {
		implementation += " " + opt.Version
	}
	s.offer("IMPLEMENTATION", implementation)
	s.offer("SASL", strings.Join(plainFirst(opt.Logins.Offer(s.facts())), " "))
	if s.login == "" && s.conn.CanStartTLS() {
		s.put("\"STARTTLS\"\r\n")
	}
	s.offer("SIEVE", strings.Join(opt.Language.Extensions, " "))
	if len(opt.Language.Notify) > 0 {
		s.offer("NOTIFY", strings.Join(opt.Language.Notify, " "))
	}
	s.offer("MAXREDIRECTS", strconv.Itoa(opt.Language.Redirects))
	if s.login != "" {
		s.offer("OWNER", s.login)
	}
	s.put("\"UNAUTHENTICATE\"\r\n")
	s.offer("VERSION", "1.0")
	s.say(done(text))
}

// plainFirst names PLAIN before the stronger mechanisms. Clients that know SCRAM
// choose it wherever it stands; Net::ManageSieve tries the first one alone, and gives
// up where it does not know that.
func plainFirst(names []string) []string {
	if i := slices.Index(names, "PLAIN"); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, "PLAIN")
	}
	return names
}

func (s *session) offer(name, value string) { s.put(quote(name) + " " + quote(value) + "\r\n") }

func (s *session) capabilityCommand(context.Context, []argument) (answer, error) {
	s.capability("That is all")
	return answer{}, errAnswered
}

// startTLS begins TLS (RFC 5804 §2.2). What the client sent behind the command
// in clear is thrown away.
func (s *session) startTLS(ctx context.Context, _ []argument) (answer, error) {
	if !s.conn.CanStartTLS() {
		return answer{}, badCommand("TLS cannot be started here")
	}
	s.say(done("Begin TLS negotiation now"))
	if s.w.Flush() != nil {
		return answer{}, errCut
	}
	s.r.Discard()
	if err := s.conn.StartTLS(ctx); err != nil {
		s.log.Info("STARTTLS failed", "err", err)
		return answer{}, errCut
	}
	s.noteCertificate()
	s.bad = 0
	s.capability("TLS is up")
	return answer{}, errAnswered
}

func (s *session) noteCertificate() {
	if s.srv.opt.Certificate != nil && s.conn.TLS() != nil {
		s.shown = s.srv.opt.Certificate()
	}
}

// private says whether nobody can listen in: a login may come.
func (s *session) private() bool {
	r := s.conn.Reader()
	return r.TLS || r.ProxiedTLS
}

func (s *session) facts() auth.Facts {
	return auth.Facts{
		Peer:        s.conn.Peer(),
		Private:     s.private(),
		TLS:         s.conn.TLS(),
		Certificate: s.shown,
		NoBinding:   s.used,
	}
}

// authenticate logs in (RFC 5804 §2.1). No mechanism here has a security layer,
// so the capabilities are not sent again.
func (s *session) authenticate(ctx context.Context, args []argument) (answer, error) {
	mechanism := strings.ToUpper(args[0].text)
	x, err := s.srv.opt.Logins.Begin(mechanism, s.facts())
	switch {
	case errors.Is(err, auth.ErrNotPrivate):
		return no("ENCRYPT-NEEDED", "Use STARTTLS first"), nil
	case errors.Is(err, auth.ErrTooWeak):
		return no("AUTH-TOO-WEAK", "This mechanism is not allowed here"), nil
	case err != nil:
		return no("", "This mechanism is not offered"), nil
	}
	data, who, err := s.exchange(ctx, x, args[1:])
	if errors.Is(err, errCancelled) || fatal(err) {
		return no("", "Login cancelled"), keepFatal(err)
	}
	reader := s.conn.Reader()
	if err == nil {
		reader.Bound = who.Bound
		err = s.become(who, strings.HasSuffix(mechanism, "-PLUS"))
	}
	s.srv.opt.MailLog.Login(s.conn.Peer(), x.Login(), reader.Class(), err)
	if err != nil {
		return s.notLoggedIn(err)
	}
	if data == nil {
		return done("Logged in"), nil
	}
	// No text behind it: sieve-connect then overlooks what proves who we are.
	return answer{code: "SASL " + quote(base64.StdEncoding.EncodeToString(data))}, nil
}

var (
	// errCancelled: the client wanted no more of it, or said what is no response.
	errCancelled = errors.New("cancelled")
	// errTooMany: so many sessions has the account already.
	errTooMany = errors.New("too many connections of this account")
)

// keepFatal is the error if it ends the connection.
func keepFatal(err error) error {
	if fatal(err) {
		return err
	}
	return nil
}

// exchange goes to and fro until the client has logged in or failed.
func (s *session) exchange(ctx context.Context, x auth.Exchange, initial []argument) (data []byte, who *auth.Outcome, err error) {
	var challenge []byte
	for range maxTurns {
		var response argument
		if len(initial) > 0 {
			response, initial = initial[0], nil
		} else if response, err = s.ask(challenge); err != nil {
			return nil, nil, err
		}
		said, err := decode(response)
		if err != nil {
			return nil, nil, err
		}
		challenge, who, err = x.Next(ctx, said)
		if err != nil || who != nil {
			return challenge, who, err
		}
	}
	return nil, nil, auth.ErrMalformed
}

// ask sends a challenge and reads what the client says to it.
func (s *session) ask(challenge []byte) (argument, error) {
	s.put(quote(base64.StdEncoding.EncodeToString(challenge)) + "\r\n")
	if s.w.Flush() != nil {
		return argument{}, errCut
	}
	response, err := s.p.answer(response)
	if errors.Is(err, errSyntax) {
		err = errCancelled
	}
	return response, err
}

// response stands in for the verb where a line is a response.
const response = "AUTHENTICATE response"

func decode(a argument) ([]byte, error) {
	if a.over {
		return nil, auth.ErrMalformed
	}
	if a.text == "*" {
		return nil, errCancelled
	}
	said, err := base64.StdEncoding.DecodeString(a.text)
	if err != nil {
		return nil, auth.ErrMalformed
	}
	return said, nil
}

// become makes the session the account's.
func (s *session) become(who *auth.Outcome, binding bool) error {
	if !s.srv.enter(who.Account) {
		return errTooMany
	}
	s.conn.Known()
	s.login, s.account = who.Login, who.Account
	s.used = s.used || binding
	s.log = s.log.With("login", who.Login)
	s.beUser()
	return nil
}

// notLoggedIn is the answer to a login that failed. What a wrong password, an
// unknown user and a response that makes no sense have in common is all that is
// told.
func (s *session) notLoggedIn(err error) (answer, error) {
	var refused interface{ Refused() bool }
	switch {
	case errors.Is(err, errTooMany):
		return no("TRYLATER", sentence(err)), nil
	case errors.Is(err, auth.ErrBusy):
		return no("TRYLATER", "Too many logins at once; try again later"), nil
	case errors.Is(err, auth.ErrSlowed):
		return bye("TRYLATER", "Too many wrong passwords from here; try again later"), nil
	case !errors.As(err, &refused):
		return answer{}, err
	}
	text := "Wrong name or password"
	if errors.Is(err, auth.ErrForeign) {
		text = "You may not act for somebody else"
	}
	if s.failed++; s.failed >= maxFailed {
		return bye("", "Too many failed logins"), nil
	}
	return no("", text), nil
}

// unauthenticate makes the session a stranger's again (RFC 5804 §2.14.1). TLS
// stays; the channel binding has had its use (RFC 9266 §4.1).
func (s *session) unauthenticate(context.Context, []argument) (answer, error) {
	s.srv.leave(s.account)
	s.conn.Stranger()
	s.login, s.account = "", 0
	s.log = s.srv.opt.Log.With("conn", s.conn.ID(), "peer", s.conn.Peer())
	s.beStranger()
	return done("Nobody is logged in"), nil
}
