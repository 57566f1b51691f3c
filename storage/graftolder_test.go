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
