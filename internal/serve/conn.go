package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"letterlock/internal/requiretls"
)

const handshakeTime = 30 * time.Second

// Conn is one accepted connection. Reads and writes go through compression and
// TLS once these are up; the connection embedded is what lies below.
type Conn struct {
	net.Conn

	id       string
	endpoint Endpoint
	peer     netip.Addr  // not valid: a UNIX socket
	proxied  *Proxied    // nil: no PROXY header
	counted  netip.Addr  // whose connections it is one of; not valid: nobody's
	crowd    *crowd      // of the server
	known    bool        // not counted for its address
	tls      *tls.Config // nil: no TLS to be had
	draining context.Context

	in     *inlet // nil before the first octet
	whole  bool   // TLS has handed out all that came
	secure atomic.Pointer[tls.Conn]
	state  *tls.ConnectionState // written before secure
	shown  *x509.Certificate    // our own, of that handshake; written before secure

	deflated atomic.Pointer[deflated] // nil: not compressed
	rest     []byte                   // came behind what was compressed, and is read first
	squeeze  *squeeze                 // of the server

	parted bool // by Part

	mu          sync.Mutex // guards handshaking, and read deadlines while it lasts
	handshaking bool
}

// ID is short and unique: one word that ties the lines of the log together.
func (c *Conn) ID() string { return c.id }

// Endpoint is where the connection came in.
func (c *Conn) Endpoint() Endpoint { return c.endpoint }

// Peer is the address of whoever connected, without the port, and "local" on a
// UNIX socket. Behind a proxy it is the client's, or the proxy's where that one
// does not know the client or speaks for itself.
func (c *Conn) Peer() string {
	if !c.peer.IsValid() {
		return "local"
	}
	return c.peer.String()
}

// Proxied is what the PROXY header said, nil where there was none.
func (c *Conn) Proxied() *Proxied { return c.proxied }

// Known says that the client has proven who it is, and that the room counts its
// connections: it counts for its address no more, which it may share with a whole
// office or everybody at a webmail. Stranger takes that back. Both are for the
// goroutine that handles the connection.
func (c *Conn) Known() {
	if !c.known {
		c.known = true
		c.crowd.part(c.counted)
	}
}

// Stranger says that nobody knows any more who the client is: see [Conn.Known].
func (c *Conn) Stranger() {
	if c.known {
		c.known = false
		c.crowd.rejoin(c.counted)
	}
}

// TLS is what was negotiated, nil where the connection is not encrypted by us.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.secure.Load() == nil {
		return nil
	}
	return c.state
}

// CanStartTLS says whether STARTTLS is to be offered: there is a certificate,
// and neither TLS, ours or that of a proxy in front of us, nor compression yet.
func (c *Conn) CanStartTLS() bool {
	return c.canEncrypt() && !c.Reader().ProxiedTLS
}

func (c *Conn) canEncrypt() bool {
	return c.tls != nil && c.secure.Load() == nil && !c.Compressed()
}

// NeedsTLS says whether nothing may happen before TLS: the endpoint demands a
// client certificate and this connection has not shown one yet.
func (c *Conn) NeedsTLS() bool { return c.endpoint.ClientCA != "" && c.secure.Load() == nil }

// StartTLS does the handshake, within 30 seconds. After an error the
// connection is closed: a session that failed to encrypt does not go on in
// clear (RFC 3207 §4.1). The caller must have dropped what it had buffered
// (RFC 3207 §4.2, RFC 9051 §6.2.1), and nobody else may read or write.
func (c *Conn) StartTLS(ctx context.Context) error {
	if !c.canEncrypt() {
		return errors.New("start TLS: not to be had on this connection")
	}
	if err := c.beginHandshake(); err != nil {
		return err
	}
	c.rest = nil
	c.inlet().discard()
	secure := tls.Server(&records{inlet: c.inlet(), of: c}, c.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Conn.Close()
		return fmt.Errorf("start TLS: %w", err)
	}
	state := secure.ConnectionState()
	c.state, c.whole = &state, true
	c.secure.Store(secure)
	return c.endHandshake()
}

