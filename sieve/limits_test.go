package sieve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"letterlock/sieve"
)

// costly are scripts and messages made to take time and memory.
var costly = map[string]struct{ script, message string }{
	"glob against its worst value": {
		`require "variables"; if header :matches "Subject" "` + strings.Repeat("*a?", 300) + `b" { keep; }`,
		"Subject: " + strings.Repeat("a", 1<<20) + "\r\n\r\n",
	},
	"many globs": {
		repeat(`if header :matches "Subject" "*`+strings.Repeat("a?", 100)+`*c*d" { keep; }`, 500),
		"Subject: " + strings.Repeat("a", 500<<10) + "\r\n\r\n",
	},
	"many contains": {
		repeat(`if header :contains "Subject" "`+strings.Repeat("a", 1000)+`b" { keep; }`, 900),
		"Subject: " + strings.Repeat("a", 1000<<10) + "\r\n\r\n",
	},
	"large regex": {
		`require ["regex", "body"]; if body :raw :regex "(x+x+)+y(a|b|ab|aab){1,200}z" { keep; }` +
			`if header :regex "Subject" "(.*)(.*)(.*)(.*)(.*)[ab]{500}z" { keep; }`,
		"Subject: " + strings.Repeat("xxab", 50<<10) + "\r\n\r\n" + strings.Repeat("xxxxxxxxxxxxxaaabbbaaab", 200<<10),
	},
	"many regexes": {
		`require ["regex"];` + repeat(`if header :regex "Subject" "(a|aa)+[ab]{100}$" { keep; }`, 150),
		"Subject: " + strings.Repeat("a", 100<<10) + "b\r\n\r\n",
	},
	"variables that grow": {
		`require "variables"; set "a" "` + strings.Repeat("a", 8000) + `";` + repeat(`set "b" "${a}${a}${a}${a}${a}${a}${a}${a}";`, 10000),
		"Subject: x\r\n\r\n",
	},
	"strings that grow": {
		`require ["variables", "reject"]; set "a" "` + strings.Repeat("a", 8000) + `"; if string :contains "` + strings.Repeat("${a}", 100) + `" "` + strings.Repeat("${a}", 120) + `b" { keep; }` +
			repeat(`if string "`+strings.Repeat("${a}", 100)+`" "`+strings.Repeat("${a}", 120)+`b" { keep; }`, 500),
		"Subject: x\r\n\r\n",
	},
	"loops in loops": {
		`require ["foreverypart", "mime", "variables"];` +
			`foreverypart { foreverypart { foreverypart { foreverypart { if header :mime :anychild :contains "X-A" "b" { set "a" "${a}b"; } } } } }`,
		bomb(30, 30),
	},
	"a part for every line": {
		`require ["foreverypart", "mime", "variables", "extracttext", "body"];` +
			repeat(`foreverypart { extracttext "x"; } if body :contains "zzz" { keep; }`, 50),
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 100_000),
	},
	"empty boundary": {
		`require ["body"]; if body :content "text" :contains "zzz" { keep; }`,
		"Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n" + strings.Repeat("--\r\n", 500_000),
	},
	"a header of nothing but names": {
		repeat(`if header :contains ["a", "b", "c", "d", "e", "f"] "x" { keep; }`, 2000),
		strings.Repeat("a:\r\n", 300_000) + "\r\n",
	},
	"many addresses": {
		`require ["subaddress"];` + repeat(`if address :detail :matches ["To", "Cc"] ["*x?y", "*z"] { keep; }`, 2000),
		"To: " + strings.Repeat("a+b@c.d,", 100_000) + "\r\n\r\n",
	},
	"encoded words": {
		`if header :contains "Subject" "zz" { keep; }`,
		"Subject: " + strings.Repeat("=?utf-8?B?", 90_000) + "\r\n" + strings.Repeat("X: =?iso-8859-1?Q?=FC?=\r\n", 5000) + "\r\n",
	},
	"a body read again and again": {
		`require "body";` + repeat(`if body :raw :contains "zzzy" { keep; }`, 300),
		"Subject: x\r\n\r\n" + strings.Repeat("zzz", 8<<20),
	},
	"a body of HTML": {
		`require "body";` + repeat(`if body :matches "*zz?z*y" { keep; }`, 300),
		"Content-Type: text/html\r\n\r\n" + strings.Repeat("<scr<style", 500_000),
	},
	"unicode": {
		`require ["comparator-i;unicode-casemap"];` + repeat(`if header :comparator "i;unicode-casemap" :matches "Subject" "*ä?ß*z" { keep; }`, 300),
		"Subject: " + strings.Repeat("ﷺäß", 40_000) + "\r\n\r\n",
	},
	"a long key of titlecase": {
		`require ["relational", "comparator-i;unicode-casemap"]; if header :value "gt" :comparator "i;unicode-casemap" "X" "` + strings.Repeat("ß", 400_000) + `" { keep; }`,
		strings.Repeat("X: "+strings.Repeat("ß", 40)+"\r\n", 9000) + "\r\n",
	},
	"long addresses, each elsewhere": {
		`if address "To" "x" { keep; }`,
		"To: " + longAddresses() + "\r\n\r\n",
	},
	"headers added to a long header": {
		`require ["editheader", "fileinto"];` + editAndFile(31),
		strings.Repeat("a: "+strings.Repeat("x", 70)+"\r\n", 9000) + "\r\n",
	},
	"headers deleted one by one": {
		`require ["editheader"];` + repeat(`deleteheader :index 1 "a";`, 5000),
		strings.Repeat("a: x\r\n", 9000) + "\r\n",
	},
	"many flags": {
		`require ["imap4flags"];` + repeat(`addflag "`+manyFlags()+`"; if hasflag :matches "*zz*z" { keep; }`, 600),
		"Subject: x\r\n\r\n",
	},
	"many keys made of variables": {
		`require ["variables"]; set "a" "b"; if header :matches "Subject" [` + strings.Repeat(`"*${a}?*x",`, 20_000) + `"x"] { keep; }`,
		"Subject: " + strings.Repeat("b", 1000) + "\r\n\r\n",
	},
	"many dates": {
		`require ["date"];` + repeat(`if date "Date" "std11" "x" { keep; }`, 8000),
		"Date: " + strings.Repeat("(", 100_000) + " Mon, 1 Jan 2007 10:00:00 +0000\r\n\r\n",
	},
}

