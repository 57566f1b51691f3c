package imapd_test

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkMailbox measures what clients ask of a mailbox of 10,000.
func BenchmarkMailbox(b *testing.B) {
	h := openHouse(b)
	h.fill("INBOX", 10000)
	c := h.loggedIn("c", "tls")
	c.ok("SELECT INBOX")
	for _, command := range []string{
		"NOOP",
		"SELECT INBOX",
		"FETCH 1:* (UID FLAGS)",
		"FETCH 1:* (FLAGS UID INTERNALDATE RFC822.SIZE ENVELOPE)",
		"FETCH 1:* (UID BODYSTRUCTURE)",
		"UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID References)])",
		"FETCH 1:* BODY.PEEK[]",
		"SEARCH UNSEEN",
		"SEARCH SINCE 1-Jan-2026",
		"SEARCH SUBJECT 4711",
		"SEARCH TEXT nowhere",
		"STORE 1:* +FLAGS (\\Flagged)",
		"STORE 1:* -FLAGS.SILENT (\\Flagged)",
	} {
		b.Run(strings.ReplaceAll(command, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				c.ok(command)
			}
		})
	}
}

// fill appends n letters, pipelined.
func (h *house) fill(mailbox string, n int) {
	h.t.Helper()
	c := h.loggedIn("fill", "tls")
	text := "From: bob@example.org\r\nTo: ann@example.org\r\nSubject: number %d\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <%d@example.org>\r\n\r\n" +
		strings.Repeat("Some text that fills a line of a letter rather well.\r\n", 60)
	go func() {
		for i := range n {
			m := fmt.Sprintf(text, i, i)
			c.send(fmt.Sprintf("f APPEND %s {%d+}\r\n%s\r\n", mailbox, len(m), m))
		}
	}()
	for range n {
		if line := c.line(); !strings.HasPrefix(line, "f OK") {
			h.t.Fatalf("fill: %s", line)
		}
	}
}
