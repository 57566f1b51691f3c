package serve

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	caLife    = 10 * 365 * 24 * time.Hour
	certLife  = 820 * 24 * time.Hour // some clients refuse more than 825 days, also from a CA of one's own
	renewTime = 30 * 24 * time.Hour  // before the end
	backdate  = time.Hour            // for clients whose clock is behind
)

// PrivateCA makes a CA and a server certificate for names, localhost and the
// loopback addresses in dir: ca.pem, which clients are to trust, ca-key.pem,
// cert.pem and key.pem. What is there is used again; the certificate is made
// anew when a name is missing or it ends within 30 days, the CA only when it
// ends itself. It returns the files of the certificate and its key. The folder
// is open to nobody else, nor are the keys.
func PrivateCA(dir string, names []string, now time.Time) (cert, key string, err error) {
	a := authority{dir: dir, now: now}
	names = append(names[:len(names):len(names)], "localhost", "127.0.0.1", "::1")
	if err := a.ensure(names); err != nil {
		return "", "", fmt.Errorf("private CA in %s: %w", dir, err)
	}
	return a.path(serverFiles.cert), a.path(serverFiles.key), nil
}

type authority struct {
	dir string
	now time.Time
}

// files of one certificate and its key
type files struct{ cert, key string }

var (
	caFiles     = files{"ca.pem", "ca-key.pem"}
	formerFiles = files{"ca-former.pem", "ca-former-key.pem"} // of the CA before this one
	serverFiles = files{"cert.pem", "key.pem"}
)

func (a authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a authority) ensure(names []string) error {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(a.dir, 0o700); err != nil { // it may have been there
		return err
	}
	ca, err := a.certificate(caFiles.cert)
	if err == nil && a.ending(ca) {
		err = a.keepFormer()
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && a.ending(ca) {
		ca, err = a.makeCA(names[0])
	}
	if err != nil {
		return hint(err, "remove the folder to have a new CA made; clients must then trust the new ca.pem")
	}
	if a.serves(ca, names) {
		return nil
	}
	return a.issue(ca, names)
}

// keepFormer keeps a CA that ends beside the next one. It may be the clock that is
// wrong, and clients trust nothing else. The certificate comes last: where it is kept
// already, its key may have given way to the next one.
func (a authority) keepFormer() error {
	ends, err := os.Stat(a.path(caFiles.cert))
	if err != nil {
		return err
	}
	if kept, err := os.Stat(a.path(formerFiles.cert)); err == nil && os.SameFile(kept, ends) {
		return nil
	}
	for _, f := range []struct{ from, to string }{{caFiles.key, formerFiles.key}, {caFiles.cert, formerFiles.cert}} {
		if err := os.Remove(a.path(f.to)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Link(a.path(f.from), a.path(f.to)); err != nil && !errors.Is(err, fs.ErrNotExist) { // the key may be kept elsewhere
			return err
		}
	}
	return nil
}

// CheckPrivateCA says why clients that trust the CA in dir cannot trust us; nil where
// they can, or nothing was made yet.
func CheckPrivateCA(dir string, now time.Time) error {
	a := authority{dir: dir, now: now}
	ca, err := a.certificate(caFiles.cert)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return hint(err, "remove the folder to have a new CA made; clients must then trust the new ca.pem")
	case now.Before(ca.NotBefore):
		return hint(fmt.Errorf("%s was made when the clock was ahead: nobody trusts it before %s", a.path(caFiles.cert), ca.NotBefore.Format(dayFormat)),
			fmt.Sprintf("if the clock is right, move %s and %s to %s and %s, or remove the folder to have a new CA made, and start the server again",
				formerFiles.cert, formerFiles.key, caFiles.cert, caFiles.key))
	}
	return nil
}

func (a authority) ending(c *x509.Certificate) bool {
	return a.now.Add(renewTime).After(c.NotAfter)
}

// serves says whether the certificate that is there will do.
func (a authority) serves(ca *x509.Certificate, names []string) bool {
	pair, err := tls.LoadX509KeyPair(a.path(serverFiles.cert), a.path(serverFiles.key))
	if err != nil || a.ending(pair.Leaf) {
		return false
	}
	for _, name := range names {
		if pair.Leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: a.now})
	return err == nil
}

func (a authority) makeCA(host string) (*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Letterlock"}, CommonName: "Letterlock private CA of " + host},
		NotBefore:             a.now.Add(-backdate),
		NotAfter:              a.now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	if err := a.write(caFiles, ca, ca, key, key); err != nil {
		return nil, err
	}
	return a.certificate(caFiles.cert)
}

func (a authority) issue(ca *x509.Certificate, names []string) error {
	caKey, err := a.key(caFiles.key)
	if err == nil && !caKey.PublicKey.Equal(ca.PublicKey) {
		err = fmt.Errorf("%s is not the key of %s", caFiles.key, caFiles.cert)
	}
	if err != nil {
		return hint(fmt.Errorf("a new certificate is due: %w", err), "put the CA's key back, or remove the folder to have a new CA made")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		NotBefore:   a.now.Add(-backdate),
		NotAfter:    a.now.Add(certLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if leaf.NotAfter.After(ca.NotAfter) {
		leaf.NotAfter = ca.NotAfter
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	return a.write(serverFiles, leaf, ca, key, caKey)
}

// write signs the certificate and keeps it and its key. A crash in between
// leaves a pair that does not fit, which is seen at the next start.
func (a authority) write(to files, cert, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) error {
	signed, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), signer)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := a.replace(to.key, "PRIVATE KEY", secret, 0o600); err != nil {
		return err
	}
	return a.replace(to.cert, "CERTIFICATE", signed, 0o644)
}

// replace writes a file so that it is there whole or not at all.
func (a authority) replace(name, kind string, der []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(a.dir, name+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing to remove when it went well
	_, err = f.Write(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), a.path(name))
}

func (a authority) certificate(name string) (*x509.Certificate, error) {
	der, err := a.read(name, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func (a authority) key(name string) (*ecdsa.PrivateKey, error) {
	der, err := a.read(name, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	any, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	key, ok := any.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: not an ECDSA key", name)
	}
	return key, nil
}

func (a authority) read(name, kind string) ([]byte, error) {
	text, err := os.ReadFile(a.path(name))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(bytes.TrimSpace(text))
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: no %s in it", name, kind)
	}
	return block.Bytes, nil
}
