package dialogue

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"letterlock/internal/serve"
)

// Identity is the certificates of a server in a test.
type Identity struct {
	Certs    *serve.Certificates
	Roots    *x509.CertPool // of who believes it
	CertFile string
	KeyFile  string
	CAFile   string // of Roots
	Name     string // the first of its names
}

// made is certificates by their first name: making some costs more than most
// tests.
var made = struct {
	sync.Mutex
	files map[string]map[string][]byte
}{files: map[string]map[string][]byte{}}

const certFile, keyFile, caFile = "cert.pem", "key.pem", "ca.pem"

// NewIdentity makes certificates for a server of these names, signed by a CA that
// nobody else knows: the same ones for the same first name while the tests run.
func NewIdentity(t testing.TB, names ...string) *Identity {
	t.Helper()
	dir := t.TempDir()
	for name, octets := range identityFiles(t, names) {
		if err := os.WriteFile(filepath.Join(dir, name), octets, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id := &Identity{Name: names[0], CertFile: filepath.Join(dir, certFile), KeyFile: filepath.Join(dir, keyFile), CAFile: filepath.Join(dir, caFile), Roots: x509.NewCertPool()}
	var err error
	if id.Certs, err = serve.LoadCertificates(id.CertFile, id.KeyFile, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(id.CAFile)
	if err != nil || !id.Roots.AppendCertsFromPEM(ca) {
		t.Fatalf("no CA: %v", err)
	}
	return id
}

// identityFiles makes certificates, or finds those that were made.
func identityFiles(t testing.TB, names []string) map[string][]byte {
	t.Helper()
	made.Lock()
	defer made.Unlock()
	if there := made.files[names[0]]; there != nil {
		return there
	}
	dir := t.TempDir()
	cert, key, err := serve.PrivateCA(dir, names, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for name, path := range map[string]string{certFile: cert, keyFile: key, caFile: filepath.Join(dir, "ca.pem")} {
		if files[name], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	made.files[names[0]] = files
	return files
}

// Client is how a client that believes this server shakes hands.
func (id *Identity) Client(own ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: id.Roots, ServerName: id.Name, Certificates: own}
}

// Shown is the certificate that the server shows.
func (id *Identity) Shown(t testing.TB) *x509.Certificate {
	pair, err := id.Certs.Config().GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Error(err)
		return nil
	}
	return pair.Leaf
}

// ClientCertificate makes a certificate that names somebody by address, and the
// file of a CA that says so, for [serve.Endpoint].
func ClientCertificate(t testing.TB, whose string) (cert tls.Certificate, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: whose}, EmailAddresses: []string{whose}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "clients.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca
}

// Serve runs a server until the test ends, or until stop, which drains it and
// waits.
func Serve(t testing.TB, options serve.Options) (srv *serve.Server, stop func()) {
	t.Helper()
	srv, err := serve.Listen(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	t.Cleanup(stop)
	return srv, stop
}
