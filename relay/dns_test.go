package relay

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"letterlock/internal/testnet"
)

func resolver(n *testnet.Net) *DNS {
	return &DNS{Server: n.Resolver(), Timeout: 300 * time.Millisecond}
}

func TestDNSTellsAbsenceFromFailure(t *testing.T) { // RFC 7672 §2.1.1
	n := testnet.New(t)
	n.Zone("signed.test", testnet.Secure)
	n.Zone("plain.test", testnet.Insecure)
	n.Zone("bogus.test", testnet.Bogus)
	n.Zone("silent.test", testnet.Silent)
	n.Record("signed.test. MX 10 mx.signed.test.")
	n.Record("plain.test. MX 20 B.plain.test.")
	n.Record("plain.test. MX 10 a.plain.test.")
	n.Record("sub.nothing.signed.test. A 192.0.2.9")
	d := resolver(n)
	for domain, want := range map[string]struct {
		hosts            int
		secure, notFound bool
		failed           bool
	}{
		"signed.test":         {hosts: 1, secure: true},
		"plain.test":          {hosts: 2},
		"gone.signed.test":    {secure: true, notFound: true},
		"gone.plain.test":     {notFound: true},
		"nothing.signed.test": {secure: true}, // a name without records of its own
		"bogus.test":          {failed: true},
		"silent.test":         {failed: true},
	} {
		a, err := d.MX(t.Context(), domain)
		if want.failed {
			if !errors.Is(err, ErrLookup) {
				t.Errorf("%s: %v, want a failed lookup", domain, err)
			}
			continue
		}
		if err != nil || len(a.Hosts) != want.hosts || a.Secure != want.secure || a.NotFound != want.notFound {
			t.Errorf("%s: %+v, %v; want %+v", domain, a, err, want)
		}
	}
	if a, _ := d.MX(t.Context(), "plain.test"); order(a.Hosts)[0].Host != "a.plain.test" || order(a.Hosts)[1].Host != "b.plain.test" {
		t.Errorf("in order: %v", order(a.Hosts))
	}
}

// Load balancers and some forwarders fail for AAAA where they are to say that there is
// none (RFC 4074 §4). Their hosts are reached all the same; in a signed zone a failure
// is one (RFC 7672 §2.2.2).
func TestOneFamilyOfAddressesWillDoWhereNothingIsSigned(t *testing.T) {
	n := testnet.New(t)
	n.Zone("signed.test", testnet.Secure)
	n.Zone("plain.test", testnet.Insecure)
	for _, name := range []string{"four.plain.test", "mute.plain.test", "four.signed.test"} {
		n.Record(name + ". A 192.0.2.4")
	}
	n.Record("six.plain.test. AAAA 2001:db8::6")
	n.Record("alias.plain.test. CNAME four.plain.test.")
	n.Question("AAAA four.plain.test", testnet.Bogus)
	n.Question("AAAA mute.plain.test", testnet.Silent)
	n.Question("AAAA four.signed.test", testnet.Bogus)
	n.Question("A six.plain.test", testnet.Bogus)
	n.Question("AAAA none.plain.test", testnet.Bogus)
	d := resolver(n)
	for host, want := range map[string]string{
		"four.plain.test":  "four.plain.test [192.0.2.4] secure=false",
		"mute.plain.test":  "mute.plain.test [192.0.2.4] secure=false",
		"alias.plain.test": "four.plain.test [192.0.2.4] secure=false",
		"six.plain.test":   "six.plain.test [2001:db8::6] secure=false",
		"four.signed.test": "",
		"none.plain.test":  "",
	} {
		a, err := d.Addrs(t.Context(), host)
		got := fmt.Sprintf("%s %v secure=%v", a.Canonical, a.Addrs, a.Secure)
		if want == "" && !errors.Is(err, ErrLookup) || want != "" && (err != nil || got != want) {
			t.Errorf("%s: %s, %v; want %q (nothing: a failed lookup)", host, got, err, want)
		}
	}
}

