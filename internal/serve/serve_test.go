package serve_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/internal/dialogue"
	"letterlock/internal/serve"
)

// house is a server of a protocol of three words: STARTTLS, BYE, and anything
// else, which is echoed.
type house struct {
	*serve.Server
	dir  string // with ca.pem
	log  *dialogue.Record
	stop func() error // ends Run and says what it said
}

func open(t *testing.T, opt serve.Options, endpoints ...string) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), log: &dialogue.Record{}}
	for _, s := range endpoints {
		e, err := serve.ParseEndpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		opt.Endpoints = append(opt.Endpoints, e)
	}
	cert, key, err := serve.PrivateCA(h.dir, []string{"mail.example.org"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	opt.Name, opt.Log = "test", slog.New(slog.NewTextHandler(h.log, nil))
	if opt.TLS, err = serve.LoadCertificates(cert, key, opt.Log); err != nil {
		t.Fatal(err)
	}
	if opt.Handle == nil {
		opt.Handle = echo
	}
	if h.Server, err = serve.Listen(opt); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	h.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { h.stop() })
	return h
}

func echo(ctx context.Context, c *serve.Conn) {
	defer c.OnDraining(func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	fmt.Fprintf(c, "hello %s tls=%t local=%t\r\n", c.Peer(), c.TLS() != nil, c.Reader().Local)
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			io.WriteString(c, "draining\r\n")
			return
		case err != nil || line == "BYE\r\n":
			io.WriteString(c, "bye\r\n")
			return
		case line == "STARTTLS\r\n":
			io.WriteString(c, "go ahead\r\n")
			if c.StartTLS(ctx) != nil {
				io.WriteString(c, "still here, in clear\r\n")
				return
			}
			r.Reset(c)
		case line == "PANIC\r\n":
			panic("a bug")
		default:
			io.WriteString(c, line)
		}
	}
}

// guest is a client's end.
type guest struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (h *house) visit(t *testing.T, nth int) *guest {
	t.Helper()
	a := h.Addrs()[nth]
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return &guest{t, c, bufio.NewReader(c)}
}

func (g *guest) says(want string) {
	g.t.Helper()
	got, err := g.r.ReadString('\n')
	if got != want+"\r\n" {
		g.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func (g *guest) ask(line, want string) {
	g.t.Helper()
	io.WriteString(g, line+"\r\n")
	g.says(want)
}

// gone: the server has closed, and not by a reset.
func (g *guest) gone() {
	g.t.Helper()
	if rest, err := io.ReadAll(g.r); err != nil || len(rest) > 0 {
		g.t.Fatalf("got %q, %v; want the end", rest, err)
	}
}

func (h *house) trust(t *testing.T) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(h.dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: "mail.example.org"}
}

func (g *guest) startTLS(conf *tls.Config) error {
	c := tls.Client(g.Conn, conf)
	g.Conn, g.r = c, bufio.NewReader(c)
	return c.Handshake()
}

func TestSTARTTLSOnEverySocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	h := open(t, serve.Options{}, "127.0.0.1:0", "unix:"+socket, "[::1]:0")
	for i, peer := range []string{"127.0.0.1", "local", "::1"} {
		g := h.visit(t, i)
		g.says("hello " + peer + " tls=false local=true")
		g.ask("STARTTLS", "go ahead")
		if err := g.startTLS(h.trust(t)); err != nil {
			t.Fatalf("%s: %v", peer, err)
		}
		g.ask("still me", "still me")
		g.ask("BYE", "bye")
		g.gone()
	}
}

func TestTLSFromTheStart(t *testing.T) { // RFC 8314 §3
	h := open(t, serve.Options{}, "tls:127.0.0.1:0")
	g := h.visit(t, 0)
	if err := g.startTLS(h.trust(t)); err != nil {
		t.Fatal(err)
	}
	g.says("hello 127.0.0.1 tls=true local=true")
	g.ask("BYE", "bye")
}

func TestFailedHandshakeNeverGoesOnInClear(t *testing.T) { // RFC 3207 §4.1
	h := open(t, serve.Options{}, "127.0.0.1:0")
	g := h.visit(t, 0)
	g.says("hello 127.0.0.1 tls=false local=true")
	g.ask("STARTTLS", "go ahead")
	io.WriteString(g, "NOOP\r\nthis is no handshake\r\n")
	rest, _ := io.ReadAll(g.r)
	if strings.Contains(string(rest), "still here") {
		t.Errorf("after a failed handshake the server said %q", rest)
	}
}

