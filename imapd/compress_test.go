package imapd_test

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"

	"letterlock/internal/deflate"
)

// TestCompressionEndsBeforeTheLastFlushHasCome: the empty stored block of a
// client's flush may come behind the octets that UNAUTHENTICATE was understood
// from (RFC 8437 §4.1). It is no command.
func TestCompressionEndsBeforeTheLastFlushHasCome(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	tried := 0
	for n := 1; n <= 8; n++ {
		tag := strings.Repeat("t", n)
		for late := 1; late <= 5; late++ {
			command := tag + " UNAUTHENTICATE\r\n"
			sent := deflated(t, command)
			first, rest := sent[:len(sent)-late], sent[len(sent)-late:]
			if !understood(first, command) {
				continue
			}
			tried++
			c := h.loggedIn("c", "tls")
			c.ok("COMPRESS DEFLATE")
			c.compress()
			raw := c.conn.(*compressed).Conn
			if _, err := raw.Write(first); err != nil {
				t.Fatal(err)
			}
			if got, want := c.line(), tag+" OK UNAUTHENTICATE completed"; got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			c.uncompress()
			c.send(string(rest))
			if lines := c.ok("NOOP"); len(lines) != 1 {
				t.Errorf("tag of %d, %d octets late: %q came before the answer to NOOP", n, late, lines)
			}
		}
	}
	if tried < 30 {
		t.Errorf("%d ways to cut were tried, want most of 40", tried)
	}
}

// deflated is what a client with Go's library sends.
func deflated(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// understood says whether all of a text can be read from some octets.
func understood(octets []byte, text string) bool {
	got, err := io.ReadAll(deflate.NewReader(bytes.NewReader(octets), nil))
	return string(got) == text && err == nil
}
