package imapd_test

import (
	"slices"
	"strings"
	"testing"

	"letterlock/imapd"
	"letterlock/internal/requiretls"
)

// rememberedItems are forms in which what is remembered of a letter is asked for.
var rememberedItems = []string{
	"(UID BODYSTRUCTURE)",
	"BODY",
	"(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (Subject From)])",
	"(BODY.PEEK[HEADER.FIELDS (Subject)] RFC822.SIZE)",
}

// TestWhatIsRememberedIsAnsweredAsAnew: in another session and in the order of
// the messages, whichever of them are remembered, with the flags of now.
func TestWhatIsRememberedIsAnsweredAsAnew(t *testing.T) {
	t.Parallel()
	h, anew := openHouse(t), openHouse(t)
	for _, text := range []string{openLetter, taggedLetter, openLetter, "Subject: last\r\n\r\nlast\r\n"} {
		h.deliver(letter{mailbox: "INBOX", text: text, flags: []string{`\Seen`}})
		anew.deliver(letter{mailbox: "INBOX", text: text, flags: []string{`\Seen`, `\Flagged`}})
	}
	a := h.loggedIn("a", "tls")
	a.ok("EXAMINE INBOX")
	for _, items := range rememberedItems {
		a.ok("FETCH 4 " + items)
		a.ok("FETCH 2,4 " + items)
	}
	a.ok("SELECT INBOX")
	a.ok(`STORE 1:4 +FLAGS (\Flagged)`)
	b, c := h.loggedIn("b", "tls"), anew.loggedIn("c", "tls")
	b.ok("EXAMINE INBOX")
	c.ok("SELECT INBOX")
	c.ok("SELECT INBOX") // nothing is \Recent to any of them
	for _, items := range rememberedItems {
		want := c.ok("FETCH 1:4 " + items)
		for range 2 {
			if got := b.ok("FETCH 1:4 " + items); !slices.Equal(got, want) {
				t.Errorf("FETCH 1:4 %s: got %q, want %q", items, got, want)
			}
		}
	}
	a.ok(`STORE 2 +FLAGS.SILENT (\Deleted)`)
	a.ok("EXPUNGE")
	b.ok("NOOP")
	for _, items := range rememberedItems {
		if got := strings.Join(b.ok("FETCH 1:* "+items), "\n"); strings.Contains(got, "quagga") {
			t.Errorf("FETCH 1:* %s: got %s of a letter that is gone", items, got)
		}
	}
}

// TestRequireTLSHoldsForWhatIsRemembered: a protected session has asked before
// (RFC 8689 §4.4).
func TestRequireTLSHoldsForWhatIsRemembered(t *testing.T) {
	t.Parallel()
	h := openHouse(t, func(o *imapd.Options) { o.Cleartext.Local = true })
	h.deliver(letter{mailbox: "INBOX", text: taggedLetter, demand: requiretls.Required()})
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	secure, clear := h.loggedIn("secure", "tls"), h.loggedIn("clear", "plain")
	secure.ok("EXAMINE INBOX")
	clear.ok("EXAMINE INBOX")
	for _, items := range rememberedItems {
		for range 2 {
			secure.ok("FETCH 1:2 " + items)
			lines := clear.do("FETCH 1:2 " + items)
			if got := strings.Join(lines, "\n"); strings.Contains(got, "quagga") || !strings.HasSuffix(got, "OK [PRIVACYREQUIRED] 1 withheld") {
				t.Errorf("FETCH 1:2 %s in clear: got %s", items, got)
			}
			if lines = clear.do("FETCH 1 " + items); !strings.HasPrefix(lines[len(lines)-1], "NO [PRIVACYREQUIRED]") {
				t.Errorf("FETCH 1 %s in clear: got %q", items, lines)
			}
		}
	}
}
