package deliver_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"letterlock/internal/config"
	"letterlock/internal/deliver"
	"letterlock/internal/mime"
)

// filterOf is the filter that lines of the section [sieve] describe.
func filterOf(t testing.TB, section string) deliver.Filter {
	t.Helper()
	c, err := config.Parse("[sieve]\n" + section)
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, section)
	}
	fields := func(list []config.HeaderField) (fields []deliver.FilterField) {
		for _, f := range list {
			fields = append(fields, deliver.FilterField{Name: f.Name, Pattern: f.Regexp()})
		}
		return fields
	}
	return deliver.Filter{Spam: fields(c.Sieve.SpamHeader), SpamMax: c.Sieve.SpamMax, Virus: fields(c.Sieve.VirusHeader), VirusWords: c.Sieve.VirusWords}
}

// verdictLine is what rules read, as testdata/filters.txt has it.
func verdictLine(f deliver.Filter, header string) string {
	spam, virus := f.Verdicts(mime.ParseHeader([]byte(header)))
	return fmt.Sprintf("spam %s, %s percent; virus %s", spam.Spam(), spam.Percent(), virus.Virus())
}

func TestVerdictsOfTheFiltersThereAre(t *testing.T) {
	text, err := os.ReadFile("testdata/filters.txt")
	if err != nil {
		t.Fatal(err)
	}
	filters := strings.Split(string(text), "\n=== ")[1:]
	if len(filters) < 10 {
		t.Fatalf("%d filters", len(filters))
	}
	for _, part := range filters {
		name, rest, _ := strings.Cut(part, "\n")
		t.Run(name, func(t *testing.T) {
			letters := strings.Split(rest, "\n---\n")
			f := filterOf(t, letters[0])
			for _, letter := range letters[1:] {
				lines := strings.Split(strings.TrimSpace(letter), "\n")
				header, want := strings.Join(lines[:len(lines)-1], "\r\n")+"\r\n\r\n", lines[len(lines)-1]
				if got := verdictLine(f, header); got != want {
					t.Errorf("got %q, want %q, of\n%s", got, want, header)
				}
			}
		})
	}
}

// askFilter sorts by all that RFC 5235 can ask.
const askFilter = `require ["spamtestplus", "virustest", "fileinto", "mailbox", "relational", "comparator-i;ascii-numeric"];
if virustest :value "ge" :comparator "i;ascii-numeric" "4" { fileinto :create "Virus"; }
elsif spamtest :count "eq" "0" { fileinto :create "Unclassified"; }
elsif spamtest :percent :value "ge" :comparator "i;ascii-numeric" "80" { fileinto :create "Spam"; }
elsif spamtest :value "ge" :comparator "i;ascii-numeric" "4" { fileinto :create "Perhaps"; }
else { keep; }`

func TestRulesReadTheVerdictsOfTheFilterInFront(t *testing.T) {
	letters := []string{
		"X-Spam-Score: 9.5\r\nSubject: win\r\n\r\n",
		"X-Spam-Score: 5.1\r\nSubject: news\r\n\r\n",
		"X-Spam-Score: -2\r\nX-Virus-Status: Clean\r\nSubject: tea\r\n\r\n",
		"X-Spam-Score: -2\r\nX-Virus-Status: Infected (Eicar)\r\nSubject: bill\r\n\r\n",
		"X-Spam-Score: 9.5\r\nReceived: from far\r\nX-Spam-Score: 0\r\nSubject: a field of his own\r\n\r\n",
		"Subject: by another door\r\n\r\nX-Spam-Score: 0\r\n",
	}
	o := openOffice(t, nil, func(opt *deliver.Options) {
		opt.Filter = filterOf(t, "spam_header = [\"X-Spam-Score\"]\nvirus_header = [\"X-Virus-Status\"]\n")
	})
	o.person("bob@example.org")
	o.rule("ann@example.org", askFilter)
	o.rule("bob@example.org", askFilter)
	for _, l := range letters {
		o.usual(l, "ann@example.org", "bob@example.org")
	}
	const want = "INBOX 1, Perhaps 1, Spam 2, Unclassified 1, Virus 1"
	o.lies("ann@example.org", want)
	o.lies("bob@example.org", want)
}

