package imapd_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"letterlock/imapd"
)

// A MOVE of very many messages is made in steps. What was moved before one of them
// failed is told of with its new UIDs (RFC 4315 §3, RFC 6851 §4.3): here somebody
// gives the target another name meanwhile.
func TestMoveThatEndsMidwayTellsWhereMessagesWent(t *testing.T) {
	t.Parallel()
	const all = 1 << 18
	ctx := context.Background()
	h := openHouse(t, func(o *imapd.Options) { o.Progress = time.Hour }) // its lines would stand between
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	c := h.loggedIn("c", "tls")
	c.ok("CREATE Target")
	c.ok("SELECT INBOX")
	for n := 1; n < all; n *= 2 {
		c.ok("COPY 1:* INBOX")
	}
	ann := h.account("ann")
	changed, stop := ann.WatchAll()
	defer stop()
	renamed := make(chan error, 1)
	go func() {
		for range changed {
			if box, err := ann.Mailbox(ctx, "Target"); err != nil || box.Messages > 0 {
				renamed <- ann.Rename(ctx, "Target", "Kept")
				return
			}
		}
	}()
	lines := c.do("MOVE 1:* Target")
	if err := <-renamed; err != nil {
		t.Fatal(err)
	}
	kept, err := ann.Mailbox(ctx, "Kept")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lines[0], fmt.Sprintf("* OK [COPYUID %d 1:%d 1:%[2]d] ", kept.UIDValidity, kept.Messages); !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	answer, want := lines[len(lines)-1], "NO [TRYCREATE]"
	if kept.Messages == all { // the other name came too late
		want = "OK"
	}
	if !strings.HasPrefix(answer, want) {
		t.Errorf("%d of %d messages were moved; got %s, want %s", kept.Messages, all, answer, want)
	}
	if box, err := ann.Mailbox(ctx, "INBOX"); err != nil || box.Messages+kept.Messages != all {
		t.Errorf("%d messages are left, %d were moved, %v; want %d together", box.Messages, kept.Messages, err, all)
	}
}
