package relay

import (
	"crypto/x509"
	"strings"
	"testing"

	"letterlock/internal/requiretls"
	"letterlock/internal/testnet"
)

// The password of the smarthost was changed, and the admin has put the new one in
// place: nothing waits for a restart, nor for the time it was left alone.
func TestARenewedPasswordIsUsedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.host("out", "10", "10")
	w.smarthost([]string{"out", "user=relay"}, "")
	w.hosts["out"].Change(func(h *testnet.Host) { h.Password = "another one" })
	w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	stop := w.run()
	defer stop()
	w.await(Deferred, 1)
	w.r.Renew(Credentials{Password: "another one", Roots: w.opt.Roots})
	w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	w.await(Sent, 1)
}

// A CA that the admin has thrown out proves nothing from then on, neither over a
// connection that was opened before; one that he has put in proves at once, whatever
// was learnt without it.
func TestRenewedCAsCountForTheNextLetter(t *testing.T) {
	w := newWorld(t)
	w.zone([]string{"secure"})
	w.host("a", "10", "10 requiretls")
	fate := func(want Fate) {
		t.Helper()
		if s, _ := w.box.fate(w.send([]string{"required"})); s.Fate != want {
			t.Errorf("%s, want %s; log:\n%s", s.Fate, want, w.log)
		}
	}
	fate(Sent)
	w.r.Renew(Credentials{Roots: x509.NewCertPool()})
	fate(Failed)
	o := w.letter(requiretls.Required(), carl)
	if err := w.r.Preflight(t.Context(), o); err == nil {
		t.Error("nothing was learnt of a host that proved nothing")
	}
	w.r.Renew(Credentials{Roots: w.opt.Roots})
	if err := w.r.Preflight(t.Context(), o); err != nil {
		t.Errorf("what was learnt without the CA still counts: %v", err)
	}
	fate(Sent)
}

func TestRenewedKeysSign(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10")
	w.send([]string{"usual", "answer"})
	s, err := LoadSigner("ours.test", "k", keyFile(t, "ed25519", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	w.r.Renew(Credentials{Roots: w.opt.Roots, Sign: []*Signer{s}})
	w.send([]string{"usual", "answer"})
	got := w.hosts["a"].Got()
	if len(got) != 2 {
		t.Fatalf("%d letters, want 2", len(got))
	}
	for i, want := range []int{0, 1} {
		if n := strings.Count(got[i].Data, "DKIM-Signature:"); n != want {
			t.Errorf("letter %d has %d signatures, want %d:\n%s", i+1, n, want, got[i].Data)
		}
	}
}
