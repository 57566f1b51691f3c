package kv_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
)

// withMemory opens an engine that remembers keys which start with a digit.
func withMemory(t testing.TB, dir string, wrap func(kv.Engine) kv.Engine) *kv.Memory {
	t.Helper()
	e, err := bolt.Open(dir, bolt.Options{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	return kv.Remember(wrap(e), 1, func(k []byte) bool { return len(k) > 0 && k[0] >= '0' && k[0] <= '9' })
}

func strict(e kv.Engine) kv.Engine { return kv.Strict(e, nil) }

func TestMemoryIsAnEngineLikeAnyOther(t *testing.T) {
	dir := t.TempDir()
	kv.Conform(t, func() kv.Engine { return withMemory(t, dir, strict) })
}

// recall is what Get says.
func recall(t testing.TB, m *kv.Memory, key string) (value string, there bool) {
	t.Helper()
	err := m.Get(t.Context(), 0, []byte(key), func(v []byte) error {
		value, there = string(v), v != nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return value, there
}

// Whatever writes a key, and however, the next Get of it knows.
func TestMemoryHearsOfEveryKindOfChange(t *testing.T) {
	m := withMemory(t, t.TempDir(), strict)
	defer m.Close()
	boom := errors.New("boom")
	for _, step := range []struct {
		name  string
		fn    func(tx kv.Tx) error
		fails error
		want  string // "-": absent
	}{
		{"absent", func(kv.Tx) error { return nil }, nil, "-"},
		{"put", func(tx kv.Tx) error { tx.Put([]byte("1a"), []byte("x")); return nil }, nil, "x"},
		{"put another", func(tx kv.Tx) error { tx.Put([]byte("1b"), []byte("y")); return nil }, nil, "x"},
		{"twice in one", func(tx kv.Tx) error {
			tx.Put([]byte("1a"), []byte("no"))
			tx.Put([]byte("1a"), []byte("z"))
			return nil
		}, nil, "z"},
		{"refused", func(tx kv.Tx) error { tx.Put([]byte("1a"), []byte("no")); return boom }, boom, "z"},
		{"out of bounds", func(tx kv.Tx) error {
			tx.Put([]byte("1a"), make([]byte, kv.MaxValue+1))
			return nil
		}, kv.ErrBounds, "z"},
		{"empty", func(tx kv.Tx) error { tx.Put([]byte("1a"), nil); return nil }, nil, ""},
		{"deleted", func(tx kv.Tx) error { tx.Delete([]byte("1a")); return nil }, nil, "-"},
		{"deleted and put", func(tx kv.Tx) error {
			tx.Delete([]byte("1a"))
			tx.Put([]byte("1a"), []byte("back"))
			return nil
		}, nil, "back"},
		{"a range of its kind", func(tx kv.Tx) error { tx.DeleteRange([]byte("10"), []byte("1z")); return nil }, nil, "-"},
		{"put once more", func(tx kv.Tx) error { tx.Put([]byte("1a"), []byte("w")); return nil }, nil, "w"},
		{"a range of others", func(tx kv.Tx) error { tx.DeleteRange([]byte("xa"), []byte("xb")); return nil }, nil, "w"},
		{"a range over all", func(tx kv.Tx) error { tx.DeleteRange([]byte("!"), nil); return nil }, nil, "-"},
		{"a range, and put in it", func(tx kv.Tx) error {
			tx.DeleteRange([]byte("!"), nil)
			tx.Put([]byte("1a"), []byte("after"))
			return nil
		}, nil, "after"},
		{"too big to be remembered", func(tx kv.Tx) error { tx.Put([]byte("1a"), bytes.Repeat([]byte("b"), 5000)); return nil }, nil, string(bytes.Repeat([]byte("b"), 5000))},
	} {
		if err := m.Update(t.Context(), 0, step.fn); !errors.Is(err, step.fails) {
			t.Fatalf("%s: %v, want %v", step.name, err, step.fails)
		}
		for range 2 { // it is read, then remembered
			got, there := recall(t, m, "1a")
			if !there {
				got = "-"
			}
			if got != step.want {
				t.Errorf("%s: %.20q, want %.20q", step.name, got, step.want)
			}
		}
	}
}

// counting counts how often a transaction was needed.
type counting struct {
	kv.Engine
	views atomic.Int64
}

func (c *counting) View(ctx context.Context, shard int, fn func(kv.Reader) error) error {
	c.views.Add(1)
	return c.Engine.View(ctx, shard, fn)
}

func TestMemoryNeedsOneTransactionForAKey(t *testing.T) {
	var c *counting
	m := withMemory(t, t.TempDir(), func(e kv.Engine) kv.Engine { c = &counting{Engine: e}; return c })
	defer m.Close()
	for i := range 10 {
		recall(t, m, "1")
		if err := m.Update(t.Context(), 0, func(tx kv.Tx) error { tx.Put([]byte("1"), []byte{byte(i)}); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.views.Load(); n != 1 {
		t.Errorf("%d transactions, want 1: what was asked for is known when it was written", n)
	}
	before := c.views.Load()
	recall(t, m, "not of those")
	recall(t, m, "not of those")
	if n := c.views.Load() - before; n != 2 {
		t.Errorf("%d transactions for a key that is not to be remembered, want 2", n)
	}
	for i := range 20000 {
		recall(t, m, fmt.Sprint(i))
	}
	before = c.views.Load()
	for i := range 20000 {
		recall(t, m, fmt.Sprint(i))
	}
	if n := c.views.Load() - before; n < 20000-8192-1 {
		t.Errorf("%d transactions for 20000 keys: more is remembered than there is room for", n)
	}
}

// refusing is an engine that cannot write: what it commits may or may not be
// there, until it has recovered.
type refusing struct {
	kv.Engine
	commits, refuses bool
}

func (r *refusing) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	if r.commits || !r.refuses {
		if err := r.Engine.Update(ctx, shard, fn); err != nil {
			return err
		}
	}
	if r.refuses {
		return kv.ErrFailed
	}
	return nil
}

// A transaction that failed and is seen nevertheless goes when the engine
// recovers: nothing of it may stay in memory.
func TestMemoryTrustsNothingOfAnEngineInDoubt(t *testing.T) {
	var r *refusing
	m := withMemory(t, t.TempDir(), func(e kv.Engine) kv.Engine { r = &refusing{Engine: e}; return r })
	defer m.Close()
	put := func(e kv.Engine, value string) error {
		return e.Update(t.Context(), 0, func(tx kv.Tx) error { tx.Put([]byte("1"), []byte(value)); return nil })
	}
	if err := put(m, "acknowledged"); err != nil {
		t.Fatal(err)
	}
	recall(t, m, "1")
	r.commits, r.refuses = true, true
	if err := put(m, "refused"); !errors.Is(err, kv.ErrFailed) {
		t.Fatal(err)
	}
	if got, _ := recall(t, m, "1"); got != "refused" {
		t.Fatalf("a snapshot shows %q", got)
	}
	if err := put(r.Engine, "acknowledged"); err != nil { // the engine takes it back
		t.Fatal(err)
	}
	if got, _ := recall(t, m, "1"); got != "acknowledged" {
		t.Errorf("got %q after it was taken back", got)
	}
	r.refuses = false
	if err := put(m, "new"); err != nil {
		t.Fatal(err)
	}
	recall(t, m, "1")
	if got, _ := recall(t, m, "1"); got != "new" {
		t.Errorf("got %q when it has recovered", got)
	}
}

// lingering is an engine whose snapshots may stay open.
type lingering struct {
	refusing
	read func() // after a snapshot was read, before the View ends
}

func (l *lingering) View(ctx context.Context, shard int, fn func(kv.Reader) error) error {
	err := l.Engine.View(ctx, shard, fn)
	if read := l.read; read != nil {
		l.read = nil
		read()
	}
	return err
}

// A snapshot of what an engine took back later may still be read when it has
// recovered: what it showed does not stay.
func TestMemoryForgetsWhatWasReadBeforeTheEngineRecovered(t *testing.T) {
	var l *lingering
	m := withMemory(t, t.TempDir(), func(e kv.Engine) kv.Engine { l = &lingering{refusing: refusing{Engine: e}}; return l })
	defer m.Close()
	put := func(e kv.Engine, key, value string) error {
		return e.Update(t.Context(), 0, func(tx kv.Tx) error { tx.Put([]byte(key), []byte(value)); return nil })
	}
	if err := put(m, "1", "acknowledged"); err != nil {
		t.Fatal(err)
	}
	l.commits, l.refuses = true, true
	if err := put(m, "1", "refused"); err == nil {
		t.Fatal("the engine took it")
	}
	l.refuses = false
	l.read = func() { // the engine recovers, with a change of something else
		if err := put(l.Engine, "1", "acknowledged"); err != nil {
			t.Error(err)
		}
		if err := put(m, "not remembered", "x"); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if got, _ := recall(t, m, "1"); got != "acknowledged" {
			t.Errorf("got %q, which was taken back", got)
		}
	}
}

// Numbers that only grow: nobody ever reads one below the last that was
// acknowledged before he asked, or below one that a snapshot has shown him.
func TestMemoryNeverShowsLessThanWasAcknowledged(t *testing.T) {
	m := withMemory(t, t.TempDir(), strict)
	defer m.Close()
	const keys, writers, each = 3, 4, 60
	var acknowledged [keys]atomic.Uint64
	number := func(v []byte) uint64 {
		if v == nil {
			return 0
		}
		return binary.BigEndian.Uint64(v)
	}
	key := func(i int) []byte { return fmt.Append(nil, i) }
	done := make(chan struct{})
	var readers, all sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				k, seen := i%keys, uint64(0)
				if i%7 == 0 {
					if err := m.View(t.Context(), 0, func(r kv.Reader) error { seen = number(r.Get(key(k))); return nil }); err != nil {
						t.Error(err)
					}
				}
				least, got := max(seen, acknowledged[k].Load()), uint64(0)
				if err := m.Get(t.Context(), 0, key(k), func(v []byte) error { got = number(v); return nil }); err != nil {
					t.Error(err)
				}
				if got < least {
					t.Errorf("key %d is %d, it was %d before", k, got, least)
					return
				}
			}
		})
	}
	boom := errors.New("boom")
	for range writers {
		all.Go(func() {
			for range each {
				k, kind, now := rand.IntN(keys), rand.IntN(8), uint64(0)
				err := m.Update(t.Context(), 0, func(tx kv.Tx) error {
					now = number(tx.Get(key(k))) + 1
					if kind == 0 {
						tx.DeleteRange(key(k), append(key(k), 0))
					}
					tx.Put(key(k), binary.BigEndian.AppendUint64(nil, now))
					if kind == 1 {
						return boom
					}
					return nil
				})
				for was := acknowledged[k].Load(); err == nil && was < now && !acknowledged[k].CompareAndSwap(was, now); was = acknowledged[k].Load() {
				}
			}
		})
	}
	all.Wait()
	close(done)
	readers.Wait()
	for k := range keys {
		got, _ := recall(t, m, fmt.Sprint(k))
		if want := acknowledged[k].Load(); number([]byte(got)) != want {
			t.Errorf("key %d is %d at the end, want %d", k, number([]byte(got)), want)
		}
	}
}
