package imapd

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"

	"letterlock/imapd/syntax"
	"letterlock/internal/auth"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// maxResponse is how long one line of a SASL exchange may be, in octets of
// base64.
const maxResponse = 12 << 10

var (
	errAuthentication = no("AUTHENTICATIONFAILED", "Authentication failed")
	errAuthorization  = no("AUTHORIZATIONFAILED", "You cannot act for somebody else")
	errMechanism      = no("CANNOT", "Mechanism not offered")
	errMalformed      = bad("Not a response of that mechanism")
	errBusy           = no("UNAVAILABLE", "Too many logins, try again later")
	errTooManyOfUser  = no("LIMIT", "Too many connections of this account")
)

// startTLS begins TLS (RFC 9051 §6.2.1). What the client sent before it in
// clear is thrown away, and so is the decoder that read it.
func (s *session) startTLS(ctx context.Context) error {
	if !canStartTLS(s) {
		return bad("TLS cannot be started here")
	}
	s.tagged("OK", "", "Begin TLS negotiation now")
	if s.w.Flush() != nil {
		return errCut
	}
	s.r.Discard()
	if err := s.conn.StartTLS(ctx); err != nil {
		s.log.Info("STARTTLS failed", "err", err)
		return errCut
	}
	s.newDecoder()
	s.bad = 0
	return errAnswered
}

// facts is what this connection brings to a login. A client certificate on a
// connection that came through a proxy may be the proxy's own: it says nothing of
// the client.
func (s *session) facts() auth.Facts {
	f := auth.Facts{
		Peer: s.conn.Peer(), Private: s.srv.opt.Cleartext.allows(s.conn), TLS: s.conn.TLS(), Certificate: s.conn.Certificate(),
		NoBinding: s.again, // RFC 9266 §4.1: one login of a connection may be bound to it
	}
	if f.TLS != nil && s.conn.Proxied() != nil {
		bare := *f.TLS
		bare.PeerCertificates, bare.VerifiedChains = nil, nil
		f.TLS = &bare
	}
	return f
}

// offers names the SASL mechanisms that can be used now, as capabilities.
func (s *session) offers() []string {
	var names []string
	for _, m := range s.srv.opt.Passwords.Offer(s.facts()) {
		names = append(names, "AUTH="+m)
	}
	return names
}

// passwords says whether a password may be sent over this connection.
func (s *session) passwords() bool { return slices.Contains(s.offers(), "AUTH=PLAIN") }

// authenticate is AUTHENTICATE (RFC 9051 §6.2.2), the initial response given or
// asked for (RFC 4959).
func (s *session) authenticate(ctx context.Context, a *syntax.Authenticate) (answer, error) {
	exchange, err := s.srv.opt.Passwords.Begin(a.Mechanism, s.facts())
	switch {
	case errors.Is(err, auth.ErrNotPrivate):
		return answer{}, errPrivacy
	case err != nil:
		return answer{}, errMechanism
	}
	response := a.Initial
	if response == nil {
		if response, err = s.challenge(nil); err != nil {
			return answer{}, err
		}
	}
	for {
		data, who, err := exchange.Next(ctx, response)
		if err != nil {
			return s.loggedIn(ctx, exchange.Login(), nil, err)
		}
		if who == nil || data != nil {
			if response, err = s.challenge(data); err != nil {
				return answer{}, err
			}
		}
		if who != nil {
			return s.loggedIn(ctx, who.Login, who, nil)
		}
	}
}

// challenge sends one line of a SASL exchange and reads the answer to it.
func (s *session) challenge(data []byte) ([]byte, error) {
	s.putString("+ " + base64.StdEncoding.EncodeToString(data) + "\r\n")
	if s.w.Flush() != nil {
		return nil, errCut
	}
	response, err := s.d.SASL(maxResponse)
	return response, lost(err)
}

// logIn is LOGIN. Where no password may come, nobody is looked up: good and bad
// ones get the same answer (RFC 9051 §6.2.3, §7.2.2).
func (s *session) logIn(ctx context.Context, login, password string) (answer, error) {
	if !s.passwords() {
		return answer{}, errPrivacy
	}
	who, err := s.srv.opt.Passwords.LogIn(ctx, s.facts(), login, password)
	return s.loggedIn(ctx, login, &who, err)
}