func repeat(s string, n int) string { return strings.Repeat(s+"\n", n) }

func editAndFile(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "addheader \"X-%d\" \"y\"; fileinto \"m%d\";\n", i, i)
	}
	return b.String()
}

// longAddresses is as many as are read of a field, a megabyte of them.
func longAddresses() string {
	var b strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&b, "%s%d@%s.example,", strings.Repeat("a", 200), i, strings.Repeat("c", 50))
	}
	return b.String()
}

func manyFlags() string {
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "flag%d ", i)
	}
	return b.String()
}

// bomb is a multipart with n parts, each a multipart with n parts.
func bomb(n, m int) string {
	var b strings.Builder
	b.WriteString("Content-Type: multipart/mixed; boundary=a\r\n\r\n")
	for range n {
		b.WriteString("--a\r\nContent-Type: multipart/mixed; boundary=b\r\nX-A: c\r\n\r\n")
		for range m {
			b.WriteString("--b\r\nX-A: d\r\n\r\nx\r\n")
		}
		b.WriteString("--b--\r\n")
	}
	b.WriteString("--a--\r\n")
	return b.String()
}

// Whatever script and message are, the run ends, within its limits, and the
// message is kept.
func TestCostlyScriptsAreStoppedAndTheMessageKept(t *testing.T) {
	e := engine(t)
	limits := e.Config()
	for name, c := range costly {
		t.Run(name, func(t *testing.T) {
			s, err := e.Compile("", []byte(c.script))
			if err != nil {
				t.Fatalf("does not compile: %.300v", err)
			}
			r := s.Run(context.Background(), strings.NewReader(c.message), nil)
			var limit *sieve.LimitError
			var at *sieve.Error
			switch {
			case r.Err != nil && (!errors.As(r.Err, &limit) || !errors.As(r.Err, &at) || at.Line == 0):
				t.Errorf("got %v, want a limit and its line", r.Err)
			case r.Err != nil && (!r.Kept || len(r.Actions) != 1):
				t.Errorf("got %s, want the implicit keep", plan(r))
			}
			// One piece of work is counted before it is done, so the sum can be
			// beyond the limit by one piece.
			if r.Steps > 2*limits.Limits.Steps || r.Memory > 2*limits.Limits.Memory {
				t.Errorf("took %d steps and %d octets", r.Steps, r.Memory)
			}
		})
	}
}

