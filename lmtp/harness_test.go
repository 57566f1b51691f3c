package lmtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/serve"
	"letterlock/lmtp"
)

// letter is what a deliverer was handed.
type letter struct {
	env   mail.Envelope
	rcpts []mail.Address
	body  string // empty when it is big
	size  int64
	sum   uint64
}

func (l letter) String() string {
	to := make([]string, len(l.rcpts))
	for i, r := range l.rcpts {
		to[i] = r.Path()
	}
	return fmt.Sprintf("%s to %s, %s, with %s", l.env.From.Path(), strings.Join(to, " "), l.env.Demand, l.env.Protocol)
}

// letterbox is the other side of the seam: it keeps every letter. What it
// answers hangs on the local part: "nobody" is unknown ("umlaut" too, and says
// so badly), "full" is full,
// "broken" makes it fail, "panics" makes it panic; with "late-" in front, the
// same happens only once the message is there.
type letterbox struct {
	big bool // keep a checksum of bodies, not the octets

	mu      sync.Mutex // guards letters
	letters []letter
}

var errSecret = errors.New("open /var/lib/secret/ann: permission denied")

func fate(local string) error {
	switch local {
	case "nobody":
		return reply.NoSuchUser
	case "umlaut":
		return reply.NoSuchUser.Saying("kein Postfach für\r\n250 %s", strings.Repeat("x", 600))
	case "full":
		return reply.MailboxFull.Because(errors.New("ann has 10 GB"))
	case "broken":
		return fmt.Errorf("store: %w", errSecret)
	case "unprotected":
		return reply.NoRequireTLS
	case "panics":
		panic(errSecret)
	}
	return nil
}

func (b *letterbox) Recipient(_ context.Context, addr mail.Address) error { return fate(addr.Local) }

func (b *letterbox) Deliver(_ context.Context, env *mail.Envelope, body mail.Body, rcpts []mail.Address) []error {
	errs := make([]error, len(rcpts))
	for i, r := range rcpts {
		late, ok := strings.CutPrefix(r.Local, "late-")
		if !ok {
			continue
		}
		if late == "miscounts" {
			return nil
		}
		errs[i] = fate(late)
	}
	l := letter{env: *env, rcpts: slices.Clone(rcpts), size: body.Size()}
	r := io.NewSectionReader(body, 0, body.Size())
	if b.big {
		sum := crc64.New(crc64.MakeTable(crc64.ECMA))
		if _, err := io.Copy(sum, r); err != nil {
			return slices.Repeat([]error{err}, len(rcpts))
		}
		l.sum = sum.Sum64()
	} else {
		octets, err := io.ReadAll(r)
		if err != nil {
			return slices.Repeat([]error{err}, len(rcpts))
		}
		l.body = string(octets)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters = append(b.letters, l)
	return errs
}

// taken is every letter so far.
func (b *letterbox) taken() []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.letters)
}

// spool is temp files in a folder, as the store has them.
type spool struct {
	dir  string
	open sync.WaitGroup
}

type spoolFile struct {
	*os.File
	size int64
	s    *spool
}

func (s *spool) file() (lmtp.SpoolFile, error) {
	f, err := os.CreateTemp(s.dir, "spool")
	if err != nil {
		return nil, err
	}
	s.open.Add(1)
	return &spoolFile{File: f, s: s}, nil
}

func (f *spoolFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.size += int64(n)
	return n, err
}

func (f *spoolFile) Size() int64 { return f.size }

func (f *spoolFile) Close() error {
	f.s.open.Done()
	os.Remove(f.Name())
	return f.File.Close()
}

// door is a running server with its letterbox.
type door struct {
	box   *letterbox
	spool *spool
	addrs map[string]net.Addr // "tcp", "unix", "tls"
	roots *x509.CertPool
	stop  func()         // drains and waits
	gone  sync.WaitGroup // connections handled to their end
	folk  lmtp.Options
}

type setting func(*lmtp.Options, *serve.Options)

func maxSize(n int64) setting {
	return func(o *lmtp.Options, _ *serve.Options) { o.MaxSize = n }
}

var certificate = sync.OnceValues(func() (files [3]string, err error) {
	dir, err := os.MkdirTemp("", "lmtp-ca")
	if err != nil {
		return files, err
	}
	cert, key, err := serve.PrivateCA(dir, []string{"mx.example.org"}, time.Now())
	return [3]string{cert, key, filepath.Join(dir, "ca.pem")}, err
})

