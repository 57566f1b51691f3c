package serve

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options of one server; one per protocol.
type Options struct {
	Name       string // "lmtp", "imap": for logs and metrics
	Endpoints  []Endpoint
	Proxies    Proxies       // for the endpoints that have Proxy set
	TLS        *Certificates // nil: no TLS is offered
	ALPN       []string      // a client that names protocols, to us or to its proxy, must name one of these (RFC 9325 §3.7); empty: not looked at
	MaxConns   int           // in all; 0: 10000
	MaxPerAddr int           // that are not [Conn.Known], per IPv4 address or IPv6 /64, loopback and UNIX excepted; 0: 100
	Grace      time.Duration // how long draining may take; 0: 10 s
	TooMany    string        // the line said to a connection over a limit before it is closed, CRLF included
	// Handle has one connection from greeting to end; when it returns the
	// connection is closed. Its context ends when the connection is cut. Its
	// panic is logged and ends that connection alone.
	Handle func(context.Context, *Conn)
	Log    *slog.Logger // nil: nothing is logged
}

// Server listens at the endpoints of one protocol.
type Server struct {
	opt        Options
	listeners  []*listener
	prefix     string        // of the connections' ids
	serial     atomic.Uint64 // of the connection accepted last
	crowd      crowd
	accepted   atomic.Uint64
	refused    atomic.Uint64
	failed     atomic.Uint64
	badHeaders atomic.Uint64
	panics     atomic.Uint64
	squeeze    squeeze
	noise      noise
	lull       lull

	draining context.Context
	drain    context.CancelFunc
	serving  sync.WaitGroup

	mu   sync.Mutex // guards open
	open map[*Conn]struct{}
}

type listener struct {
	net.Listener
	endpoint Endpoint
	tls      atomic.Pointer[tls.Config] // nil: no TLS to be had
}

// Stats counts what a server has done.
type Stats struct {
	Open             int    // connections now
	Accepted         uint64 // connections that began
	Refused          uint64 // over a limit, not on the allow list, or no trusted proxy
	FailedHandshakes uint64 // of TLS from the start
	BadHeaders       uint64 // of the PROXY protocol
	Panics           uint64
	Compressed       uint64 // connections that turned compression on
	Plain            uint64 // octets of theirs that were said to clients
	Deflated         uint64 // and what was sent for them
}

// Listen binds every endpoint, or none and says why. Errors with a way out
// have a method Hint() string.
func Listen(opt Options) (*Server, error) {
	opt = opt.withDefaults()
	s := &Server{opt: opt, prefix: strings.ToLower(rand.Text()[:4]), open: make(map[*Conn]struct{})}
	s.crowd = crowd{max: opt.MaxConns, maxPerAddr: opt.MaxPerAddr, perAddr: make(map[netip.Addr]int)}
	s.draining, s.drain = context.WithCancel(context.Background())
	for _, e := range opt.Endpoints {
		l, err := opt.listen(e)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("%s: listen at %s: %w", opt.Name, e, err)
		}
		s.listeners = append(s.listeners, l)
	}
	return s, nil
}

func (opt Options) withDefaults() Options {
	if opt.MaxConns == 0 {
		opt.MaxConns = 10000
	}
	if opt.MaxPerAddr == 0 {
		opt.MaxPerAddr = 100
	}
	if opt.Grace == 0 {
		opt.Grace = 10 * time.Second
	}
	if opt.Proxies.Wait == 0 {
		opt.Proxies.Wait = 5 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	opt.Log = opt.Log.With("server", opt.Name)
	return opt
}

func (opt Options) listen(e Endpoint) (*listener, error) {
	if err := opt.Proxies.check(e); err != nil {
		return nil, err
	}
	conf, err := opt.tlsFor(e)
	if err != nil {
		return nil, err
	}
	ln, err := e.bind()
	if err != nil {
		return nil, err
	}
	l := &listener{Listener: ln, endpoint: e}
	l.tls.Store(conf)
	return l, nil
}

// Reload reads the files of client CAs again, for connections from then on. On an
// error the old CAs of that endpoint stay. A session of theirs cannot be resumed:
// who signed it may have been thrown out.
func (s *Server) Reload() error {
	var errs []error
	for _, l := range s.listeners {
		if l.endpoint.ClientCA == "" {
			continue
		}
		conf, err := s.opt.tlsFor(l.endpoint)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s at %s: %w", s.opt.Name, l.endpoint, err))
			continue
		}
		l.tls.Store(conf)
	}
	return errors.Join(errs...)
}

