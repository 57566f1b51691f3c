package storage

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// stuck is an index that cannot be written, on order.
type stuck struct {
	kv.Engine
	is    atomic.Bool
	tries chan struct{}
}

func (s *stuck) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	if s.is.Load() {
		s.tries <- struct{}{}
		return kv.ErrFailed
	}
	return s.Engine.Update(ctx, shard, fn)
}

// What is on its way when the index fails, with a full queue, waits for nothing:
// nobody turns round and round, and a store can be closed.
func TestFullQueueOfAFailingIndexHoldsNobody(t *testing.T) {
	x := &stuck{tries: make(chan struct{}, 100)}
	s, err := Open(t.TempDir(), Options{Shards: 1, wrap: func(e kv.Engine) kv.Engine { x.Engine = e; return x }})
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, s, "first", requiretls.Usual(), addPerson(t, s, "ann").ID)
	settleAppliers(t, s)
	x.is.Store(true)
	sh := s.shards[0]
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range maxQueued + 1 {
			sh.push(item{after: sh.tip, writes: 1})
		}
		if err := s.Close(); err == nil {
			t.Error("closed as if everything were in the index")
		}
	}()
	for tries := 0; ; {
		select {
		case <-done:
			return
		case <-x.tries:
			if tries++; tries > 100 {
				t.Fatal("the applier tries without a pause")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the queue holds who comes, or who closes")
		}
	}
}

// What comes last, between the applier's look at the queue and the end of the store, is
// applied as well.
func TestClosingShardAppliesWhatComesLast(t *testing.T) {
	s, err := Open(t.TempDir(), Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	sh := s.shards[0]
	sh.mu.Lock()
	sh.queued++
	sh.queue = append(sh.queue, item{after: sh.tip, writes: 1}) // the applier has looked a moment ago
	sh.closing = true
	sh.mu.Unlock()
	if sh.ended() {
		t.Error("the applier leaves before what is queued")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
