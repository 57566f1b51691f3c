package imapd

import (
	"log/slog"
	"net/netip"
	"time"

	"letterlock/internal/auth"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/internal/serve"
	"letterlock/storage"
)

// Options of the server. Store and Passwords must be given; the zero value of
// all else is the documented default.
type Options struct {
	Store     *storage.Store
	Passwords *auth.Checker
	Hostname  string // our name in the greeting; default "localhost"

	Cleartext Cleartext         // who may log in without TLS; default nobody
	Release   requiretls.Policy // which sessions may read REQUIRETLS mail; default TLS
	Notice    Notice            // what SELECT says of withheld messages; default their number
	Insecure  Insecure          // what such a session gets of a mailbox that holds some; default all but their content

	// Hide says at which listeners REQUIRETLS mail is hidden: every session there,
	// over TLS or not, reads mailboxes as if they had none, each under a
	// UIDVALIDITY and a MAILBOXID of its own, so that clients do not take the view
	// for the mailbox (RFC 9051 §2.3.1.1). Insecure says nothing there. nil:
	// nowhere.
	Hide func(serve.Endpoint) bool

	// QuotaAdmin says who may set quota, and see everybody's, by IMAP (SETQUOTA,
	// RFC 9208 §4.1.3); nil: nobody, which is right where the admin's own tools do it.
	QuotaAdmin func(mail.Address) bool

	// NoUnauthenticate takes UNAUTHENTICATE away (RFC 8437 §8): who logs in through a
	// proxy that lets in only some people could become somebody else behind its back.
	NoUnauthenticate bool

	MaxMessage int64         // octets of one APPEND (APPENDLIMIT, RFC 7889); 0: 50 MiB
	MaxPerUser int           // connections of one account; 0: 50
	Autologout time.Duration // silence that ends a session; 0: 30 minutes, the least RFC 9051 §5.4 allows
	LoginTime  time.Duration // how long a connection may stay without login; 0: 3 minutes
	Patience   time.Duration // how long a client may take to read 64 KiB; 0: 5 minutes
	Progress   time.Duration // how often a long command tells how far it is (INPROGRESS, RFC 9585); 0: 2 seconds

	Log     *slog.Logger // debug prose and our own bugs; nil: none
	MailLog MailLog      // who logged in, what was withheld; nil: nobody is told
}

// Cleartext says which sessions may log in without TLS. Its zero value is
// none. Everybody else is refused with PRIVACYREQUIRED before anything is
// looked up (RFC 9051 §6.2.3, RFC 8314 §4.1).
type Cleartext struct {
	Local    bool           // UNIX sockets and loopback
	Networks []netip.Prefix // and these peers
}

// allows says whether a password may come over this connection.
func (c Cleartext) allows(conn *serve.Conn) bool {
	if conn.NeedsTLS() {
		return false
	}
	r := conn.Reader()
	if r.TLS || r.ProxiedTLS || c.Local && r.Local {
		return true
	}
	peer, err := netip.ParseAddr(conn.Peer())
	if err != nil {
		return false
	}
	for _, n := range c.Networks {
		if n.Contains(peer.Unmap()) {
			return true
		}
	}
	return false
}

// MailLog is told of what an admin looks for in the log. It must not block.
type MailLog interface {
	// Login is one attempt to log in; err is nil when it succeeded,
	// auth.ErrRefused when name or password were wrong.
	Login(peer, login string, class requiretls.Class, err error)
	// Withheld is a command that asked for n REQUIRETLS messages in a session
	// that may not read them (RFC 8689 §4.4).
	Withheld(peer, login, mailbox, command string, n int)
}

type nobody struct{}

func (nobody) Login(string, string, requiretls.Class, error) {}
func (nobody) Withheld(string, string, string, string, int)  {}

const (
	defaultMaxMessage = 50 << 20
	defaultMaxPerUser = 50
	defaultAutologout = 30 * time.Minute
	defaultLoginTime  = 3 * time.Minute
	defaultProgress   = 2 * time.Second
)

func (o Options) withDefaults() Options {
	orDefault(&o.Hostname, "localhost")
	orDefault(&o.MaxMessage, defaultMaxMessage)
	orDefault(&o.MaxPerUser, defaultMaxPerUser)
	orDefault(&o.Autologout, defaultAutologout)
	orDefault(&o.LoginTime, defaultLoginTime)
	if o.Progress <= 0 {
		o.Progress = defaultProgress
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MailLog == nil {
		o.MailLog = nobody{}
	}
	return o
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
