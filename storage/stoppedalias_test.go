package storage

import (
	"context"
	"errors"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

// What is damaged for one of an alias does not keep its letters from the others, who
// share his answer. His own wait in the log.
func TestStoppedAccountKeepsNoLettersFromOthersOfItsAlias(t *testing.T) {
	for what, of := range map[string]func(AccountID) []byte{
		"account": accountKey,
		"name":    func(a AccountID) []byte { return namedKey(a, keyName, inbox) },
		"block":   func(a AccountID) []byte { return blocksKey(a, inboxID) },
	} {
		t.Run(what, func(t *testing.T) {
			ctx, dir, opt := context.Background(), t.TempDir(), Options{Shards: 1}
			s, err := Open(dir, opt)
			if err != nil {
				t.Fatal(err)
			}
			ann, bob := addPerson(t, s, "ann").ID, addPerson(t, s, "bob").ID
			deliver(t, s, "before", requiretls.Usual(), ann, bob)
			settleAppliers(t, s)
			if err := s.Checkpoint(ctx); err != nil {
				t.Fatal(err)
			}
			rotValues(t, s, 0, of(ann))
			toAlias := func(subject string) error {
				b, sum := letter(subject)
				plans := plansFor(inbox, ann, bob)
				for i := range plans {
					plans[i].Rcpt = elsewhere("sales")
				}
				errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Required()}, b, sum, plans)
				settleAppliers(t, s)
				return errors.Join(errs...)
			}
			for _, subject := range []string{"one", "two"} {
				if err := toAlias(subject); err != nil {
					t.Errorf("%s: %v", subject, err)
				}
			}
			equal(t, "bob has", subjects(t, s.Account(bob), inbox), "before", "one/required", "two/required")
			if what != "name" {
				if err := commit(t, s, "hers alone", ann)[0]; err == nil {
					t.Error("a stopped account took a letter of its own")
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := Repair(ctx, dir, opt, func(line string) { t.Log(line) }); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, dir, opt)
			equal(t, "ann has", subjects(t, s.Account(ann), inbox), "before", "one/required", "two/required")
			equal(t, "bob has", subjects(t, s.Account(bob), inbox), "before", "one/required", "two/required")
			if got := findings(t, s); len(got) > 0 {
				t.Errorf("%q", got)
			}
		})
	}
}
