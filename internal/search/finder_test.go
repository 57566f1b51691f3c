package search_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"letterlock/internal/mime"
	"letterlock/internal/search"
)

func TestPeopleFindWhatTheyMean(t *testing.T) {
	for _, c := range []struct {
		name, needle, text string
		want               bool
	}{
		{"a word", "invoice", "Your invoice is attached", true},
		{"a word in capitals", "INVOICE", "your invoice", true},
		{"a text in capitals", "invoice", "YOUR INVOICE", true},
		{"nothing of the kind", "invoice", "Your invoce is attached", false},
		{"nothing at all", "", "", true},
		{"a word in nothing", "a", "", false},
		{"the start", "your", "Your invoice", true},
		{"the end", "ice", "Your invoice", true},
		{"more than there is", "invoices", "invoice", false},
		{"between z and a", "[", "{", false},
		{"at signs are no letters", "@", "`", false},
		{"Cyrillic", "отпуск", "Заявление на ОТПУСК", true},
		{"Greek with a final sigma", "ΟΔΟΣ", "οδος", true},
		{"umlauts", "MÜLLER", "Herr Müller", true},
		{"a decomposed umlaut", "müller", "Mu\u0308ller", true},
		{"a composed umlaut", "mu\u0308ller", "Müller", true},
		{"sharp s", "strasse", "Hauptstraße", true},
		{"capital sharp s", "STRAẞE", "hauptstrasse", true},
		{"a ligature", "office", "the o\ufb03ce", true},
		{"full width", "abc", "ＡＢＣ", true},
		{"Japanese", "会議", "明日の会議について", true},
		{"half-width kana", "カイギ", "ｶｲｷﾞ", true},
		{"Hangul", "회의", "내일 회의", true},
		{"a plane above the basic", "\U00010428", "\U00010400", true}, // Deseret has cases
		{"an emoji", "🎉", "party 🎉!", true},
		{"a subject folded with a tab", "long subject", "A long\tsubject", true},
		{"a tab that was copied", "a long\tsubject\t", "A long subject ", true},
		{"tabs beside letters", "\tabcdefghi\tz\ty", " ABCDEFGHI Z Y", true},
		{"what is near a tab", "\b\n\v)", "\b\t\v)", false},
		{"broken UTF-8 around it", "word", "\xff\xfeword\xc3", true},
		{"broken UTF-8 itself", "a\xff", "A\xffb", true},
		{"half a character", "\xc3", "é", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := search.NewFinder(c.needle)
			if got := f.String(c.text); got != c.want {
				t.Errorf("%q in %q: %v, want %v", c.needle, c.text, got, c.want)
			}
			if got, err := f.Reader(iotest.OneByteReader(strings.NewReader(c.text))); got != c.want || err != nil {
				t.Errorf("%q in %q octet by octet: %v, %v, want %v", c.needle, c.text, got, err, c.want)
			}
		})
	}
}

func TestMatchesAcrossTheBordersOfReads(t *testing.T) {
	for _, at := range []int{0, 1, 32<<10 - 9, 32<<10 - 3, 32<<10 - 1, 32 << 10, 64<<10 - 2} {
		text := strings.Repeat("x", at) + "Grüße aus Köln" + strings.Repeat("y", 5000)
		for _, needle := range []string{"grüsse", "AUS KÖLN", "ü", "nyyy"} {
			if !search.NewFinder(needle).String(text) {
				t.Errorf("%q at %d is not found", needle, at)
			}
		}
		if search.NewFinder("köln!").String(text) {
			t.Errorf("found what is not there at %d", at)
		}
	}
}

func TestALongStringIsFound(t *testing.T) {
	long := strings.Repeat("lorem ipsum dolor ", 4000)
	text := strings.Repeat("x", 40000) + strings.ToUpper(long) + "."
	if !search.NewFinder(long).String(text) {
		t.Error("72,000 octets are not found")
	}
	if search.NewFinder(long + "!").String(text) {
		t.Error("found with an end that is not there")
	}
}

func TestReadersErrorsComeBack(t *testing.T) {
	broken := errors.New("disk gone")
	found, err := search.NewFinder("x").Reader(iotest.ErrReader(broken))
	if found || !errors.Is(err, broken) {
		t.Errorf("%v, %v; want false, %v", found, err, broken)
	}
}

const letter = "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nM=FCnchen\r\n" +
	"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+aGVsbG88L2I+\r\n" +
	"--b\r\nContent-Type: application/pdf; name=report.pdf\r\n\r\nbinary words\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: the inner one\r\n\r\nlast words\r\n--b--\r\n"

func TestALetterIsSearchedThrough(t *testing.T) {
	r := bytes.NewReader([]byte(letter))
	sum, err := mime.Summarize(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		needle     string
		body, text bool
	}{
		{"grüße", false, true},
		{"MÜNCHEN", true, true},
		{"<b>hello", true, true}, // tags are text
		{"report.pdf", false, true},
		{"binary words", false, false}, // RFC 9051 §6.4.4: parts other than text may be left out
		{"the inner one", true, true},
		{"Last Words", true, true},
		{"M=FC", false, false},
	} {
		f := search.NewFinder(c.needle)
		body, err := f.Passages(mime.Passages(sum, r, mime.ScopeBody))
		if body != c.body || err != nil {
			t.Errorf("BODY %q: %v, %v, want %v", c.needle, body, err, c.body)
		}
		text, err := f.Passages(mime.Passages(sum, r, mime.ScopeText))
		if text != c.text || err != nil {
			t.Errorf("TEXT %q: %v, %v, want %v", c.needle, text, err, c.text)
		}
	}
}

func FuzzFinder(f *testing.F) {
	f.Add("Grüße", "viele GRÜSSE", 3)
	f.Add("\xff\xc3", "\xc3\xff\xc3", 1)
	f.Add("ﬁ", "eﬃcient", 2)
	f.Fuzz(func(t *testing.T, needle, text string, n int) {
		finder := search.NewFinder(needle)
		whole := finder.String(text)
		pieces, err := finder.Reader(&slow{strings.NewReader(text), 1 + n&7})
		if pieces != whole || err != nil {
			t.Errorf("%q in %q: %v whole, %v, %v in pieces", needle, text, whole, pieces, err)
		}
		if strings.Contains(text, needle) && !whole && utf8.ValidString(needle) {
			t.Errorf("%q is in %q and not found", needle, text)
		}
		if utf8.ValidString(needle) && !finder.String(text+strings.ToUpper(needle)) {
			t.Errorf("%q is not found in capitals", needle)
		}
	})
}

type slow struct {
	*strings.Reader
	most int
}

func (s *slow) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.most)]) }

func BenchmarkASCII(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog, again and again.\r\n", 16<<10)
	f := search.NewFinder("needle in it")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if f.String(text) {
			b.Fatal("found")
		}
	}
}

func BenchmarkCyrillic(b *testing.B) {
	text := strings.Repeat("Съешь же ещё этих мягких французских булок, да выпей чаю.\r\n", 8<<10)
	f := search.NewFinder("иголка")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if f.String(text) {
			b.Fatal("found")
		}
	}
}
