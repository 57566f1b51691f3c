package sieve_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"letterlock/sieve"
)

// seeds adds every script of the cases, with its message where f takes one.
func seeds(f *testing.F, add func(c *sieveCase)) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		for _, c := range readCases(f, file) {
			add(c)
		}
	}
}

// Whatever is compiled, mistakes have a place in the script, and parsing alone
// never finds more of them.
func FuzzCompile(f *testing.F) {
	seeds(f, func(c *sieveCase) { f.Add([]byte(c.section["script"])) })
	e := engine(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		_, err := e.Compile("", src)
		lines := strings.Count(string(src), "\n") + 1
		var list sieve.Errors
		if err != nil && (!errors.As(err, &list) || len(list) == 0) {
			t.Fatalf("got %v, want Errors", err)
		}
		for _, d := range list {
			if d.Line < 1 || d.Line > lines || d.Col < 1 || d.Msg == "" {
				t.Errorf("%+v is no place in a script of %d lines", d, lines)
			}
		}
		if _, parse := sieve.Parse(src); len(parse) > 0 && err == nil {
			t.Errorf("compiled in spite of %v", parse)
		}
	})
}

// Whatever runs over whatever message, there is a plan that somebody can carry
// out: no flag and no header field that scripts may not set, and after an error
// the message is kept.
func FuzzRun(f *testing.F) {
	seeds(f, func(c *sieveCase) { f.Add([]byte(c.section["script"]), []byte(wire(c.section["message"]))) })
	e, err := sieve.New(sieve.Config{Limits: sieve.Limits{Steps: 200_000, Memory: 4 << 20}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src, msg []byte) {
		s, err := e.Compile("", src)
		if err != nil {
			return
		}
		in := &sieve.Input{
			Owner: "bob@example.org", Host: &world{mailboxes: []sieve.Target{{Name: "INBOX"}}},
			Envelope: sieve.Envelope{From: "ann@example.net", To: "bob+x@example.org"},
			Load:     func(context.Context, sieve.Location, string) (*sieve.Script, error) { return s, nil },
		}
		r := s.Run(context.Background(), strings.NewReader(string(msg)), in)
		if r.Err != nil {
			var at *sieve.Error
			if !errors.As(r.Err, &at) || !r.Kept || len(r.Actions) != 1 {
				t.Errorf("after %v the plan is %s", r.Err, plan(r))
			}
			if strings.Contains(r.Err.Error(), "the engine broke") {
				t.Errorf("panic: %v", r.Err)
			}
		}
		for _, a := range r.Actions {
			checkAction(t, a)
		}
	})
}

func checkAction(t *testing.T, a sieve.Action) {
	var flags []string
	var rewrite *sieve.Rewrite
	switch a := a.(type) {
	case *sieve.Keep:
		flags, rewrite = a.Flags, a.Rewrite
	case *sieve.FileInto:
		flags, rewrite = a.Flags, a.Rewrite
		if a.Name == "" {
			t.Error("a mailbox without a name")
		}
	case *sieve.Redirect:
		rewrite = a.Rewrite
		if again, ok := sieve.ParseAddress(a.To); !ok || again != a.To {
			t.Errorf("redirect to %q", a.To)
		}
	case *sieve.Vacation:
		if strings.ContainsAny(a.Subject+a.From, "\r\n") {
			t.Errorf("line end in %q or %q", a.Subject, a.From)
		}
	}
	for _, f := range flags {
		if strings.EqualFold(f, "$RequireTLS") || strings.EqualFold(f, `\Recent`) || strings.ContainsAny(f, " \r\n\"") {
			t.Errorf("flag %q", f)
		}
	}
	if rewrite != nil && !strings.HasSuffix(string(rewrite.Header), "\r\n\r\n") && string(rewrite.Header) != "\r\n" {
		t.Errorf("header without end: %q", rewrite.Header)
	}
}
