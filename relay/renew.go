package relay

import (
	"crypto/x509"
	"sync/atomic"
)

// Credentials are what proves us to others and others to us. They come from files,
// which the admin may replace while the relay runs: [Runner.Renew].
type Credentials struct {
	Password string         // that we log in to the smarthost with
	Roots    *x509.CertPool // as [Options].Roots
	Sign     []*Signer      // as [Options].Sign
}

// held are the credentials as they are now.
type held struct {
	Credentials
	version uint64 // grows with each change
}

// credentials are held by the relay and whoever asks for it.
type credentials struct{ now atomic.Pointer[held] }

func newCredentials(opt Options) *credentials {
	c := &credentials{}
	first := &held{Credentials: Credentials{Roots: opt.Roots, Sign: opt.Sign}}
	if opt.Smarthost != nil {
		first.Password = opt.Smarthost.Password
	}
	c.now.Store(first)
	return c
}

func (c *credentials) roots() *x509.CertPool { return c.now.Load().Roots }

// Credentials are those the runner has now.
func (r *Runner) Credentials() Credentials { return r.creds.now.Load().Credentials }

// Renew puts other credentials in place of those the runner has, for connections
// from now on: one that was opened under older ones takes no further letter. What
// was learnt under these counts no more, so who was left alone is asked at once.
func (r *Runner) Renew(c Credentials) {
	for {
		old := r.creds.now.Load()
		if r.creds.now.CompareAndSwap(old, &held{c, old.version + 1}) {
			break
		}
	}
	r.known.forget()
	r.Retry()
}
