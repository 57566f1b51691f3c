package syntax

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

func TestStringsAsTheModeAllows(t *testing.T) { // RFC 9051 §4.3, RFC 3501 §4.3, RFC 6855 §3
	for _, c := range []struct{ s, rev1, rev2 string }{
		{"", `""`, `""`},
		{"a b", `"a b"`, `"a b"`},
		{`a"b\`, `"a\"b\\"`, `"a\"b\\"`},
		{"tab\t\x01", "\"tab\t\x01\"", "\"tab\t\x01\""},
		{"\u00e4", "{2}\r\n\u00e4", "\"\u00e4\""},
		{"\xe4", "{1}\r\n\xe4", "{1}\r\n\xe4"},
		{"a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb"},
		{"a\x00b", "{3}\r\na\x80b", "{3}\r\na\x80b"},
	} {
		if got := string(AppendString(nil, c.s, 0)); got != c.rev1 {
			t.Errorf("%q: %q, want %q", c.s, got, c.rev1)
		}
		if got := string(AppendString(nil, c.s, Rev2)); got != c.rev2 {
			t.Errorf("%q in rev2: %q, want %q", c.s, got, c.rev2)
		}
	}
}

func TestAstringsAndNstrings(t *testing.T) {
	for s, want := range map[string]string{"a": "a", "a]": "a]", "": `""`, "a b": `"a b"`, "NiL": `"NiL"`, "a{": `"a{"`, "a%": `"a%"`, "\x7f": "\"\x7f\""} {
		if got := string(AppendAstring(nil, s, 0)); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
	if got := string(AppendNstring(AppendNstring(nil, "", 0), "NIL", 0)); got != `NIL"NIL"` {
		t.Errorf("%s", got)
	}
}

func TestFlagsThatAreNoneAreLeftOut(t *testing.T) {
	flags := []imap.Flag{"bad flag", imap.FlagSeen, "", `\`, "x)\r\na2 LOGOUT", "$Junk", "\u00e4", imap.FlagWildcard}
	if got := string(AppendFlags(nil, flags)); got != `(\Seen $Junk \*)` {
		t.Errorf("%s", got)
	}
}

func TestHumanTextIsOneLine(t *testing.T) {
	text := "a\r\nb\x00c \u00e4 \xff"
	if got := string(AppendText(nil, text, 0)); got != "a  b c ? ?" {
		t.Errorf("%q", got)
	}
	if got := string(AppendText(nil, text, Rev2)); got != "a  b c \u00e4 \ufffd" {
		t.Errorf("%q", got)
	}
}

func TestDateTimeIsReadAsWritten(t *testing.T) {
	for _, c := range []struct {
		t    time.Time
		want string
	}{
		{time.Date(1996, 7, 17, 2, 44, 25, 0, time.FixedZone("", -7*3600)), `"17-Jul-1996 02:44:25 -0700"`},
		{time.Date(2020, 1, 1, 0, 0, 0, 0, time.FixedZone("", 19800)), `" 1-Jan-2020 00:00:00 +0530"`},
	} {
		got := string(AppendDateTime(nil, c.t))
		a := one(t, 0, "a APPEND x "+got+" {1}").Args.(*Append)
		if got != c.want || !a.Date.Equal(c.t) {
			t.Errorf("%s, read as %s; want %s", got, a.Date, c.want)
		}
	}
}

func TestSets(t *testing.T) {
	for _, c := range []struct {
		in       string
		largest  uint32
		resolved string
		max      uint32
	}{
		{"1", 9, "1", 1},
		{"2,4:7,9,12:*", 15, "2,4:7,9,12:15", 15}, // RFC 9051 §9, sequence-set
		{"*:4,5:7", 10, "4:10", 10},
		{"4:2,2:4", 9, "2:4", 4},
		{"3291:*", 100, "100:3291", 3291},
		{"*", 100, "100", 100},
		{"5,3,1,2,4", 9, "1:5", 5},
		{"4294967295,1:4294967294", 9, "1:4294967295", 4294967295},
	} {
		s := one(t, 0, "a FETCH "+c.in+" FLAGS").Args.(*Fetch).Set
		if got := string(AppendSet(nil, s.Resolve(c.largest))); got != c.resolved {
			t.Errorf("%s of %d: %s, want %s", c.in, c.largest, got, c.resolved)
		}
		if got := s.Max(c.largest); got != c.max {
			t.Errorf("%s of %d goes to %d, want %d", c.in, c.largest, got, c.max)
		}
		if again := one(t, 0, "a FETCH "+string(AppendSet(nil, s.Ranges))+" FLAGS").Args.(*Fetch).Set; !reflect.DeepEqual(again, s) {
			t.Errorf("%s is written %s", c.in, AppendSet(nil, s.Ranges))
		}
	}
	if got := string(AppendNums(nil, []imap.UID{4, 5, 6, 9, 8, 10, 11, 4294967295})); got != "4:6,9,8,10:11,4294967295" {
		t.Errorf("%s", got)
	}
}

func TestFetchItemsAreNamedInResponses(t *testing.T) {
	for in, want := range map[string]string{
		`BODY.PEEK[1.2.HEADER.FIELDS (Date "x y")]<5.10>`: `BODY[1.2.HEADER.FIELDS (Date "x y")]<5>`,
		`BODY[]`:              `BODY[]`,
		`BODY[3.MIME]`:        `BODY[3.MIME]`,
		`BODY[1]`:             `BODY[1]`,
		`BODY[TEXT]<0.1>`:     `BODY[TEXT]<0>`,
		`BINARY.PEEK[1]<0.9>`: `BINARY[1]<0>`,
		`BINARY.SIZE[1.2]`:    `BINARY.SIZE[1.2]`,
		`rfc822.text`:         `RFC822.TEXT`,
		`modseq`:              `MODSEQ`,
	} {
		items := one(t, 0, "a FETCH 1 "+in).Args.(*Fetch).Items
		if got := string(AppendFetchItem(nil, &items[0], 0)); got != want {
			t.Errorf("%s is answered as %s, want %s", in, got, want)
		}
	}
}

func TestResponses(t *testing.T) {
	uids := []imap.UID{3, 4, 5}
	for _, c := range []struct{ got, want []byte }{
		{AppendESearch(nil, &ESearch{Tag: "A282", Return: ReturnExtended | ReturnMin | ReturnCount, Min: 2, Count: 3}), // RFC 9051 §6.4.4.3
			[]byte("* ESEARCH (TAG \"A282\") MIN 2 COUNT 3\r\n")},
		{AppendESearch(nil, &ESearch{Tag: "A283", UID: true, Return: ReturnAll | ReturnMax, All: []Range{{2, 2}, {10, 11}}, Max: 11, ModSeq: 9}),
			[]byte("* ESEARCH (TAG \"A283\") UID MAX 11 ALL 2,10:11 MODSEQ 9\r\n")},
		{AppendESearch(nil, &ESearch{Tag: "A", Return: ReturnMin | ReturnMax | ReturnAll | ReturnCount}), // §6.4.4.1: nothing found
			[]byte("* ESEARCH (TAG \"A\") COUNT 0\r\n")},
		{AppendList(nil, &ListItem{Attrs: []imap.MailboxAttr{`\HasChildren`, `\Sent`}, Delim: '/', Mailbox: "Sent Mail"}, 0),
			[]byte("* LIST (\\HasChildren \\Sent) \"/\" \"Sent Mail\"\r\n")},
		{AppendList(nil, &ListItem{Delim: '\\', Mailbox: "foo", OldName: "b\u00fcr", ChildInfo: []string{"SUBSCRIBED"}}, 0),
			[]byte("* LIST () \"\\\\\" foo (\"OLDNAME\" (b&APw-r) \"CHILDINFO\" (\"SUBSCRIBED\"))\r\n")},
		{AppendLsub(nil, &ListItem{Mailbox: "foo"}, 0), []byte("* LSUB () NIL foo\r\n")},
		{AppendStatus(nil, &StatusData{Mailbox: "blurdybloop", Items: StatusMessages | StatusUIDNext, Messages: 231, UIDNext: 44292}, 0), // §6.3.11
			[]byte("* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)\r\n")},
		{AppendStatus(nil, &StatusData{Mailbox: "x", Items: 1<<10 - 1, UIDValidity: 1, Unseen: 2, Deleted: 3, Recent: 4, Size: 5, HighestModSeq: 6, MailboxID: "F7"}, 0),
			[]byte("* STATUS x (MESSAGES 0 RECENT 4 UIDNEXT 0 UIDVALIDITY 1 UNSEEN 2 DELETED 3 SIZE 5 APPENDLIMIT NIL HIGHESTMODSEQ 6 MAILBOXID (F7))\r\n")},
		{AppendAppendUID(nil, 38505, uids), []byte("APPENDUID 38505 3:5")},
		{AppendCopyUID(nil, 38505, uids, []imap.UID{7, 9, 8}), []byte("COPYUID 38505 3:5 7,9,8")},
		{AppendLiteral8Header(nil, 5), []byte("~{5}\r\n")},
		{AppendBad(nil, &BadError{Tag: "a", Status: "NO", Code: "TOOBIG", Text: "too\r\nbig"}), []byte("a NO [TOOBIG] too  big\r\n")},
	} {
		if string(c.got) != string(c.want) {
			t.Errorf("%q\nwant %q", c.got, c.want)
		}
	}
}

// COPYUID pairs the UIDs by their place (RFC 4315 §3), so neither set may be
// sorted or merged.
func TestCopyUIDKeepsPairs(t *testing.T) {
	got := string(AppendCopyUID(nil, 1, []imap.UID{1, 2, 3, 9}, []imap.UID{30, 10, 11, 12}))
	if got != "COPYUID 1 1:3,9 30,10:12" {
		t.Error(got)
	}
}

func BenchmarkFlagsLine(b *testing.B) {
	flags := []imap.Flag{imap.FlagSeen, imap.FlagAnswered, "$Forwarded"}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendFlags(buf[:0], flags)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, in := range []string{
		"a NOOP",
		"a UID FETCH 1:* (UID FLAGS)",
		"a UID FETCH 1:500 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])",
		`a SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"`,
	} {
		b.Run(strings.ReplaceAll(in[:min(len(in), 24)], " ", "_"), func(b *testing.B) {
			tape := &loop{text: in + "\r\n"}
			d := NewDecoder(tape, nil)
			d.SetLimits(Known(1 << 20))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// loop is a Source that says one line for ever.
type loop struct{ text string }

func (l *loop) Line(int) ([]byte, error)   { return []byte(l.text[:len(l.text)-2]), nil }
func (l *loop) Read(p []byte) (int, error) { return 0, fmt.Errorf("no literals here") }
