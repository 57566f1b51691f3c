package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/requiretls"
)

// Options of the way out. Outbox, Resolver and Hostname are needed; the rest
// has defaults that are right for nearly all.
type Options struct {
	Outbox   Outbox
	Resolver Resolver
	Policies Policies // nil: kept in memory, lost at the end
	Hostname string   // our name in EHLO and in reports

	Smarthost  *Smarthost                                  // nil: straight to the recipients' MX hosts
	Local      *net.TCPAddr                                // address to send from; nil: any
	Roots      *x509.CertPool                              // who may sign certificates; nil: the system's
	Postmaster mail.Address                                // who reports come from and TLS reports name; zero: postmaster@Hostname
	Sign       []*Signer                                   // who signs what we originate: those of From's domain, else of the first's; none: nobody
	Submit     func(context.Context, *mail.Outbound) error // takes TLS reports into the outbox; nil: they go by https alone

	// RequireTLS lowers what REQUIRETLS demands of the way to some recipients'
	// domains, as [mail.Address] has them; "" is all others. nil: it is enforced.
	RequireTLS map[string]Level

	Lifetime    time.Duration // how long mail is tried; 0 is 5 days (RFC 5321 §4.5.4.1)
	DelayNotice time.Duration // after which the sender is told of a delay, once; 0 is 4 hours, below 0 never
	FirstRetry  time.Duration // 0 is 5 minutes; each further wait doubles
	LastRetry   time.Duration // the longest wait; 0 is 4 hours
	Grace       time.Duration // what letters on their way get when Run is to end; 0 is 20 seconds
	Concurrency int           // messages on their way at once, besides up to nine times as many that have been for over a minute; 0 is 50
	PerDomain   int           // and to one domain; 0 is 5, to a smarthost 20

	Mail *maillog.Log     // the fate of every letter; nil: its lines go to Log
	Log  *slog.Logger     // faults and oddities; nil: silent
	Now  func() time.Time // nil: the clock
	Dial DialFunc         // nil: the network, without addresses of this machine for mx hosts. Tests lead 25 and 443 elsewhere
}

// DialFunc connects to an IP address and port.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Smarthost is the one host that everything goes through.
type Smarthost struct {
	Host     string // a name, or an address
	Port     string // "" is 587
	Implicit Implicit
	User     string // "" does not log in. Nobody is told the password over TLS that is not proven
	Password string
	Pins     [][]byte         // SHA-256 of certificates or of public keys (SubjectPublicKeyInfo) that prove the host, whatever their name and dates
	Roots    *x509.CertPool   // trust anchors for this host alone; nil: Options.Roots
	Level    Level            // what mail that demands nothing wants of this host, to all destinations
	Levels   map[string]Level // and to some: recipients' domains, as [mail.Address] has them
}

// Implicit says whether TLS starts with the connection (RFC 8314 §3.3).
type Implicit uint8

const (
	StartTLS Implicit = iota // or port 465
	ImplicitTLS
)

// Level is how well a way must be proven. Its words are Postfix's.
type Level = requiretls.Level

// The levels.
const (
	Enforce               = requiretls.Enforce
	OpportunisticStartTLS = requiretls.OpportunisticStartTLS
	Opportunistic         = requiretls.Opportunistic
)

const (
	maxHosts = 20 // hosts of a domain that are tried in one go (RFC 5321 §5.1: at least two)
	maxAddrs = 10 // addresses of a host that are tried in one go
	waitDial = 30 * time.Second
	maxTry   = 30 * time.Minute // until a host takes the letter's octets, all its hosts together
	slowest  = 4 << 10          // octets a second that a host is to take at least, on top of maxTry
)

func (o Options) filled() Options {
	o.Grace = cmp.Or(o.Grace, 20*time.Second)
	o.Lifetime = cmp.Or(o.Lifetime, 5*24*time.Hour)
	o.DelayNotice = cmp.Or(o.DelayNotice, 4*time.Hour)
	o.FirstRetry = cmp.Or(o.FirstRetry, 5*time.Minute)
	o.LastRetry = cmp.Or(o.LastRetry, 4*time.Hour)
	o.Concurrency = cmp.Or(o.Concurrency, 50)
	perDomain := 5
	if o.Smarthost != nil {
		perDomain = 20
	}
	o.PerDomain = cmp.Or(o.PerDomain, perDomain)
	if o.Postmaster.IsNull() {
		o.Postmaster = mail.Address{Local: "postmaster", Domain: o.Hostname}
	}
	o.Postmaster = o.Postmaster.ALabels() // headers of ours are ASCII wherever they can be
	if o.Policies == nil {
		o.Policies = newMemory()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Mail == nil {
		o.Mail = maillog.New(o.Log)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dial == nil {
		d := &net.Dialer{Timeout: waitDial}
		if o.Local != nil {
			d.LocalAddr = o.Local
		}
		o.Dial = d.DialContext
	}
	return o
}

// tlsConfig takes any certificate: what it proves is a fact to be judged, not
// an end of the conversation. TLS 1.2 is the floor (RFC 9325 §3.1.1).
func tlsConfig(serverName string) *tls.Config {
	return &tls.Config{ServerName: serverName, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
}

// jitter is d, a tenth more or less, so that what failed together does not
// come back together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(rand.Int64N(int64(d/5)+1))
}
