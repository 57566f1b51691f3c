package storage

import (
	"context"
	"errors"
	"testing"
	"time"

	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// openStuck opens a store of one shard with an index that fails on order.
func openStuck(t *testing.T) (*Store, *stuck) {
	t.Helper()
	return openStuckIn(t, t.TempDir())
}

// openStuckIn is openStuck in a folder that a test looks into.
func openStuckIn(t *testing.T, dir string) (*Store, *stuck) {
	t.Helper()
	x := &stuck{tries: make(chan struct{})}
	t.Cleanup(func() { close(x.tries) })
	go func() {
		for range x.tries {
		}
	}()
	return openStore(t, dir, Options{Shards: 1, wrap: func(e kv.Engine) kv.Engine { x.Engine = e; return x }}), x
}

// On a full disk the log has room for longer than the index. What nobody can see yet
// keeps nobody from what he could see before.
func TestReadingGoesOnWhileTheIndexCannotFollowTheLog(t *testing.T) {
	ctx := context.Background()
	s, index := openStuck(t)
	a := s.Account(addPerson(t, s, "ann").ID)
	deliver(t, s, "first", requiretls.Usual(), a.id)
	if n := view(t, a, inbox).Len(); n != 1 {
		t.Fatalf("%d messages, want 1", n)
	}
	index.is.Store(true)
	deliver(t, s, "second", requiretls.Usual(), a.id)

	if all, err := a.Mailboxes(ctx); err != nil || len(all) == 0 {
		t.Errorf("%d mailboxes, %v", len(all), err)
	}
	if v, err := a.View(ctx, inboxID); err != nil || v.Len() != 1 {
		t.Fatalf("view: %v, want the first letter", err)
	}
	if _, err := a.Summary(ctx, inboxID, 1, release(t, requiretls.Usual())); err != nil {
		t.Errorf("the first letter: %v", err)
	}
	if _, err := a.StoreFlags(ctx, inboxID, []UID{1}, AddFlags, []string{`\Seen`}, 0); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a change: %v, want ErrUnavailable", err)
	}
	if _, _, err := a.Remembered(ctx, [32]byte{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("what was remembered: %v, want ErrUnavailable: nobody is answered twice", err)
	}
	if s.Trouble() == nil {
		t.Error("the store says that it is in good health")
	}

	moved, stop := a.Watch(inboxID)
	defer stop()
	index.is.Store(false)
	<-moved
	if n := view(t, a, inbox).Len(); n != 2 {
		t.Errorf("%d messages when the index can be written again, want 2", n)
	}
}

// A client that finds nothing under the UID that its APPEND was answered takes the
// letter for removed, and removes its own copy.
func TestNobodyMissesWhatHeHasAppendedWhileTheIndexCannotFollow(t *testing.T) {
	ctx := context.Background()
	s, index := openStuck(t)
	ann, bob := s.Account(addPerson(t, s, "ann").ID), s.Account(addPerson(t, s, "bob").ID)
	appended := func() UID {
		t.Helper()
		body, sum := letter("mine")
		_, uids, err := ann.Append(ctx, inbox, []Letter{{Body: body, Summary: sum, Demand: requiretls.Usual()}})
		if err != nil {
			t.Fatal(err)
		}
		return uids[0]
	}
	appended() // from now on it is foreseen which UIDs come
	view(t, ann, inbox)
	index.is.Store(true)
	uid := appended()
	deliver(t, s, "to both", requiretls.Usual(), ann.id, bob.id)
	if v, err := bob.View(ctx, inboxID); err != nil || v.Len() != 0 {
		t.Errorf("bob, who appended nothing: %v", err)
	}
	if v, err := ann.View(ctx, inboxID); !errors.Is(err, ErrUnavailable) {
		t.Errorf("ann is shown a mailbox without what she appended: %v, %v", v, err)
	}
	index.is.Store(false)
	patience, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	v, err := ann.View(patience, inboxID)
	for errors.Is(err, ErrUnavailable) && patience.Err() == nil {
		v, err = ann.View(patience, inboxID)
	}
	if err != nil || v.Len() != 3 || v.At(1).UID != uid {
		t.Errorf("%v: want 3 messages, the second under UID %d", err, uid)
	}
}
