package storage

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/seal"
)

// rotting is a value of the index that rots, and how it was.
type rotting struct {
	store *Store
	shard int
	was   map[string][]byte
}

// rotValues changes an octet of every value under a prefix, below the seal.
func rotValues(t *testing.T, s *Store, shard int, prefix []byte) *rotting {
	t.Helper()
	r := &rotting{s, shard, make(map[string][]byte)}
	err := s.journal.Update(context.Background(), shard, func(tx kv.Tx) error {
		for k, v := range tx.Range(prefix, kv.After(prefix), kv.Options{}) {
			r.was[string(k)] = slices.Clone(v)
		}
		for k, v := range r.was {
			rotten := slices.Clone(v)
			rotten[len(rotten)-1] ^= 1
			tx.Put([]byte(k), rotten)
		}
		return nil
	})
	if err != nil || len(r.was) == 0 {
		t.Fatalf("%d values under %x, %v", len(r.was), prefix, err)
	}
	return r
}

// heal puts the values back.
func (r *rotting) heal(t *testing.T) {
	t.Helper()
	err := r.store.journal.Update(context.Background(), r.shard, func(tx kv.Tx) error {
		for k, v := range r.was {
			tx.Put([]byte(k), v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// One rotten value of the index is the trouble of whose it is. All others of its
// shard go on; what was taken for him comes once the value is mended, and once.
func TestRottenValueStopsItsAccountAlone(t *testing.T) {
	kinds := map[string]func(a AccountID) []byte{
		"account": func(a AccountID) []byte { return accountKey(a) },
		"box":     func(a AccountID) []byte { return boxKey(a, inboxID) },
		"block":   func(a AccountID) []byte { return blocksKey(a, inboxID) },
	}
	for kind, prefix := range kinds {
		for name, keys := range map[string]*seal.Keys{"clear": nil, "sealed": first(newKeys(t))} {
			t.Run(kind+" "+name, func(t *testing.T) {
				ctx, dir := context.Background(), t.TempDir()
				opt := Options{Shards: 1, Keys: keys, SegmentSize: 64 << 10}
				s, err := Open(dir, opt)
				if err != nil {
					t.Fatal(err)
				}
				ann, bob := addPerson(t, s, "ann").ID, addPerson(t, s, "bob").ID
				deliver(t, s, "before", requiretls.Required(), ann, bob)
				equal(t, "before", subjects(t, s.Account(ann), inbox), "before/required")

				rotten := rotValues(t, s, 0, prefix(ann))
				took := commit(t, s, "meanwhile", bob, ann, bob) // bob twice: on either side of her
				if took[0] != nil || took[2] != nil {
					t.Fatalf("bob's letter: %v", took)
				}
				equal(t, "bob has", subjects(t, s.Account(bob), inbox), "before/required", "meanwhile", "meanwhile")
				if err := s.Trouble(); err != nil {
					t.Errorf("the whole store has trouble: %v", err)
				}
				if why := s.Stopped(); took[1] == nil && (len(why) != 1 || !isDamaged(why[ann])) {
					t.Errorf("stopped are %v, want account %d", why, ann)
				}
				for _, err := range commit(t, s, "later", ann, bob)[:1] {
					if err == nil || took[1] == nil && !errors.Is(err, ErrUnavailable) {
						t.Errorf("a stopped account took a letter: %v", err)
					}
				}
				if took[1] == nil {
					if _, err := s.Account(ann).Create(ctx, "New", ""); !errors.Is(err, ErrUnavailable) {
						t.Errorf("a stopped account was changed: %v", err)
					}
				}
				fill(t, s, bob, 300)
				if err := s.Account(bob).Expunge(ctx, inboxID, uidsOf(view(t, s.Account(bob), inbox))); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(s.reap(ctx), s.collect(ctx, 1, 1<<30)); err != nil && !isDamaged(err) {
					t.Fatal(err)
				}
				want := []string{"before/required"}
				if took[1] == nil {
					want = append(want, "meanwhile")
				}

				crashed := crashImage(t, dir)
				rotten.heal(t)
				healed := crashImage(t, dir)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				for name, dir := range map[string]string{"after a crash": healed, "after a stop": dir} {
					for range 2 {
						s, err := Open(dir, opt)
						if err != nil {
							t.Fatal(err)
						}
						equal(t, name+", ann has", subjects(t, s.Account(ann), inbox), want...)
						if n := len(s.Stopped()) + s.shards[0].waits(ann); n > 0 {
							t.Errorf("%s: %d", name, n)
						}
						if got := findings(t, s); len(got) > 0 {
							t.Errorf("%s: %q", name, got)
						}
						if err := s.Close(); err != nil {
							t.Fatal(err)
						}
					}
				}
				s = openStore(t, crashed, opt) // it is rotten still
				commit(t, s, "at last", bob)
				equal(t, "bob has", subjects(t, s.Account(bob), inbox), "at last")
			})
		}
	}
}

// buggy is an index over one key of which the applier stumbles.
type buggy struct {
	kv.Engine
	key []byte
	on  *atomic.Bool
}

type buggyTx struct {
	kv.Tx
	of *buggy
}

func (b *buggy) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	return b.Engine.Update(ctx, shard, func(tx kv.Tx) error { return fn(buggyTx{tx, b}) })
}

func (t buggyTx) Get(key []byte) []byte {
	if t.of.on.Load() && bytes.Equal(key, t.of.key) {
		panic("a bug of ours")
	}
	return t.Tx.Get(key)
}

// A mistake of ours that the applier makes over one account is that account's trouble
// as well; no repair makes it right, and none is kept by it from mending the others.
// A version without it files what was taken.
func TestBugOverOneAccountStopsItAlone(t *testing.T) {
	dir, on := t.TempDir(), new(atomic.Bool)
	var key []byte
	opt := Options{Shards: 1, wrap: func(e kv.Engine) kv.Engine { return &buggy{e, key, on} }}
	key = accountKey(1)
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	ann, bob := addPerson(t, s, "ann").ID, addPerson(t, s, "bob").ID
	deliver(t, s, "before", requiretls.Usual(), ann, bob)
	equal(t, "before", subjects(t, s.Account(ann), inbox), "before")
	on.Store(true)
	if err := errors.Join(commit(t, s, "taken", bob, ann, bob)...); err != nil {
		t.Fatal(err)
	}
	equal(t, "bob has", subjects(t, s.Account(bob), inbox), "before", "taken", "taken")
	if err := commit(t, s, "refused", ann)[0]; !errors.Is(err, ErrUnavailable) {
		t.Errorf("a stopped account took a letter: %v", err)
	}
	if got := findings(t, s); len(got) != 1 || !strings.Contains(got[0], "1 letters wait in the log") {
		t.Errorf("check says %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var said []string
	if err := Repair(context.Background(), dir, opt, func(line string) { said = append(said, line) }); err != nil {
		t.Errorf("repair: %v", err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "account 1 could not be mended") {
		t.Errorf("said %q", said)
	}
	on.Store(false)
	s = openStore(t, dir, opt)
	equal(t, "ann has", subjects(t, s.Account(ann), inbox), "before", "taken")
	equal(t, "bob has", subjects(t, s.Account(bob), inbox), "before", "taken", "taken")
	if got := findings(t, s); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func first[T, U any](one T, _ U) T { return one }

// commit delivers a letter and answers what became of it, for each account.
func commit(t *testing.T, s *Store, subject string, to ...AccountID) []error {
	t.Helper()
	b, sum := letter(subject)
	return s.Commit(context.Background(), &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plansFor(inbox, to...))
}