func TestADBitCountsFromATrustedResolverAlone(t *testing.T) { // RFC 4035 §4.9.3
	for server, want := range map[string]bool{"127.0.0.1:53": true, "[::1]:53": true, "192.0.2.53:53": false, "resolver.test:53": false} {
		if got := (&DNS{Server: server}).Trusted(); got != want {
			t.Errorf("%s: %v, want %v", server, got, want)
		}
	}
	if !(&DNS{Server: "192.0.2.53:53", Trust: TrustServer}).Trusted() {
		t.Error("the admin's word does not count")
	}
}

func TestAliasesKeepOrLoseTheProof(t *testing.T) { // RFC 7672 §2.1.3
	n := testnet.New(t)
	n.Zone("signed.test", testnet.Secure)
	n.Zone("plain.test", testnet.Insecure)
	n.Zone("bogus.test", testnet.Bogus)
	n.Record("a.signed.test. CNAME b.signed.test.")
	n.Record("b.signed.test. A 192.0.2.1")
	n.Record("b.signed.test. AAAA 2001:db8::1")
	n.Record("out.signed.test. CNAME c.plain.test.")
	n.Record("c.plain.test. A 192.0.2.2")
	n.Record("in.plain.test. CNAME b.signed.test.")
	n.Record("bad.signed.test. CNAME x.bogus.test.")
	n.Record("loop.signed.test. CNAME loop.signed.test.")
	d := resolver(n)
	for host, want := range map[string]string{
		"b.signed.test":   "b.signed.test [2001:db8::1 192.0.2.1] secure=true alias=false",
		"a.signed.test":   "b.signed.test [2001:db8::1 192.0.2.1] secure=true alias=true",
		"out.signed.test": "c.plain.test [192.0.2.2] secure=false alias=true",
		"in.plain.test":   "b.signed.test [2001:db8::1 192.0.2.1] secure=false alias=false",
	} {
		a, err := d.Addrs(t.Context(), host)
		if got := fmt.Sprintf("%s %v secure=%v alias=%v", a.Canonical, a.Addrs, a.Secure, a.AliasSecure); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", host, got, err, want)
		}
	}
	for _, host := range []string{"bad.signed.test", "loop.signed.test"} {
		if a, err := d.Addrs(t.Context(), host); err == nil && len(a.Addrs) > 0 {
			t.Errorf("%s: %+v", host, a)
		}
	}
}

func TestHostsOfOnePreferenceShareTheLoad(t *testing.T) { // RFC 5321 §5.1: MUST randomize
	hosts := []MX{{"c.test", 20}, {"a.test", 10}, {"b.test", 10}}
	first := map[string]int{}
	for range 200 {
		o := order(hosts)
		first[o[0].Host]++
		if o[2].Host != "c.test" {
			t.Fatalf("in order: %v", o)
		}
	}
	if len(first) != 2 || first["a.test"] < 50 || first["b.test"] < 50 {
		t.Errorf("first was %v", first)
	}
}

func TestTextsFollowAliasesAndAreJoined(t *testing.T) { // RFC 8461 §3.1: MUST, both
	n := testnet.New(t)
	n.Zone("plain.test", testnet.Insecure)
	n.Record("_mta-sts.plain.test. CNAME _mta-sts.hoster.plain.test.")
	n.Record(`_mta-sts.hoster.plain.test. TXT "v=STSv1; i" "d=2026;"`)
	texts, err := resolver(n).TXT(t.Context(), "_mta-sts.plain.test")
	if id, ok := parseSTSRecord(texts); err != nil || !ok || id != "2026" {
		t.Errorf("%q, %v: id %q", texts, err, id)
	}
}