// loggedIn ends an attempt to log in, well or not, and tells the mail log.
func (s *session) loggedIn(ctx context.Context, login string, who *auth.Outcome, err error) (answer, error) {
	reader := s.conn.Reader()
	if err == nil {
		if who.Bound { // then the TLS that we end is the client's own, whatever lies between
			reader.TLS, reader.Bound = true, true
		}
		err = s.become(ctx, login, storage.AccountID(who.Account), reader)
	}
	s.srv.opt.MailLog.Login(s.conn.Peer(), login, reader.Class(), err)
	var refused interface{ Refused() bool }
	switch {
	case err == nil:
		return answer{"CAPABILITY " + s.capabilities(), "Logged in"}, nil
	case errors.Is(err, auth.ErrForeign):
		return answer{}, errAuthorization
	case errors.Is(err, auth.ErrMalformed):
		return answer{}, errMalformed
	case errors.Is(err, auth.ErrBusy), errors.Is(err, auth.ErrSlowed):
		return answer{}, errBusy
	case errors.As(err, &refused) && refused.Refused():
		return answer{}, errAuthentication
	}
	return answer{}, err
}

// become makes the session the account's. Its class is computed here, once: no
// command after login can change how the connection is protected.
func (s *session) become(ctx context.Context, login string, id storage.AccountID, reader requiretls.Reader) error {
	person, err := s.personOf(ctx, login, id)
	if err != nil {
		return err
	}
	account := &account{Account: s.srv.opt.Store.Account(id), id: id}
	if _, err := account.Mailboxes(ctx); err != nil { // the first call makes the default folders
		return err
	}
	if s.srv.enter(id) {
		return errTooManyOfUser
	}
	s.conn.Known()
	s.stopClocks()
	s.login, s.id, s.person, s.account = login, id, person, account
	s.gate = gate{reader: reader, policy: person.Policy(s.srv.opt.Release)}
	if hide := s.srv.opt.Hide; hide != nil && hide(s.conn.Endpoint()) {
		account.views, s.gate = &s.srv.views, gate{hides: true}
	}
	s.log = s.log.With("login", login)
	s.r.SetIdle(s.srv.opt.Autologout)
	s.d.SetLimits(syntax.Known(s.srv.opt.MaxMessage))
	return nil
}

// personOf finds who an account belongs to. A login is nearly always the address
// itself; one that an admin's rules made into another is found by number.
func (s *session) personOf(ctx context.Context, login string, id storage.AccountID) (storage.Person, error) {
	if addr, err := mail.ParseAddress(login); err == nil {
		p, err := s.srv.opt.Store.Person(ctx, addr.Fold())
		if err == nil && p.ID == id {
			return p, nil
		}
	}
	p, err := s.srv.opt.Store.PersonByID(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		err = auth.ErrRefused
	}
	return p, err
}

// unauthenticates says whether this session may log out and stay (RFC 8437).
func (s *session) unauthenticates() bool { return s.login != "" && !s.srv.opt.NoUnauthenticate }

// unauthenticate is UNAUTHENTICATE (RFC 8437): all is as after the greeting, but
// for TLS. Channel binding has had its one login (RFC 9266 §4.1).
func (s *session) unauthenticate() (answer, error) {
	if !s.unauthenticates() {
		return answer{}, bad("UNAUTHENTICATE is not offered here")
	}
	s.endNotify()
	s.deselect()
	s.srv.leave(s.id)
	s.conn.Stranger()
	s.login, s.id, s.person, s.account, s.gate = "", 0, storage.Person{}, nil, gate{}
	s.mode, s.rev2, s.aware, s.qresync = 0, false, false, false
	s.again = true
	s.d.SetMode(0)
	s.d.SetLimits(syntax.Stranger())
	s.r.SetIdle(s.srv.opt.LoginTime)
	s.log = s.srv.opt.Log.With("conn", s.conn.ID(), "peer", s.conn.Peer())
	s.slow.Store(false)
	s.startClocks()
	if s.conn.Compressed() {
		return answer{}, s.uncompress()
	}
	return answer{}, nil
}

// logout says goodbye (RFC 9051 §6.1.3).
func (s *session) logout() error {
	s.putString("* BYE Logging out\r\n")
	s.tagged("OK", "", "LOGOUT completed")
	return errLogout
}
