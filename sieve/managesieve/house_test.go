package managesieve_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/internal/auth"
	"letterlock/internal/dialogue"
	"letterlock/internal/maillog"
	"letterlock/internal/serve"
	"letterlock/sieve"
	"letterlock/sieve/managesieve"
)

const secret = "secret"

// credentials are made once: they cost what a password hash costs.
var credentials = sync.OnceValues(func() ([]byte, error) { return auth.NewCredentials(secret) })

// people are ann, bob, carl and dora; carl's scripts are kept elsewhere, dora's
// disk is broken. The logins of some others cannot be decided.
type people map[string]uint64

var town = people{"ann@example.org": 1, "bob@example.org": 2, "carl@example.org": 3, "dora@example.org": 4}

func (p people) Credentials(_ context.Context, login string) (uint64, []byte, error) {
	switch login {
	case "trouble@example.org":
		return 0, nil, errors.New("disk on fire")
	case "busy@example.org":
		return 0, nil, auth.ErrBusy
	case "slowed@example.org":
		return 0, nil, auth.ErrSlowed
	}
	id, there := p[strings.ToLower(login)]
	if !there {
		return 0, nil, auth.ErrNoUser
	}
	keys, err := credentials()
	return id, keys, err
}

// folder keeps scripts in files, a folder for each account: a script's file is
// called by the hash of its name, which stands in another one beside it, and
// the file ".active" holds the name of the active one.
type folder struct {
	mu  sync.Mutex // guards dir
	dir string
}

func (f *folder) path(account uint64, name string) string {
	hash := sha256.Sum256([]byte(name))
	return filepath.Join(f.dir, string(rune('0'+account)), hex.EncodeToString(hash[:])+".sieve")
}

func (f *folder) activeFile(account uint64) string {
	return filepath.Join(f.dir, string(rune('0'+account)), ".active")
}

func (f *folder) active(account uint64) string {
	name, _ := os.ReadFile(f.activeFile(account))
	return string(name)
}

// notes lie beside an account's scripts.
type notes struct{ *folder }

func (n notes) path(account uint64) string { return n.activeFile(account) + ".notes" }

func (n notes) Read(_ context.Context, account uint64) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	text, err := os.ReadFile(n.path(account))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return string(text), err
}

func (n notes) Forget(_ context.Context, account uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return os.Remove(n.path(account))
}

func (f *folder) note(account uint64, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := notes{f}.path(account)
	text, _ := os.ReadFile(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, append(text, line+"\n"...), 0o600)); err != nil {
		panic(err)
	}
}

func (f *folder) List(_ context.Context, account uint64) ([]managesieve.Script, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list(account)
}

func (f *folder) list(account uint64) (list []managesieve.Script, err error) {
	switch account {
	case 3:
		return nil, &managesieve.Elsewhere{URL: "sieve://other.example.org"}
	case 4:
		return nil, errors.New("disk on fire")
	}
	files, err := filepath.Glob(filepath.Join(f.dir, string(rune('0'+account)), "*.sieve"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file + ".name")
		if err != nil {
			return nil, err
		}
		name := string(text)
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		list = append(list, managesieve.Script{Name: name, Size: info.Size(), Active: name == f.active(account)})
	}
	return list, nil
}

func (f *folder) Get(_ context.Context, account uint64, name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	script, err := os.ReadFile(f.path(account, name))
	return script, notFound(err)
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return managesieve.ErrNotFound
	}
	return err
}

