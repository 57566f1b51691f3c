package storage

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// The most that one letter may bring for one person is applied, too.
func TestALetterThatDoesAllItMayIsApplied(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
	now := time.Unix(1700000000, 0)
	options := Options{Shards: 1, Now: func() time.Time { return now }}
	s := openStore(t, dir, options)
	p := addPerson(t, s, "ann")
	a := s.Account(p.ID)
	memories := func(first int) (some []mail.Memory) {
		for i := range maxMemories {
			m := mail.Memory{Until: now.Add(time.Minute)}
			copy(m.Key[:], fmt.Sprint(first+i))
			some = append(some, m)
		}
		return some
	}
	for i := range forgetAtOnce {
		if err := a.Remember(ctx, memories(i*maxMemories)...); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour) // all of that is to be forgotten

	env := &mail.Envelope{Demand: requiretls.Usual(), From: elsewhere("s")}
	plan := mail.Delivery{Account: uint64(p.ID), Rcpt: p.Address, Remember: memories(10000)}
	for i := range maxCopies {
		name := fmt.Sprint("x", i)
		if i < 24 {
			name += strings.Repeat("/x", maxDepth-2)
		}
		plan.Copies = append(plan.Copies, mail.Copy{Mailbox: name, Create: true})
		plan.Outbound = append(plan.Outbound, env.Redirect(mail.Redirect{To: elsewhere(fmt.Sprint("to", i))}))
	}
	text := "Message-ID: <1@x>\r\n\r\nhello"
	if errs := s.Commit(ctx, env, newBody(text), crashSummary(text), []mail.Delivery{plan}); errs[0] != nil {
		t.Fatal(errs[0])
	}
	image := crashImage(t, dir)
	for name, s := range map[string]*Store{"running": s, "reopened": openStore(t, image, options)} {
		for _, c := range plan.Copies {
			box, err := s.Account(p.ID).Mailbox(ctx, c.Mailbox)
			if err != nil || box.Messages != 1 {
				t.Fatalf("%s: %d messages in %s, %v; want 1", name, box.Messages, c.Mailbox, err)
			}
		}
		if all := findings(t, s); len(all) > 0 {
			t.Errorf("%s: check found %q", name, all)
		}
	}
}
