package search_test

import (
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"letterlock/internal/mime"
	"letterlock/internal/search"
)

func encodedFilter(t testing.TB, message string) []byte {
	t.Helper()
	r := strings.NewReader(message)
	sum, err := mime.Summarize(r)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := search.AppendFilter(nil, sum, r)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func messageFilter(t testing.TB, message string) search.Filter {
	t.Helper()
	x, err := search.OpenFilter(encodedFilter(t, message))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestTheFilterOfAMessageHasWhatItsFieldsReadLike(t *testing.T) {
	x := messageFilter(t, "From: \"Lee, Ann\" (office) <ann@\r\n example.org>\r\nSubject: =?utf-8?Q?Gr=C3=BC?=\r\n =?utf-8?Q?=C3=9Fe?=\r\n\r\nbody\r\n")
	for _, needle := range []string{"Lee, Ann <ann@example.org>", "GRÜSSE", "subject: gr", "body"} {
		if !x.MayContain(search.NewFinder(needle)) {
			t.Errorf("%q is kept back", needle)
		}
	}
	if x.MayContain(search.NewFinder("nothing of the kind")) {
		t.Error("it lets everything through")
	}
}

func TestTheFilterOfAHugeHeaderLetsEverythingThrough(t *testing.T) {
	x := messageFilter(t, "Subject: x\r\nX-Long: "+strings.Repeat("x", mime.MaxHeaderText)+"\r\nX-Last: needle\r\n\r\nbody\r\n")
	if !x.MayContain(search.NewFinder("needle")) || !x.MayContain(search.NewFinder("anything else")) {
		t.Error("it keeps back what it has not seen")
	}
	if messageFilter(t, "Subject: x\r\n\r\n").MayContain(search.NewFinder("anything else")) {
		t.Error("so does the next one")
	}
}

// As TestFiltersOfOtherVersionsAreToldApart, for what package mime reads: with more
// charsets the same message has another filter, and the version has to grow.
func TestFiltersOfMessagesReadOtherwiseAreToldApart(t *testing.T) {
	message := "Subject: =?iso-2022-kr?B?GyQpQw4+SDNnDw==?= =?utf-16?B?/v8A/A==?= =?koi8-r?Q?=E9?=\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain; charset=utf-7\r\n\r\nHi +xUixVQ\r\n" +
		"--b\r\nContent-Type: text/plain; charset=cp874\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xca\xc7\xd1\xca\xb4\xd5\r\n" +
		"--b\r\nContent-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; ann@example.org\r\n--b--\r\n"
	encoded := encodedFilter(t, message)
	const want = "version 4, checksum 85a34296"
	got := fmt.Sprintf("version %d, checksum %08x", encoded[0], crc32.ChecksumIEEE(encoded[3:len(encoded)-crc32.Size]))
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Whatever a stranger sends: what is found in a text that SEARCH looks into is
// not kept back.
func FuzzAppendFilter(f *testing.F) {
	f.Add(letter, 40, 12)
	f.Add("From: \xfc =?utf-8?Q?M=C3=BC?= <a@b>\r\nTo: x: y;\r\nX: =?\r\n\r\n\xff\xfe", 7, 5)
	f.Add("Content-Type: text/plain; charset=utf-16\r\n\r\n\xff\xfea\x00b", 0, 9)
	f.Fuzz(func(t *testing.T, message string, from, length int) {
		r := strings.NewReader(message)
		sum, err := mime.Summarize(r)
		if err != nil {
			t.Fatal(err)
		}
		texts := search.SummaryTexts(sum)
		for p := range mime.Passages(sum, r, mime.ScopeText) {
			text, err := io.ReadAll(p)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
		for field, err := range mime.FieldTexts(&sum.Root, r) {
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, field.Text)
		}
		x := messageFilter(t, message)
		for _, text := range texts {
			if text == "" {
				continue
			}
			from := int(uint(from) % uint(len(text)))
			needle := text[from:min(len(text), from+int(uint(length)%64))]
			if f := search.NewFinder(needle); f.String(text) && !x.MayContain(f) {
				t.Errorf("%q of %q is kept back", needle, text)
			}
		}
	})
}