func BenchmarkCostly(b *testing.B) {
	e := engine(b)
	for name, c := range costly {
		b.Run(name, func(b *testing.B) {
			s, err := e.Compile("", []byte(c.script))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var r *sieve.Result
			before := cpu()
			for b.Loop() {
				r = s.Run(context.Background(), strings.NewReader(c.message), nil)
			}
			b.ReportMetric(float64(cpu()-before)/1e6/float64(b.N), "cpu-ms")
			b.ReportMetric(float64(r.Steps), "steps")
			b.ReportMetric(float64(r.Memory), "counted-B")
		})
	}
}

// cpu is the time this process has had of the machine.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What takes long is counted, wherever it is done: each of these would run for
// minutes otherwise.
func TestAllWorkIsCounted(t *testing.T) {
	// A tenth of the usual limit is met by the same means.
	e, err := sieve.New(sieve.Config{Limits: sieve.Limits{Steps: 1_000_000}})
	if err != nil {
		t.Fatal(err)
	}
	loop := "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 900)
	for name, c := range map[string]struct{ script, message string }{
		"regexes that try all there is": {
			`require "regex"; if header :regex "X" "^(a?){1000}(a?){1000}b" { keep; }`,
			strings.Repeat("X: "+strings.Repeat("a", 100)+"\r\n", 9000) + "\r\n",
		},
		"long lists of flags": {
			`require ["imap4flags", "foreverypart"]; foreverypart { setflag "` + manyFlags() + strings.Repeat("flag ", 150_000) + `"; }`, loop,
		},
		"one field asked for again": {
			`require ["duplicate", "foreverypart"]; foreverypart {` + repeat(`if duplicate :header "X" { keep; }`, 20_000) + `}`,
			strings.Repeat("X: a\r\n", 9000) + loop,
		},
		"content that is none": {
			`require "body";` + repeat(`if body :contains "zz" { keep; }`, 900),
			"Content-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat(strings.Repeat(" ", 76)+"\r\n", 300_000),
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := e.Compile("", []byte(c.script))
			if err != nil {
				t.Fatal(err)
			}
			r := s.Run(context.Background(), strings.NewReader(c.message), nil)
			var limit *sieve.LimitError
			if !errors.As(r.Err, &limit) || plan(r) != "keep implicit\n" {
				t.Errorf("got %v after %d steps, want a limit", r.Err, r.Steps)
			}
		})
	}
}

// A script is read in time that grows with its length and not with its square:
// each of these would keep a core for a quarter of an hour.
func TestLongestScriptsAreReadOnce(t *testing.T) {
	const octets = 1<<20 - 100
	fill := func(s string) string { return strings.Repeat(s, octets/len(s)) }
	e := engine(t)
	for name, c := range map[string]struct{ script, err string }{
		"one tag":             {`require ["fileinto", "copy"]; fileinto ` + fill(":copy ") + `"x";`, "`:copy` is given twice"},
		"starts of variables": {`require "variables"; if string "` + fill("${.") + `}" "x" { keep; }`, ""},
		"starts of encoded":   {`require "encoded-character"; if header "Subject" "` + fill("${hex: ") + `}" { keep; }`, ""},
	} {
		_, err := e.Compile("", []byte(c.script))
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: got %.200v, want %q", name, err, c.err)
		}
	}
}

// A run ends when its context does.
func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("shutting down"))
	s := compiled(t, []byte(`require "body";`+repeat(`if body :raw :contains "zz" { discard; }`, 100)))
	r := s.Run(ctx, strings.NewReader("Subject: x\r\n\r\n"+strings.Repeat("y", 1<<20)), nil)
	if r.Err == nil || !strings.Contains(r.Err.Error(), "shutting down") || !r.Kept {
		t.Errorf("got %v, kept %v; want the cause and the message kept", r.Err, r.Kept)
	}
}

// broken is a message that cannot be read.
type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }
func (broken) Size() int64                       { return 1000 }

func TestMessageThatCannotBeReadIsKept(t *testing.T) {
	s := compiled(t, []byte(`if header "Subject" "x" { discard; }`))
	r := s.Run(context.Background(), broken{}, nil)
	if !errors.Is(r.Err, io.ErrClosedPipe) || !r.Kept {
		t.Errorf("got %v, kept %v; want %v and kept", r.Err, r.Kept, io.ErrClosedPipe)
	}
}

