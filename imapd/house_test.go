package imapd_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/imapd"
	"letterlock/internal/auth"
	"letterlock/internal/dialogue"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/internal/serve"
	"letterlock/storage"
)

const secret = "secret"

// credentials are made once: they cost what a password hash costs.
var credentials = sync.OnceValues(func() ([]byte, error) { return auth.NewCredentials(secret) })

// house is a real store behind a real server on loopback, in clear with
// STARTTLS and with TLS from the start, and the same at an address that hides.
type house struct {
	t     testing.TB
	store *storage.Store
	imap  *imapd.Server
	addrs map[string]string // by how they are dialed
	pool  *x509.CertPool
	dir   string
	stop  func()
	log   dialogue.Record
}

// hidingAddress is where the house hides REQUIRETLS mail.
const hidingAddress = "localhost:0"

// openHouse starts a server with ann@example.org and bob@example.org living
// there.
func openHouse(t testing.TB, change ...func(*imapd.Options)) *house {
	t.Helper()
	dir := t.TempDir()
	store, err := storage.Open(filepath.Join(dir, "data"), storage.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, store: store, dir: dir}
	keys, err := credentials()
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"ann", "bob"} {
		if _, err := store.AddPerson(t.Context(), mail.Address{Local: who, Domain: "example.org"}, keys); err != nil {
			t.Fatal(err)
		}
	}
	opt := imapd.Options{
		Store: store, Passwords: auth.NewChecker(dialogue.Users{Store: store}, 2), Hostname: "mail.example.org",
		Hide: func(e serve.Endpoint) bool { return e.Address == hidingAddress },
		Log:  slog.New(slog.NewTextHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, f := range change {
		f(&opt)
	}
	h.imap = imapd.New(opt)
	h.listen(dir)
	return h
}

func (h *house) listen(dir string) {
	h.t.Helper()
	certFile, keyFile, err := serve.PrivateCA(filepath.Join(dir, "tls"), []string{"localhost", "127.0.0.1"}, time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	certs, err := serve.LoadCertificates(certFile, keyFile, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "tls", "ca.pem"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.pool = x509.NewCertPool()
	h.pool.AppendCertsFromPEM(ca)
	srv, err := serve.Listen(serve.Options{
		Name: "imap", TLS: certs, TooMany: imapd.TooManyConnections, Grace: 5 * time.Second, Handle: h.imap.Handle,
		Endpoints: []serve.Endpoint{
			{Network: "tcp", Address: "127.0.0.1:0"}, {Network: "tcp", Address: "127.0.0.1:0", ImplicitTLS: true},
			{Network: "tcp", Address: hidingAddress}, {Network: "tcp", Address: hidingAddress, ImplicitTLS: true},
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.addrs = make(map[string]string)
	for i, how := range []string{"plain", "tls", "hiding", "hiding-tls"} {
		h.addrs[how] = srv.Addrs()[i].String()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("server: %v", err)
		}
	})
	h.t.Cleanup(func() {
		h.stop()
		if err := h.store.Close(); err != nil {
			h.t.Errorf("close store: %v", err)
		}
		if h.t.Failed() && h.log.String() != "" {
			h.t.Logf("server's log:\n%s", &h.log)
		}
	})
}

// account is a handle on somebody's mail, past IMAP.
func (h *house) account(who string) *storage.Account {
	h.t.Helper()
	p, err := h.store.Person(context.Background(), mail.Address{Local: who, Domain: "example.org"})
	if err != nil {
		h.t.Fatal(err)
	}
	a := h.store.Account(p.ID)
	if _, err := a.Mailboxes(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	return a
}

// letter is a message on its way into a mailbox.
type letter struct {
	mailbox string
	text    string
	demand  requiretls.Demand
	flags   []string
	date    time.Time
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.FixedZone("", 3600))

// deliver files a letter for ann, past IMAP.
func (h *house) deliver(l letter) storage.UID {
	h.t.Helper()
	return h.deliverTo("ann", l)
}

func (h *house) deliverTo(who string, l letter) storage.UID {
	h.t.Helper()
	body := bytes.NewReader([]byte(l.text))
	summary, err := mime.Summarize(body)
	if err != nil {
		h.t.Fatal(err)
	}
	if !l.demand.Stated() {
		l.demand = requiretls.Usual()
	}
	if l.date.IsZero() {
		l.date = noon
	}
	_, uids, err := h.account(who).Append(context.Background(), l.mailbox,
		[]storage.Letter{{Body: body, Summary: summary, Flags: l.flags, InternalDate: l.date, Demand: l.demand}})
	if err != nil {
		h.t.Fatalf("deliver to %s: %v", l.mailbox, err)
	}
	// Shown before the next one comes: mod-sequences tell what was filed together.
	if _, err := h.account(who).Mailbox(context.Background(), l.mailbox); err != nil {
		h.t.Fatalf("deliver to %s: %v", l.mailbox, err)
	}
	return uids[0]
}

// client is one connection.
type client struct {
	t    testing.TB
	h    *house
	name string
	conn net.Conn
	r    *bufio.Reader
	n    int // tags given out
}

func (h *house) dial(name, how string) *client {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.addrs[how])
	if err != nil {
		h.t.Fatal(err)
	}
	c := &client{t: h.t, h: h, name: name}
	c.use(conn)
	if strings.HasSuffix(how, "tls") {
		c.startTLS()
	}
	h.t.Cleanup(func() { c.conn.Close() })
	return c
}

func (c *client) use(conn net.Conn) {
	c.conn, c.r = conn, bufio.NewReader(conn)
	c.patience()
}

// patience ends a test whose server does not answer.
func (c *client) patience() { c.conn.SetDeadline(time.Now().Add(20 * time.Second)) }

func (c *client) startTLS() {
	c.t.Helper()
	secure := tls.Client(c.conn, &tls.Config{RootCAs: c.h.pool, ServerName: "localhost"})
	if err := secure.Handshake(); err != nil {
		c.t.Fatalf("%s: handshake: %v", c.name, err)
	}
	c.use(secure)
}

// compress goes on compressed, as the answer to COMPRESS has said.
func (c *client) compress() {
	c.t.Helper()
	out, err := flate.NewWriter(c.conn, flate.DefaultCompression)
	if err != nil {
		c.t.Fatal(err)
	}
	c.use(&compressed{c.conn, flate.NewReader(c.r), out})
}

// uncompress goes on as before.
func (c *client) uncompress() { c.use(c.conn.(*compressed).Conn) }

// compressed is a connection through DEFLATE (RFC 4978).
type compressed struct {
	net.Conn
	in  io.Reader
	out *flate.Writer
}

// Read ends where the connection does: nobody ends the stream before (RFC 4978 §3).
func (c *compressed) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

func (c *compressed) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	return n, errors.Join(err, c.out.Flush())
}

// loggedIn is a client of ann's, past greeting and login.
func (h *house) loggedIn(name, how string) *client {
	h.t.Helper()
	c := h.dial(name, how)
	c.line()
	c.ok("LOGIN ann@example.org " + secret)
	return c
}

func (c *client) send(octets string) {
	c.t.Helper()
	c.patience()
	if _, err := io.WriteString(c.conn, octets); err != nil {
		c.t.Fatalf("%s: send %q: %v", c.name, octets, err)
	}
}

// line is the next line without CRLF. A bare LF does not end it.
func (c *client) line() string {
	c.t.Helper()
	line, err := c.tryLine()
	if err != nil {
		c.t.Fatalf("%s: read: %v after %q", c.name, err, line)
	}
	return line
}

func (c *client) tryLine() (string, error) {
	var line []byte
	for {
		piece, err := c.r.ReadSlice('\n')
		line = append(line, piece...)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return string(line), err
		}
		if bytes.HasSuffix(line, []byte("\r\n")) {
			return string(line[:len(line)-2]), nil
		}
	}
}

// do sends a command and gives what came back, the tagged line last.
func (c *client) do(command string) (lines []string) {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("%s%d", c.name, c.n)
	c.send(tag + " " + command + "\r\n")
	for {
		line := c.line()
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return append(lines, rest)
		}
		lines = append(lines, line)
	}
}

// ok is do where nothing but OK will do.
func (c *client) ok(command string) []string {
	c.t.Helper()
	lines := c.do(command)
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "OK") {
		c.t.Fatalf("%s: %s: got %s, want OK", c.name, command, last)
	}
	return lines
}