// tlsFor is the TLS of one endpoint, nil where there is none.
func (opt Options) tlsFor(e Endpoint) (*tls.Config, error) {
	if opt.TLS == nil {
		if e.ImplicitTLS || e.ClientCA != "" {
			return nil, hint(errors.New("TLS without a certificate"), "set tls.cert and tls.key")
		}
		return nil, nil
	}
	conf := opt.TLS.Config()
	noteCertificate(conf)
	conf.NextProtos = opt.ALPN
	cas, err := e.clientCAs()
	if err != nil {
		return nil, err
	}
	if cas != nil {
		conf.ClientCAs = cas
		conf.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return conf, nil
}

// Addrs is where the server listens, in the order of the endpoints.
func (s *Server) Addrs() []net.Addr {
	var addrs []net.Addr
	for _, l := range s.listeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

// Stats counts what was done so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := len(s.open)
	s.mu.Unlock()
	return Stats{
		Open: open, Accepted: s.accepted.Load(), Refused: s.refused.Load(),
		FailedHandshakes: s.failed.Load(), BadHeaders: s.badHeaders.Load(), Panics: s.panics.Load(),
		Compressed: s.squeeze.conns.Load(), Plain: s.squeeze.plain.Load(), Deflated: s.squeeze.sent.Load(),
	}
}

// Close closes the listeners. [Server.Run] does it by itself; Close is for a
// server that never ran.
func (s *Server) Close() error {
	var errs []error
	for _, l := range s.listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends, then closes the listeners, lets connections finish
// (their Draining channel is closed) for Grace, and cuts the rest. It returns
// when all have ended. An error is a listener that broke, or connections that
// did not end even when cut.
func (s *Server) Run(ctx context.Context) error {
	cut, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	broken := make(chan error, len(s.listeners))
	var accepting sync.WaitGroup
	for _, l := range s.listeners {
		accepting.Go(func() {
			if err := s.accept(cut, l); err != nil {
				broken <- fmt.Errorf("%s: accept at %s: %w", s.opt.Name, l.endpoint, err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-broken:
	}
	s.drain()
	s.Close()
	accepting.Wait()
	s.lull.end()
	return errors.Join(err, s.finish(cancel))
}

// finish waits for the connections, cuts those that take too long, and waits
// for what they had begun.
func (s *Server) finish(cut context.CancelFunc) error {
	ended := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(ended)
	}()
	if within(ended, s.opt.Grace) {
		return nil
	}
	cut()
	n := s.closeAll()
	s.opt.Log.Warn("connections cut at the end of the grace", "connections", n)
	if within(ended, s.opt.Grace) {
		return nil
	}
	return fmt.Errorf("%s: connections did not end when cut: %d", s.opt.Name, s.Stats().Open)
}

func within(ended <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// closeAll closes what is below every connection: no goodbye, no waiting.
func (s *Server) closeAll() int {
	s.mu.Lock()
	open := make([]*Conn, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		c.Conn.Close()
	}
	return len(open)
}

// accept takes connections until the listener is closed. When the system has
// no room for more it waits: connections that end make some.
func (s *Server) accept(ctx context.Context, l *listener) error {
	wait := time.Duration(0)
	for {
		raw, err := l.Accept()
		switch {
		case err == nil:
			wait = 0
			s.admit(ctx, l, raw)
		case s.draining.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.opt.Log.Warn("accept", "endpoint", l.endpoint.String(), "error", err, "waiting", wait)
			within(s.draining.Done(), wait)
		}
	}
}

// admit starts serving a connection, or turns it away. One that comes through a
// proxy counts for its client's address, once that is known.
func (s *Server) admit(ctx context.Context, l *listener, raw net.Conn) {
	peer := peerOf(raw)
	if why := s.uninvited(l.endpoint, peer); why != "" {
		s.refuse(l.endpoint, peer, why)
		raw.Close()
		return
	}
	counted := peer
	if l.endpoint.Proxy {
		counted = netip.Addr{}
	}
	if why := s.crowd.enter(counted); why != "" {
		s.refuse(l.endpoint, peer, why)
		s.sayTooMany(l.endpoint, raw)
		raw.Close()
		return
	}
	s.accepted.Add(1)
	c := &Conn{
		Conn: raw, peer: peer, counted: counted, crowd: &s.crowd, endpoint: l.endpoint, tls: l.tls.Load(), draining: s.draining,
		squeeze: &s.squeeze, id: s.prefix + strconv.FormatUint(s.serial.Add(1), 36),
	}
	s.mu.Lock()
	s.open[c] = struct{}{}
	open := len(s.open)
	s.mu.Unlock()
	if s.lull.disturb(open) {
		s.serving.Go(runtime.GC)
	}
	s.serving.Go(func() { s.serve(ctx, c) })
}

// uninvited says why nobody from addr may connect there; "" where they may.
func (s *Server) uninvited(e Endpoint, addr netip.Addr) string {
	switch {
	case !e.admits(addr):
		return "not on the allow list"
	case e.Proxy && !s.opt.Proxies.believes(addr):
		return "not a trusted proxy, and this endpoint is for these alone"
	}
	return ""
}

func (s *Server) refuse(e Endpoint, peer netip.Addr, why string) {
	s.refused.Add(1)
	s.noise.say(s.opt.Log, "connection refused: "+why, "endpoint", e.String(), "peer", peer)
}

// sayTooMany tells the stranger why. Inside TLS it would be noise.
func (s *Server) sayTooMany(e Endpoint, raw net.Conn) {
	if !e.ImplicitTLS && raw.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		_, _ = raw.Write([]byte(s.opt.TooMany)) // fits the empty buffer of a new connection: does not block
	}
}

// serve has one connection to its end, whatever the room does. Sessions wait
// inside it for hours: it keeps little on the stack.
func (s *Server) serve(ctx context.Context, c *Conn) {
	defer s.leave(c)
	defer s.survive(c)
	if s.begin(ctx, c) {
		s.opt.Handle(ctx, c)
	}
}

func (s *Server) survive(c *Conn) {
	if p := recover(); p != nil {
		s.panics.Add(1)
		s.opt.Log.Error("connection ended by a bug", "conn", c.id, "peer", c.Peer(), "panic", p, "stack", string(debug.Stack()))
	}
}

// begin is what comes before the first word, and says whether there will be one.
func (s *Server) begin(ctx context.Context, c *Conn) bool {
	if c.endpoint.Proxy && !s.greetProxy(c) {
		return false
	}
	if !c.endpoint.ImplicitTLS {
		return true
	}
	if err := c.StartTLS(ctx); err != nil {
		s.failed.Add(1)
		s.noise.say(s.opt.Log, "handshake failed", "conn", c.id, "peer", c.Peer(), "endpoint", c.endpoint.String(), "error", err)
		return false
	}
	return true
}

func (s *Server) leave(c *Conn) {
	c.finish()
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	c.Stranger()
	s.crowd.leave(c.counted)
}
