package storage

import (
	"context"
	"errors"
	"testing"

	"letterlock/internal/requiretls"
	"letterlock/storage/seal"
)

// A repair whose checkpoint lies under a key that is missing asks for that, and does not
// begin an account again from nothing.
func TestRepairOfOneValueAsksForTheKeyOfTheCheckpoint(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	keys, file := newKeys(t)
	old := keys.Current()
	s, err := Open(dir, Options{Shards: 1, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	ann := addPerson(t, s, "ann").ID
	if _, err := s.Account(ann).Create(ctx, "Letters", ""); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, "one", requiretls.Usual(), ann)
	if err := errors.Join(s.Checkpoint(ctx), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Rotate(file); err != nil {
		t.Fatal(err)
	}
	both := openKeys(t, file)
	if s, err = Open(dir, Options{Keys: both}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.sealIndex(ctx, 0), s.sealLog(ctx, 0, func(int, int) {})); err != nil {
		t.Fatal(err)
	}
	rotValues(t, s, 0, blocksKey(ann, inboxID))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := seal.Retire(file, old); err != nil {
		t.Fatal(err)
	}
	err = Repair(ctx, dir, Options{Keys: openKeys(t, file)}, func(line string) { t.Log(line) })
	if !errors.Is(err, seal.ErrNoKey) {
		t.Fatalf("repaired without the key of the checkpoint: %v", err)
	}
	if err := Repair(ctx, dir, Options{Keys: both}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{Keys: both})
	mailbox(t, s.Account(ann), "Letters")
	equal(t, "ann has", subjects(t, s.Account(ann), inbox), "one")
}

// A checkpoint may be one of an account that was stopped: what it had not got then is
// applied again, too, when it is begun again from there, and does not leave twice.
func TestAccountIsBegunAgainFromACheckpointOfWhenItWasStopped(t *testing.T) {
	ctx, dir, opt := context.Background(), t.TempDir(), Options{Shards: 1}
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	ann, bob := addPerson(t, s, "ann").ID, addPerson(t, s, "bob").ID
	deliver(t, s, "first", requiretls.Required(), ann, bob)
	equal(t, "first", subjects(t, s.Account(ann), inbox), "first/required")
	sh := s.shards[0]
	s.applying <- struct{}{} // nobody's turn
	if err := forward(t, s, "second", ann); err != nil {
		t.Fatal(err)
	}
	sh.mu.Lock()
	sh.stopped[ann] = errors.New("a mistake of ours")
	sh.mu.Unlock()
	<-s.applying
	settleAppliers(t, s)
	if n := sh.waits(ann); n != 1 {
		t.Fatalf("%d letters wait", n)
	}
	deliver(t, s, "bob's", requiretls.Usual(), bob)
	settleAppliers(t, s)
	if err := errors.Join(s.Checkpoint(ctx), s.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, opt); err != nil { // the other version
		t.Fatal(err)
	}
	deliver(t, s, "third", requiretls.Usual(), ann)
	equal(t, "before", subjects(t, s.Account(ann), inbox), "first/required", "second", "third")
	equal(t, "to leave", waiting(t, s), "second")
	for q := range s.Outbox(ctx) {
		if err := s.SettleOut(ctx, q.ID, OutSettlement{End: Ended}); err != nil {
			t.Fatal(err)
		}
	}
	rotValues(t, s, 0, blocksKey(ann, inboxID))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var said []string
	if err := Repair(ctx, dir, opt, func(line string) { said = append(said, line) }); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, opt)
	equal(t, "after", subjects(t, s.Account(ann), inbox), "first/required", "second", "third")
	equal(t, "to leave", waiting(t, s))
	if got := findings(t, s); len(got) > 0 || t.Failed() {
		t.Errorf("%q; said %q", got, said)
	}
}

// What an account had not got when it is begun again has never left: it is not held.
func TestWhatWasNotAppliedIsNotHeldWhenItsAccountIsBegunAgain(t *testing.T) {
	ctx, dir, opt := context.Background(), t.TempDir(), Options{Shards: 1}
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	ann := addPerson(t, s, "ann").ID
	if err := forward(t, s, "gone", ann); err != nil {
		t.Fatal(err)
	}
	for q := range s.Outbox(ctx) {
		if err := s.SettleOut(ctx, q.ID, OutSettlement{End: Ended}); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "before", subjects(t, s.Account(ann), inbox), "gone")
	rotValues(t, s, 0, blocksKey(ann, inboxID))
	s.applying <- struct{}{} // nobody's turn
	if err := forward(t, s, "waits", ann); err != nil {
		t.Fatal(err)
	}
	killed := crashImage(t, dir)
	<-s.applying
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Repair(ctx, killed, opt, func(line string) { t.Log(line) }); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, killed, opt)
	equal(t, "ann has", subjects(t, s.Account(ann), recoveredName), "gone", "waits")
	equal(t, "to leave", waiting(t, s), "waits")
	for q := range s.Outbox(ctx) {
		if q.Held {
			t.Errorf("%s is held: %s", q.To, q.History.Error)
		}
	}
}
