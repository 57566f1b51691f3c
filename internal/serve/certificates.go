package serve

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often the files are looked at, at most: a handshake asks.
const lookEvery = 2 * time.Second

// Certificates is the server's certificate, reread when its files change or on
// [Certificates.Reload]. A bad one never takes the place of a good one.
type Certificates struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]

	mu     sync.Mutex // guards looked and tried, and lets one goroutine load
	looked time.Time  // when the files were looked at last
	tried  stamp      // the files as they were when last loaded, well or not
}

// LoadCertificates reads the certificate, with its chain, and its key, both
// PEM. Files that cannot be read, a key that belongs to another certificate,
// and a certificate that is not valid now are errors, with a Hint() string.
func LoadCertificates(certFile, keyFile string, log *slog.Logger) (*Certificates, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Certificates{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the files again. On an error the old certificate stays.
func (c *Certificates) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load(time.Now())
}

// Expires is when the certificate in use ends.
func (c *Certificates) Expires() time.Time { return c.Leaf().NotAfter }

// Leaf is the certificate in use, for logins bound to it (RFC 5929 §4).
func (c *Certificates) Leaf() *x509.Certificate { return c.current.Load().Leaf }

// Config is a TLS configuration of the caller's own with the certificate as it
// is at each handshake: TLS 1.2 at least, and of its suites those with forward
// secrecy and AEAD (RFC 9325 §3.1.1, §4.2).
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.look(time.Now())
			return c.current.Load(), nil
		},
	}
}

// look rereads the files if they have changed. It asks the system now and then
// only, and never makes a handshake wait for another one's asking.
func (c *Certificates) look(now time.Time) {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	if now.Sub(c.looked) < lookEvery {
		return
	}
	c.looked = now
	if c.stamp() == c.tried {
		return
	}
	if err := c.load(now); err != nil {
		c.log.Error("certificate not reloaded, the old one stays", "error", err)
		return
	}
	c.log.Info("certificate reloaded", "file", c.certFile, "expires", c.Expires())
}

// load puts the files to use. The caller holds mu.
func (c *Certificates) load(now time.Time) error {
	c.tried = c.stamp() // before reading: a change meanwhile is seen next time
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return pairError(c.certFile, c.keyFile, err)
	}
	if err := validNow(pair.Leaf, now); err != nil {
		return hint(fmt.Errorf("%s: %w", c.certFile, err), "put a valid one in its place; it is reread when replaced")
	}
	c.current.Store(&pair)
	return nil
}

func pairError(certFile, keyFile string, err error) error {
	err = fmt.Errorf("certificate %s, key %s: %w", certFile, keyFile, err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hint(err, "tls.cert and tls.key name the files; with neither set, a certificate is made in the data folder")
	case errors.Is(err, fs.ErrPermission):
		return hint(err, "letterlock must be able to read both files")
	}
	return hint(err, "both files are PEM; the certificate comes first in its file, its chain behind it, and the key is the one it was made with")
}

const dayFormat = "2 January 2006"

func validNow(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("certificate expired on %s", leaf.NotAfter.Format(dayFormat))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("certificate not valid before %s", leaf.NotBefore.Format(dayFormat))
	}
	return nil
}

// stamp tells one state of the two files from another.
type stamp struct{ cert, key fileStamp }

type fileStamp struct {
	changed time.Time
	size    int64
}

func (c *Certificates) stamp() stamp { return stamp{stampOf(c.certFile), stampOf(c.keyFile)} }

func stampOf(file string) fileStamp {
	info, err := os.Stat(file)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.ModTime(), info.Size()}
}
