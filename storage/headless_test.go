package storage

import (
	"context"
	"errors"
	"testing"

	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// An account that lacks its record, or its INBOX, is one that a repair begins again.
// Until then its letters are put off: its person is there.
func TestAccountWithoutItsRecordOrInboxIsBegunAgain(t *testing.T) {
	for name, of := range map[string]func(AccountID) []byte{"record": accountKey, "INBOX": func(a AccountID) []byte { return boxKey(a, inboxID) }} {
		t.Run(name, func(t *testing.T) {
			ctx, dir, opt := context.Background(), t.TempDir(), Options{Shards: 1}
			s, err := Open(dir, opt)
			if err != nil {
				t.Fatal(err)
			}
			ann, bob, carl := addPerson(t, s, "ann").ID, addPerson(t, s, "bob").ID, addPerson(t, s, "carl")
			deliver(t, s, "first", requiretls.Required(), ann, bob)
			if err := errors.Join(s.Checkpoint(ctx), s.RemovePerson(ctx, carl.Address)); err != nil {
				t.Fatal(err)
			}
			deliver(t, s, "second", requiretls.Required(), ann, bob)
			settleAppliers(t, s)
			bobs := mailbox(t, s.Account(bob), inbox)
			err = s.journal.Update(ctx, 0, func(tx kv.Tx) error {
				tx.Delete(of(ann))
				return nil
			})
			if err = errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(dir, opt); err != nil {
				t.Fatal(err)
			}
			want := []string{"first/required", "second/required"}
			fates := commit(t, s, "meanwhile", ann, bob)
			if fates[1] != nil || isNotFound(fates[0]) {
				t.Errorf("a letter meanwhile: %v", fates)
			}
			if fates[0] == nil {
				want = append(want, "meanwhile")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := Repair(ctx, dir, opt, func(line string) { t.Log(line) }); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, dir, opt)
			deliver(t, s, "after", requiretls.Usual(), ann)
			equal(t, "ann has", subjects(t, s.Account(ann), inbox), append(want, "after")...)
			if m := mailbox(t, s.Account(bob), inbox); m.UIDValidity != bobs.UIDValidity {
				t.Errorf("bob's UIDVALIDITY is %d, was %d", m.UIDValidity, bobs.UIDValidity)
			}
			if got := findings(t, s); len(got) > 0 {
				t.Errorf("%q", got)
			}
			if _, err := s.Person(ctx, carl.Address); !isNotFound(err) {
				t.Errorf("carl is back: %v", err)
			}
		})
	}
}
