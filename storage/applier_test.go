package storage

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

// A letter that makes mailboxes for hundreds of people writes more than one
// transaction may: it is applied in several, while the store runs and when it is
// opened after a crash.
func TestALetterThatMakesMailboxesForHundredsIsApplied(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
	s := openStore(t, dir, Options{Shards: 1})
	text := "Message-ID: <1@x>\r\n\r\nhello"
	var plans []mail.Delivery
	for i := range 512 {
		to := addPerson(t, s, fmt.Sprint("p", i))
		name := "Lists/news"
		if i%128 == 0 {
			name = "deep" + strings.Repeat("/x", 30)
		}
		plans = append(plans, mail.Delivery{Account: uint64(to.ID), Rcpt: to.Address, Copies: []mail.Copy{{Mailbox: name, Create: true}}})
	}
	for i, err := range s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual(), From: elsewhere("s")}, newBody(text), crashSummary(text), plans) {
		if err != nil {
			t.Fatalf("plan %d: %v", i, err)
		}
	}
	image := crashImage(t, dir)
	for name, s := range map[string]*Store{"running": s, "reopened": openStore(t, image, Options{})} {
		for i, p := range plans {
			box, err := s.Account(AccountID(p.Account)).Mailbox(ctx, p.Copies[0].Mailbox)
			if err != nil || box.Messages != 1 {
				t.Fatalf("%s: account %d has %d messages in %s, %v; want 1", name, i, box.Messages, p.Copies[0].Mailbox, err)
			}
		}
	}
}
