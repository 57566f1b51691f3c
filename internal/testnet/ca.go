package testnet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// CA signs certificates that the hosts of the Internet show.
type CA struct {
	Cert *x509.Certificate
	Pool *x509.CertPool // this CA alone
	key  *ecdsa.PrivateKey
	now  time.Time

	mu     sync.Mutex // guards serial
	serial int64
}

var madeCA struct {
	sync.Mutex
	ca *CA
}

// sharedCA is made once for all tests of a binary.
func sharedCA(t testing.TB) *CA {
	madeCA.Lock()
	defer madeCA.Unlock()
	if madeCA.ca == nil {
		madeCA.ca = NewCA(t, "Test Root")
	}
	return madeCA.ca
}

// NewCA makes a certificate authority that nobody trusts yet.
func NewCA(t testing.TB, name string) *CA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &CA{key: key, now: time.Now(), serial: 1, Pool: x509.NewCertPool()}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: ca.now.Add(-60 * 24 * time.Hour), NotAfter: ca.now.Add(365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.Cert, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	ca.Pool.AddCert(ca.Cert)
	return ca
}

// Life is when a certificate holds.
type Life uint8

const (
	Valid   Life = iota // for a month
	Expired             // since an hour
)

// Issue makes a certificate for names, with the CA's own behind it. A name "CN=x" is
// that of the subject, as certificates had it before RFC 2818.
func (ca *CA) Issue(life Life, names ...string) (*tls.Certificate, error) {
	ca.mu.Lock()
	ca.serial++
	serial := ca.serial
	ca.mu.Unlock()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: ca.now.Add(-30 * 24 * time.Hour), NotAfter: ca.now.Add(30 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if life == Expired {
		tmpl.NotAfter = ca.now.Add(-time.Hour)
	}
	for _, name := range names {
		if cn, is := strings.CutPrefix(name, "CN="); is {
			tmpl.Subject.CommonName = cn
		} else if ip, err := netip.ParseAddr(name); err == nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip.AsSlice())
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, name)
		}
	}
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, ca.Cert, key.Public(), ca.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{raw, ca.Cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
