package imapd_test

import (
	"fmt"
	"strings"
	"testing"

	"letterlock/imapd"
)

// octetsOf is the message with that number.
func (c *client) octetsOf(number int) string {
	c.t.Helper()
	lines := c.ok(fmt.Sprintf("FETCH %d BODY.PEEK[]", number))
	answer := strings.Join(lines[:len(lines)-1], "\r\n")
	_, octets, found := strings.Cut(answer, "}\r\n")
	if !found {
		c.t.Fatalf("message %d comes as %s", number, answer)
	}
	return strings.TrimSuffix(octets, ")")
}

// RFC 5322 §2.3: CR and LF MUST only occur together as CRLF. What comes with LF
// alone is shown with CRLF, whichever way it came.
func TestAppendMakesCRLFOfBareLF(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	c := h.loggedIn("c", "tls")
	c.ok("ENABLE UTF8=ACCEPT")
	c.ok("SELECT INBOX")
	literal := func(sign, text string) string { return fmt.Sprintf("%s{%d+}\r\n%s", sign, len(text), text) }
	big := strings.Repeat("a line\n", 200_000)
	number := 0
	for _, it := range []struct{ command, want string }{
		{"APPEND INBOX " + literal("", "A: b\n\none\r\ntwo\n\n\rthree\n"), "A: b\r\n\r\none\r\ntwo\r\n\r\n\rthree\r\n"},
		{"APPEND INBOX " + literal("", "\n"), "\r\n"},
		{"APPEND INBOX " + literal("", "A: b\n\n"+big), "A: b\r\n\r\n" + strings.ReplaceAll(big, "\n", "\r\n")},
		{"APPEND INBOX UTF8 (" + literal("~", "Subject: \u00e9\n\n") + ")", "Subject: \u00e9\r\n\r\n"},
		{"APPEND INBOX " + literal("~", "A: b\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb"), "A: b\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb"},
		{"APPEND INBOX CATENATE (TEXT " + literal("", "\nA: b\n\r") + " TEXT " + literal("", "\n\n") + ` URL "/INBOX/;UID=5/;SECTION=TEXT" TEXT ` + literal("", "\n") + ")", "\r\nA: b\r\n\r\n\r\na\nb\r\n"},
	} {
		c.ok(it.command)
		number++
		if got := c.octetsOf(number); got != it.want {
			t.Errorf("%.60q came back as %.60q, want %.60q", it.command, got, it.want)
		}
	}
	c.ok("APPEND INBOX " + literal("", "A: 1\r\n\r\n") + " " + literal("", "\nA: 2\n") + " " + literal("", "A: 3\n\nx\r") + " " + literal("", "\nA: 4\n\n"))
	for i, want := range []string{"A: 1\r\n\r\n", "\r\nA: 2\r\n", "A: 3\r\n\r\nx\r", "\r\nA: 4\r\n\r\n"} {
		if got := c.octetsOf(number + 1 + i); got != want {
			t.Errorf("of four messages at once number %d came back as %q, want %q", i+1, got, want)
		}
	}
}

// However the octets come in, the CR before an LF is known.
func TestAppendInPiecesKeepsCRLF(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	c := h.loggedIn("c", "tls")
	c.ok("SELECT INBOX")
	c.send("a APPEND INBOX {12+}\r\nA: b\r")
	c.send("\n\r")
	c.send("\nhi\r\n\r\n")
	for line := c.line(); !strings.HasPrefix(line, "a OK "); line = c.line() {
		if !strings.HasPrefix(line, "* ") {
			t.Fatalf("got %s, want OK", line)
		}
	}
	if got, want := c.octetsOf(1), "A: b\r\n\r\nhi\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A message that is too big with its line ends is refused, and the next command is
// understood.
func TestAppendTooBigWithItsLineEnds(t *testing.T) {
	t.Parallel()
	h := openHouse(t, func(o *imapd.Options) { o.MaxMessage = 1000 })
	c := h.loggedIn("c", "tls")
	for text, want := range map[string]string{
		strings.Repeat("\n", 500): "OK", strings.Repeat("\n", 501): "NO [TOOBIG]", strings.Repeat("\n", 1000): "NO [TOOBIG]",
	} {
		for _, command := range []string{"APPEND INBOX {%d+}\r\n%s", "APPEND INBOX CATENATE (TEXT {%d+}\r\n%s)"} {
			lines := c.do(fmt.Sprintf(command, len(text), text))
			if got := lines[len(lines)-1]; !strings.HasPrefix(got, want) {
				t.Errorf("%d LFs by %.24q: got %s, want %s", len(text), command, got, want)
			}
			c.ok("NOOP")
		}
	}
}
