package relay

import (
	"errors"
	"strings"
	"testing"
	"time"

	"letterlock/internal/mail"
)

func srs(t *testing.T, domain string) *SRS {
	t.Helper()
	s, err := NewSRS(domain, []byte("a secret of many octets for "+domain))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return a
}

func TestSRSLeadsBack(t *testing.T) {
	s := srs(t, "ours.test")
	for _, from := range []string{"ann@example.org", "Ann+Tag@example.org", `"odd one"@example.org`, "a=b=c@x.example", "srs@x.example"} {
		to, ok := s.Forward(address(t, from))
		if !ok || to.Domain != "ours.test" || !strings.HasPrefix(to.Local, "SRS0=") {
			t.Errorf("%s became %s, %v", from, to, ok)
		}
		if back, err := s.Reverse(address(t, to.String())); err != nil || back.String() != from {
			t.Errorf("%s leads back to %s, %v; want %s", to, back, err, from)
		}
		folded := address(t, strings.ToLower(to.String())) // as a host on the way may
		if back, err := s.Reverse(folded); err != nil || back.Domain != address(t, from).Domain {
			t.Errorf("folded to %s it leads to %s, %v", folded, back, err)
		}
	}
}

// A bounce comes to the domain as DNS has it, whatever the config writes.
func TestSRSOfAnInternationalizedDomainLeadsBack(t *testing.T) {
	s := srs(t, "bücher.test")
	to, ok := s.Forward(address(t, "ann@example.org"))
	if !ok {
		t.Fatalf("became %s", to)
	}
	for _, domain := range []string{"bücher.test", "xn--bcher-kva.test"} {
		if back, err := s.Reverse(mail.Address{Local: to.Local, Domain: domain}); err != nil || back.String() != "ann@example.org" {
			t.Errorf("at %s it leads back to %s, %v", domain, back, err)
		}
		if own := address(t, "ben@"+domain); !kept(s, own) {
			t.Errorf("%s was rewritten", own)
		}
	}
}

func kept(s *SRS, from mail.Address) bool {
	to, ok := s.Forward(from)
	return ok && to == from
}

func TestSRSOverSeveralHosts(t *testing.T) {
	first, second, third := srs(t, "one.test"), srs(t, "two.test"), srs(t, "three.test")
	from := address(t, "ann@example.org")
	a, _ := first.Forward(from)
	b, _ := second.Forward(a)
	c, ok := third.Forward(b)
	if !ok || !strings.HasPrefix(c.Local, "SRS1=") || len(c.Local) > mail.MaxLocal {
		t.Fatalf("%s, %s, %s: %v", a, b, c, ok)
	}
	back, err := third.Reverse(c) // past the second, to the first
	if err != nil || back != a {
		t.Fatalf("leads back to %s, %v; want %s", back, err, a)
	}
	if back, err = first.Reverse(back); err != nil || back != from {
		t.Errorf("and then to %s, %v", back, err)
	}
}

func TestSRSStays(t *testing.T) {
	s := srs(t, "ours.test")
	for _, from := range []mail.Address{{}, {Local: "ann", Domain: "ours.test"}, {Local: "postmaster"}} { // RFC 5228 §4.2: null stays null
		if got, ok := s.Forward(from); !ok || got != from {
			t.Errorf("%s became %s, %v", from.Path(), got.Path(), ok)
		}
	}
	long := mail.Address{Local: strings.Repeat("a", 40), Domain: "a-rather-long-domain.example"}
	if got, ok := s.Forward(long); ok || got != long {
		t.Errorf("one too long became %s, %v", got, ok)
	}
	if got, ok := new(SRS).Forward(long); !ok || got != long {
		t.Errorf("without a secret it became %s, %v", got, ok)
	}
}

func TestSRSBelievesNobodyElse(t *testing.T) {
	s := srs(t, "ours.test")
	to, _ := s.Forward(address(t, "ann@example.org"))
	other, err := NewSRS("ours.test", []byte("another secret of sixteen"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := other.Forward(address(t, "ann@example.org"))
	for _, a := range []mail.Address{
		foreign, {Local: to.Local, Domain: "elsewhere.test"}, {Local: strings.Replace(to.Local, "=ann", "=bob", 1), Domain: "ours.test"},
		{Local: "SRS0=", Domain: "ours.test"}, {Local: "SRS1=x=y", Domain: "ours.test"}, {Local: "SRS0=AAAAAA=AA=x=y", Domain: "ours.test"}, {Local: "ann", Domain: "ours.test"}, {},
	} {
		if back, err := s.Reverse(a); !errors.Is(err, ErrNotSRS) {
			t.Errorf("%s leads back to %s, %v", a, back, err)
		}
	}
	if _, err := new(SRS).Reverse(to); !errors.Is(err, ErrNotSRS) {
		t.Errorf("without a secret: %v", err)
	}
	now := time.Now()
	s.now = func() time.Time { return now.AddDate(0, 0, srsLife) }
	if _, err := s.Reverse(to); err != nil {
		t.Errorf("on its last day: %v", err)
	}
	s.now = func() time.Time { return now.AddDate(0, 0, srsLife+1) }
	if _, err := s.Reverse(to); !errors.Is(err, ErrNotSRS) {
		t.Errorf("a day later: %v", err)
	}
	for _, bad := range []struct{ domain, secret string }{{"", "0123456789abcdef"}, {"no domain", "0123456789abcdef"}, {"ours.test", "short"}} {
		if _, err := NewSRS(bad.domain, []byte(bad.secret)); err == nil {
			t.Errorf("%q with the secret %q was taken", bad.domain, bad.secret)
		}
	}
}

// FuzzSRS: whatever address a stranger writes to, it leads back to an address or
// to none.
func FuzzSRS(f *testing.F) {
	s, err := NewSRS("ours.test", []byte("a secret of many octets"))
	if err != nil {
		f.Fatal(err)
	}
	to, _ := s.Forward(mail.Address{Local: "ann", Domain: "example.org"})
	for _, local := range []string{to.Local, "SRS1=" + s.hash("SRS1", "x==y") + "=x==y", "SRS0=", "SRS1==", "srs0-a=b"} {
		f.Add(local)
	}
	f.Fuzz(func(t *testing.T, local string) {
		a := mail.Address{Local: local, Domain: "ours.test"}
		if back, err := s.Reverse(a); err == nil {
			if again, err := mail.ParseAddress(back.String()); err != nil || again != back {
				t.Errorf("%q leads to %+v, %v", local, back, err)
			}
		}
		a.Domain = "x.test"
		if to, ok := s.Forward(a); ok && len(to.Local) > mail.MaxLocal {
			t.Errorf("%q becomes %s", local, to)
		}
	})
}
