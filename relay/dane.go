package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// dane is what TLSA records say of a host (RFC 7672 §2.2).
type dane struct {
	Base   string // the name they were found at: SNI, and what a certificate below a DANE-TA record must name
	Usable []TLSA // empty: there are records and none that can be used, so TLS is needed and not proven
	All    []TLSA
}

// findDANE looks for TLSA records of a host whose own name is known to be
// right. nil is a host without DANE; an error makes the host unreachable (RFC
// 7672 §2.1.2). Addresses come first, so that nobody asks for TLSA in zones
// that are not signed and that answer such questions badly (§2.2.2).
func findDANE(ctx context.Context, r Resolver, host, port string, a AddrAnswer) (*dane, error) {
	var names []string
	switch {
	case a.Secure && a.Canonical != host: // §2.2.3: the end of the chain, then its start
		names = []string{a.Canonical, host}
	case a.Secure, a.AliasSecure:
		names = []string{host}
	}
	for _, name := range names {
		t, err := r.TLSA(ctx, "_"+port+"._tcp."+name)
		if err != nil {
			return nil, err
		}
		if t.Secure && len(t.Records) > 0 {
			return &dane{Base: name, Usable: usable(t.Records), All: t.Records}, nil
		}
	}
	return nil, nil
}

// The fields of TLSA (RFC 7218).
const (
	usageTA, usageEE          = 2, 3
	selectorCert, selectorKey = 0, 1
	matchFull                 = 0
	matchSHA256, matchSHA512  = 1, 2
)

// usable leaves out what cannot be used for SMTP: usages 0 and 1 (RFC 7672
// §3.1.3), unknown numbers, digests of the wrong length, and of digests of the
// same thing the weaker ones (RFC 7671 §9).
func usable(records []TLSA) (good []TLSA) {
	type thing struct{ usage, selector uint8 }
	strongest := map[thing]uint8{}
	for _, t := range records {
		if t.wellFormed() {
			good = append(good, t)
			k := thing{t.Usage, t.Selector}
			strongest[k] = max(strongest[k], t.Matching)
		}
	}
	n := 0
	for _, t := range good {
		if t.Matching == matchFull || t.Matching == strongest[thing{t.Usage, t.Selector}] {
			good[n] = t
			n++
		}
	}
	return good[:n]
}

func (t TLSA) wellFormed() bool {
	if t.Usage != usageTA && t.Usage != usageEE || t.Selector > selectorKey {
		return false
	}
	switch t.Matching {
	case matchFull:
		return len(t.Data) > 0
	case matchSHA256:
		return len(t.Data) == sha256.Size
	case matchSHA512:
		return len(t.Data) == sha512.Size
	}
	return false
}

// String is the record in presentation format (RFC 6698 §2.2).
func (t TLSA) String() string {
	return fmt.Sprintf("%d %d %d %s", t.Usage, t.Selector, t.Matching, strings.ToUpper(hex.EncodeToString(t.Data)))
}

// matches says whether the record speaks of this certificate.
func (t TLSA) matches(c *x509.Certificate) bool {
	data := c.Raw
	if t.Selector == selectorKey {
		data = c.RawSubjectPublicKeyInfo
	}
	switch t.Matching {
	case matchSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case matchSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return bytes.Equal(data, t.Data)
}

var errTLSA = errors.New("no TLSA record matches")

// verify proves a chain by the records. A DANE-EE record that matches the
// server's own certificate is enough, whatever name and dates it has (RFC 7672
// §3.1.1); below a DANE-TA record names and dates count (§3.1.2, §3.2.2).
func (d *dane) verify(chain []*x509.Certificate, names []string, now time.Time) error {
	if len(chain) == 0 {
		return errTLSA
	}
	anchors := x509.NewCertPool()
	found := false
	for _, t := range d.Usable {
		if t.Usage == usageEE {
			if t.matches(chain[0]) {
				return nil
			}
			continue
		}
		for _, c := range t.anchors(chain) {
			anchors.AddCert(c)
			found = true
		}
	}
	if !found {
		return errTLSA
	}
	if err := leadsTo(anchors, chain, now); err != nil {
		return err
	}
	return named(withCommonName(chain[0]), names)
}

// withCommonName is a certificate as DANE-TA names it: by its CN-ID where it has no
// DNS-ID (RFC 7672 §3.2.3). Nobody but those that a domain runs itself leaves these out.
func withCommonName(c *x509.Certificate) *x509.Certificate {
	if len(c.DNSNames) > 0 || c.Subject.CommonName == "" {
		return c
	}
	old := *c
	old.DNSNames = []string{c.Subject.CommonName}
	return &old
}

// anchors are the certificates that a DANE-TA record makes trust anchors: those
// of the chain that match, or the one that the record itself holds (RFC 7671
// §5.2.2).
func (t TLSA) anchors(chain []*x509.Certificate) (found []*x509.Certificate) {
	for _, c := range chain {
		if t.matches(c) {
			found = append(found, c)
		}
	}
	if len(found) == 0 && t.Selector == selectorCert && t.Matching == matchFull {
		if c, err := x509.ParseCertificate(t.Data); err == nil {
			found = append(found, c)
		}
	}
	return found
}

// verifyChain proves that the chain leads to one of the roots (nil: the
// system's) and is for one of the names, as DNS-ID (RFC 8461 §4.2).
func verifyChain(chain []*x509.Certificate, roots *x509.CertPool, names []string, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	if err := leadsTo(roots, chain, now); err != nil {
		return err
	}
	return named(chain[0], names)
}

func leadsTo(roots *x509.CertPool, chain []*x509.Certificate, now time.Time) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	return err
}

// named says whether a certificate has one of the names.
func named(c *x509.Certificate, names []string) error {
	err := errors.New("no name to look for")
	for _, name := range names {
		if err = c.VerifyHostname(name); err == nil {
			return nil
		}
	}
	return err
}
