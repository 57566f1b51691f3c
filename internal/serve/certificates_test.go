package serve_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"letterlock/internal/serve"
)

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// clientCertificate is one for clients, signed by the CA in dir.
func clientCertificate(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func leaf(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(read(t, file)))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPrivateCAIsMadeOnceAndRenewedInTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	now := time.Date(2026, 5, 3, 12, 0, 0, 0, time.UTC)
	make := func(names []string, at time.Time) (ca, cert string) {
		t.Helper()
		certFile, keyFile, err := serve.PrivateCA(dir, names, at)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AddCert(leaf(t, filepath.Join(dir, "ca.pem")))
		for _, name := range append(names, "localhost", "127.0.0.1", "::1") {
			if _, err := leaf(t, certFile).Verify(x509.VerifyOptions{Roots: pool, DNSName: name, CurrentTime: at}); err != nil {
				t.Errorf("%s at %s: %v", name, at, err)
			}
		}
		if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
			t.Error(err)
		}
		return read(t, filepath.Join(dir, "ca.pem")), read(t, certFile)
	}
	ca, cert := make([]string{"mail.example.org"}, now)
	for name, mode := range map[string]os.FileMode{"": 0o700, "key.pem": 0o600, "ca-key.pem": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", filepath.Join(dir, name), info.Mode(), mode)
		}
	}
	if ca2, cert2 := make([]string{"mail.example.org"}, now.Add(time.Hour)); ca2 != ca || cert2 != cert {
		t.Error("the second start made new ones")
	}
	ca2, named := make([]string{"mail.example.org", "imap.example.org"}, now)
	if ca2 != ca || named == cert {
		t.Errorf("another name: new CA %t, new certificate %t; want a new certificate of the same CA", ca2 != ca, named != cert)
	}
	soon := leaf(t, filepath.Join(dir, "cert.pem")).NotAfter.Add(-29 * 24 * time.Hour)
	ca3, renewed := make([]string{"mail.example.org"}, soon)
	if ca3 != ca || renewed == named {
		t.Error("29 days before its end the certificate was not renewed, or the CA was")
	}
	write(t, filepath.Join(dir, "key.pem"), read(t, filepath.Join(dir, "ca-key.pem")))
	if _, mended := make([]string{"mail.example.org"}, soon); mended == renewed {
		t.Error("a key that does not fit was kept")
	}
	late := leaf(t, filepath.Join(dir, "ca.pem")).NotAfter.Add(-24 * time.Hour)
	if ca4, _ := make([]string{"mail.example.org"}, late); ca4 == ca {
		t.Error("a day before its end the CA was not made anew")
	}
}

// A clock that is years ahead ends a CA that is not over. It stays at hand, also where
// the making of the next one is cut short.
func TestPrivateCAOfAClockThatWasAheadDoesNotReplaceTheOneClientsTrust(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	at := func(when time.Time) {
		t.Helper()
		if _, _, err := serve.PrivateCA(dir, []string{"a.example"}, when); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	at(now)
	trusted, key := read(t, file("ca.pem")), read(t, file("ca-key.pem"))
	if err := serve.CheckPrivateCA(dir, now); err != nil {
		t.Error(err)
	}
	ahead := now.AddDate(20, 0, 0)
	at(ahead)
	if read(t, file("ca.pem")) == trusted {
		t.Fatal("a CA that has ended was kept")
	}
	for name, want := range map[string]string{"ca-former.pem": trusted, "ca-former-key.pem": key} {
		if got := read(t, file(name)); got != want {
			t.Errorf("%s is %q, want the CA that was", name, got)
		}
	}
	err := serve.CheckPrivateCA(dir, now)
	var way interface{ Hint() string }
	if !errors.As(err, &way) || !strings.Contains(way.Hint(), "ca-former.pem") {
		t.Errorf("the clock is right again: %v", err)
	}
	for _, name := range []string{"ca-key.pem", "ca.pem"} {
		if err := os.Rename(file(strings.Replace(name, "ca", "ca-former", 1)), file(name)); err != nil {
			t.Fatal(err)
		}
	}
	at(now)
	if err := serve.CheckPrivateCA(dir, now); err != nil || read(t, file("ca.pem")) != trusted {
		t.Errorf("put back, it is not used: %v", err)
	}
	at(ahead)
	write(t, file("ca.pem"), trusted) // the next one's key was there, and not yet its certificate
	if err := errors.Join(os.Remove(file("ca-former.pem")), os.Link(file("ca.pem"), file("ca-former.pem"))); err != nil {
		t.Fatal(err)
	}
	at(ahead)
	if got := read(t, file("ca-former-key.pem")); got != key {
		t.Error("the key of the CA that was is lost")
	}
}

func TestPrivateCAWithoutItsKeySaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := serve.PrivateCA(dir, []string{"a.example"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "ca-key.pem")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := serve.PrivateCA(dir, []string{"a.example"}, time.Now()); err != nil {
		t.Errorf("nothing is due and the key is not needed: %v", err)
	}
	_, _, err := serve.PrivateCA(dir, []string{"b.example"}, time.Now())
	var way interface{ Hint() string }
	if !errors.As(err, &way) || !strings.Contains(err.Error(), "ca-key.pem") {
		t.Errorf("got %v", err)
	}
}

func TestBadCertificatesStopTheStart(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	cert, key, err := serve.PrivateCA(dir, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, err := serve.PrivateCA(other, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	oldCert, oldKey, err := serve.PrivateCA(t.TempDir(), nil, time.Now().Add(-900*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	newCert, newKey, err := serve.PrivateCA(t.TempDir(), nil, time.Now().Add(48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ cert, key, err, hint string }{
		"expired":         {oldCert, oldKey, "certificate expired on ", "reread"},
		"not yet valid":   {newCert, newKey, "certificate not valid before ", "reread"},
		"another's key":   {cert, otherKey, "private key does not match public key", "PEM"},
		"missing":         {cert + "x", key, "no such file", "tls.cert"},
		"no certificates": {key, key, "failed to find", "PEM"},
	} {
		_, err := serve.LoadCertificates(c.cert, c.key, nil)
		var way interface{ Hint() string }
		if !errors.As(err, &way) || !strings.Contains(err.Error(), c.err) || !strings.Contains(way.Hint(), c.hint) {
			t.Errorf("%s: %v; want %q and a hint with %q", name, err, c.err, c.hint)
		}
	}
}

func TestReloadTakesTheGoodAndKeepsTheOldInsteadOfTheBad(t *testing.T) {
	dir, next := t.TempDir(), t.TempDir()
	cert, key, err := serve.PrivateCA(dir, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert2, key2, err := serve.PrivateCA(next, nil, time.Now().Add(-24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	c, err := serve.LoadCertificates(cert, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, second := leaf(t, cert).NotAfter, leaf(t, cert2).NotAfter
	if !c.Expires().Equal(first) {
		t.Errorf("expires %s, want %s", c.Expires(), first)
	}
	write(t, cert, read(t, cert2)) // half of a replacement
	if err := c.Reload(); err == nil || !c.Expires().Equal(first) {
		t.Errorf("a certificate without its key was taken: %v", err)
	}
	write(t, key, read(t, key2))
	if err := c.Reload(); err != nil || !c.Expires().Equal(second) {
		t.Errorf("expires %s, %v; want %s", c.Expires(), err, second)
	}
}
