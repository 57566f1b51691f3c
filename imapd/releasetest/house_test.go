package releasetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"letterlock/imapd"
	"letterlock/internal/auth"
	"letterlock/internal/dialogue"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/internal/serve"
	"letterlock/storage"
)

const secret = "secret"

// credentials are made once, and checked once: they cost what a password hash
// costs.
var credentials = sync.OnceValues(func() ([]byte, error) { return auth.NewCredentials(secret) })

// house is one store behind as many servers as there are ways to set one up.
type house struct {
	t     *testing.T
	store *storage.Store
	auth  *auth.Checker
	*dialogue.Identity
	clients
	log dialogue.Record // the warnings of the servers: a walk that made our own bugs show is no good

	mu      sync.Mutex // guards people and servers
	people  int
	servers map[setup]*doors
}

// setup is how a server is set up.
type setup struct {
	policy   requiretls.Policy
	insecure imapd.Insecure
	hides    bool
}

// doors are where a server listens.
type doors map[string]string

func openHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	store, err := storage.Open(filepath.Join(dir, "data"), storage.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, store: store, auth: auth.NewChecker(dialogue.Users{Store: store}, 2), servers: map[setup]*doors{}}
	h.auth.Cache = &auth.Cache{}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
		if h.log.String() != "" {
			t.Errorf("server's log:\n%s", &h.log)
		}
	})
	h.Identity = dialogue.NewIdentity(t, "localhost", "127.0.0.1")
	h.clients = newClients(t, dir)
	return h
}

// open starts a server, or finds the one that is set up so.
func (h *house) open(s setup) *doors {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.servers[s]; d != nil {
		return d
	}
	local := netip.MustParsePrefix("127.0.0.0/8")
	opt := imapd.Options{
		Store: h.store, Passwords: h.auth, Hostname: "mail.example.org", Release: s.policy, Insecure: s.insecure, MaxPerUser: 1000,
		Cleartext:  imapd.Cleartext{Local: true, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		QuotaAdmin: func(mail.Address) bool { return true },
		Log:        slog.New(slog.NewTextHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	hide(&opt, s)
	srv, stop := dialogue.Serve(h.t, serve.Options{
		Name: "imap", TLS: h.Certs, Handle: imapd.New(opt).Handle, Grace: 5 * time.Second, Proxies: serve.Proxies{Trusted: []netip.Prefix{local}},
		Endpoints: []serve.Endpoint{
			{Network: "tcp", Address: "127.0.0.1:0"},
			{Network: "tcp", Address: "127.0.0.1:0", ImplicitTLS: true},
			{Network: "tcp", Address: "127.0.0.1:0", ImplicitTLS: true, ClientCA: h.clients.file},
			{Network: "tcp", Address: "127.0.0.1:0", Proxy: true},
		},
	})
	at := func(i int) string { return srv.Addrs()[i].String() }
	d := &doors{"local": at(0), "tls": at(1), "bound": at(2), "proxied": at(3), "clear": at(3)}
	h.servers[s] = d
	h.t.Cleanup(func() {
		stop()
		if n := srv.Stats().Panics; n > 0 {
			h.t.Errorf("%d connections ended by a bug", n)
		}
	})
	return d
}

// resident is somebody with mail here.
type resident struct {
	addr    mail.Address
	account *storage.Account
}

// moveIn adds somebody whose account has a policy of its own, or none.
func (h *house) moveIn(own *requiretls.Policy) *resident {
	h.t.Helper()
	keys, err := credentials()
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	h.people++
	addr := mail.Address{Local: fmt.Sprintf("ann%06d", h.people), Domain: "example.org"}
	h.mu.Unlock()
	p, err := h.store.AddPerson(context.Background(), addr, keys)
	if err != nil {
		h.t.Fatal(err)
	}
	if own != nil {
		if err := h.store.SetRelease(context.Background(), addr, *own); err != nil {
			h.t.Fatal(err)
		}
	}
	r := &resident{addr, h.store.Account(p.ID)}
	if _, err := r.account.Mailboxes(context.Background()); err != nil { // makes the default folders
		h.t.Fatal(err)
	}
	return r
}

// clients makes the certificates that people show.
type clients struct {
	file string // the CA's certificate
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newClients(t *testing.T, dir string) clients {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := clients{file: filepath.Join(dir, "clients.pem"), key: key, ca: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}}
	der, err := x509.CreateCertificate(rand.Reader, c.ca, c.ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// issue makes a certificate that names somebody.
func (c *clients) issue(whose string) (tls.Certificate, error) {
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: whose}, EmailAddresses: []string{whose}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, c.ca, c.key.Public(), c.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: c.key}, err
}

// dial connects somebody through a door.
func (h *house) dial(d *doors, door string, who *resident) (net.Conn, error) {
	conn, err := net.Dial("tcp", (*d)[door])
	if err != nil {
		return nil, err
	}
	config := h.Client()
	switch door {
	case "bound":
		cert, err := h.issue(who.addr.String())
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{cert}
		return tls.Client(conn, config), nil
	case "tls":
		return tls.Client(conn, config), nil
	case "proxied":
		_, err = conn.Write(overTLS())
	case "clear":
		_, err = conn.Write([]byte("PROXY TCP4 192.0.2.7 192.0.2.1 5555 143\r\n"))
	}
	return conn, err
}

// overTLS is a PROXY header, version 2, of a client that uses TLS 1.3.
func overTLS() []byte {
	ssl := "\x01\x00\x00\x00\x00" + "\x21\x00\x07TLSv1.3"
	fields := "\xc0\x00\x02\x07\xc0\x00\x02\x01\x15\xb3\x00\x8f" + "\x20\x00" + string(rune(len(ssl))) + ssl
	return []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00" + string(rune(len(fields))) + fields)
}
