package imapd_test

import (
	"fmt"
	"strings"
	"testing"
)

// manyEntries sets 640 entries with long names for a mailbox, and says after which
// command it is at.
func (c *client) manyEntries(mailbox string) {
	c.t.Helper()
	for k := range 4 {
		var entries []string
		for i := range 160 {
			entries = append(entries, fmt.Sprintf("/private/%s/%d-%03d \"x\"", strings.Repeat("n", 380), k, i))
		}
		c.ok("SETMETADATA " + mailbox + " (" + strings.Join(entries, " ") + ")")
	}
}

// TestNotificationOverflow: a session remembers so much of what it watches and no
// more; then NOTIFY is refused and leaves what was asked for before (RFC 5465 §3.1),
// or ends with OK [NOTIFICATIONOVERFLOW] (§5.8).
func TestNotificationOverflow(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	a, b := h.loggedIn("a", "tls"), h.loggedIn("b", "tls")
	b.manyEntries("Archive")
	a.ok("NOTIFY SET (PERSONAL (MailboxName))")
	refused := a.do("NOTIFY SET (PERSONAL (MailboxMetadataChange))")
	if got := refused[len(refused)-1]; !strings.HasPrefix(got, "NO [NOTIFICATIONOVERFLOW] ") {
		t.Errorf("got %s, want NO [NOTIFICATIONOVERFLOW]", got)
	}
	b.ok("CREATE One")
	if got, want := a.line(), `* LIST (\HasNoChildren) "/" One`; got != want {
		t.Errorf("got %s, want %s: what was asked for before stands", got, want)
	}
	a.ok("NOTIFY SET (MAILBOXES (Sent Two) (MailboxMetadataChange MailboxName))")
	b.manyEntries("Sent")
	told := 0
	for {
		line := a.line()
		if strings.HasPrefix(line, "* OK [NOTIFICATIONOVERFLOW] ") {
			break
		}
		if !strings.HasPrefix(line, "* METADATA Sent /private/") {
			t.Fatalf("got %s, want METADATA or OK [NOTIFICATIONOVERFLOW]", line)
		}
		told++
	}
	if told == 0 {
		t.Error("nothing was told before the overflow")
	}
	b.ok("CREATE Two")
	if got := a.do("NOOP"); len(got) != 1 {
		t.Errorf("got %q, want nothing as after NOTIFY NONE", got)
	}
}

// TestMetadataOfEverything: all entries of a mailbox come in one answer (RFC 5464
// §4.4.1), each once.
func TestMetadataOfEverything(t *testing.T) {
	t.Parallel()
	c := openHouse(t).loggedIn("c", "tls")
	c.ok("CREATE Kept")
	c.manyEntries("Kept")
	lines := c.ok("GETMETADATA (DEPTH infinity) Kept /private")
	if n := strings.Count(lines[0], ` "x"`); len(lines) != 2 || n != 640 || !strings.HasPrefix(lines[0], "* METADATA Kept (/private/nnn") || !strings.HasSuffix(lines[0], ` "x")`) {
		t.Errorf("%d entries in %d lines, want 640 in one and OK: %.80s", n, len(lines), lines[0])
	}
}
