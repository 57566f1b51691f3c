package managed_test

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"letterlock/internal/deliver"
	"letterlock/internal/managed"
)

var engine = deliver.NewEngine(deliver.Language{Hostname: "mail.example.org", Domain: "example.org", Delimiter: "+"})

func compiles(t interface{ Errorf(string, ...any) }, text []byte) {
	if _, err := engine.Compile(deliver.Managed, text); err != nil {
		t.Errorf("delivery cannot compile it: %v\n%s", err, text)
	}
}

func TestScriptReadsAsAPersonWouldWriteIt(t *testing.T) {
	s := &managed.Script{Rules: managed.Rules{
		Keep:     true,
		Forwards: []managed.Forward{{To: "bob@example.net"}, {To: `"a b"@example.net`, RequireTLS: true}},
		Vacation: &managed.Vacation{
			Subject: `Away "soon" back`, Text: "I am away.\n\n.hidden\n# <<< letterlock", From: "2026-12-24", Until: "2027-01-06", Days: 3,
			Addresses: []string{"ann@example.org", "info@example.org"},
		},
	}}
	want, err := os.ReadFile("testdata/whole.sieve")
	if err != nil {
		t.Fatal(err)
	}
	got := s.Text()
	if lf := strings.ReplaceAll(string(got), "\r\n", "\n"); lf != string(want) {
		t.Errorf("wrote\n%s\nwant\n%s", lf, want)
	}
	compiles(t, got)
}

func TestRequireNamesWhatTheBlockUsesAndNoMore(t *testing.T) {
	for want, rules := range map[string]managed.Rules{
		"":                      {Forwards: []managed.Forward{{To: "b@example.net"}}},
		`require ["copy"];`:     {Keep: true, Forwards: []managed.Forward{{To: "b@example.net"}}},
		`require ["vacation"];`: {Vacation: &managed.Vacation{Text: "away"}},
		`require ["date", "relational", "vacation"];`: {Vacation: &managed.Vacation{Text: "away", Until: "2026-12-24"}},
	} {
		text := (&managed.Script{Rules: rules}).Text()
		got := ""
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "require") {
				got += strings.TrimSpace(line)
			}
		}
		if got != want {
			t.Errorf("wrote %q, want %q in\n%s", got, want, text)
		}
		compiles(t, text)
	}
}

func TestOwnTextAroundTheBlockStaysOctetForOctet(t *testing.T) {
	head, tail := "\uFEFF# mine\r\nrequire \"fileinto\";\n", "if header :contains \"subject\" \"x\" { fileinto \"X\"; }\n\n  # no line end"
	block := (&managed.Script{Rules: managed.Rules{Forwards: []managed.Forward{{To: "bob@example.net"}}}}).Text()
	s, err := managed.Parse([]byte(head + string(block) + tail))
	if err != nil {
		t.Fatal(err)
	}
	s.Keep = true
	s.Forwards = append(s.Forwards, managed.Forward{To: "carol@example.net"})
	text := s.Text()
	if !bytes.HasPrefix(text, []byte(head)) || !bytes.HasSuffix(text, []byte(tail)) {
		t.Errorf("own text has changed:\n%q", text)
	}
	compiles(t, text)
	s.Forwards = nil
	back, err := managed.Parse(s.Text())
	if err != nil || back.Empty() {
		t.Fatalf("without rules the own text is read as %+v, %v", back, err)
	}
	if h, rest := back.Own(); string(h) != head || string(rest) != tail {
		t.Errorf("own text is %q and %q", h, rest)
	}
}

func TestNothingToKeepIsNoScript(t *testing.T) {
	if text := new(managed.Script).Text(); text != nil {
		t.Errorf("an empty script is %q", text)
	}
	if s, err := managed.Parse(nil); err != nil || !s.Empty() {
		t.Errorf("no text is %+v, %v", s, err)
	}
}

