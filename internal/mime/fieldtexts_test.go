package mime_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"letterlock/internal/mime"
)

func fieldTexts(t testing.TB, letter string) (all []string) {
	t.Helper()
	sum := summarize(t, []byte(letter))
	for f, err := range mime.FieldTexts(&sum.Root, strings.NewReader(letter)) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f.Name+"="+f.Text)
	}
	return all
}

func TestFieldTextsAreUnfoldedAndDecoded(t *testing.T) {
	got := fieldTexts(t, "Subject: =?utf-8?Q?caf=C3=A9?=\r\n =?utf-8?Q?_noir?=\r\nX-Odd :\tvalue \r\nno field\r\nX-Raw: \xfc\r\n=?utf-8?q?X?=: never\r\nLast:\r\n\r\nBody: no\r\n")
	want := []string{"Subject=café noir", "X-Odd=value ", "X-Raw=ü", "Last="}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// However long a header is, its fields are found; one that is longer than all
// memory for it is cut, and what follows it is not taken for fields.
func TestFieldTextsOfAHugeHeader(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "X-%d: %s\r\n", i, strings.Repeat("x", 100))
	}
	b.WriteString("Endless: " + strings.Repeat("A: b\r\n ", mime.MaxHeaderText/3) + "\r\nLast: one\r\n\r\nbody")
	got := fieldTexts(t, b.String())
	if len(got) != 5002 || got[4999] != "X-4999="+strings.Repeat("x", 100) || got[5001] != "Last=one" || len(got[5000]) > mime.MaxHeaderText {
		t.Errorf("%d fields, the last are %.40q", len(got), got[max(0, len(got)-3):])
	}
}

func TestFieldTextsPassOnTheReadersError(t *testing.T) {
	broken := errors.New("disk gone")
	sum := summarize(t, []byte("Subject: x\r\n\r\n"))
	n := 0
	for _, err := range mime.FieldTexts(&sum.Root, unreadable{broken}) {
		if n++; !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	}
	if n != 1 {
		t.Errorf("%d steps, want one with the error", n)
	}
}

func TestAddressTextIsAsPeopleReadIt(t *testing.T) {
	sum := summarize(t, []byte("To: \"Lee, Ann\" <ann@example.org>, bob@example.org,\r\n =?utf-8?Q?M=C3=BCller?= <m@x>, friends: c@example.org;\r\n\r\n"))
	if got, want := mime.AddressText(sum.To), "Lee, Ann <ann@example.org>, <bob@example.org>, Müller <m@x>, friends: <c@example.org>, ; "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Each field's text is part of the header's passage: what is looked for in one
// may be asked for in an index of the other.
func FuzzFieldTexts(f *testing.F) {
	f.Add("Subject: =?utf-8?Q?caf=C3=A9?=\r\n folded\r\nX: y\r\n\r\nbody")
	f.Add("A: \xfc\xc3\r\nB =?: =?utf-8?q?x?=\r\n\r\n")
	f.Add("\r: \r\r\n \rx\r\n\r\n")
	f.Fuzz(func(t *testing.T, letter string) {
		sum := summarize(t, []byte(letter))
		passage := ""
		for p := range mime.Passages(sum, strings.NewReader(letter), mime.ScopeText) {
			if p.Part == &sum.Root {
				b, err := io.ReadAll(p)
				if err != nil {
					t.Fatal(err)
				}
				passage = string(b)
			}
			break
		}
		for f, err := range mime.FieldTexts(&sum.Root, strings.NewReader(letter)) {
			if err != nil || !strings.Contains(passage, f.Text) {
				t.Errorf("%q of %q, %v, is not in %q", f.Text, f.Name, err, passage)
			}
		}
	})
}
