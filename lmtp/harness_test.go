package lmtp_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"letterlock/internal/dialogue"
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
	case "wordy":
		return reply.Perm(50, "7.1", "no tea\nnor coffee")
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
	*dialogue.Identity
	stop func()         // drains and waits
	gone sync.WaitGroup // connections handled to their end
	folk lmtp.Options
}

type setting func(*lmtp.Options, *serve.Options)

func maxSize(n int64) setting {
	return func(o *lmtp.Options, _ *serve.Options) { o.MaxSize = n }
}

// openDoor starts a server on loopback and on a UNIX socket.
func openDoor(t testing.TB, settings ...setting) *door {
	t.Helper()
	d := &door{box: new(letterbox), spool: &spool{dir: t.TempDir()}, addrs: map[string]net.Addr{}, Identity: dialogue.NewIdentity(t, "mx.example.org")}
	sockets, err := os.MkdirTemp("", "lmtp") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	d.folk = lmtp.Options{Hostname: "mx.example.org", Deliver: d.box, Spool: d.spool.file}
	conf := serve.Options{
		Name: "lmtp",
		TLS:  d.Certs,
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
	srv, stop := dialogue.Serve(t, conf)
	d.stop = stop
	for i, name := range []string{"tcp", "tls", "unix"} {
		d.addrs[name] = srv.Addrs()[i]
	}
	t.Cleanup(func() {
		stop()
		d.spool.open.Wait() // every file was closed
	})
	return d
}

// client is one connection to a door.
type client struct {
	*dialogue.Client
	t testing.TB
	d *door
}

func (d *door) dial(t testing.TB, network string) *client {
	t.Helper()
	d.gone.Add(1)
	c := &client{dialogue.Dial(t, network, d.addrs[network]), t, d}
	c.Strict = true
	if network == "tls" {
		c.handshake()
	}
	return c
}

func (c *client) handshake() {
	c.t.Helper()
	c.StartTLS(c.d.Identity.Client())
}

// expect reads one line for each pattern; * stands for anything.
func (c *client) expect(patterns ...string) {
	c.t.Helper()
	for _, p := range patterns {
		if got := c.Line(); !dialogue.Like(got, p, "*") {
			c.t.Fatalf("got  S: %s\nwant S: %s", got, p)
		}
	}
}

// ask sends commands in one write and expects the replies.
func (c *client) ask(commands string, patterns ...string) {
	c.t.Helper()
	c.Send(commands)
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
	c.Send("LHLO client.example\r\n")
	for {
		l := c.Line()
		keywords = append(keywords, l[4:])
		if !strings.HasPrefix(l, "250-") {
			return keywords
		}
	}
}

// closed expects that the server has hung up, and said nothing more.
func (c *client) closed() {
	c.t.Helper()
	if err := c.Closed(); err != nil {
		c.t.Fatalf("%v; want the connection closed", err)
	}
	c.Raw.Close()
}

// cut leaves, and waits until the server has noticed.
func (c *client) cut() {
	c.Raw.Close()
	c.d.gone.Wait()
}
