package mime_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

func TestAddressesAsPeopleWriteThem(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"bare", `ann@example.org`, `"" "ann" @ "example.org"`},
		{"in brackets", `<ann@example.org>`, `"" "ann" @ "example.org"`},
		{"named", `Ann Lee <ann@example.org>`, `"Ann Lee" "ann" @ "example.org"`},
		{"quoted name", `"Lee, Ann" <ann@example.org>`, `"Lee, Ann" "ann" @ "example.org"`},
		{"escapes in a name", `"Ann \"the\\one\" Lee" <a@b>`, `"Ann \"the\\one\" Lee" "a" @ "b"`},
		{"dots in a name", `Ann J. Lee <a@b>`, `"Ann J. Lee" "a" @ "b"`},
		{"name and quoted name", `Ann "Lee"   Jr. <a@b>`, `"Ann Lee Jr." "a" @ "b"`},
		{"encoded word", `=?utf-8?Q?J=C3=B6rg?= <a@b>`, `"=?utf-8?Q?J=C3=B6rg?=" "a" @ "b"`},
		{"encoded words, folded with a tab", "=?utf-8?Q?J?=\t=?utf-8?Q?K?= <a@b>", `"=?utf-8?Q?J?= =?utf-8?Q?K?=" "a" @ "b"`},
		{"comma in an encoded word", `=?utf-8?Q?Lee,_Ann_<x@y>?= <a@b>`, `"=?utf-8?Q?Lee,_Ann_<x@y>?=" "a" @ "b"`},
		{"encoded word in quotes", `"=?utf-8?B?w7Y=?=" <a@b>`, `"=?utf-8?B?w7Y=?=" "a" @ "b"`},
		{"8-bit", "J\xf6rg <a@b>", `"J\xf6rg" "a" @ "b"`},
		{"UTF-8 (RFC 6532)", "Дед <дед@почта.рф>", `"Дед" "дед" @ "почта.рф"`},
		{"name as a comment", `ann@example.org (Ann Lee)`, `"Ann Lee" "ann" @ "example.org"`},
		{"nested comments", `ann@example.org (Ann (Lee) \) x)`, `"Ann (Lee) ) x" "ann" @ "example.org"`},
		{"comments all over (RFC 5322 A.5)", "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", `"Pete" "pete" @ "silly.test"`},
		{"white space around (RFC 5322 A.6.3)", `"Joe Q. Public" <john . q . public@example . com>`, `"Joe Q. Public" "john.q.public" @ "example.com"`},
		{"the same without brackets", `john . q . public @ example . com`, `"" "john.q.public" @ "example.com"`},
		{"route (RFC 5322 §4.4)", `Mary <@node.test,@x.test:mary@example.net>`, `"Mary" "mary" @ "example.net" by "@node.test,@x.test"`},
		{"quoted local part", `"ann lee"@example.org`, `"" "ann lee" @ "example.org"`},
		{"@ in a quoted local part", `<"a@b"@c>`, `"" "a@b" @ "c"`},
		{"domain literal", `a@[192.0.2.1], b@[IPv6:2001:db8::1]`, `"" "a" @ "[192.0.2.1]" | "" "b" @ "[IPv6:2001:db8::1]"`},
		{"list", `a@b, c@d ,e@f`, `"" "a" @ "b" | "" "c" @ "d" | "" "e" @ "f"`},
		{"empty entries (RFC 5322 §4.4)", `,a@b, ,,c@d,`, `"" "a" @ "b" | "" "c" @ "d"`},
		{"semicolons", `a@b; c@d`, `"" "a" @ "b" | "" "c" @ "d"`},
		{"group", `A Group: Ed <a@b>, c@d;`, `group "A Group" | "Ed" "a" @ "b" | "" "c" @ "d" | end of group`},
		{"empty group", `Undisclosed recipients:;`, `group "Undisclosed recipients" | end of group`},
		{"empty group with a comment (RFC 5322 A.5)", `(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;`, `group "Hidden recipients" | end of group`},
		{"comment behind a group", `unlisted-recipients:; (no To-header on input)`, `group "unlisted-recipients" | end of group`},
		{"comments between addresses (RFC 5322 §4.4)", `a@b, (c) (d), (e), f@g (h)`, `"" "a" @ "b" | "h" "f" @ "g"`},
		{"a comment alone", ` (nobody (at all)) `, `"nobody (at all)" "MISSING_MAILBOX" @ "MISSING_DOMAIN"`},
		{"group without an end", `Friends: a@b`, `group "Friends" | "" "a" @ "b" | end of group`},
		{"two groups and one between", `A: a@b; x@y, B:;`, `group "A" | "" "a" @ "b" | end of group | "" "x" @ "y" | group "B" | end of group`},
		{"group without a name", `: a@b;`, `group "MISSING_MAILBOX" | "" "a" @ "b" | end of group`},
		{"name without brackets", `Ann Lee ann@example.org`, `"Ann Lee" "ann" @ "example.org"`},
		{"address as the name", `ann@example.org <ann@example.org>`, `"ann@example.org" "ann" @ "example.org"`},
		{"no domain", `root`, `"" "root" @ "MISSING_DOMAIN"`},
		{"no domain in brackets", `Root <root>`, `"Root" "root" @ "MISSING_DOMAIN"`},
		{"a name alone", `Ann Lee`, `"Ann Lee" "MISSING_MAILBOX" @ "MISSING_DOMAIN"`},
		{"a quoted name alone", `"Ann"`, `"Ann" "MISSING_MAILBOX" @ "MISSING_DOMAIN"`},
		{"an encoded name alone", `=?utf-8?Q?Ann?=`, `"=?utf-8?Q?Ann?=" "MISSING_MAILBOX" @ "MISSING_DOMAIN"`},
		{"nothing in brackets", `<>`, `"" "MISSING_MAILBOX" @ "MISSING_DOMAIN"`},
		{"a name and nothing in brackets", `Ann <>`, `"Ann" "MISSING_MAILBOX" @ "MISSING_DOMAIN"`},
		{"half addresses", `@example.org, ann@, <@>`, `"" "MISSING_MAILBOX" @ "example.org" | "" "ann" @ "MISSING_DOMAIN" | "" "MISSING_MAILBOX" @ "MISSING_DOMAIN"`},
		{"no closing bracket", `Ann <a@b, Bob <c@d>`, `"Ann" "a" @ "b" | "Bob" "c" @ "d"`},
		{"no closing quote", `"Ann <a@b>, c@d`, `"Ann" "a" @ "b" | "" "c" @ "d"`},
		{"no closing comment", `Ann (x <a@b>, c@d`, `"Ann" "a" @ "b" | "" "c" @ "d"`},
		{"two @", `a@b@c`, `"" "a@b" @ "c"`},
		{"separators alone", `,;`, `",;" "MISSING_MAILBOX" @ "MISSING_DOMAIN"`},
		{"a comment alone", `(nobody)`, `"nobody" "MISSING_MAILBOX" @ "MISSING_DOMAIN"`},
		{"nothing", ``, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := writtenAddrs(mime.Addresses(c.in)); got != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
			}
		})
	}
}

func writtenAddrs(list []mail.Addr) string {
	var all []string
	for _, a := range list {
		all = append(all, writtenAddr(a))
	}
	return strings.Join(all, " | ")
}

func FuzzAddresses(f *testing.F) {
	f.Add(`"Lee, Ann" <@r:"a b"@[IPv6:::1]> (x), Group: =?utf-8?Q?,?= <a@b>;`)
	f.Add(`a . b @ c . d, <x, "y`)
	f.Fuzz(func(t *testing.T, v string) {
		list := mime.Addresses(v)
		checkMessage(t, &mail.Summary{To: list, Root: mail.Part{Type: "text", Subtype: "plain", Encoding: "7bit"}}, 0, 0, nil, 0)
		if len(list) == 0 && strings.Trim(v, " \t\r\n") != "" {
			t.Errorf("%q got lost", v)
		}
		for _, a := range list {
			if len(a.Name)+len(a.Mailbox)+len(a.Host)+len(a.Route) > len(v)+40 {
				t.Errorf("%q grew to %+v", v, a)
			}
		}
		if utf8.ValidString(v) && !utf8.ValidString(fmt.Sprint(list)) {
			t.Errorf("%q was cut inside a character: %+v", v, list)
		}
	})
}
