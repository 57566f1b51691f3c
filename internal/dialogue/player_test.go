package dialogue_test

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"testing"

	"letterlock/internal/dialogue"
	"letterlock/internal/serve"
)

// echo greets and gives every line back, counted; STARTTLS begins TLS, and QUIT
// ends it.
func echo(ctx context.Context, c *serve.Conn) {
	fmt.Fprint(c, "hello\r\n")
	r := bufio.NewReader(c)
	for n := 1; ; n++ {
		line, err := r.ReadString('\n')
		switch {
		case err != nil || line == "QUIT\r\n":
			return
		case line == "STARTTLS\r\n":
			fmt.Fprint(c, "go on\r\n")
			if c.StartTLS(ctx) != nil {
				return
			}
			r.Reset(c)
		default:
			fmt.Fprintf(c, "%d id%dx %s", n, n*7, line)
		}
	}
}

const script = `# two connections, one of them inside TLS
@file letter
two lines
of octets <0x41>
@end
S: hello
C: one
S: 1 %id% one
C: two %id%
S: 2 ... two id7x
other S: hello
other C: STARTTLS
other S: go on
TLS other
other C-: in
other C:  TLS
S<: nothing
other S: ... in TLS
C<: letter
S: ...two lines
S: ...of octets A
C* "a\tb\r\nc\r\n"
S*: ...c
C: {letter+} <0x7e>
S: ...{24+} ~
C: QUIT
CLOSED
`

func TestPlayerPlaysBothSides(t *testing.T) {
	id := dialogue.NewIdentity(t, "localhost")
	srv, _ := dialogue.Serve(t, serve.Options{Name: "echo", TLS: id.Certs, Handle: echo, Endpoints: []serve.Endpoint{{Network: "tcp", Address: "127.0.0.1:0"}}})
	clients := map[string]*dialogue.Client{}
	p := &dialogue.Player{T: t, Anything: "..."}
	p.SetFile("nothing", "")
	p.Client = func(name string) *dialogue.Client {
		if clients[name] == nil {
			clients[name] = dialogue.Dial(t, name, srv.Addrs()[0])
		}
		return clients[name]
	}
	played := 0
	p.Do = func(word, rest string) {
		played++
		switch word {
		case "TLS":
			clients[rest].StartTLS(id.Client())
		case "CLOSED":
			if err := clients[rest].Closed(); err != nil {
				t.Error(err)
			}
		default:
			p.Fail("cannot read %q", word)
		}
	}
	p.Play([]byte(script))
	if played != 2 {
		t.Errorf("played %d directives, want 2", played)
	}
}

// failing is a test that notes that it failed, and goes on no further.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	panic(f)
}

// TestPlayerFailsAtTheLine: what is not as the file says is a failure, with both
// sides of it and where it stands.
func TestPlayerFailsAtTheLine(t *testing.T) {
	srv, _ := dialogue.Serve(t, serve.Options{Name: "echo", Handle: echo, Endpoints: []serve.Endpoint{{Network: "tcp", Address: "127.0.0.1:0"}}})
	for script, want := range map[string]string{
		"S: hello\nC: one\nS: 1 id7x two":        "line 3: \n got 1 id7x one\nwant 1 id7x two",
		"S: hello\nC: one\nS: 2 ...":             "line 3: \n got 1 id7x one\nwant 2 ...",
		"S: hello\nC: QUIT\nS: 1 ...":            "line 3: got \"\", EOF\nwant 1 ...",
		"S<: letter":                             "line 1: no file letter",
		"@file letter\nS: hello":                 "line 2: @file letter has no @end",
		"S: hello\nWHAT else":                    "line 2: cannot read WHAT",
		"@file x\nhullo\n@end\nS<: x":            "line 4: <nil>\n got \"hello\\r\\n\"\nwant \"hullo\\r\\n\"",
		"S: hello\nC: a\nC: b\nS: 1...\nS: 1...": "line 5: \n got 2 id14x b\nwant 1...",
	} {
		f := &failing{TB: t}
		func() {
			defer func() {
				if r := recover(); r != nil && r != any(f) {
					panic(r)
				}
			}()
			var c *dialogue.Client
			p := &dialogue.Player{T: f, Anything: "..."}
			p.Do = func(word, _ string) { p.Fail("cannot read %s", word) }
			p.Client = func(string) *dialogue.Client {
				if c == nil {
					c = dialogue.Dial(t, "", srv.Addrs()[0])
				}
				return c
			}
			p.Play([]byte(script))
		}()
		if f.said != want {
			t.Errorf("%q\n said %q\n want %q", script, f.said, want)
		}
	}
}

func TestLike(t *testing.T) {
	for _, c := range []struct {
		got, want string
		like      bool
	}{
		{"250 ok", "250 *", true}, {"250 ok", "250 ok", true}, {"250 okay", "250 ok", false}, {"250", "250 *", false},
		{"a b c", "a*c", true}, {"a b c", "*b*", true}, {"a b c", "*x*", false}, {"ac", "a*c", true}, {"a", "a*a", false},
	} {
		if got := dialogue.Like(c.got, c.want, "*"); got != c.like {
			t.Errorf("%q like %q: got %t", c.got, c.want, got)
		}
	}
	if dialogue.Like("250 *", strings.Repeat("x", 3), "...") {
		t.Error("what is not a wildcard was one")
	}
}