func TestOldTLSAndWeakSuitesAreRefused(t *testing.T) { // RFC 9325 §3.1.1, §4.1
	h := open(t, serve.Options{}, "tls:127.0.0.1:0")
	for name, weaken := range map[string]func(*tls.Config){
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"CBC": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		},
		"without forward secrecy": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		},
	} {
		conf := h.trust(t)
		weaken(conf)
		if err := h.visit(t, 0).startTLS(conf); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	conf := h.trust(t)
	conf.MaxVersion = tls.VersionTLS12
	if err := h.visit(t, 0).startTLS(conf); err != nil {
		t.Errorf("TLS 1.2 was refused: %v", err)
	}
}

func TestALPNForAnotherProtocolIsRefused(t *testing.T) { // RFC 9325 §3.7
	h := open(t, serve.Options{ALPN: []string{"imap"}}, "tls:127.0.0.1:0")
	for name, c := range map[string]struct {
		protocols []string
		ok        bool
	}{
		"none":    {nil, true},
		"ours":    {[]string{"imap"}, true},
		"another": {[]string{"pop3"}, false},
	} {
		conf := h.trust(t)
		conf.NextProtos = c.protocols
		if err := h.visit(t, 0).startTLS(conf); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClientCertificateIsDemandedWhereConfigured(t *testing.T) {
	clients := t.TempDir()
	cert, key, err := serve.PrivateCA(clients, []string{"mta.example.org"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	needs := make(chan bool, 1)
	h := open(t, serve.Options{
		Endpoints: []serve.Endpoint{{Network: "tcp", Address: "127.0.0.1:0", ClientCA: filepath.Join(clients, "ca.pem")}},
		Handle:    func(ctx context.Context, c *serve.Conn) { needs <- c.NeedsTLS(); echo(ctx, c); needs <- c.NeedsTLS() },
	})
	try := func(conf *tls.Config) error {
		g := h.visit(t, 0)
		g.says("hello 127.0.0.1 tls=false local=true")
		if !<-needs {
			t.Error("before TLS the connection is said to be good")
		}
		g.ask("STARTTLS", "go ahead")
		err := g.startTLS(conf)
		if err == nil { // with TLS 1.3 the refusal comes after the client's handshake
			io.WriteString(g, "BYE\r\n")
			_, err = g.r.ReadString('\n')
		}
		<-needs
		return err
	}
	if err := try(h.trust(t)); err == nil {
		t.Error("a client without a certificate was let in")
	}
	// a server's certificate is none for clients
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	conf := h.trust(t)
	conf.Certificates = []tls.Certificate{pair}
	if err := try(conf); err == nil {
		t.Error("a certificate not meant for clients was let in")
	}
	conf.Certificates = []tls.Certificate{clientCertificate(t, clients)}
	if err := try(conf); err != nil {
		t.Errorf("the right certificate was refused: %v", err)
	}
}

func TestAllowList(t *testing.T) {
	h := open(t, serve.Options{Endpoints: []serve.Endpoint{
		{Network: "tcp", Address: "127.0.0.1:0", Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		{Network: "tcp", Address: "127.0.0.1:0", Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("127.0.0.0/8")}},
	}})
	h.visit(t, 0).gone()
	h.visit(t, 1).says("hello 127.0.0.1 tls=false local=true")
}

func TestTooManyConnections(t *testing.T) {
	h := open(t, serve.Options{MaxConns: 2, TooMany: "421 too many\r\n"}, "127.0.0.1:0")
	first, second := h.visit(t, 0), h.visit(t, 0)
	first.says("hello 127.0.0.1 tls=false local=true")
	second.says("hello 127.0.0.1 tls=false local=true")
	third := h.visit(t, 0)
	third.says("421 too many")
	third.gone()
	second.ask("unharmed", "unharmed")
	if s := h.Stats(); s.Open != 2 || s.Accepted != 2 || s.Refused != 1 {
		t.Errorf("%+v, want 2 open, 2 accepted, 1 refused", s)
	}
	first.ask("BYE", "bye")
	first.gone()
	first.Close()
	for { // the place is free a moment after the end was seen
		g := h.visit(t, 0)
		line, _ := g.r.ReadString('\n')
		if strings.HasPrefix(line, "hello") {
			break
		}
	}
}

func TestPanicEndsOneConnectionAlone(t *testing.T) {
	h := open(t, serve.Options{}, "127.0.0.1:0")
	good, bad := h.visit(t, 0), h.visit(t, 0)
	good.says("hello 127.0.0.1 tls=false local=true")
	bad.says("hello 127.0.0.1 tls=false local=true")
	io.WriteString(bad, "PANIC\r\n")
	bad.gone()
	good.ask("unharmed", "unharmed")
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	if got := h.log.String(); !strings.Contains(got, `panic="a bug"`) || !strings.Contains(got, "serve_test.go") {
		t.Errorf("the log says %q, want the panic and where", got)
	}
	if h.Stats().Panics != 1 {
		t.Errorf("%+v", h.Stats())
	}
}

func TestLastAnswerArrivesThoughTheClientIsStillTalking(t *testing.T) {
	h := open(t, serve.Options{Handle: func(_ context.Context, c *serve.Conn) {
		c.Read(make([]byte, 1)) // and leaves the rest unread: closing now would reset
		io.WriteString(c, "421 enough\r\n")
	}}, "127.0.0.1:0")
	g := h.visit(t, 0)
	g.Write(make([]byte, 100_000))
	g.says("421 enough")
	g.gone()
}

func TestDrainingLetsConnectionsFinish(t *testing.T) {
	h := open(t, serve.Options{Grace: time.Minute}, "127.0.0.1:0", "tls:127.0.0.1:0")
	plain, secure := h.visit(t, 0), h.visit(t, 1)
	plain.says("hello 127.0.0.1 tls=false local=true")
	if err := secure.startTLS(h.trust(t)); err != nil {
		t.Fatal(err)
	}
	secure.says("hello 127.0.0.1 tls=true local=true")
	ended := make(chan error)
	go func() { ended <- h.stop() }()
	for _, g := range []*guest{plain, secure} {
		g.says("draining")
		g.gone()
		g.Close()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, a := range h.Addrs() {
		if c, err := net.Dial(a.Network(), a.String()); err == nil {
			c.Close()
			t.Errorf("somebody still listens at %s", a)
		}
	}
}

func TestDrainingCutsWhoDoesNotFinish(t *testing.T) {
	cut := make(chan error, 1)
	h := open(t, serve.Options{Grace: 10 * time.Millisecond, Handle: func(ctx context.Context, c *serve.Conn) {
		io.WriteString(c, "hello\r\n")
		_, err := c.Read(make([]byte, 1)) // deaf to Draining
		cut <- err
		<-ctx.Done()
	}}, "127.0.0.1:0")
	g := h.visit(t, 0)
	g.says("hello")
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	if err := <-cut; err == nil {
		t.Error("the read went on")
	}
	if got := h.log.String(); !strings.Contains(got, "cut") {
		t.Errorf("the log says %q", got)
	}
}

func TestDrainingDoesNotBreakAHandshake(t *testing.T) {
	began := make(chan struct{})
	h := open(t, serve.Options{Grace: time.Minute, Handle: func(ctx context.Context, c *serve.Conn) {
		<-c.Draining()
		close(began)
		stopped := make(chan struct{})
		go func() { // a reader being woken, again and again
			defer close(stopped)
			for c.TLS() == nil {
				c.SetReadDeadline(time.Unix(1, 0))
			}
		}()
		io.WriteString(c, "go ahead\r\n")
		err := c.StartTLS(ctx)
		if err == nil {
			<-stopped
			c.SetReadDeadline(time.Time{})
			io.WriteString(c, "secure\r\n")
		}
	}}, "127.0.0.1:0")
	g := h.visit(t, 0)
	go h.stop()
	<-began
	g.says("go ahead")
	if err := g.startTLS(h.trust(t)); err != nil {
		t.Fatal(err)
	}
	g.says("secure")
}

func TestSocketPathOverTheLimitIsExplained(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	_, err := serve.Listen(serve.Options{Endpoints: []serve.Endpoint{{Network: "unix", Address: long}}})
	var way interface{ Hint() string }
	if !errors.As(err, &way) || !strings.Contains(err.Error(), "allows 107") || !strings.Contains(way.Hint(), "shorter") {
		t.Errorf("got %v", err)
	}
}

func TestStaleSocketIsReplacedAndALivingOneIsNot(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "lmtp.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()

	h := open(t, serve.Options{}, "unix:"+socket)
	h.visit(t, 0).says("hello local tls=false local=true")
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket is %v, %v; want mode 0660", info.Mode(), err)
	}

	_, err = serve.Listen(serve.Options{Endpoints: []serve.Endpoint{{Network: "unix", Address: socket}}})
	if err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a second server: %v", err)
	}
	h.visit(t, 0).says("hello local tls=false local=true")

	precious := filepath.Join(t.TempDir(), "letter")
	os.WriteFile(precious, []byte("dear"), 0o600)
	_, err = serve.Listen(serve.Options{Endpoints: []serve.Endpoint{{Network: "unix", Address: precious}}})
	if _, stat := os.Stat(precious); err == nil || stat != nil {
		t.Errorf("a file that is no socket: %v, %v", err, stat)
	}
}

func TestListenBindsEverythingOrNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	socket := filepath.Join(t.TempDir(), "s")
	_, err = serve.Listen(serve.Options{Name: "lmtp", Endpoints: []serve.Endpoint{
		{Network: "unix", Address: socket}, {Network: "tcp", Address: taken.Addr().String()},
	}})
	var way interface{ Hint() string }
	if !errors.As(err, &way) || !strings.Contains(err.Error(), "lmtp: listen at "+taken.Addr().String()) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	_, err = serve.Listen(serve.Options{Endpoints: []serve.Endpoint{{Network: "tcp", Address: "127.0.0.1:0", ImplicitTLS: true}}})
	if err == nil {
		t.Error("TLS without a certificate is not to be listened at")
	}
}

func TestEndpoints(t *testing.T) {
	for in, want := range map[string]serve.Endpoint{
		"127.0.0.1:2424":   {Network: "tcp", Address: "127.0.0.1:2424"},
		":143":             {Network: "tcp", Address: ":143"},
		"tls:[::1]:993":    {Network: "tcp", Address: "[::1]:993", ImplicitTLS: true},
		"unix:/run/l.sock": {Network: "unix", Address: "/run/l.sock"},
	} {
		got, err := serve.ParseEndpoint(in)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || got.String() != in {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "unix:", "127.0.0.1", "::1:143", "host:port", "host:65536", "tls:", "host:-1", "unix"} {
		if e, err := serve.ParseEndpoint(in); err == nil {
			t.Errorf("%q passed as %+v", in, e)
		}
	}
}

// Whoever replaces the file of client CAs need not start anew: the next connection
// is judged by it, and one that is broken changes nothing.
func TestClientCAsAreReread(t *testing.T) {
	dir := t.TempDir()
	clients := filepath.Join(dir, "clients.pem")
	old, new := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	for _, ca := range []string{old, new} {
		if _, _, err := serve.PrivateCA(ca, []string{"mta.example.org"}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	write(t, clients, read(t, filepath.Join(old, "ca.pem")))
	h := open(t, serve.Options{Endpoints: []serve.Endpoint{{Network: "tcp", Address: "127.0.0.1:0", ClientCA: clients, ImplicitTLS: true}}})
	sessions := map[string]tls.ClientSessionCache{old: tls.NewLRUClientSessionCache(1)} // who comes back resumes
	letsIn := func(ca string) bool {
		conf := h.trust(t)
		conf.Certificates, conf.ClientSessionCache = []tls.Certificate{clientCertificate(t, ca)}, sessions[ca]
		g := h.visit(t, 0)
		if g.startTLS(conf) != nil {
			return false
		}
		_, err := g.r.ReadString('\n') // with TLS 1.3 the refusal comes after the client's handshake
		return err == nil
	}
	if !letsIn(old) || letsIn(new) {
		t.Error("the CA at the start does not count, or another one does")
	}
	write(t, clients, read(t, filepath.Join(new, "ca.pem"))[:200])
	if err := h.Reload(); err == nil || !letsIn(old) {
		t.Errorf("half a file: %v, and who was let in is not", err)
	}
	write(t, clients, read(t, filepath.Join(new, "ca.pem")))
	if err := h.Reload(); err != nil || letsIn(old) || !letsIn(new) {
		t.Errorf("the new CA does not count, or the old one does: %v", err)
	}
}
