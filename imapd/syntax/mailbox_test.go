package syntax

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestModifiedUTF7(t *testing.T) { // RFC 3501 §5.1.3
	for _, c := range []struct{ utf7, utf8 string }{
		{"INBOX", "INBOX"},
		{"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/\u53f0\u5317/\u65e5\u672c\u8a9e"},
		{"Entw&APw-rfe", "Entw\u00fcrfe"},
		{"a&-b", "a&b"},
		{"&-&-", "&&"},
		{"&2D3cjA-", "\U0001f48c"},
		{"&AOQ-&-&AOQ-", "\u00e4&\u00e4"},
		{"&AOQA5A-", "\u00e4\u00e4"},
	} {
		if got, err := DecodeUTF7(c.utf7); err != nil || got != c.utf8 {
			t.Errorf("%s: %q, %v; want %q", c.utf7, got, err, c.utf8)
		}
		if got := EncodeUTF7(c.utf8); got != c.utf7 {
			t.Errorf("%q: %s, want %s", c.utf8, got, c.utf7)
		}
	}
}

// There is one spelling of a name, or two names would be one mailbox.
func TestOtherSpellingsOfModifiedUTF7AreRefused(t *testing.T) {
	for name, in := range map[string]string{
		"not ended":          "a&AOQ",
		"alone":              "&",
		"printable in it":    "&AGE-",
		"shifted twice":      "&AOQ-&AOQ-",
		"bits left over":     "&AOR-",
		"half a unit":        "&AO-",
		"half a pair":        "&2D0-",
		"wrong pair":         "&3IzYPQ-",
		"padding":            "&AOQ=-",
		"alphabet of base64": "&U/BTFw-",
		"8-bit beside it":    "\u00e4",
		"line end in base64": "&AO\r\nQ-",
		"line end":           "a\r\n",
	} {
		if got, err := DecodeUTF7(in); err == nil {
			t.Errorf("%s: %q passed as %q", name, in, got)
		}
	}
}

func FuzzModifiedUTF7(f *testing.F) {
	for _, s := range []string{"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "a&-b", "&AOR-", "\u53f0\u5317", "&2D3cjA-", "&&--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if text, err := DecodeUTF7(s); err == nil && EncodeUTF7(text) != s {
			t.Errorf("%q is %q, which is written %q", s, text, EncodeUTF7(text))
		}
		if !utf8.ValidString(s) {
			return
		}
		encoded := EncodeUTF7(s)
		if strings.IndexFunc(encoded, func(r rune) bool { return !isPrintable(r) }) >= 0 {
			t.Errorf("%q is written %q", s, encoded)
		}
		if text, err := DecodeUTF7(encoded); err != nil || text != s {
			t.Errorf("%q is written %s, which is %q, %v", s, encoded, text, err)
		}
	})
}

func TestMailboxNamesInBothForms(t *testing.T) { // RFC 9051 §5.1, RFC 6855 §3
	for _, c := range []struct {
		mode     Mode
		in, want string
	}{
		{0, `iNbOx`, "INBOX"},
		{0, `"inbox"`, "INBOX"},
		{0, `inbox/x`, "INBOX/x"},
		{0, `inboxes/x`, "inboxes/x"},
		{0, `Entw&APw-rfe`, "Entw\u00fcrfe"},
		{0, `Entwu&Awg-rfe`, "Entw\u00fcrfe"}, // NFC
		{0, `a&-b]`, "a&b]"},
		{Rev2, "\"Entw\u00fcrfe\"", "Entw\u00fcrfe"},
		{UTF8Accept, "\"Entwu\u0308rfe\"", "Entw\u00fcrfe"},
		{Rev2, `Entw&APw-rfe`, "Entw&APw-rfe"},
		{Rev2, "{3+}\r\na/b", "a/b"},
	} {
		if s := one(t, c.mode, "a SELECT "+c.in).Args.(*Select); s.Mailbox != c.want {
			t.Errorf("%s: %q, want %q", c.in, s.Mailbox, c.want)
		}
	}
	for _, c := range []struct {
		mode Mode
		in   string
		want string
	}{
		{0, "{3+}\r\na\x80b", "mailbox name is not modified UTF-7"},
		{Rev2, "{3+}\r\na\x80b", "mailbox name is not UTF-8"},
		{Rev2, "{3+}\r\na\rb", "control characters in a mailbox name"},
		{0, `&ICg-`, "control characters in a mailbox name"}, // U+2028
		{0, `&AAE-`, "control characters in a mailbox name"},
		{0, `"&AIU-"`, "control characters in a mailbox name"},
	} {
		if bad := badOne(t, c.mode, "a SELECT "+c.in); bad.Text != c.want || bad.Status != "NO" {
			t.Errorf("%q: %v, want %s", c.in, bad, c.want)
		}
	}
}

func TestMailboxNamesWritten(t *testing.T) {
	for _, c := range []struct {
		mode       Mode
		name, want string
	}{
		{0, "INBOX", `INBOX`},
		{0, "Sent Mail", `"Sent Mail"`},
		{0, "Entw\u00fcrfe", `Entw&APw-rfe`},
		{Rev2, "Entw\u00fcrfe", "\"Entw\u00fcrfe\""},
		{0, "a&b", `a&-b`},
		{Rev2, "a&b", `a&b`},
		{0, `a"b\`, `"a\"b\\"`},
		{0, "", `""`},
		{0, "nil", `"nil"`},
		{0, "a*", `"a*"`},
	} {
		if got := string(AppendMailbox(nil, c.name, c.mode)); got != c.want {
			t.Errorf("%q: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPatternsOfList(t *testing.T) { // RFC 9051 §6.3.9
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true},
		{"%", "a/b", false},
		{"%", "a", true},
		{"%/%", "a/b", true},
		{"%/%", "a/b/c", false},
		{"a/*", "a", false},
		{"a*", "a", true},
		{"*b", "a/b", true},
		{"%b", "a/b", false},
		{"*/b*c", "a/b/x/c", true},
		{"%*%", "a/b", true},
		{"", "", true},
		{"", "a", false},
		{"a", "A", false},
		{"inbox", "INBOX", true},
		{"InB%", "INBOX", true},
		{"inbox/*", "INBOX/a", true},
		{"inbox/A", "INBOX/a", false},
		{"inboxes", "INBOXES", false},
		{"inboxes", "inboxes", true},
		{"*\u00fc*", "Entw\u00fcrfe", true},
		{"%fe", "Entw\u00fcrfe", true},
		{"Entwurfe", "Entw\u00fcrfe", false},
		{strings.Repeat("*a", 2000) + "*", strings.Repeat("a", 1000), false},
		{strings.Repeat("%*", 2000) + "a", strings.Repeat("a", 1000), true},
	} {
		if got := Match(c.pattern, c.name, '/'); got != c.want {
			t.Errorf("%.40q and %.40q: %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
}
