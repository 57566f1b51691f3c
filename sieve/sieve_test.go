package sieve_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"letterlock/sieve"
)

// One compiled script serves many deliveries at once.
func TestScriptRunsConcurrently(t *testing.T) {
	s := compiled(t, []byte(`require ["variables", "fileinto", "regex", "body", "editheader", "foreverypart", "mime"];
if header :matches "Subject" "* for *" { set "what" "${1}"; }
foreverypart { if header :mime :type "Content-Type" "text" { addheader "X-Seen" "${what}"; } }
if allof (body :contains "lazy dog", header :regex "x-seen" "(Pl.*)") { fileinto "${1}"; }`))
	msg := strings.NewReader(letter)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				r := s.Run(context.Background(), msg, nil)
				if got, want := plan(r), "fileinto \"Pläne\"\n"; got != want {
					t.Errorf("got %s (%v), want %s", got, r.Err, want)
				}
			}
		})
	}
	all.Wait()
}

func TestCapabilitiesAreWhatRequireKnows(t *testing.T) {
	e := engine(t)
	names := e.Capabilities()
	for _, name := range names {
		if _, err := e.Compile("", []byte(`require "`+name+`";`)); err != nil {
			t.Errorf("%s is announced, but %v", name, err)
		}
	}
	for _, name := range []string{
		"fileinto", "envelope", "encoded-character", "comparator-i;octet", "comparator-i;ascii-casemap", "comparator-i;ascii-numeric",
		"comparator-i;unicode-casemap", "copy", "variables", "vacation", "vacation-seconds", "relational", "imap4flags", "subaddress",
		"mailbox", "date", "index", "body", "environment", "reject", "ereject", "include", "regex", "ihave", "special-use", "duplicate",
		"editheader", "enotify", "spamtest", "spamtestplus", "virustest", "envelope-dsn", "redirect-dsn", "fcc", "mime", "foreverypart",
		"extracttext", "mboxmetadata", "servermetadata", "mailboxid",
	} {
		if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+name+" ") {
			t.Errorf("%s is not announced", name)
		}
	}
}

// What an extension cannot do here is said to whoever requires it, once for each
// time it is named, and the script compiles.
func TestRemarkOfAnExtensionIsSaidWhereItIsRequired(t *testing.T) {
	e, err := sieve.New(sieve.Config{Extensions: append(sieve.Standard(), &sieve.Extension{Name: "vnd.example.moon", Remark: "the moon is not up"})})
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Compile("", []byte("require \"fileinto\";\nrequire [\"copy\",\n  \"vnd.example.moon\"];\nkeep;"))
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Remarks(); len(r) != 1 || r[0] != (sieve.Diagnostic{Line: 3, Col: 3, Severity: sieve.Remark, Msg: "the moon is not up"}) {
		t.Errorf("got %v", r)
	}
}

func TestExtensionsThatContradictEachOther(t *testing.T) {
	stop := sieve.Spec{Name: "beam", Compile: func(*sieve.Call) (sieve.Op, error) { return nil, nil }}
	for name, list := range map[string][]*sieve.Extension{
		"twice the same name":       {{Name: "a"}, {Name: "a"}},
		"twice the same command":    {{Name: "a", Commands: []sieve.Spec{stop}}, {Name: "b", Commands: []sieve.Spec{stop}}},
		"a test without a test":     {{Name: "a", Tests: []sieve.Spec{{Name: "t"}}}},
		"an implied one that lacks": {{Name: "a", Implies: []string{"b"}}},
	} {
		if _, err := sieve.New(sieve.Config{Extensions: list}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// What an extension breaks ends in an error of the run, never in delivery.
func TestPanicInAnExtensionKeepsTheMessage(t *testing.T) {
	bad := &sieve.Extension{Name: "vnd.example.bad", Commands: []sieve.Spec{{
		Name: "fall",
		Compile: func(*sieve.Call) (sieve.Op, error) {
			return func(*sieve.Runtime) (sieve.Flow, error) { panic("over") }, nil
		},
	}}}
	e, err := sieve.New(sieve.Config{Extensions: []*sieve.Extension{bad}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Compile("", []byte("require \"vnd.example.bad\";\ndiscard;\nfall;"))
	if err != nil {
		t.Fatal(err)
	}
	r := s.Run(context.Background(), strings.NewReader(letter), nil)
	var at *sieve.Error
	if !errors.As(r.Err, &at) || at.Line != 3 || plan(r) != "keep implicit\n" {
		t.Errorf("got %v and %s", r.Err, plan(r))
	}
}

// An error undoes what its own script decided, not what others did before.
func TestErrorUndoesItsOwnScriptAlone(t *testing.T) {
	e := engine(t)
	rt := sieve.NewRuntime(context.Background(), e, strings.NewReader(letter), nil)
	for _, src := range []string{
		`require ["fileinto", "imap4flags", "copy"]; fileinto :copy :flags "first" "A"; redirect :copy "x@example.org";`,
		`require ["fileinto", "imap4flags", "ihave", "duplicate", "editheader"]; addheader "X" "y"; if duplicate { stop; } fileinto :flags "second" "A"; fileinto "B"; error "no";`,
	} {
		s, err := e.Compile("", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		rt.Run(s)
	}
	r := rt.Result()
	want := "fileinto \"A\" copy flags=\"first\"\nredirect x@example.org copy\nkeep implicit\n"
	if got := plan(r); got != want || r.Err == nil {
		t.Errorf("got %v and\n%swant\n%s", r.Err, got, want)
	}
	if k := r.Actions[2].(*sieve.Keep); k.Rewrite != nil {
		t.Errorf("the header is not the original one: %q", k.Rewrite.Header)
	}
}

// RFC 5230 §4.2: arguments are told apart before variables are filled in, and
// the same text in another argument is another reply.
func TestVacationHandleIgnoresVariables(t *testing.T) {
	handle := func(script, subject string) string {
		t.Helper()
		s := compiled(t, []byte(`require ["vacation", "variables"]; if header :matches "subject" "*" { `+script+` }`))
		in := &sieve.Input{Envelope: sieve.Envelope{From: "a@example.net", To: "b@example.org"}}
		r := s.Run(context.Background(), strings.NewReader("To: b@example.org\r\nSubject: "+subject+"\r\n\r\n"), in)
		v, ok := r.Actions[0].(*sieve.Vacation)
		if !ok || v.Skip != "" {
			t.Fatalf("got %s, %v", plan(r), r.Err)
		}
		return v.Handle
	}
	a := handle(`vacation :subject "Re: ${1}" "away";`, "lunch")
	b := handle(`vacation :subject "Re: ${1}" "away";`, "dinner")
	c := handle(`vacation :from "x@example.org" :subject "Re: ${1}" "away";`, "lunch")
	d := handle(`vacation "Re: ${1}";`, "lunch")
	e := handle(`vacation :mime "Re: ${1}";`, "lunch")
	if a != b {
		t.Errorf("two subjects make two replies: %s, %s", a, b)
	}
	if a == c || a == d || d == e {
		t.Errorf("different arguments make the same reply: %s %s %s %s", a, c, d, e)
	}
}
