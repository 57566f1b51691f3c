package storage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// offer commits a letter to one mailbox of an account.
func offer(s *Store, to string, a AccountID) error {
	b, sum := letter("x")
	return s.Commit(context.Background(), &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plansFor(to, a))[0]
}

// slowReader lets something happen after a record of one kind was read, and before
// anybody looks at it.
type slowReader struct {
	kv.Engine
	of        byte // the letter of its key
	meanwhile atomic.Pointer[func()]
}

func (e *slowReader) View(ctx context.Context, shard int, fn func(kv.Reader) error) error {
	return e.Engine.View(ctx, shard, func(r kv.Reader) error { return fn(slowRead{r, e}) })
}

type slowRead struct {
	kv.Reader
	engine *slowReader
}

func (r slowRead) Get(key []byte) []byte {
	v := r.Reader.Get(key)
	if len(key) >= keyHead && key[keyHead-1] == r.engine.of {
		if happens := r.engine.meanwhile.Swap(nil); happens != nil {
			(*happens)()
		}
	}
	return v
}

// What comes into the index between a look at it and one at what is on its way is
// not forgotten by both.
func TestQuotaCountsWhatArrivesMeanwhile(t *testing.T) {
	ctx, slow := context.Background(), &slowReader{of: keyAccount}
	s := openStore(t, t.TempDir(), Options{Shards: 1, wrap: func(e kv.Engine) kv.Engine { slow.Engine = e; return slow }})
	a := s.Account(addPerson(t, s, "ann").ID)
	mailbox(t, a, inbox)
	if err := a.SetLimits(ctx, Usage{Messages: 1}); err != nil {
		t.Fatal(err)
	}
	happened := false
	happens := func() {
		happened = true
		deliver(t, s, "first", requiretls.Usual(), a.id)
		mailbox(t, a, inbox) // it is in the index now
	}
	slow.meanwhile.Store(&happens)
	if err := offer(s, inbox, a.id); !errors.Is(err, ErrOverQuota) {
		t.Errorf("a second letter where one has room: %v", err)
	}
	if u, err := a.Usage(ctx); err != nil || u.Messages != 1 || !happened {
		t.Errorf("%d messages of one, %v; something happened: %v", u.Messages, err, happened)
	}
}

// A mailbox takes exactly what it has room for, however the index follows: no
// letter more, and none is refused as long as there is room.
func TestQuotaIsExactWhileTheIndexFollows(t *testing.T) {
	const room, senders = 150, 6
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{Shards: 1, items: 7, wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	if err := a.SetLimits(ctx, Usage{Messages: room}); err != nil {
		t.Fatal(err)
	}
	var all, hurry sync.WaitGroup
	var taken atomic.Int64
	done := make(chan struct{})
	hurry.Go(func() { // somebody looks all the time
		for {
			select {
			case <-done:
				return
			default:
			}
			if u, err := a.Usage(ctx); err != nil || u.Messages > room {
				t.Errorf("%d messages, %v, there is room for %d", u.Messages, err, room)
				return
			}
		}
	})
	for range senders {
		all.Go(func() {
			for {
				if err := offer(s, inbox, a.id); err != nil {
					if !errors.Is(err, ErrOverQuota) {
						t.Error(err)
					}
					return
				}
				taken.Add(1)
			}
		})
	}
	all.Wait()
	close(done)
	hurry.Wait()
	if u, err := a.Usage(ctx); err != nil || u.Messages != room || taken.Load() != room {
		t.Errorf("%d were taken, %d are there, %v, want %d", taken.Load(), u.Messages, err, room)
	}
}

// Once a change was acknowledged, no letter goes where the change says it must
// not, whatever else is delivered meanwhile.
func TestLettersGoWhereTheMailboxIsNow(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{Shards: 1, wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	bob := addPerson(t, s, "bob").ID
	done := make(chan struct{})
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				to, box := []AccountID{a.id, bob}[i%2], []string{"Noise", inbox}[i%2]
				if err := offer(s, box, to); err != nil {
					t.Error(err)
				}
			}
		})
	}
	gets := func(name string) {
		t.Helper()
		before := mailbox(t, a, name)
		if err := offer(s, "List", a.id); err != nil {
			t.Error(err)
		}
		if after := mailbox(t, a, name); after.ID != before.ID || after.Messages <= before.Messages {
			t.Errorf("%s has %d letters, it had %d", name, after.Messages, before.Messages)
		}
	}
	for range 4 {
		gets(inbox) // there is no List
		first, err := a.Create(ctx, "List", "")
		if err != nil {
			t.Fatal(err)
		}
		gets("List")
		if err := a.Rename(ctx, "List", "Old"); err != nil {
			t.Fatal(err)
		}
		gets(inbox)
		again, err := a.Create(ctx, "List", "")
		if err != nil || again.ID == first.ID {
			t.Fatal(again, err)
		}
		gets("List")
		if n := mailbox(t, a, "Old").Messages; n != 1 {
			t.Errorf("Old has %d letters, it was renamed with one", n)
		}
		if err := errors.Join(a.Delete(ctx, "List"), a.Rename(ctx, "Old", "List")); err != nil {
			t.Fatal(err)
		}
		gets("List")
		if n := mailbox(t, a, "List").Messages; n != 2 {
			t.Errorf("List has %d letters, want 2", n)
		}
		if err := a.Delete(ctx, "List"); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	others.Wait()
}

