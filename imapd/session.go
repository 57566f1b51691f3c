package imapd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"letterlock/imapd/syntax"
	"letterlock/internal/serve"
	"letterlock/internal/wire"
	"letterlock/storage"
)

// session is one connection. One goroutine runs it; drains and clocks only
// interrupt its wait for the next command.
type session struct {
	srv  *Server
	conn *serve.Conn
	r    *wire.Reader
	w    *wire.Writer
	d    *syntax.Decoder
	log  *slog.Logger

	scratch []byte // what is being written; see put
	fields  []byte // what a filter passes of a header
	tag     string // of the command in progress
	verb    string
	bad     int  // bad commands since the last good one
	broken  bool // a write failed: nobody reads what we say

	login    string // who this is; empty before login
	id       storage.AccountID
	person   storage.Person
	account  *account
	gate     gate
	mode     syntax.Mode
	own      own       // what the command in progress did
	flushed  bool      // compression has ended, and the client's last flush may still come
	again    bool      // somebody was logged in before (RFC 8437)
	rev2     bool      // ENABLE IMAP4rev2
	aware    bool      // of mod-sequences (RFC 7162 §3.1)
	qresync  bool      // ENABLE QRESYNC
	box      *mailbox  // nil: none selected
	notified *notified // nil: NOTIFY was not used

	slow    atomic.Bool // the time for logging in is over
	clocks  []*time.Timer
	undrain func() bool
}

// What a session may do wrong before it is cut.
const (
	badBeforeLogin = 10
	badAfterLogin  = 100
	lateLogin      = 10 * time.Second // what a command half sent gets beyond LoginTime
	maxScratch     = 64 << 10         // of a line, kept for the next one
	idleScratch    = 1 << 10          // and while waiting for a command
)

var (
	errLogout = errors.New("logged out")
	// errCut: a literal was promised that cannot be delivered, or all has been
	// said. Nothing more can be.
	errCut = errors.New("connection cannot go on")
	// errLost: the client's octets do not come any more.
	errLost = errors.New("connection lost")
	// errAnswered: the command has had its tagged answer.
	errAnswered = errors.New("answered")
)

// ends says whether an error of a command ends the session.
func ends(err error) bool {
	return errors.Is(err, errLogout) || errors.Is(err, errCut) || errors.Is(err, errLost) || errors.Is(err, errGone)
}

