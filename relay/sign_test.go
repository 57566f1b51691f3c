package relay

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"letterlock/internal/mail"
)

func keyFile(t *testing.T, kind string, mode os.FileMode) string {
	t.Helper()
	var block *pem.Block
	switch kind {
	case "rsa pkcs1":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		block = &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	case "rsa":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := x509.MarshalPKCS8PrivateKey(key)
		block = &pem.Block{Type: "PRIVATE KEY", Bytes: raw}
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := x509.MarshalPKCS8PrivateKey(key)
		block = &pem.Block{Type: "PRIVATE KEY", Bytes: raw}
	default:
		block = &pem.Block{Type: "PRIVATE KEY", Bytes: []byte(kind)}
	}
	name := filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(block), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestWhatWeOriginateIsSigned(t *testing.T) { // RFC 6376, RFC 8463
	for _, kind := range []string{"rsa", "rsa pkcs1", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			signer, err := LoadSigner("ours.test", "k1", keyFile(t, kind, 0o640))
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			w.opt.Sign = []*Signer{signer}
			w.zone([]string{"secure"})
			w.host("a", "10", "10")
			w.send([]string{"usual", "answer"})
			w.send([]string{"usual", "bounce"})
			w.send([]string{"required", "bounce"}) // goes redacted
			w.send([]string{"waived", "answer"})
			w.send([]string{"usual"})
			name, record := signer.Record()
			got := w.hosts["a"].Got()
			if len(got) != 5 {
				t.Fatalf("%d letters arrived; log:\n%s", len(got), w.log)
			}
			for i, m := range got[:4] {
				v, err := dkim.VerifyWithOptions(strings.NewReader(m.Data), &dkim.VerifyOptions{LookupTXT: func(domain string) ([]string, error) {
					if domain != name {
						t.Errorf("the key is looked for at %s, want %s", domain, name)
					}
					return []string{record}, nil
				}})
				if err != nil || len(v) != 1 || v[0].Err != nil || v[0].Domain != "ours.test" {
					t.Errorf("letter %d: %v, %+v in\n%s", i, err, v, m.Data)
				}
			}
			if strings.Contains(got[4].Data, "DKIM-Signature") {
				t.Errorf("a redirect was signed:\n%s", got[4].Data)
			}
		})
	}
}

func TestTheSignerOfFromsDomainSigns(t *testing.T) { // RFC 7489 §3.1.1: alignment
	var signers []*Signer
	for _, domain := range []string{"first.test", "ours.test", "mail.ours.test", "two.ours.test"} {
		s, err := LoadSigner(domain, "k", keyFile(t, "ed25519", 0o600))
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, s)
	}
	w := newWorld(t)
	w.opt.Sign = signers
	w.start()
	for from, want := range map[string]string{
		"Ann <ann@two.ours.test>": "two.ours.test", "ann@OURS.test": "ours.test", "x@deep.two.ours.test": "ours.test", "x@elsewhere.test": "first.test", "nobody": "first.test",
	} {
		o := w.letter(demandWords["usual"], carl)
		o.Kind, o.Source, o.Prefix = mail.Answered, mail.Own, []byte("From: "+from+"\r\n\r\nx\r\n")
		if got := signersFor(signers, &Letter{Outbound: o}, mail.FullForm); len(got) != 1 || got[0].domain != want {
			t.Errorf("%s is signed by %+v, want %s", from, got, want)
		}
	}
}

// RFC 8463 §5: who cannot verify Ed25519 finds an RSA signature beside it.
func TestAllKeysOfADomainSign(t *testing.T) {
	w := newWorld(t)
	records := map[string]string{}
	for selector, kind := range map[string]string{"e1": "ed25519", "r1": "rsa"} {
		s, err := LoadSigner("ours.test", selector, keyFile(t, kind, 0o600))
		if err != nil {
			t.Fatal(err)
		}
		name, record := s.Record()
		w.opt.Sign, records[name] = append(w.opt.Sign, s), record
	}
	w.zone([]string{"secure"})
	w.host("a", "10", "10")
	w.send([]string{"usual", "answer"})
	got := w.hosts["a"].Got()
	if len(got) != 1 {
		t.Fatalf("%d letters arrived; log:\n%s", len(got), w.log)
	}
	v, err := dkim.VerifyWithOptions(strings.NewReader(got[0].Data), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		return []string{records[name]}, nil
	}})
	if err != nil || len(v) != 2 || v[0].Err != nil || v[1].Err != nil {
		t.Errorf("%v, %d signatures in\n%s", err, len(v), got[0].Data)
	}
}

func TestBadDKIMKeysAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		kind, domain, want string
		mode               os.FileMode
	}{
		"open to all": {"ed25519", "ours.test", "others can read it", 0o644},
		"no key":      {"nonsense", "ours.test", "asn1", 0o600},
		"no domain":   {"ed25519", "ours test", "domain", 0o600},
	} {
		if _, err := LoadSigner(c.domain, "k1", keyFile(t, c.kind, c.mode)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := LoadSigner("ours.test", "k1", filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestDKIMRecordIsChecked(t *testing.T) {
	signer, err := LoadSigner("ours.test", "k1", keyFile(t, "ed25519", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	name, text := signer.Record()
	if err := signer.Check(t.Context(), w.opt.Resolver); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("without a record: %v", err)
	}
	w.net.Record(name + `. TXT "` + text[:20] + `" "` + text[20:] + `"`)
	if err := signer.Check(t.Context(), w.opt.Resolver); err != nil {
		t.Errorf("with it: %v", err)
	}
}
