package search_test

import (
	"bytes"
	"slices"
	"testing"

	"letterlock/internal/search"
)

// RFC 5051 §2: title case, then decomposition, and nothing more.
func TestSortKeysAreThoseOfUnicodeCasemap(t *testing.T) {
	for text, want := range map[string]string{
		"":       "",
		"Hello":  "HELLO",
		"\u01c4": "Dz\u030c", // the RFC's example
		"é":      "E\u0301",
		"straße": "STRAßE",
		"ﬁ":      "fi", // no title case of its own in UnicodeData.txt
		"ｶﾞ":     "カ\u3099",
		"a\xff":  "\xffa\xff", // RFC 5255 §4.6: after all text
	} {
		if got := search.AppendSortKey(nil, text); string(got) != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// RFC 5255 §4.6's example: (4) (2) (3) (1).
func TestWhatIsNoTextIsSortedAfterAllText(t *testing.T) {
	one, two, three := "\xd0\xc0\xd0\xbd\xd0\xb4\xd1\x80\xd0\xb5\xd0\xb9", "\xd1\x81\xd0\x95\xd0\xa0\xd0\x93\xd0\x95\xd0\x99", "\xd0\x92\xd0\xb0\xd1\x81\xd0\xb8\xd0\xbb\xd0\xb8\xff\xb9"
	four := "\xd0\x90\xd0\xbb\xd0\xb5\xd0\xba\xd1\x81\xd0\xb5\xd0\xb9" // as KOI8-R converts
	list := []string{one, two, three, four}
	slices.SortFunc(list, func(a, b string) int {
		return bytes.Compare(search.AppendSortKey(nil, a), search.AppendSortKey(nil, b))
	})
	if want := []string{four, two, three, one}; !slices.Equal(list, want) {
		t.Errorf("got %q, want %q", list, want)
	}
}