// lost marks an error of reading from the client, unless it is about what the
// client said.
func lost(err error) error {
	var wrong *syntax.BadError
	if err == nil || errors.As(err, &wrong) {
		return err
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

func newSession(srv *Server, conn *serve.Conn) *session {
	s := &session{
		srv:  srv,
		conn: conn,
		r:    wire.NewReader(conn, srv.opt.LoginTime),
		w:    wire.NewWriter(conn, srv.opt.Patience),
		log:  srv.opt.Log.With("conn", conn.ID(), "peer", conn.Peer()),
	}
	s.newDecoder()
	s.undrain = conn.OnDraining(s.r.Interrupt)
	s.startClocks()
	return s
}

// startClocks bounds the time for logging in.
func (s *session) startClocks() {
	limit := s.srv.opt.LoginTime
	s.clocks = append(s.clocks,
		time.AfterFunc(limit, func() { s.slow.Store(true); s.r.Interrupt() }),
		time.AfterFunc(limit+lateLogin, func() { s.conn.Conn.Close() }))
}

func (s *session) newDecoder() {
	s.d = syntax.NewDecoder(s.r, func() error {
		s.putString("+ OK\r\n")
		return s.w.Flush()
	})
	s.d.SetLimits(syntax.Stranger())
}

func (s *session) stopClocks() {
	for _, c := range s.clocks {
		c.Stop()
	}
	s.clocks = nil
}

func (s *session) end() {
	s.undrain()
	s.stopClocks()
	s.endNotify()
	s.deselect()
	if s.login != "" {
		s.srv.leave(s.id)
	}
}

// run greets and then answers command after command. Commands sent at once are
// answered in order; what they say is flushed when no more are waiting.
func (s *session) run(ctx context.Context) {
	s.putString("* OK [CAPABILITY " + s.capabilities() + "] " + s.srv.opt.Hostname + " Letterlock ready\r\n")
	for s.rest(ctx) {
		if err := s.step(ctx); err != nil {
			s.farewell(err)
			return
		}
	}
}

// rest waits for the next command; false ends the session.
func (s *session) rest(ctx context.Context) bool {
	for {
		if s.r.Buffered() == 0 {
			if s.w.Flush() != nil {
				return false
			}
			s.slim()
		}
		if text := s.whyLeave(); text != "" {
			s.bye(text)
			return false
		}
		err := s.r.Await()
		if errors.Is(err, wire.ErrInterrupted) {
			if err = s.unasked(ctx); err != nil && !ends(err) {
				s.log.Error("announce changes", "err", err)
			}
			if ends(err) {
				s.farewell(err)
				return false
			}
			continue
		}
		if err != nil {
			s.farewell(err)
		}
		return err == nil
	}
}

// slim lets go of memory that a waiting session does not need.
func (s *session) slim() {
	if cap(s.scratch) > idleScratch {
		s.scratch = nil
	}
	s.fields = nil
}

// whyLeave is what BYE says when the session has to end, "" otherwise.
func (s *session) whyLeave() string {
	select {
	case <-s.conn.Draining():
		return "[UNAVAILABLE] The server is shutting down"
	default:
	}
	if s.login == "" && s.slow.Load() {
		return "Login took too long"
	}
	return ""
}

// farewell says BYE where the client can still hear it.
func (s *session) farewell(err error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.bye("Autologout; idle for too long")
	case errors.Is(err, errGone):
		s.bye("The selected mailbox was deleted")
	case errors.Is(err, errLogout), errors.Is(err, errCut), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		s.w.Flush()
	default:
		s.log.Debug("connection ended", "err", err)
	}
}

func (s *session) bye(text string) {
	s.putString("* BYE " + text + "\r\n")
	s.w.Flush()
}

// step reads one command and answers it. An error ends the session.
func (s *session) step(ctx context.Context) error {
	if s.flushed {
		if err := s.passFlush(); err != nil || s.r.Buffered() == 0 {
			return err
		}
	}
	cmd, err := s.d.Next()
	if err != nil {
		return s.badCommand(err)
	}
	s.tag, s.verb, s.own = cmd.Tag, cmd.Name, own{}
	got, err := s.execute(ctx, cmd.Args)
	if errors.Is(err, errAnswered) {
		return nil
	}
	if ends(err) {
		return err
	}
	var syntaxErr *syntax.BadError
	if errors.As(err, &syntaxErr) {
		return s.badCommand(err)
	}
	if err := s.aftermath(ctx, cmd.Args, err); err != nil {
		return err
	}
	got.code = s.settled(got.code)
	if err != nil {
		r := s.refuse(err)
		s.tagged(r.kind, r.code, r.text)
		if r.kind == "BAD" || err == errAuthentication {
			return s.countBad()
		}
		return nil
	}
	s.bad = 0
	if got.text == "" {
		got.text = cmd.Name + " completed"
	}
	s.tagged("OK", got.code, got.text)
	return nil
}

// aftermath tells what else happened to the selected mailbox, before the
// tagged answer: the client then knows it when its command is done.
func (s *session) aftermath(ctx context.Context, args syntax.Args, failed error) error {
	var r *refusal
	if errors.As(failed, &r) && r.kind == "BAD" {
		return nil
	}
	err := s.syncAfter(ctx, args)
	if err == nil {
		err = s.news(ctx)
	}
	if err == nil || errors.Is(err, errGone) {
		return err
	}
	s.log.Error("announce changes", "command", s.verb, "err", err)
	return nil
}

// syncAfter tells of the selected mailbox, unless NOTIFY says that nothing shall
// be told (RFC 5465 §3.1): but what the command itself did is.
func (s *session) syncAfter(ctx context.Context, args syntax.Args) error {
	if s.tells(syntax.EventMessageNew) {
		if !s.changesSelected(args) && !s.moved() {
			return nil
		}
		return s.sync(ctx, expungesDuring(args))
	}
	switch args.(type) {
	case *syntax.Expunge, *syntax.Move, *syntax.Replace:
		return s.sync(ctx, sendExpunges)
	}
	return nil
}

// changesSelected says whether a command may have changed the selected mailbox, so
// that the vault is asked how it stands, and waited for. The others need not wait
// for what is on its way into it: an APPEND to another mailbox would wait for itself.
func (s *session) changesSelected(args syntax.Args) bool {
	switch args.(type) {
	case *syntax.Fetch:
		return false
	case *syntax.Append:
		return s.box != nil && s.own.target == s.box.id
	}
	return true
}

// expungesDuring says whether EXPUNGE may be sent in answer to a command (RFC
// 9051 §7.5.1): not to FETCH, STORE and SEARCH, while their UID forms allow it.
func expungesDuring(args syntax.Args) expunges {
	held := false
	switch a := args.(type) {
	case *syntax.Fetch:
		held = !a.UID
	case *syntax.Store:
		held = !a.UID
	case *syntax.Search:
		held = !a.UID || hasNumbers(a.Keys) // RFC 7162 §3.2.10.2
	case *syntax.Sort:
		held = !a.UID || hasNumbers(a.Keys)
	case *syntax.Thread:
		held = !a.UID || hasNumbers(a.Keys)
	case *syntax.MultiSearch:
		held = hasNumbers(a.Keys)
	}
	if held {
		return holdExpunges
	}
	return sendExpunges
}

// badCommand answers what could not be read as a command.
func (s *session) badCommand(err error) error {
	var wrong *syntax.BadError
	if !errors.As(err, &wrong) {
		return err
	}
	if wrong.Unsave && s.box != nil {
		s.box.saved = nil // RFC 9051 §6.4.4.1
	}
	s.put(syntax.AppendBad(s.scratch[:0], wrong))
	if wrong.Close {
		s.bye("Closing: " + wrong.Text)
		return errCut
	}
	return s.countBad()
}

func (s *session) countBad() error {
	limit := badBeforeLogin
	if s.login != "" {
		limit = badAfterLogin
	}
	if s.bad++; s.bad < limit {
		return nil
	}
	s.bye("Too many bad commands")
	return errCut
}

func (s *session) tagged(kind, code, text string) {
	b := append(s.scratch[:0], s.tag...)
	b = append(b, ' ')
	b = append(b, kind...)
	if code != "" {
		b = append(b, " ["...)
		b = append(b, code...)
		b = append(b, ']')
	}
	b = append(b, ' ')
	b = syntax.AppendText(b, text, s.mode)
	s.put(append(b, "\r\n"...))
}

// put writes b, which was built on s.scratch[:0], and keeps its memory for the
// next line. An error stays in the writer and ends the session at the next
// flush; long answers look at broken on the way.
func (s *session) put(b []byte) {
	if _, err := s.w.Write(b); err != nil {
		s.broken = true
	}
	if cap(b) <= maxScratch {
		s.scratch = b[:0]
	}
}

func (s *session) putString(line string) {
	if _, err := s.w.WriteString(line); err != nil {
		s.broken = true
	}
}
