package imapd_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"letterlock/imapd"
	"letterlock/internal/requiretls"
)

// TestHidingIsAsIfThereWereNoTaggedLetters gives the same commands to ann, who has
// tagged letters behind her others, and to bob, who has none, at the address that
// hides: every answer is the same, but for what is random or a time (RFC 8689
// §4.4).
func TestHidingIsAsIfThereWereNoTaggedLetters(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"hiding", "hiding-tls"} {
		h := openHouse(t, func(o *imapd.Options) { o.Cleartext.Local, o.Insecure = true, imapd.InsecureRefuse })
		for _, who := range []string{"ann", "bob"} {
			h.deliverTo(who, letter{mailbox: "INBOX", text: openLetter})
			h.deliverTo(who, letter{mailbox: "INBOX", text: "Subject: other\r\nIn-Reply-To: <quagga@id.example>\r\n\r\nother\r\n", flags: []string{`\Seen`, "work"}, demand: requiretls.Waived()})
		}
		for _, box := range []string{"INBOX", "INBOX", "Archive"} {
			h.deliverTo("ann", letter{mailbox: box, text: taggedLetter, demand: requiretls.Required(), flags: []string{`\Deleted`, "work", "numbat"}})
		}
		ann, bob := h.dial("x", how), h.dial("x", how)
		ann.line()
		bob.line()
		ann.ok("LOGIN ann@example.org " + secret)
		bob.ok("LOGIN bob@example.org " + secret)
		for _, command := range hidingCommands() {
			got, want := same(ann.do(command)), same(bob.do(command))
			if got != want {
				t.Errorf("%s, %s:\n got %s\nwant %s", how, command, got, want)
			}
		}
	}
}

// hidingCommands is whatever tells of messages, and then whatever changes them.
func hidingCommands() []string {
	all := []string{
		`LIST "" *`, `LIST "" * RETURN (STATUS (MESSAGES UIDNEXT UNSEEN DELETED SIZE RECENT DELETED-STORAGE))`,
		"STATUS INBOX (MESSAGES UIDNEXT UNSEEN DELETED SIZE RECENT UIDVALIDITY MAILBOXID)", "STATUS Archive (MESSAGES SIZE DELETED)",
		"NOTIFY SET STATUS (SELECTED (MessageNew (UID ENVELOPE) MessageExpunge FlagChange)) (PERSONAL (MessageNew MessageExpunge FlagChange))",
		"EXAMINE Archive", "SELECT INBOX", "FETCH 1:* (UID FLAGS RFC822.SIZE)", "FETCH 3 FLAGS", "UID FETCH 1:* (FLAGS)", "UID FETCH 3:4 (FLAGS)", "UID FETCH * (FLAGS)",
		"UID SEARCH RETURN (SAVE) ALL", "FETCH $ UID", "UID THREAD REFERENCES UTF-8 ALL", "UID THREAD REFS UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL",
	}
	for _, by := range []string{"SUBJECT", "SIZE", "REVERSE ARRIVAL", "DISPLAYFROM"} {
		all = append(all, "SORT ("+by+") UTF-8 ALL", "UID SORT RETURN (PARTIAL -1:-9 COUNT) ("+by+") UTF-8 ALL")
	}
	for _, item := range contentItems {
		all = append(all, "FETCH 1:* "+item, "UID FETCH 3 "+item, "UID FETCH 2:* (UID)")
	}
	for _, key := range contentKeys {
		for _, wrapping := range wrappings {
			for _, verb := range []string{"SEARCH ", "UID SEARCH ", "ESEARCH IN (PERSONAL) "} {
				all = append(all, verb+fmt.Sprintf(wrapping, key[0]))
			}
		}
	}
	return append(all,
		"SEARCH KEYWORD $RequireTLS", "SEARCH DELETED", "UID SEARCH UID 1:4", "SEARCH LARGER 1", `STORE 1:* -FLAGS (\Seen)`, `UID STORE 1:4 +FLAGS (\Flagged)`, `UID STORE 3:4 FLAGS ()`,
		"CREATE Target", "UID COPY 3 Target", "UID COPY 1:4 Target", "UID MOVE 3:4 Target", `APPEND Target CATENATE (URL "/INBOX/;UID=3")`, `APPEND Target CATENATE (URL "/Archive/;UID=1")`,
		"UID REPLACE 3 Target {12+}\r\nA: b\r\n\r\nhi\r\n", "UID EXPUNGE 3:4", "EXPUNGE", "STATUS Target (MESSAGES SIZE)", "MOVE 1 Sent", "STATUS Sent (MESSAGES SIZE UNSEEN DELETED)", "NOOP", "CLOSE",
	)
}

var (
	randomThings = regexp.MustCompile(`UIDVALIDITY \d+|MAILBOXID \(\w+\)|HIGHESTMODSEQ \d+|(EMAILID|THREADID) \(\w+\)|(COPYUID|APPENDUID) \d+|MODSEQ \(\d+\)`)
	ownUIDs      = regexp.MustCompile(`(COPYUID|APPENDUID) [\d:, ]+`)
)

// same is an answer without what differs anyway.
func same(lines []string) string {
	text := ownUIDs.ReplaceAllString(strings.Join(lines, "\n"), "")
	return randomThings.ReplaceAllString(text, "")
}

// TestHidingHasUIDValiditiesOfItsOwn: a client that meets both views of a name
// can take neither for the other, nor for one of a mailbox that had the name
// before (RFC 9051 §2.3.1.1).
func TestHidingHasUIDValiditiesOfItsOwn(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	whole, view := h.loggedIn("w", "tls"), h.loggedIn("v", "hiding-tls")
	type pair struct{ whole, view int }
	last := map[string]pair{}
	given := map[int]string{} // by value, in which view
	look := func(name string) {
		t.Helper()
		now := pair{validityOf(whole, name), validityOf(view, name)}
		if was := last[name]; was.whole < now.whole != (was.view < now.view) || now.view < was.view {
			t.Errorf("%s had %+v and has %+v: the one grows with the other", name, was, now)
		}
		last[name] = now
		for v, in := range map[int]string{now.whole: "whole", now.view: "view"} {
			if was := given[v]; v <= 0 || v > 1<<32-1 || was != "" && was != in {
				t.Errorf("%s has UIDVALIDITY %d in the %s, which the %s had", name, v, in, was)
			}
			given[v] = in
		}
	}
	for _, name := range []string{"INBOX", "Drafts", "Sent", "INBOX"} {
		look(name)
	}
	for range 3 {
		whole.ok("CREATE A")
		view.ok("CREATE B")
		look("A")
		look("B")
		whole.ok("DELETE A")
		whole.ok("RENAME B A")
		look("A")
		view.ok("DELETE A")
	}
}

var validityItem = regexp.MustCompile(`UIDVALIDITY (\d+)`)

func validityOf(c *client, name string) int {
	c.t.Helper()
	line := c.ok("STATUS " + name + " (UIDVALIDITY)")[0]
	v, err := strconv.Atoi(validityItem.FindStringSubmatch(line)[1])
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}
