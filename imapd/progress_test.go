package imapd_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"letterlock/imapd"
)

// TestLongCommandsTellHowFarTheyAre: RFC 9585. A mailbox is copied into itself
// until that takes long enough for a word to be said; then it is searched,
// flagged, moved to and fro, each until a word was said, and emptied.
func TestLongCommandsTellHowFarTheyAre(t *testing.T) {
	t.Parallel()
	h := openHouse(t, func(o *imapd.Options) { o.Progress = time.Nanosecond })
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	c := h.loggedIn("c", "tls")
	c.ok("CREATE Target")
	c.ok("SELECT INBOX")
	n := 1
	for told := false; !told || n < 1<<12; n *= 2 {
		if n == 1<<17 {
			t.Fatalf("COPY of %d messages was not told of", n/2)
		}
		told = tells(t, c, "COPY 1:* INBOX", n)
	}
	for _, commands := range [][]string{
		{"UID SEARCH SUBJECT nothing"},
		{`STORE 1:* +FLAGS.SILENT (\Deleted)`, `STORE 1:* -FLAGS.SILENT (\Deleted)`},
		{"MOVE 1:* Target", "SELECT Target", "MOVE 1:* INBOX", "SELECT INBOX"},
	} {
		told := false
		for try := 0; !told; try++ {
			if try == 20 {
				t.Fatalf("%s of %d messages was not told of", commands[0], n)
			}
			for _, command := range commands {
				told = tells(t, c, command, n) || told
			}
		}
	}
	c.ok(`STORE 1:* +FLAGS.SILENT (\Deleted)`)
	tells(t, c, "EXPUNGE", n)
}

var inProgress = regexp.MustCompile(`^\* OK \[INPROGRESS \("(\w+)" (\d+) (\d+)\)\] `)

// tells says whether a command of n messages told how far it is, and that it was
// right: the tag, never backwards, never more than all.
func tells(t *testing.T, c *client, command string, n int) (told bool) {
	t.Helper()
	last := 0
	for _, line := range c.ok(command) {
		m := inProgress.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		told = true
		var done, goal int
		fmt.Sscan(m[2], &done)
		fmt.Sscan(m[3], &goal)
		if tag := fmt.Sprintf("c%d", c.n); m[1] != tag || done < last || done > goal || goal != n {
			t.Fatalf("%s: %s after %d, want %s, of %d", command, line, last, tag, n)
		}
		last = done
	}
	return told
}