func TestTLSABaseDomain(t *testing.T) { // RFC 7672 §2.2.2, §2.2.3
	record := " TLSA 3 1 1 " + strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		records []string
		host    string
		base    string // "": no DANE
	}{
		"no alias":                        {[]string{"b.signed.test. A 192.0.2.1", "_25._tcp.b.signed.test." + record}, "b.signed.test", "b.signed.test"},
		"none published":                  {[]string{"b.signed.test. A 192.0.2.1"}, "b.signed.test", ""},
		"alias, records at its end":       {[]string{"a.signed.test. CNAME b.signed.test.", "b.signed.test. A 192.0.2.1", "_25._tcp.b.signed.test." + record, "_25._tcp.a.signed.test." + record}, "a.signed.test", "b.signed.test"},
		"alias, records at its start":     {[]string{"a.signed.test. CNAME b.signed.test.", "b.signed.test. A 192.0.2.1", "_25._tcp.a.signed.test." + record}, "a.signed.test", "a.signed.test"},
		"alias to what is not signed":     {[]string{"a.signed.test. CNAME b.plain.test.", "b.plain.test. A 192.0.2.1", "_25._tcp.b.plain.test." + record, "_25._tcp.a.signed.test." + record}, "a.signed.test", "a.signed.test"},
		"TLSA itself is an alias":         {[]string{"b.signed.test. A 192.0.2.1", "_25._tcp.b.signed.test. CNAME tlsa.signed.test.", "tlsa.signed.test." + record}, "b.signed.test", "b.signed.test"},
		"the address is not signed":       {[]string{"b.plain.test. A 192.0.2.1", "_25._tcp.b.plain.test." + record}, "b.plain.test", ""},
		"alias that is itself not signed": {[]string{"a.plain.test. CNAME b.signed.test.", "b.signed.test. A 192.0.2.1", "_25._tcp.b.signed.test." + record}, "a.plain.test", ""},
	} {
		n := testnet.New(t)
		n.Zone("signed.test", testnet.Secure)
		n.Zone("plain.test", testnet.Insecure)
		for _, r := range c.records {
			n.Record(r)
		}
		a, err := resolver(n).Addrs(t.Context(), c.host)
		if err != nil {
			t.Fatal(err)
		}
		d, err := findDANE(t.Context(), resolver(n), c.host, "25", a)
		base := ""
		if d != nil {
			base = d.Base
		}
		if err != nil || base != c.base {
			t.Errorf("%s: base %q, %v; want %q", name, base, err, c.base)
		}
	}
}

func TestCutAnswersAreAskedForOverTCP(t *testing.T) { // RFC 7766 §5
	n := testnet.New(t)
	n.Zone("big.test", testnet.Secure)
	for i := range 60 {
		n.Record(fmt.Sprintf("big.test. MX %d a-rather-long-name-of-a-mail-host-%d.big.test.", i, i))
	}
	a, err := resolver(n).MX(t.Context(), "big.test")
	if err != nil || len(a.Hosts) != 60 || !a.Secure {
		t.Errorf("%d hosts, secure %v, %v", len(a.Hosts), a.Secure, err)
	}
}

func TestTLSARecordsOfUse(t *testing.T) { // RFC 7672 §3.1, RFC 7671 §9
	sha256, sha512 := make([]byte, 32), make([]byte, 64)
	for name, c := range map[string]struct {
		records []TLSA
		want    string
	}{
		"EE and TA":             {[]TLSA{{3, 1, 1, sha256}, {2, 0, 1, sha256}}, "311 201"},
		"PKIX usages":           {[]TLSA{{0, 1, 1, sha256}, {1, 1, 1, sha256}}, ""},
		"short digest":          {[]TLSA{{3, 1, 1, sha256[:31]}, {3, 1, 2, sha256}}, ""},
		"unknown numbers":       {[]TLSA{{3, 2, 1, sha256}, {3, 1, 3, sha256}, {4, 1, 1, sha256}}, ""},
		"the stronger digest":   {[]TLSA{{3, 1, 1, sha256}, {3, 1, 2, sha512}}, "312"},
		"a digest for each":     {[]TLSA{{3, 0, 1, sha256}, {3, 1, 2, sha512}, {2, 0, 1, sha256}}, "301 312 201"},
		"the whole stays":       {[]TLSA{{3, 1, 0, sha256}, {3, 1, 1, sha256}, {3, 1, 2, sha512}}, "310 312"},
		"an empty whole is not": {[]TLSA{{3, 1, 0, nil}}, ""},
	} {
		var got []string
		for _, r := range usable(c.records) {
			got = append(got, fmt.Sprint(r.Usage)+fmt.Sprint(r.Selector)+fmt.Sprint(r.Matching))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}