func (f *folder) Put(_ context.Context, account uint64, name string, script []byte, quota managesieve.Quota) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	there, err := f.list(account)
	if err != nil {
		return err
	}
	if err := quota.Allows(there, name, int64(len(script))); err != nil {
		return err
	}
	file := f.path(account, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(file+".name", []byte(name), 0o600), os.WriteFile(file+".new", script, 0o600)); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func (f *folder) Activate(_ context.Context, account uint64, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name == "" {
		err := os.Remove(f.activeFile(account))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if _, err := os.Stat(f.path(account, name)); err != nil {
		return notFound(err)
	}
	return os.WriteFile(f.activeFile(account), []byte(name), 0o600)
}

func (f *folder) Delete(_ context.Context, account uint64, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name == f.active(account) {
		return managesieve.ErrActive
	}
	return notFound(os.Remove(f.path(account, name)))
}

func (f *folder) Rename(_ context.Context, account uint64, from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := os.Stat(f.path(account, from)); err != nil {
		return notFound(err)
	}
	if _, err := os.Stat(f.path(account, to)); err == nil {
		return managesieve.ErrExists
	}
	if err := os.WriteFile(f.path(account, to)+".name", []byte(to), 0o600); err != nil {
		return err
	}
	if err := os.Rename(f.path(account, from), f.path(account, to)); err != nil {
		return err
	}
	if from == f.active(account) {
		return os.WriteFile(f.activeFile(account), []byte(to), 0o600)
	}
	return nil
}

// house is real scripts behind a real server on loopback, in clear with
// STARTTLS and with TLS from the start.
type house struct {
	t          testing.TB
	scripts    *folder
	plain, tls net.Addr
	proxied    net.Addr        // for proxies on loopback
	checked    net.Addr        // TLS with a client certificate
	own        tls.Certificate // ann's
	*dialogue.Identity
	stop func()
	log  *dialogue.Record // of our own trouble
	mail *dialogue.Record // who logged in
}

func openHouse(t testing.TB, change ...func(*managesieve.Options)) *house {
	t.Helper()
	if _, err := credentials(); err != nil {
		t.Fatal(err)
	}
	engine, err := sieve.New(sieve.Config{})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, scripts: &folder{dir: t.TempDir()}, log: &dialogue.Record{}, mail: &dialogue.Record{}}
	logins := auth.NewChecker(town, 2)
	logins.Cache = &auth.Cache{}
	opt := managesieve.Options{
		Scripts: h.scripts, Logins: logins, Language: managesieve.Speak(engine), Version: "test",
		Log:         slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
		MailLog:     maillog.New(slog.New(slog.NewTextHandler(h.mail, nil))).Readers("managesieve"),
		Certificate: func() *x509.Certificate { return h.Shown(h.t) },
		Notes:       notes{h.scripts},
	}
	for _, f := range change {
		f(&opt)
	}
	h.listen(managesieve.New(opt))
	return h
}

func (h *house) listen(desk *managesieve.Server) {
	h.t.Helper()
	h.Identity = dialogue.NewIdentity(h.t, "localhost", "127.0.0.1")
	own, clients := dialogue.ClientCertificate(h.t, "ann@example.org")
	h.own = own
	srv, stop := dialogue.Serve(h.t, serve.Options{
		Name: "managesieve", TLS: h.Certs, TooMany: managesieve.TooManyConnections, Grace: 5 * time.Second, Handle: desk.Handle,
		Endpoints: []serve.Endpoint{
			{Network: "tcp", Address: "127.0.0.1:0"},
			{Network: "tcp", Address: "127.0.0.1:0", ImplicitTLS: true},
			{Network: "tcp", Address: "127.0.0.1:0", ImplicitTLS: true, ClientCA: clients},
			{Network: "tcp", Address: "127.0.0.1:0", Proxy: true},
		},
		Proxies: serve.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	addrs := srv.Addrs()
	h.plain, h.tls, h.checked, h.proxied, h.stop = addrs[0], addrs[1], addrs[2], addrs[3], stop
	h.t.Cleanup(func() {
		stop()
		if n := srv.Stats().Panics; n > 0 {
			h.t.Errorf("%d connections ended by a bug", n)
		}
		if h.t.Failed() && h.log.String() != "" {
			h.t.Logf("server's log:\n%s", h.log)
		}
	})
}

// client is one connection.
type client struct {
	*dialogue.Client
	t testing.TB
	h *house
}

func (h *house) dial(how string) *client {
	h.t.Helper()
	at := map[string]net.Addr{"plain": h.plain, "tls": h.tls, "certificate": h.checked, "proxied": h.proxied}[how]
	c := &client{dialogue.Dial(h.t, how, at), h.t, h}
	if how == "tls" || how == "certificate" {
		c.startTLS()
	}
	return c
}

func (c *client) startTLS() {
	c.t.Helper()
	c.StartTLS(c.h.Client(c.h.own))
}

// answer reads to the line that ends an answer and gives it.
func (c *client) answer() string {
	c.t.Helper()
	for {
		line, err := c.TryLine()
		if err != nil {
			c.t.Fatalf("read: %v after %q", err, line)
		}
		for _, word := range []string{"OK", "NO", "BYE"} {
			if line == word || strings.HasPrefix(line, word+" ") {
				return line
			}
		}
	}
}

// do sends a command and gives the line that ends the answer.
func (c *client) do(command string) string {
	c.t.Helper()
	c.Send(command + "\r\n")
	return c.answer()
}

func (c *client) ok(command string) string {
	c.t.Helper()
	got := c.do(command)
	if !strings.HasPrefix(got, "OK") {
		c.t.Fatalf("%s: got %s, want OK", command, got)
	}
	return got
}
