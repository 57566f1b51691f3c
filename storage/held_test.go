package storage

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"letterlock/storage/kv"
)

// counted is an index that counts its changes, and can be made to fail them.
type counted struct {
	kv.Engine
	changes int
	most    int // 0: no bound
}

var errCut = errors.New("cut short")

func (e *counted) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	if e.changes++; e.most > 0 && e.changes > e.most {
		return errCut
	}
	return e.Engine.Update(ctx, shard, fn)
}

// The first start after a restore takes many accounts at once, and one that is cut
// short goes on where it was: every mailbox has a new UIDVALIDITY then, once.
func TestRenewalOfARestoredStoreGoesOnWhereItWas(t *testing.T) {
	const people, first = 400, AccountID(1000)
	ctx, dir := context.Background(), t.TempDir()
	clock := func() time.Time { return time.Unix(1700000000, 0) }
	s := openStore(t, filepath.Join(dir, "store"), Options{Shards: 1, Now: clock})
	for from := first; from < first+people; from += 100 {
		err := s.index.Update(ctx, 0, func(tx kv.Tx) error {
			t := newTxn(tx, s)
			for a := from; a < from+100; a++ {
				if _, err := t.account(a); err != nil {
					return err
				}
			}
			t.finish()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	boxes, err := s.Account(first).Mailboxes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	last := uint32(0)
	for _, b := range boxes {
		last = max(last, b.UIDValidity)
	}
	copied, again := filepath.Join(dir, "copy"), filepath.Join(dir, "again")
	if err := errors.Join(s.Backup(ctx, copied), Restore(ctx, copied, again)); err != nil {
		t.Fatal(err)
	}
	open := func(most int) (*Store, int, error) {
		e := &counted{most: most}
		s, err := Open(again, Options{Now: clock, wrap: func(below kv.Engine) kv.Engine { e.Engine = below; return e }})
		return s, e.changes, err
	}
	if _, n, err := open(3); !errors.Is(err, errCut) {
		t.Fatalf("%d changes, %v, want it cut short", n, err)
	}
	after, n, err := open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if n > 10 {
		t.Errorf("%d changes for what is left of %d people", n, people)
	}
	for a := first; a < first+people; a++ {
		renewed, err := after.Account(a).Mailboxes(ctx)
		if err != nil || len(renewed) != len(boxes) {
			t.Fatalf("account %d has %d mailboxes, %v", a, len(renewed), err)
		}
		for _, b := range renewed {
			if b.UIDValidity <= last || b.UIDValidity > last+uint32(len(boxes)) {
				t.Fatalf("account %d, %s has UIDVALIDITY %d, want up to %d more than %d", a, b.Name, b.UIDValidity, len(boxes), last)
			}
		}
	}
}
