package managesieve_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"letterlock/sieve/managesieve"
)

// FuzzSession throws octets at a session that has logged in. Whatever they are,
// the server answers in the grammar of RFC 5804 §4, ends the connection when the
// client does, and keeps nothing that does not compile.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"CAPABILITY\r\nNOOP \"x\"\r\nLISTSCRIPTS\r\nLOGOUT\r\n",
		"PUTSCRIPT \"a\" {5+}\r\nkeep;\r\nGETSCRIPT \"a\"\r\nSETACTIVE \"a\"\r\nDELETESCRIPT \"a\"\r\n",
		"HAVESPACE {1+}\r\na 4294967295\r\nRENAMESCRIPT \"a\" \"b\"\r\nCHECKSCRIPT \"x\"\r\n",
		"UNAUTHENTICATE\r\nAUTHENTICATE \"SCRAM-SHA-256\" \"biwsbj1hLHI9Yg==\"\r\n\"*\"\r\n",
		"PUTSCRIPT \"\\\"\" {5}\r\nkeep; x\r\n{1+}\r\n",
	} {
		f.Add([]byte(seed))
	}
	h := openHouse(f, func(o *managesieve.Options) { o.LoginTime = 2 * time.Second })
	f.Fuzz(func(t *testing.T, octets []byte) {
		h.t = t
		c := h.dial("tls")
		defer c.Conn.Close()
		c.answer()
		c.ok(`AUTHENTICATE "PLAIN" "` + plain("", "ann@example.org", secret) + `"`)
		sent := make(chan struct{})
		go func() { // the server may stop reading; then it has closed
			defer close(sent)
			c.Conn.Write(octets)
			if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
				half.CloseWrite()
			}
		}()
		said, err := io.ReadAll(c.R)
		c.Conn.Close()
		<-sent
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the session has no end; it said %q", said)
		}
		if err := grammatical(said); err != "" {
			t.Errorf("%s\nsent %q\nsaid %q", err, octets, said)
		}
		list, err := h.scripts.List(context.Background(), town["ann@example.org"])
		if err != nil {
			t.Fatal(err)
		}
		for _, script := range list {
			if name, err := managesieve.Name(script.Name); err != nil || name != script.Name {
				t.Errorf("a script is called %q: %v", script.Name, err)
			}
			os.Remove(h.scripts.path(town["ann@example.org"], script.Name))
		}
		os.Remove(h.scripts.activeFile(town["ann@example.org"]))
	})
}

var announcement = regexp.MustCompile(`\{(\d+)\}$`)

// grammatical says what is wrong with what a server said: every line must be
// strings, atoms and parentheses, its literals as long as announced.
func grammatical(said []byte) string {
	r := bufio.NewReader(bytes.NewReader(said))
	for {
		line, err := r.ReadString('\n')
		if line == "" && err == io.EOF {
			return ""
		}
		text, whole := strings.CutSuffix(line, "\r\n")
		if !whole || strings.ContainsAny(text, "\r\x00") {
			return "a line does not end in CRLF: " + line
		}
		outside := regexp.MustCompile(`"[^"\\]*"`).ReplaceAllString(text, "S")
		if strings.ContainsAny(outside, `"\`) {
			return "a quoted string has no end: " + line
		}
		if m := announcement.FindStringSubmatch(text); m != nil {
			n := 0
			for _, d := range m[1] {
				n = 10*n + int(d-'0')
			}
			if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
				return "a literal is cut: " + line
			}
		}
	}
}

func TestTheFuzzersGrammarKnowsWhatIsWrong(t *testing.T) {
	for said, right := range map[string]bool{
		"OK\r\n":                         true,
		"NO (TAG {2}\r\n\r\n) \"x\"\r\n": true,
		"OK \"x\r\n":                     false,
		"OK {5}\r\nabc\r\n":              true,
		"OK {6}\r\nabc\r\n":              false,
		"OK\n":                           false,
	} {
		if got := grammatical([]byte(said)); (got == "") != right {
			t.Errorf("%q: %q", said, got)
		}
	}
}

func TestNames(t *testing.T) { // RFC 5804 §1.6
	for name, want := range map[string]string{
		"a":                      "a",
		"fu\u0308r":              "f\u00fcr",
		strings.Repeat("ä", 128): strings.Repeat("ä", 128),
		"":                       "",
		"a\ufeff":                "",
		"\u0080":                 "",
		strings.Repeat("a", 129): "",
		"\xed\xa0\x80":           "",
	} {
		got, err := managesieve.Name(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestQuota(t *testing.T) {
	q := managesieve.Quota{Scripts: 2, Size: 10, Total: 15}
	there := []managesieve.Script{{Name: "a", Size: 5}, {Name: "b", Size: 6}}
	for _, try := range []struct {
		name  string
		size  int64
		there []managesieve.Script
		want  error
	}{
		{"a", 9, there, nil},
		{"a", 10, there, managesieve.ErrNoSpace},
		{"a", 11, there, managesieve.ErrTooBig},
		{"c", 1, there, managesieve.ErrTooMany},
		{"c", 9, there[1:], nil},
		{"a", 1, slices.Concat(there, []managesieve.Script{{Name: "c"}}), nil}, // the limit was lowered; what is there may be mended
	} {
		if err := q.Allows(try.there, try.name, try.size); !errors.Is(err, try.want) {
			t.Errorf("%s of %d octets beside %v: %v, want %v", try.name, try.size, try.there, err, try.want)
		}
	}
}