// The next letter knows of every change of its recipient.
func TestNextLetterKnowsOfEveryChangeOfItsRecipient(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{Shards: 2, wrap: strictly})
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	want := func(what string, wanted error) {
		t.Helper()
		for range 2 {
			if err := a.CheckQuota(ctx, Usage{Bytes: 1, Messages: 1}); !errors.Is(err, wanted) {
				t.Errorf("%s: room: %v, want %v", what, err, wanted)
			}
			if err := offer(s, inbox, a.id); !errors.Is(err, wanted) {
				t.Errorf("%s: %v, want %v", what, err, wanted)
			}
		}
	}
	limit := func(u Usage) {
		t.Helper()
		if err := a.SetLimits(ctx, u); err != nil {
			t.Fatal(err)
		}
	}
	want("new", nil)
	limit(Usage{Messages: 2})
	want("full", ErrOverQuota)
	limit(Usage{Messages: 4})
	want("more room", nil)
	want("full again", ErrOverQuota)
	v := view(t, a, inbox)
	if err := a.Expunge(ctx, inboxID, uidsOf(v)[:2]); err != nil {
		t.Fatal(err)
	}
	want("two were expunged", nil)
	want("and two have come", ErrOverQuota)
	if err := a.Rename(ctx, inbox, "Kept"); err != nil { // moves them
		t.Fatal(err)
	}
	want("they were moved", ErrOverQuota)
	if err := a.Delete(ctx, "Kept"); err != nil {
		t.Fatal(err)
	}
	want("they were deleted with their mailbox", nil)
	limit(Usage{})
	if err := s.RemovePerson(ctx, ann.Address); err != nil {
		t.Fatal(err)
	}
	if err := offer(s, inbox, a.id); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed: %v, want %v", err, ErrNotFound)
	}
	again := addPerson(t, s, "ann")
	if err := offer(s, inbox, again.ID); err != nil || again.ID == ann.ID {
		t.Errorf("who has the address now: %d, %v", again.ID, err)
	}
	if u, err := s.Account(again.ID).Usage(ctx); err != nil || u.Messages != 1 {
		t.Errorf("%d messages, %v, want 1", u.Messages, err)
	}
}

// A store that was put back to a backup knows what the backup did.
func TestRestoredStoreKnowsItsOwnQuotas(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openStore(t, filepath.Join(dir, "one"), Options{Shards: 1})
	a := s.Account(addPerson(t, s, "ann").ID)
	limit := func(n uint64) {
		t.Helper()
		if err := errors.Join(a.SetLimits(ctx, Usage{Messages: n}), a.CheckQuota(ctx, Usage{Messages: n})); err != nil {
			t.Fatal(err)
		}
	}
	limit(1)
	if err := s.Backup(ctx, filepath.Join(dir, "backup")); err != nil {
		t.Fatal(err)
	}
	limit(5)
	if err := Restore(ctx, filepath.Join(dir, "backup"), filepath.Join(dir, "two")); err != nil {
		t.Fatal(err)
	}
	two := openStore(t, filepath.Join(dir, "two"), Options{})
	for i, wanted := range []error{nil, ErrOverQuota} {
		if err := offer(two, inbox, a.id); !errors.Is(err, wanted) {
			t.Errorf("letter %d: %v, want %v", i, err, wanted)
		}
	}
}

// An alias is what it was set to last.
func TestAliasIsKnownAtOnce(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	from := mail.Address{Local: "info", Domain: "example.org"}
	for i := range 3 {
		for range 2 {
			if _, err := s.Alias(ctx, from); !errors.Is(err, ErrNotFound) {
				t.Errorf("got %v, want %v", err, ErrNotFound)
			}
		}
		for j := range 2 {
			to := mail.Address{Local: fmt.Sprint("user", i, j), Domain: "example.org"}
			if err := s.SetAlias(ctx, Alias{From: from, To: []mail.Address{to}}); err != nil {
				t.Fatal(err)
			}
			if a, err := s.Alias(ctx, from); err != nil || a.From != from || len(a.To) != 1 || a.To[0] != to {
				t.Errorf("got %+v, %v, want %v", a, err, to)
			}
		}
		if err := s.RemoveAlias(ctx, from); err != nil {
			t.Fatal(err)
		}
	}
}
