package storage

import (
	"context"
	"math/rand/v2"
	"reflect"
	"testing"
)

// What a STORE leaves for those who look is what the index says, whoever changed
// the mailbox between the look and the STORE.
func TestStoreLeavesTheSnapshotThatTheIndexHas(t *testing.T) {
	ctx := context.Background()
	s, a := grown(t, 3*blockSize+40)
	ops := []string{`\Seen`, `\Deleted`, "$a", "$b"}
	held := view(t, a, inbox) // somebody looks all the time
	for turn := range 120 {
		uids := uidsOf(held)
		from := rand.IntN(len(uids))
		some := uids[from:min(len(uids), from+1+rand.IntN(2*blockSize))]
		switch turn % 6 {
		case 1:
			if err := a.Expunge(ctx, inboxID, some[:1]); err != nil {
				t.Fatal(err)
			}
		case 3:
			if _, err := a.Copy(ctx, inboxID, some[:1], inbox); err != nil {
				t.Fatal(err)
			}
		case 5:
			held = view(t, a, inbox)
		}
		before := held.Mailbox().Highest
		done, err := a.StoreFlags(ctx, inboxID, some, FlagOp(turn%3), ops[turn%4:turn%4+1], ModSeq(turn%2)*before)
		if err != nil {
			t.Fatal(err)
		}
		held = view(t, a, inbox)
		s.views = viewCache{}
		read := view(t, a, inbox)
		if !reflect.DeepEqual(entriesOf(held), entriesOf(read)) || !reflect.DeepEqual(held.Mailbox(), read.Mailbox()) {
			t.Fatalf("turn %d: those who look see %+v, the index has %+v", turn, held.Mailbox(), read.Mailbox())
		}
		if done.ModSeq != 0 && done.ModSeq != read.Mailbox().Highest {
			t.Errorf("turn %d: stored with modseq %d, want %d", turn, done.ModSeq, read.Mailbox().Highest)
		}
		s.views.put(boxID{a.id, inboxID}, held)
	}
	for _, finding := range findings(t, s) {
		t.Error(finding)
	}
}

func entriesOf(v *View) (entries []Entry) {
	for _, e := range v.All(0, v.Len()) {
		entries = append(entries, e)
	}
	return entries
}
