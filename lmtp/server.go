package lmtp

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/reply"
	"letterlock/internal/serve"
	"letterlock/internal/wire"
)

// Deliverer is who takes the mail. Its methods are called from many
// connections at once. What it returns is what the peer reads: a
// [*reply.Error] as it is, any other error as [reply.LocalError]; so does a
// panic.
type Deliverer interface {
	// Recipient says whether mail for addr is taken: nil, or why not. Nothing
	// is promised by nil; the message may still be refused for addr alone.
	Recipient(ctx context.Context, addr mail.Address) error

	// Deliver hands one message over for rcpts, which has no address twice, and
	// answers one error for each, in order: nil means that a power cut can no
	// longer lose it. env is sealed: its demand is stated. body is readable
	// until Deliver returns.
	Deliver(ctx context.Context, env *mail.Envelope, body mail.Body, rcpts []mail.Address) []error
}

// Spool makes a file for a body that is too big for memory.
type Spool func() (SpoolFile, error)

// SpoolFile is written once from the front, then read as a [mail.Body]. Close
// lets go of it, also of one that became somebody's mail.
type SpoolFile interface {
	io.Writer
	mail.Body
	io.Closer
}

// Options of a server. Deliver is needed; the zero value of everything else is
// the documented default.
type Options struct {
	Hostname string // our name in greetings; default "localhost"
	Deliver  Deliverer

	// Unanswered is told of recipients whose letter was taken and whose answer
	// nobody may have heard: the connection ended before the peer said another
	// word, or behind a QUIT it had sent with the message. It may come again (RFC
	// 5321 §6.1), and whoever remembers it need not file it twice. body is readable
	// until Unanswered returns. nil: nobody.
	Unanswered func(ctx context.Context, env *mail.Envelope, body mail.Body, rcpts []mail.Address) error

	// Spool takes the bodies that memory does not; nil: such a message is
	// refused with 452 4.3.1.
	Spool  Spool
	Memory int64 // octets of bodies in memory, over all connections; a quarter of it more for recipients; default 64 MiB

	MaxSize int64         // octets of one message as it is sent; default 50 MB
	Idle    time.Duration // how long the peer may be silent, or take nothing; default 5 min (RFC 5321 §4.5.3.2.7)

	// DSN offers delivery status notifications (RFC 3461): what the sender asks
	// for stands in the envelope, and the deliverer then owes "delivered" reports
	// (§5.2.3). False: not offered, and whoever is before us reports "relayed".
	DSN bool

	// TLSRequired reads the TLS-Required field (RFC 8689 §3) off a header block
	// as it came: no says that there is exactly one and it says No, bad that
	// what there is cannot be taken. nil: the field is not looked at.
	TLSRequired func(header []byte) (no, bad bool)
	// TrustHeader says whether "Require-TLS-ESMTP: yes", which Postfix adds to
	// tagged mail, is taken for the tag on this endpoint; nil: nowhere.
	// RequireTLSHeader finds it in a header block, and is needed where it is.
	TrustHeader      func(serve.Endpoint) bool
	RequireTLSHeader func(header []byte) bool

	Mail *maillog.Log // the fate of every recipient, in order of the replies; nil: not logged
	Log  *slog.Logger // faults and oddities; nil: nowhere
	Now  func() time.Time
}

// Limits of a session.
const (
	maxLine       = 4096 // octets of a command line, its CRLF counted; RFC 5321 §4.5.3.1.4 asks for 512
	maxRecipients = 1000 // accepted RCPTs of one transaction; RFC 5321 §4.5.3.1.8 asks for 100
	maxErrors     = 20   // broken commands between two messages

	askPatience     = time.Minute     // for Deliverer.Recipient
	deliverPatience = 9 * time.Minute // for Deliverer.Deliver: clients wait 10 (RFC 5321 §4.5.3.2.6)
	bodyPatience    = 2 * time.Hour   // for a whole body, however steadily it drips
)

// Server speaks LMTP on connections that [serve.Server] accepts.
type Server struct {
	opt    Options
	bodies budget
	names  budget // of recipients; their own, so that bodies never make RCPT fail
	ids    idSource
	tooBig *reply.Error // what is said of a message beyond the limit
}

// New makes a server.
func New(opt Options) *Server {
	if opt.Hostname == "" {
		opt.Hostname = "localhost"
	}
	if opt.Memory == 0 {
		opt.Memory = 64 << 20
	}
	if opt.MaxSize == 0 {
		opt.MaxSize = 50_000_000
	}
	if opt.Idle == 0 {
		opt.Idle = 5 * time.Minute
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	s := &Server{opt: opt, tooBig: reply.TooBig.Saying("message too big: the limit is %d octets", opt.MaxSize)}
	s.bodies.left.Store(opt.Memory)
	s.names.left.Store(opt.Memory / 4)
	return s
}

// TooMany is what a connection over a limit is told before it is closed, CRLF
// included: for [serve.Options].
func TooMany() string { return reply.TooBusy.Line() + "\r\n" }

// Handle speaks with one peer from the greeting to the end: for
// [serve.Options]. When the connection is to drain it says 421 between two
// commands, but finishes the message it is reading.
func (s *Server) Handle(ctx context.Context, conn *serve.Conn) {
	out := wire.NewWriter(conn, s.opt.Idle)
	c := &session{
		Server: s,
		conn:   conn,
		out:    out,
		in:     wire.NewReader(&flushFirst{conn, out}, s.opt.Idle),
		log:    s.opt.Log.With("conn", conn.ID(), "peer", conn.Peer()),
	}
	defer conn.OnDraining(c.in.Interrupt)()
	defer c.reset()
	defer c.patience.forget()
	defer c.unanswered(ctx)
	c.run(ctx)
	out.Flush()
}

// flushFirst is the connection as the reader sees it: what we have to say goes
// out before we wait for the peer, always and only then (RFC 2920 §3.2 (7)).
type flushFirst struct {
	*serve.Conn
	out *wire.Writer
}

func (c *flushFirst) Read(p []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *flushFirst) Await() error {
	if err := c.flush(); err != nil {
		return err
	}
	return c.Conn.Await()
}

func (c *flushFirst) flush() error {
	if err := c.out.Flush(); err != nil { // not wrapped: it is no deadline of the read
		return fmt.Errorf("the peer takes no replies: %v", err)
	}
	return nil
}
