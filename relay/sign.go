package relay

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
	"golang.org/x/net/idna"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

// Signer puts a DKIM signature (RFC 6376, RFC 8463) on what we originate:
// answers, notices, reports. What somebody else wrote and a redirect sends on is
// neither changed nor signed.
type Signer struct {
	domain, selector string
	key              crypto.Signer
}

// minRSA is the shortest RSA key, in bits, that a signer may use (RFC 8301 §3.2).
const minRSA = 1024

// LoadSigner reads a key in PEM: PKCS #8, or PKCS #1 of RSA. Its public half is
// to stand at SELECTOR._domainkey.DOMAIN ([Signer.Record]). A file that others
// on the machine can read is refused.
func LoadSigner(domain, selector, file string) (*Signer, error) {
	fail := func(err error) (*Signer, error) { return nil, fmt.Errorf("DKIM key %s: %w", file, err) }
	s := &Signer{}
	var err error
	if s.domain, err = idna.Lookup.ToASCII(domain); err != nil {
		return fail(fmt.Errorf("domain %q: %w", domain, err))
	}
	if s.selector, err = idna.Lookup.ToASCII(selector); err != nil {
		return fail(fmt.Errorf("selector %q: %w", selector, err))
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return fail(err)
	case info.Mode().Perm()&0o007 != 0:
		return fail(fmt.Errorf("others can read it (mode %04o)", info.Mode().Perm()))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fail(err)
	}
	if s.key, err = parseKey(text); err != nil {
		return fail(err)
	}
	return s, nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	var key any
	var err error
	if block.Type == "RSA PRIVATE KEY" {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	} else {
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if n := key.N.BitLen(); n < minRSA {
			return nil, fmt.Errorf("RSA of %d bits, at least %d are needed", n, minRSA)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("%T: DKIM knows RSA and Ed25519", key)
}

// Record is the name of the DNS record that a signer needs, and its text (RFC
// 6376 §3.6.1, RFC 8463 §4).
func (s *Signer) Record() (name, text string) {
	kind, public := "rsa", []byte(nil)
	switch key := s.key.Public().(type) {
	case ed25519.PublicKey:
		kind, public = "ed25519", key
	case *rsa.PublicKey:
		public, _ = x509.MarshalPKIXPublicKey(key) // fails for no RSA key
	}
	return s.selector + "._domainkey." + s.domain, "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(public)
}

// Check asks DNS for the record, and says what is wrong with it.
func (s *Signer) Check(ctx context.Context, r Resolver) error {
	name, want := s.Record()
	texts, err := r.TXT(ctx, name)
	if err != nil {
		return err
	}
	_, key, _ := strings.Cut(want, "p=")
	for _, text := range texts {
		if strings.Contains(strings.Join(strings.Fields(text), ""), "p="+key) {
			return nil
		}
	}
	return fmt.Errorf("no record at %s has the key: it is to say %q", name, want)
}

// sign makes the signature field of what we originate, once for each form. A
// letter that cannot be signed goes unsigned: nothing is lost for it.
func (r *router) sign(ctx context.Context, l *Letter, form mail.Form) {
	ours := l.Kind != mail.Redirected || form == mail.RedactedForm
	keys := r.creds.now.Load().Sign
	if len(keys) == 0 || !ours || l.signature[form] != nil {
		return
	}
	l.signature[form] = []byte{}
	for _, s := range signersFor(keys, l, form) {
		field, err := s.field(l, form)
		if err != nil {
			r.opt.Log.LogAttrs(ctx, slog.LevelWarn, "letter cannot be signed", slog.Uint64("row", uint64(l.ID)), slog.String("selector", s.selector), slog.String("err", err.Error()))
		}
		l.signature[form] = append(l.signature[form], field...)
	}
}

// signersFor are the signers of the domain in From, or of one above it, which is
// what makes a signature count for DMARC; those of the first where none is. All of
// them sign, since one may be Ed25519, which not everybody can verify (RFC 8463 §5:
// both kinds while that is so).
func signersFor(keys []*Signer, l *Letter, form mail.Form) (all []*Signer) {
	text, _ := l.octets(form)
	domain := ""
	if h, err := mime.ReadHeader(text, maxReturnedHeader); err == nil {
		from, _ := h.Text("From")
		domain = from[strings.LastIndexByte(from, '@')+1:]
		domain = strings.ToLower(strings.TrimRight(domain, "> \t"))
	}
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		domain = ascii
	}
	best := keys[0].domain
	for _, s := range keys {
		if s.domain == domain {
			best = domain
			break
		}
		if strings.HasSuffix(domain, "."+s.domain) && !strings.HasSuffix(domain, "."+best) {
			best = s.domain
		}
	}
	for _, s := range keys {
		if s.domain == best {
			all = append(all, s)
		}
	}
	return all
}

func (s *Signer) field(l *Letter, form mail.Form) (string, error) {
	signer, err := dkim.NewSigner(&dkim.SignOptions{
		Domain: s.domain, Selector: s.selector, Signer: s.key, Hash: crypto.SHA256,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	if err != nil {
		return "", err
	}
	text, _ := l.octets(form)
	_, err = io.Copy(signer, text)
	if err := errors.Join(err, signer.Close()); err != nil {
		return "", err
	}
	return signer.Signature(), nil
}

// octets are what leaves, without a signature.
func (l *Letter) octets(form mail.Form) (io.Reader, int64) {
	text, size := l.Outbound.Reader(l.Body, form)
	return withoutStrays(text), size
}

// signed reads what leaves, its signature first, and says how many octets that
// is.
func (l *Letter) signed(form mail.Form) (io.Reader, int64) {
	text, size := l.octets(form)
	head := l.signature[form]
	return io.MultiReader(bytes.NewReader(head), text), size + int64(len(head))
}
