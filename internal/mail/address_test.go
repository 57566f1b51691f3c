package mail_test

import (
	"strings"
	"testing"

	"letterlock/internal/mail"
)

// longSender is longer than RFC 5321 §4.5.3.1.1 wants everybody to take, as what
// mailing lists and forwarders make often is.
const longSender = "SRS0=tTz8=GH=customers.newsletter.example=bounce-20931.e8d1c0-ann=example.org@lists.example"

func TestAddressesAsPeopleWriteThem(t *testing.T) {
	for _, c := range []struct{ in, local, domain, out string }{
		{`ann@example.org`, "ann", "example.org", "ann@example.org"},
		{`Ann@EXAMPLE.org.`, "Ann", "example.org", "Ann@example.org"},
		{`postmaster`, "postmaster", "", "postmaster"},
		{`"a b@x"@y.z`, "a b@x", "y.z", `"a b@x"@y.z`},
		{`"quo\"te\\d"@y.z`, `quo"te\d`, "y.z", `"quo\"te\\d"@y.z`},
		{`"plain"@y.z`, "plain", "y.z", "plain@y.z"},
		{`ann+lists@example.org`, "ann+lists", "example.org", "ann+lists@example.org"},
		{"re\u0301mi@example.org", "r\u00e9mi", "example.org", "r\u00e9mi@example.org"}, // RFC 6531 §3.1: NFC
		{`x@[192.0.2.1]`, "x", "[192.0.2.1]", "x@[192.0.2.1]"},
		{`x@[IPv6:2001:db8::1]`, "x", "[ipv6:2001:db8::1]", "x@[ipv6:2001:db8::1]"},
		{`用户@例え.jp`, "用户", "例え.jp", "用户@例え.jp"},
		{longSender, longSender[:len(longSender)-len("@lists.example")], "lists.example", longSender},
	} {
		a, err := mail.ParseAddress(c.in)
		if err != nil || a.Local != c.local || a.Domain != c.domain {
			t.Errorf("%s: %+v, %v; want %q at %q", c.in, a, err, c.local, c.domain)
		}
		if a.String() != c.out {
			t.Errorf("%s reads back as %s, want %s", c.in, a, c.out)
		}
		if b, err := mail.ParseAddress(a.String()); err != nil || b != a {
			t.Errorf("%s does not survive a round trip: %+v, %v", c.in, b, err)
		}
	}
}

func TestBrokenAddressesAreRefused(t *testing.T) {
	for _, in := range []string{``, `@`, `@x`, `a@`, `a@@b`, `a b@c`, `.a@b`, `a.@b`, `a..b@c`, `"a@b`, `""@b`, `"a"b@c`, `a@b..c`, `a@-b`, `a@[x`,
		"a\r\n@b", "\xff@b", "a@b\x00", `a@b c`, `<a@b>`, strings.Repeat("a", 480) + "@x"} {
		if a, err := mail.ParseAddress(in); err == nil {
			t.Errorf("%q passed as %+v", in, a)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct{ in, want, rest string }{
		{`<>`, ``, ``},
		{`<> BODY=8BITMIME`, ``, ` BODY=8BITMIME`},
		{`<ann@example.org> SIZE=1`, `ann@example.org`, ` SIZE=1`},
		{`<@relay.example,@b.example:ann@example.org>`, `ann@example.org`, ``},
		{`<"a>b"@example.org> X`, `"a>b"@example.org`, ` X`},
		{`<postmaster>`, `postmaster`, ``},
		{`<ann..lee.@docomo.example> SIZE=1`, `"ann..lee."@docomo.example`, ` SIZE=1`}, // unquoted, as Exim sends it
		{`<.ann@docomo.example>`, `".ann"@docomo.example`, ``},
	} {
		a, rest, err := mail.ParsePath(c.in)
		if err != nil || a.String() != c.want || rest != c.rest {
			t.Errorf("%s: %s, %q, %v; want %s, %q", c.in, a, rest, err, c.want, c.rest)
		}
	}
	for _, in := range []string{``, `ann@example.org`, `<ann@example.org`, `<"a>`, `<@relay>`, `< >`, `<ann lee@x>`, `<@>`} {
		if a, _, err := mail.ParsePath(in); err == nil {
			t.Errorf("%q passed as %s", in, a)
		}
	}
}

func TestDetailAndCase(t *testing.T) {
	for _, c := range []struct{ in, delim, base, detail string }{
		{"ann+lists", "+", "ann", "lists"},
		{"ann+a+b", "+", "ann", "a+b"},
		{"ann-x", "+-", "ann", "x"},
		{"+ann", "+", "+ann", ""},
		{"ann", "+", "ann", ""},
		{"ann+", "+", "ann", ""},
		{"ann+x", "", "ann+x", ""},
	} {
		base, detail, ok := mail.Address{Local: c.in}.Detail(c.delim)
		if base.Local != c.base || detail != c.detail || ok != (c.base != c.in) {
			t.Errorf("%s at %q: %s, %q, %v", c.in, c.delim, base.Local, detail, ok)
		}
	}
	if a, _ := mail.ParseAddress("ÄNN@Example.ORG"); a.Fold().String() != "änn@example.org" {
		t.Errorf("folded to %s", a.Fold())
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add(`<"a>b\" c"@example.org> REQUIRETLS`)
	f.Add(`<@r:x@[IPv6:::1]>`)
	f.Fuzz(func(t *testing.T, s string) {
		a, _, err := mail.ParsePath(s)
		if err != nil {
			return
		}
		b, rest, err := mail.ParsePath(a.Path())
		if err != nil || a != b || rest != "" {
			t.Errorf("%q gave %+v, whose path %s gives %+v, %q, %v", s, a, a.Path(), b, rest, err)
		}
	})
}

func BenchmarkPath(b *testing.B) {
	a := mail.Address{Local: "ann.lee+lists", Domain: "example.org"}
	b.ReportAllocs()
	for b.Loop() {
		if a.Path() == "" {
			b.Fatal("no path")
		}
	}
}