// noteCertificate makes a configuration tell each connection its certificate: it
// may have been replaced when somebody asks.
func noteCertificate(conf *tls.Config) {
	get := conf.GetCertificate
	conf.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := get(hello)
		if r, ok := hello.Conn.(*records); ok && err == nil && cert != nil {
			r.of.shown = cert.Leaf
		}
		return cert, err
	}
}

// Certificate is the one we have shown in TLS, for logins bound to it (RFC 5929
// §4); nil where the connection is not encrypted by us, or resumes an earlier
// one.
func (c *Conn) Certificate() *x509.Certificate {
	if c.secure.Load() == nil {
		return nil
	}
	return c.shown
}

func (c *Conn) beginHandshake() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handshaking = true
	return c.Conn.SetDeadline(time.Now().Add(handshakeTime))
}

func (c *Conn) endHandshake() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handshaking = false
	return c.Conn.SetDeadline(time.Time{})
}

// SetReadDeadline sets the deadline of reads. During a handshake it does
// nothing: whoever wants to wake a reader must not break it.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handshaking {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// Read reads, through compression and TLS once they are up.
func (c *Conn) Read(p []byte) (int, error) {
	if d := c.deflated.Load(); d != nil {
		return d.in.Read(p)
	}
	return c.read(p)
}

// Write writes, through compression and TLS once they are up.
func (c *Conn) Write(p []byte) (int, error) {
	if d := c.deflated.Load(); d != nil {
		n, err := d.out.Write(p)
		c.squeeze.plain.Add(uint64(n))
		return n, err
	}
	return c.write(p)
}

func (c *Conn) read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		if c.rest = c.rest[n:]; len(c.rest) == 0 {
			c.rest = nil
		}
		return n, nil
	}
	if s := c.secure.Load(); s != nil {
		n, err := s.Read(p)
		c.whole = n < len(p)
		return n, err
	}
	return c.inlet().Read(p)
}

// Await waits, under the deadline of reads, until there may be something to
// read, and holds no memory meanwhile. An error is what [Conn.Read] would have
// said. It may end too early: the next Read waits then.
func (c *Conn) Await() error {
	if c.Compressed() || len(c.rest) > 0 || c.secure.Load() != nil && !c.whole {
		return nil
	}
	return c.inlet().await()
}

func (c *Conn) inlet() *inlet {
	if c.in == nil {
		c.in = newInlet(c.Conn)
	}
	return c.in
}

func (c *Conn) write(p []byte) (int, error) {
	if s := c.secure.Load(); s != nil {
		return s.Write(p)
	}
	return c.Conn.Write(p)
}

// Close says goodbye in TLS, for at most 5 seconds, and closes.
func (c *Conn) Close() error {
	if s := c.secure.Load(); s != nil {
		return s.Close()
	}
	return c.Conn.Close()
}

// Reader is how the connection is protected, for the judge of reading. Whoever
// authenticates the client adds Bound.
func (c *Conn) Reader() requiretls.Reader {
	ours := c.secure.Load() != nil
	if c.proxied != nil {
		return c.proxied.reader(ours)
	}
	return requiretls.Reader{
		TLS:   ours,
		Local: !c.peer.IsValid() || c.peer.IsLoopback(),
	}
}

// Draining is closed when the server wants the connection to end: finish what
// has begun, say so, and return.
func (c *Conn) Draining() <-chan struct{} { return c.draining.Done() }

// OnDraining calls f once, in a goroutine of its own, when [Conn.Draining] is
// closed; stop takes it back. It costs a waiting session no goroutine.
func (c *Conn) OnDraining(f func()) (stop func() bool) {
	return context.AfterFunc(c.draining, f)
}

// finish closes after the last answer. Closing while the peer is still sending
// would reset the connection and could take that answer away from it; so we
// only stop writing first and read on for a moment.
func (c *Conn) finish() {
	defer c.Conn.Close()
	if !c.parted && c.goodbye() == nil {
		_ = c.hearOut(time.Now().Add(lingerTime))
	}
}

// peerOf is who connected; not valid for a UNIX socket.
func peerOf(raw net.Conn) netip.Addr {
	if a, ok := raw.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
