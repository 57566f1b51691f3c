package search_test

import (
	"io"
	"strings"
	"testing"

	"letterlock/internal/mime"
	"letterlock/internal/search"
)

func messageFilter(t testing.TB, message string) search.Filter {
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
	x, err := search.OpenFilter(encoded)
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