func TestHandMadeChangesAreUnderstoodOrRefusedAndNeverLost(t *testing.T) {
	const first, last = "# >>> letterlock\n", "# <<< letterlock\n"
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"another script":        {"redirect \"x@example.net\";\n", managed.ErrForeign},
		"no last mark":          {first + "redirect \"x@example.net\";\n", managed.ErrForeign},
		"marks without rules":   {first + last, nil},
		"days changed":          {first + "require \"vacation\"; vacation :days 2 \"away\";\n" + last, nil},
		"one address":           {first + "vacation :addresses \"a@example.org\" \"away\";\n" + last, nil},
		"another command":       {first + "keep;\n" + last, managed.ErrChanged},
		"a second vacation":     {first + "vacation \"a\"; vacation \"b\";\n" + last, managed.ErrChanged},
		"an else":               {first + "if allof (currentdate :value \"ge\" \"date\" \"2026-01-01\") { vacation \"a\"; } else { keep; }\n" + last, managed.ErrChanged},
		"another test":          {first + "if allof (true) { vacation \"a\"; }\n" + last, managed.ErrChanged},
		"a tag of ours no more": {first + "vacation :mime \"a\";\n" + last, managed.ErrChanged},
		"a tag of redirect":     {first + "redirect :notify \"NEVER\" \"x@example.net\";\n" + last, managed.ErrChanged},
		"not Sieve":             {first + "redirect redirect\n" + last, managed.ErrChanged},
		"no text":               {first + "vacation \"\";\n" + last, managed.ErrChanged},
		"no day":                {first + "if allof (currentdate :value \"ge\" \"date\" \"soon\") { vacation \"a\"; }\n" + last, managed.ErrChanged},
	} {
		if _, err := managed.Parse([]byte(c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestCheckRefusesWhatWouldNotMeanWhatItSays(t *testing.T) {
	text := managed.Vacation{Text: "away"}
	with := func(change func(*managed.Vacation)) managed.Rules {
		v := text
		change(&v)
		return managed.Rules{Vacation: &v}
	}
	for name, r := range map[string]managed.Rules{
		"no address":         {Forwards: []managed.Forward{{}}},
		"address of 2 lines": {Forwards: []managed.Forward{{To: "a@example.org\r\nb"}}},
		"no text":            with(func(v *managed.Vacation) { v.Text = " \n" }),
		"text too long":      with(func(v *managed.Vacation) { v.Text = strings.Repeat("x", managed.MaxText+1) }),
		"text with NUL":      with(func(v *managed.Vacation) { v.Text = "a\x00" }),
		"text with CR":       with(func(v *managed.Vacation) { v.Text = "a\rb" }),
		"days below 0":       with(func(v *managed.Vacation) { v.Days = -1 }),
		"no such day":        with(func(v *managed.Vacation) { v.From = "2026-02-30" }),
		"ends before it is":  with(func(v *managed.Vacation) { v.From, v.Until = "2026-02-02", "2026-02-01" }),
		"subject of 2 lines": with(func(v *managed.Vacation) { v.Subject = "a\nb" }),
		"own address":        with(func(v *managed.Vacation) { v.Addresses = []string{"a\nb"} }),
	} {
		if err := r.Check(); err == nil {
			t.Errorf("%s: nothing is said", name)
		}
	}
}

// Whatever can be asked for is written as Sieve that compiles, and read back as
// it was, with whatever stands around it.
func TestRulesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := managed.Parse([]byte(head.Draw(t, "head") + emptyBlock + tail.Draw(t, "tail")))
		if err != nil {
			t.Fatal(err)
		}
		s.Rules = drawRules(t)
		if err := s.Check(); err != nil {
			t.Fatalf("%+v: %v", s.Rules, err)
		}
		text := s.Text()
		compiles(t, text)
		for _, form := range [][]byte{text, bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))} {
			back, err := managed.Parse(form)
			if err != nil {
				t.Fatalf("%v\n%s", err, form)
			}
			if !reflect.DeepEqual(back.Rules, s.Rules) {
				t.Errorf("read back\n%+v\nwrote\n%+v\n%s", back.Rules, s.Rules, form)
			}
		}
		back, _ := managed.Parse(text)
		if again := back.Text(); !bytes.Equal(again, text) {
			t.Errorf("written again\n%s\nfirst\n%s", again, text)
		}
	})
}

const emptyBlock = "# >>> letterlock\r\n# <<< letterlock\r\n"

var (
	head = rapid.SampledFrom([]string{"", "# mine\n", "require \"fileinto\";\r\n", "\uFEFF", "/* … */\nrequire [\"imap4flags\", \"copy\"]; # copy\n\n"})
	tail = rapid.SampledFrom([]string{"", "\r\n", "# no line end", "if size :over 1M { discard; stop; }\n", "# >>> letterlock\n"})
	line = rapid.OneOf(
		rapid.StringMatching(`[ -~]{0,40}`),
		rapid.SampledFrom([]string{".", "..", "text:", "*/", "# >>> letterlock", "# <<< letterlock", `\"`, "Grüße ☃", "${hex:41}"}),
	)
	address = rapid.StringMatching(`[a-z]{1,8}(\.[a-z]{1,4})?@[a-z]{1,8}\.example`)
)

func drawRules(t *rapid.T) (r managed.Rules) {
	for _, to := range rapid.SliceOfNDistinct(address, 0, 4, rapid.ID).Draw(t, "forwards") {
		r.Forwards = append(r.Forwards, managed.Forward{To: to, RequireTLS: rapid.Bool().Draw(t, "requiretls")})
	}
	r.Keep = len(r.Forwards) > 0 && rapid.Bool().Draw(t, "keep")
	if !rapid.Bool().Draw(t, "vacation") {
		return r
	}
	r.Vacation = &managed.Vacation{
		Subject: line.Draw(t, "subject"),
		Text:    "x" + strings.Join(rapid.SliceOfN(line, 1, 6).Draw(t, "text"), "\n"),
		From:    rapid.SampledFrom([]string{"", "2026-12-24", "2027-01-02"}).Draw(t, "from"),
		Until:   rapid.SampledFrom([]string{"", "2027-01-02", "2031-12-31"}).Draw(t, "until"),
		Days:    rapid.IntRange(0, 60).Draw(t, "days"),
	}
	if list := rapid.SliceOfN(address, 0, 3).Draw(t, "addresses"); len(list) > 0 {
		r.Vacation.Addresses = list
	}
	return r
}

// FuzzParse: whoever can put a script can put anything here.
func FuzzParse(f *testing.F) {
	whole, err := os.ReadFile("testdata/whole.sieve")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(emptyBlock))
	f.Add([]byte("# >>> letterlock\nredirect :copy \"a@b\";\nvacation \"\r\";\n# <<< letterlock"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := managed.Parse(text)
		if err != nil {
			if !errors.Is(err, managed.ErrForeign) && !errors.Is(err, managed.ErrChanged) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		back, err := managed.Parse(s.Text())
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%q", err, s.Text())
		}
		head, tail := s.Own()
		if h, rest := back.Own(); !reflect.DeepEqual(back.Rules, s.Rules) || !bytes.Equal(h, head) || !bytes.Equal(rest, tail) {
			t.Errorf("read back %+v, wrote %+v", back, s)
		}
		if !bytes.HasPrefix(text, head) || !bytes.HasSuffix(text, tail) {
			t.Errorf("own text %q, %q is not that of %q", head, tail, text)
		}
	})
}