// openDoor starts a server on loopback and on a UNIX socket.
func openDoor(t testing.TB, settings ...setting) *door {
	t.Helper()
	files, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	d := &door{box: new(letterbox), spool: &spool{dir: t.TempDir()}, addrs: map[string]net.Addr{}, roots: x509.NewCertPool()}
	ca, err := os.ReadFile(files[2])
	if err != nil || !d.roots.AppendCertsFromPEM(ca) {
		t.Fatal("no CA", err)
	}
	sockets, err := os.MkdirTemp("", "lmtp") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	certs, err := serve.LoadCertificates(files[0], files[1], slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d.folk = lmtp.Options{Hostname: "mx.example.org", Deliver: d.box, Spool: d.spool.file}
	conf := serve.Options{
		Name: "lmtp",
		TLS:  certs,
		Endpoints: []serve.Endpoint{
			{Network: "tcp", Address: "127.0.0.1:0"},
			{Network: "tcp", Address: "127.0.0.1:0", ImplicitTLS: true},
			{Network: "unix", Address: filepath.Join(sockets, "s")},
		},
		TooMany: lmtp.TooMany(),
	}
	for _, set := range settings {
		set(&d.folk, &conf)
	}
	server := lmtp.New(d.folk)
	conf.Handle = func(ctx context.Context, c *serve.Conn) {
		defer d.gone.Done()
		server.Handle(ctx, c)
	}
	listening, err := serve.Listen(conf)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"tcp", "tls", "unix"} {
		d.addrs[name] = listening.Addrs()[i]
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- listening.Run(ctx) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		d.stop()
		d.spool.open.Wait() // every file was closed
	})
	return d
}

// client is one connection to a door.
type client struct {
	t   testing.TB
	d   *door
	raw net.Conn
	net.Conn
	in *bufio.Reader
}

func (d *door) dial(t testing.TB, network string) *client {
	t.Helper()
	a := d.addrs[network]
	d.gone.Add(1)
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute)) // a hanging test says where
	cl := &client{t: t, d: d, raw: c, Conn: c, in: bufio.NewReader(c)}
	if network == "tls" {
		cl.handshake()
	}
	return cl
}

func (c *client) handshake() {
	c.t.Helper()
	s := tls.Client(c.raw, &tls.Config{RootCAs: c.d.roots, ServerName: "mx.example.org"})
	if err := s.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.Conn, c.in = s, bufio.NewReader(s)
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("send %.60q: %v", s, err)
	}
}

// line is the next reply line, without CRLF.
func (c *client) line() string {
	c.t.Helper()
	s, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("got %q, %v; want a line", s, err)
	}
	if !strings.HasSuffix(s, "\r\n") {
		c.t.Fatalf("got %q; want CRLF at its end", s)
	}
	return strings.TrimSuffix(s, "\r\n")
}

// expect reads one line for each pattern; * stands for anything.
func (c *client) expect(patterns ...string) {
	c.t.Helper()
	for _, p := range patterns {
		if got := c.line(); !matches(p, got) {
			c.t.Fatalf("got  S: %s\nwant S: %s", got, p)
		}
	}
}

// ask sends commands in one write and expects the replies.
func (c *client) ask(commands string, patterns ...string) {
	c.t.Helper()
	c.send(commands)
	c.expect(patterns...)
}

// greet says LHLO and throws the answer away.
func (c *client) greet() {
	c.t.Helper()
	c.expect("220 *")
	c.lhlo()
}

// lhlo answers what the server can.
func (c *client) lhlo() (keywords []string) {
	c.t.Helper()
	c.send("LHLO client.example\r\n")
	for {
		l := c.line()
		keywords = append(keywords, l[4:])
		if !strings.HasPrefix(l, "250-") {
			return keywords
		}
	}
}

// closed expects that the server has hung up, and said nothing more.
func (c *client) closed() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	if len(rest) > 0 {
		c.t.Fatalf("got %q; want the connection closed", rest)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("the connection stays open")
	}
	c.raw.Close()
}

// cut leaves, and waits until the server has noticed.
func (c *client) cut() {
	c.raw.Close()
	c.d.gone.Wait()
}

func matches(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return s == pattern
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, p := range parts[1:last] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, parts[last])
}
