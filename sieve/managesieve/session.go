package managesieve

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"letterlock/internal/serve"
	"letterlock/internal/wire"
)

// session is one connection. One goroutine runs it; drains and clocks only
// interrupt its wait for the next command.
type session struct {
	srv  *Server
	conn *serve.Conn
	r    *wire.Reader
	w    *wire.Writer
	p    parser
	log  *slog.Logger

	verb   string // of the command in progress
	bad    int    // bad commands since the last good one
	failed int    // logins that failed

	login   string // who this is; empty before login
	account uint64
	used    bool              // the channel binding was used for a login; see [auth.Facts]
	shown   *x509.Certificate // what we have shown in TLS

	slow    atomic.Bool // the time for logging in is over
	clocks  []*time.Timer
	undrain func() bool
}

// What a session may do wrong before it is cut.
const (
	badBeforeLogin = 3
	badAfterLogin  = 20
	maxFailed      = 3
	lateLogin      = 10 * time.Second // what a command half sent gets beyond LoginTime
)

var (
	// errCut: nothing more can be said.
	errCut = errors.New("connection cannot go on")
	// errAnswered: the command has had its answer.
	errAnswered = errors.New("answered")
)

func newSession(srv *Server, conn *serve.Conn) *session {
	s := &session{
		srv:  srv,
		conn: conn,
		r:    wire.NewReader(conn, 0),
		w:    wire.NewWriter(conn, srv.opt.Patience),
		log:  srv.opt.Log.With("conn", conn.ID(), "peer", conn.Peer()),
	}
	s.p = parser{r: s.r, limit: s.limit}
	s.undrain = conn.OnDraining(s.r.Interrupt)
	s.beStranger()
	s.noteCertificate()
	return s
}

// beStranger sets the limits of who has not logged in, and starts the clocks.
func (s *session) beStranger() {
	s.p.line, s.p.past = lineBeforeLogin, pastBeforeLogin
	s.bad = 0
	s.r.SetIdle(s.srv.opt.LoginTime + lateLogin) // the clocks come first
	s.clocks = []*time.Timer{
		time.AfterFunc(s.srv.opt.LoginTime, func() { s.slow.Store(true); s.r.Interrupt() }),
		time.AfterFunc(s.srv.opt.LoginTime+lateLogin, func() { s.conn.Conn.Close() }),
	}
}

// beUser sets the limits of who has.
func (s *session) beUser() {
	s.stopClocks()
	s.slow.Store(false)
	s.p.line, s.p.past = lineAfterLogin, pastAfterLogin
	s.bad = 0
	s.r.SetIdle(s.srv.opt.Idle)
}

func (s *session) stopClocks() {
	for _, c := range s.clocks {
		c.Stop()
	}
}

func (s *session) end() {
	s.undrain()
	s.stopClocks()
	if s.login != "" {
		s.srv.leave(s.account)
	}
}

// run greets and then answers command after command. Commands sent at once are
// answered in order; what they say is flushed when no more are waiting.
func (s *session) run(ctx context.Context) {
	if !s.private() && !s.conn.CanStartTLS() {
		s.say(bye("ENCRYPT-NEEDED", "Nobody may log in without encryption, and there is none to be had here"))
		s.w.Flush()
		s.log.Error("managesieve without TLS is of no use: no certificate")
		return
	}
	s.capability("Letterlock ready")
	for s.rest() {
		if err := s.step(ctx); err != nil {
			s.farewell(err)
			return
		}
	}
}

// rest waits for the next command; false ends the session.
func (s *session) rest() bool {
	for {
		if s.r.Buffered() == 0 && s.w.Flush() != nil {
			return false
		}
		if a := s.whyLeave(); a.ends() {
			s.farewell(a)
			return false
		}
		err := s.r.Await()
		switch {
		case err == nil:
			return true
		case errors.Is(err, wire.ErrInterrupted):
		default:
			s.farewell(err)
			return false
		}
	}
}

// whyLeave is the BYE of a session that has to end, otherwise nothing.
func (s *session) whyLeave() answer {
	select {
	case <-s.conn.Draining():
		return bye("TRYLATER", "The server is shutting down")
	default:
	}
	if s.login == "" && s.slow.Load() {
		return bye("", "Login took too long")
	}
	return answer{}
}

// farewell says BYE where the client can still hear it.
func (s *session) farewell(err error) {
	var last answer
	switch {
	case errors.As(err, &last):
		s.say(last)
	case errors.Is(err, errLost):
		s.say(bye("", "That cannot be a command; closing, since what follows could be anything"))
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.say(bye("", "Idle for too long"))
	case errors.Is(err, errCut), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
	default:
		s.log.Debug("connection ended", "err", err)
	}
	s.w.Flush()
}

// step reads one command and answers it. An error ends the session.
func (s *session) step(ctx context.Context) error {
	cmd, err := s.p.next()
	if errors.Is(err, errSyntax) {
		s.verb = ""
		s.say(no("", "That is not a command"))
		return s.countBad()
	}
	if err != nil {
		return err
	}
	s.verb = cmd.verb
	got, err := s.execute(ctx, cmd)
	if errors.Is(err, errAnswered) {
		return nil
	}
	if fatal(err) {
		return err
	}
	var wrong badCommand
	if errors.As(err, &wrong) {
		s.say(no("", err.Error()))
		return s.countBad()
	}
	if err != nil {
		got = s.refuse(err)
	}
	if got.ends() {
		return got
	}
	s.bad = 0
	s.say(got)
	return nil
}

// fatal tells errors of the connection from those of a command.
func fatal(err error) bool {
	for _, f := range []error{errCut, errLost, io.EOF, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded} {
		if errors.Is(err, f) {
			return true
		}
	}
	return false
}

func (s *session) countBad() error {
	limit := badBeforeLogin
	if s.login != "" {
		limit = badAfterLogin
	}
	if s.bad++; s.bad < limit {
		return nil
	}
	return bye("", "Too many bad commands")
}