// What was not read of a header would be lost with a change: the demand of RFC
// 8689 §4.1 among it.
func TestHeaderThatIsTooLongIsNotChanged(t *testing.T) {
	s := compiled(t, []byte(`require "editheader"; addheader "X-A" "b";`))
	for name, header := range map[string]string{
		"fields": strings.Repeat("a: x\r\n", 10_000) + "TLS-Required: No\r\n",
		"octets": strings.Repeat("a: "+strings.Repeat("x", 900)+"\r\n", 1200) + "TLS-Required: No\r\n",
	} {
		r := s.Run(context.Background(), strings.NewReader(header+"\r\nx"), nil)
		if r.Err == nil || !strings.Contains(r.Err.Error(), "too long to be changed") || plan(r) != "keep implicit\n" || r.Actions[0].(*sieve.Keep).Rewrite != nil {
			t.Errorf("too many %s: got %v and %s", name, r.Err, plan(r))
		}
	}
}

func TestScriptTooLong(t *testing.T) {
	_, err := engine(t).Compile("", []byte(strings.Repeat("#\n", 1<<19+1)))
	if err == nil || !strings.Contains(err.Error(), "1048576 octets") {
		t.Errorf("got %v, want the limit", err)
	}
}

func TestMistakesAreReportedUpToALimit(t *testing.T) {
	_, err := engine(t).Compile("", []byte(strings.Repeat("kep;\n", 5000)))
	var list sieve.Errors
	if !errors.As(err, &list) || len(list) != 101 {
		t.Errorf("got %d mistakes, want 100 and the remark that there are more", len(list))
	}
}

// RFC 5228 §2.10.7: at least fifteen levels; we take 32 and say so beyond.
func TestNestingHasALimit(t *testing.T) {
	e := engine(t)
	for _, c := range []struct {
		depth int
		ok    bool
	}{{15, true}, {32, true}, {33, false}, {5000, false}} {
		blocks := strings.Repeat("if true {", c.depth) + strings.Repeat("}", c.depth)
		tests := "if " + strings.Repeat("not ", c.depth-1) + "true { stop; }"
		for _, src := range []string{blocks, tests} {
			_, err := e.Compile("", []byte(src))
			if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "nested 32 deep") {
				t.Errorf("depth %d: got %v", c.depth, err)
			}
		}
	}
}

func TestVariablesHaveLimits(t *testing.T) {
	var b strings.Builder
	b.WriteString("require \"variables\";\n")
	for i := range 128 {
		fmt.Fprintf(&b, "set \"v%d\" \"x\";\n", i)
	}
	e := engine(t)
	if _, err := e.Compile("", []byte(b.String())); err != nil {
		t.Errorf("RFC 5229 §6 wants at least 128 variables: %v", err)
	}
	b.WriteString("set \"one_more\" \"x\";\n")
	if _, err := e.Compile("", []byte(b.String())); err == nil {
		t.Error("129 variables compiled")
	}
	// A value that grows too long while running is cut at a character, never an
	// error (RFC 5229 §6).
	s := compiled(t, []byte(`require ["variables", "reject"]; set "a" "ü`+strings.Repeat("y", 4000)+`"; set "b" "x${a}${a}${a}"; set "c" "${b}${b}"; set :length "d" "${c}"; reject "${d}";`))
	r := s.Run(context.Background(), strings.NewReader("\r\n"), nil)
	if got, want := plan(r), "reject \"8189\"\n"; got != want {
		t.Errorf("got %s (%v), want %s", got, r.Err, want)
	}
}

func TestActionsHaveALimit(t *testing.T) {
	var b strings.Builder
	b.WriteString("require \"fileinto\";\n")
	for i := range 33 {
		fmt.Fprintf(&b, "fileinto \"m%d\";\n", i)
	}
	r := compiled(t, []byte(b.String())).Run(context.Background(), strings.NewReader("\r\n"), nil)
	if r.Err == nil || r.Err.Error() != "line 34: a script may not use more than 32 actions" || plan(r) != "keep implicit\n" {
		t.Errorf("got %v and %s", r.Err, plan(r))
	}
}

// RFC 6609 §3.1: at least three scripts inside each other.
func TestIncludesHaveLimits(t *testing.T) {
	e := engine(t)
	load := func(_ context.Context, _ sieve.Location, name string) (*sieve.Script, error) {
		return e.Compile(name, []byte(`require "include"; include "`+name+`x";`))
	}
	s, err := e.Compile("", []byte(`require "include"; include "a";`))
	if err != nil {
		t.Fatal(err)
	}
	r := s.Run(context.Background(), strings.NewReader("\r\n"), &sieve.Input{Load: load})
	var limit *sieve.LimitError
	if !errors.As(r.Err, &limit) || !r.Kept {
		t.Errorf("got %v, want a limit", r.Err)
	}
}
