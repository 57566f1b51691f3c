package search_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"letterlock/internal/search"
)

func score(t testing.TB, words, text string) int {
	t.Helper()
	w := search.NewWords(words)
	m := w.Match()
	if err := w.Reader(m, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return m.Score()
}

// RFC 6203 §3: how words match is ours to say; this is what we say.
func TestFuzzyWordsMatchWhateverTheirCaseAccentsAndOrder(t *testing.T) {
	for _, c := range []struct {
		words, text string
		matches     bool
	}{
		{"muller", "Herr MÜLLER kommt", true},
		{"Müller", "herr muller", true},
		{"Mu\u0308ller", "herr müller", true},
		{"Straße", "Hauptstrasse, STRASSE", true},
		{"report quarterly", "the quarterly report", true},
		{"invoice", "your invoices", true}, // the beginning of a word
		{"voice", "your invoices", false},  // not its middle
		{"report quarterly", "the report", false},
		{"会議", "明日の会議です", true}, // no spaces between words
		{"c++", "a C program", true},
		{"!!!", "what!!!", true}, // no word in it: a string
		{"!!!", "what?", false},
		{"", "anything", true},
		{"2024", "in 2024.", true},
	} {
		if got := score(t, c.words, c.text) > 0; got != c.matches {
			t.Errorf("%q in %q: %t, want %t", c.words, c.text, got, c.matches)
		}
	}
}

// RFC 6203 §4: the better, the higher, from 1 to 100.
func TestRelevancyPrefersWholeWordsInOrder(t *testing.T) {
	worst := 0
	for _, text := range []string{"breaking of imaps", "breaking IMAP", "break the IMAP", "this IMAP break"} {
		got := score(t, "imap break", text)
		if got <= worst || got > 100 {
			t.Errorf("%q scores %d, want more than %d and at most 100", text, got, worst)
		}
		worst = got
	}
	if worst != 100 {
		t.Errorf("the words themselves score %d, want 100", worst)
	}
}

// What a filter keeps back, Words do not find, and what they find does not
// depend on how the text comes in.
func FuzzWords(f *testing.F) {
	f.Add("Müller", "Herr MU\u0308LLER und Söhne", 3)
	f.Add("imap break", "imap breaks", 1)
	f.Add("会議", "明日の会議です", 2)
	f.Add("\u0308\u0308", "a\u0308\u0308b", 1)
	f.Add("abc", "xabc abc", 5)
	f.Fuzz(func(t *testing.T, words, text string, n int) {
		text = strings.ToValidUTF8(text, "?") // as what is searched always is
		want := score(t, words, text)
		w := search.NewWords(words)
		if got := matched(t, w, &slow{strings.NewReader(text), 1 + n&7}).Score(); got != want {
			t.Errorf("%q in %q: %d in pieces, %d as a whole", words, text, got, want)
		}
		if want == 0 {
			return
		}
		x := filter(t, text)
		for _, finder := range w.Finders() {
			if !x.MayContain(finder) {
				t.Errorf("%q in %q: the filter keeps back %q", words, text, finder.Needle())
			}
		}
	})
}

func matched(t testing.TB, w *search.Words, r io.Reader) *search.Match {
	t.Helper()
	m := w.Match()
	if err := w.Reader(m, r); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWordsInALongText(t *testing.T) {
	long := strings.Repeat("xinvoice ", 20_000)
	if got := score(t, "invoice", long); got != 0 {
		t.Errorf("in the middle of words, over all borders: %d, want 0", got)
	}
	if got := score(t, "invoice", long+"invoice"); got != 100 {
		t.Errorf("at the end: %d, want 100", got)
	}
	w := search.NewWords("invoice")
	if err := w.Reader(w.Match(), iotest.ErrReader(errors.New("disk gone"))); err == nil {
		t.Error("the reader's error is lost")
	}
}
