package storage

import (
	"context"
	"testing"

	"letterlock/storage/kv"
)

// What a mailbox remembers of expunged messages has a bound in octets, however few
// expunges they were; whoever asks for more is told that it is not known.
func TestWhatVanishedIsRememberedWithinBounds(t *testing.T) {
	ctx := context.Background()
	s, a := grown(t, 1)
	octets := func() (n int) {
		t.Helper()
		lo := keyUint32(a.id, keyVanished, uint32(inboxID))
		err := s.index.View(ctx, s.shardOf(a.id).number, func(r kv.Reader) error {
			for _, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
				n += len(v)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// Every other of very many UIDs goes at a time: no two make a range.
	scattered := func(from, n int) (at ModSeq) {
		t.Helper()
		err := a.change(ctx, func(t *txn, _ *account) error {
			b, err := t.mustBox(a.id, inboxID)
			if err != nil {
				return err
			}
			gone := make([]entry, n)
			for i := range gone {
				gone[i].uid = UID(from + 2*i)
			}
			err = t.vanish(b, gone)
			at = b.Highest
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	const each = 50000
	var last, before ModSeq
	for i := range 12 {
		before = last
		last = scattered(1+2*each*i, each)
	}
	if n := octets(); n > maxVanished*weightOf*3/2 || n < maxVanished*weightOf/4 {
		t.Errorf("%d octets are remembered", n)
	}
	for since, want := range map[ModSeq]struct {
		complete bool
		ranges   int
	}{1: {false, -1}, before: {true, each}, before - 1: {true, 2 * each}, last: {true, 0}} {
		gone, complete, err := a.Vanished(ctx, inboxID, since)
		if err != nil || complete != want.complete || want.ranges >= 0 && len(gone) != want.ranges {
			t.Errorf("since %d of %d: %d ranges, complete %v, %v, want %+v", since, last, len(gone), complete, err, want)
		}
	}
	huge := scattered(1<<24, 700000) // more than the bound at once is remembered until the next
	if gone, complete, err := a.Vanished(ctx, inboxID, last); err != nil || !complete || len(gone) != 700000 {
		t.Errorf("a huge expunge: %d ranges, complete %v, %v", len(gone), complete, err)
	}
	scattered(1<<26, 3)
	if gone, complete, err := a.Vanished(ctx, inboxID, huge); err != nil || !complete || len(gone) != 3 || octets() > 1000 {
		t.Errorf("behind it: %d ranges, complete %v, %v, %d octets", len(gone), complete, err, octets())
	}
	if _, complete, err := a.Vanished(ctx, inboxID, last); err != nil || complete {
		t.Errorf("the huge one is forgotten: complete %v, %v", complete, err)
	}
}