// A rule cannot make a verdict for the rules behind it: the filter alone does.
func TestVerdictIsOfTheLetterAsItCame(t *testing.T) {
	o := openOffice(t, nil, func(opt *deliver.Options) { opt.Filter = filterOf(t, `spam_header = ["X-Spam-Score"]`) })
	o.global(deliver.Before, `require "editheader"; deleteheader "X-Spam-Score"; addheader "X-Spam-Score" "0";`)
	o.rule("ann@example.org", askFilter)
	o.usual("X-Spam-Score: 12\r\nSubject: win\r\n\r\n", "ann@example.org")
	o.lies("ann@example.org", "Spam 1")
}

func TestRulesReadNotTestedWhereNoFilterIsNamed(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", askFilter)
	o.usual("X-Spam-Score: 99\r\nX-Virus-Status: Infected\r\nSubject: win\r\n\r\n", "ann@example.org")
	o.lies("ann@example.org", "Unclassified 1")
}

// Whoever asks for verdicts where there are none is told, and his script runs.
func TestScriptIsToldThatThereAreNoVerdicts(t *testing.T) {
	const script = "require \"fileinto\";\nrequire [\"spamtestplus\", \"virustest\"];\nkeep;"
	const spam, virus = "2:10 `spamtest` always reads \"0\", not tested", "2:26 `virustest` always reads \"0\", not tested"
	for section, want := range map[string][]string{
		"":                                      {spam, virus},
		`virus_header = ["X-Virus"]`:            {spam},
		`spam_header = ["X-Spam"]`:              {virus},
		"spam_header=['a']\nvirus_header=['b']": {},
	} {
		e := deliver.NewEngine(deliver.Language{Filter: filterOf(t, section)})
		for _, word := range []string{"spamtest", "spamtestplus", "virustest"} {
			if !slices.Contains(e.Capabilities(), word) {
				t.Errorf("with %q: %s is not announced", section, word)
			}
		}
		s, err := e.Compile("", []byte(script))
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, r := range s.Remarks() {
			got = append(got, fmt.Sprintf("%d:%d %s", r.Line, r.Col, r.Msg))
		}
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("with %q: got %q, want %q", section, got, want)
		}
	}
}

// A verdict field may be a stranger's where nobody takes his away: whatever he
// writes, what rules read is in the bounds of RFC 5235.
func FuzzVerdict(f *testing.F) {
	for _, text := range []string{"5.3 (*****)", "****", "---", "/", "", "Yes, score=5.3", "no", "-1e9", "+.5", "1.2..5", "Infected (x)", "9" + strings.Repeat("9", 400), "Ünfug", "clean\xff", "5."} {
		f.Add(text)
	}
	filter := filterOf(f, "spam_header = ['A: score=(.*)', 'A']\nvirus_header = ['A']\n")
	f.Fuzz(func(t *testing.T, text string) {
		spam, virus := filter.Verdicts(mime.ParseHeader([]byte("A: " + text + "\r\n\r\n")))
		for _, c := range []struct {
			name, value string
			tested      bool
			low, high   int
		}{
			{"spamtest", spam.Spam(), spam.Tested, 1, 10},
			{"spamtest :percent", spam.Percent(), spam.Tested, 0, 100},
			{"virustest", virus.Virus(), virus.Tested, 1, 5},
		} {
			n, err := strconv.Atoi(c.value)
			if err != nil || c.tested && (n < c.low || n > c.high) || !c.tested && n != 0 {
				t.Errorf("%s reads %q of %q, tested: %v", c.name, c.value, text, c.tested)
			}
		}
	})
}
