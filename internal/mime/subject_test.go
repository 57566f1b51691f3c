package mime_test

import (
	"strings"
	"testing"

	"letterlock/internal/mime"
)

// RFC 5256 §2.1: all servers MUST use exactly this algorithm.
func TestBaseSubject(t *testing.T) {
	for _, c := range []struct {
		in, want string
		again    bool
	}{
		{"lunch", "lunch", false},
		{"Re: lunch", "lunch", true},
		{"RE : lunch", "lunch", true},
		{"Fwd: FW: re: lunch", "lunch", true},
		{"Re[2]: lunch", "lunch", true},
		{"Re [2] : lunch", "lunch", true},
		{"[list] lunch", "lunch", false},
		{"[list] Re: [list] lunch", "lunch", true},
		{"[a] [b][c] lunch", "lunch", false},
		{"[list]", "[list]", false},
		{"[a] [list]", "[list]", false},
		{"Re: [list]", "[list]", true},
		{"lunch (fwd)  (FWD)", "lunch", true},
		{"[fwd: lunch]", "lunch", true},
		{"[Fwd: Re: [Fwd: lunch (fwd)]]", "lunch", true},
		{"Re: [fwd: lunch]", "lunch", true},
		{"[fwd: lunch] today", "today", false},
		{"lunch\t at \r\n  noon", "lunch at noon", false},
		{"=?utf-8?Q?Re:_caf=C3=A9?=", "café", true},
		{"reply: lunch", "reply: lunch", false},
		{"re lunch", "re lunch", false},
		{"[open lunch", "[open lunch", false},
		{"Re:", "", true},
		{"(fwd)", "", true},
		{"[fwd:]", "", true},
		{"", "", false},
	} {
		if got, again := mime.BaseSubject(c.in); got != c.want || again != c.again {
			t.Errorf("%q: got %q, %v, want %q, %v", c.in, got, again, c.want, c.again)
		}
	}
}

func FuzzBaseSubject(f *testing.F) {
	f.Add("[a] Re[2]: [fwd: x (fwd)] (fwd)")
	f.Add(strings.Repeat("[]", 50000))
	f.Add(strings.Repeat("[fwd:", 20000) + strings.Repeat("]", 20000))
	f.Fuzz(func(t *testing.T, s string) {
		base, _ := mime.BaseSubject(s)
		if again, _ := mime.BaseSubject(base); again != base && !strings.Contains(base, "=?") {
			t.Errorf("%q is %q, which is %q", s, base, again)
		}
	})
}
