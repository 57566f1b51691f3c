package storage

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
	"letterlock/storage/seal"
)

// looks counts the snapshots that are taken.
type looks struct {
	kv.Engine
	views atomic.Int64
}

func (l *looks) View(ctx context.Context, shard int, fn func(kv.Reader) error) error {
	l.views.Add(1)
	return l.Engine.View(ctx, shard, fn)
}

// Each look at the people of a sealed store opens all of them: there are few, however
// many people. One who cannot be read is told, and the others come.
func TestPeopleAreWalkedWithFewLooksAndPastOneThatRotted(t *testing.T) {
	ctx := context.Background()
	for name, keys := range map[string]*seal.Keys{"clear": nil, "sealed": first(newKeys(t))} {
		t.Run(name, func(t *testing.T) {
			l := &looks{}
			s := openStore(t, t.TempDir(), Options{Shards: 1, Keys: keys, wrap: func(e kv.Engine) kv.Engine { l.Engine = e; return l }})
			const all = 6000
			for n := 0; n < all; n += 1000 {
				err := s.system(ctx, func(tx kv.Tx) error {
					for i := n; i < n+1000; i++ {
						p := Person{ID: AccountID(i + 1), Address: mail.Address{Local: fmt.Sprintf("p%05d", i), Domain: "example.org"}, Created: time.Unix(1, 0)}
						tx.Put(addressKey(keyPerson, p.Address), p.encode())
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			rotOne(t, s, firstKey(t, &Store{index: kv.Remember(s.journal, keyHead, remembered)}, 0, key(systemAccount, keyPerson)))
			people, failed := make(map[AccountID]bool), 0
			l.views.Store(0)
			for p, err := range s.People(ctx) {
				switch {
				case isDamaged(err):
					failed++
				case err != nil:
					t.Fatal(err)
				case people[p.ID]:
					t.Fatalf("account %d came twice", p.ID)
				default:
					people[p.ID] = true
				}
			}
			if len(people) != all-1 || failed == 0 {
				t.Errorf("%d people and %d that cannot be read, want %d and one", len(people), failed, all-1)
			}
			if n := l.views.Load(); n > 10 {
				t.Errorf("%d looks at %d people", n, all)
			}
			if p, err := s.Eldest(ctx); err != nil || p.ID > 2 {
				t.Errorf("the eldest is %+v, %v", p, err)
			}
			if _, err := s.PersonByID(ctx, all+5); !errors.Is(err, ErrNotFound) {
				t.Errorf("somebody who is not there: %v", err)
			}
		})
	}
}
