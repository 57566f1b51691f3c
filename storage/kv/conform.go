package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
)

// Tester is what [Conform] needs of a *testing.T.
type Tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Conform is the suite every engine passes. open opens the same engine again
// and again, with at least two shards, empty at first; Conform closes it.
func Conform(t Tester, open func() Engine) {
	t.Helper()
	ctx := context.Background()
	e := open()
	if e.Shards() < 2 {
		t.Fatalf("%d shards, want two or more", e.Shards())
	}
	c := conformance{Tester: t, ctx: ctx, e: e}
	c.shardsAreApart()
	c.rangesAreOrdered()
	c.failedUpdatesLeaveNoTrace()
	c.boundsHold()
	c.viewsAreSnapshots()
	c.watchersWake()
	c.manyWriters()
	if err := e.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := e.Update(ctx, 0, func(Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("update after close: %v, want %v", err, ErrClosed)
	}
	againstModel(t, ctx, open)
}

type conformance struct {
	Tester
	ctx context.Context
	e   Engine
}

func (c *conformance) update(shard int, fn func(Tx)) {
	c.Helper()
	err := c.e.Update(c.ctx, shard, func(tx Tx) error { fn(tx); return nil })
	if err != nil {
		c.Fatalf("update: %v", err)
	}
}

func (c *conformance) get(shard int, key string) (value string, found bool) {
	c.Helper()
	err := c.e.View(c.ctx, shard, func(r Reader) error {
		v := r.Get([]byte(key))
		value, found = string(v), v != nil
		return nil
	})
	if err != nil {
		c.Fatalf("view: %v", err)
	}
	return value, found
}

func (c *conformance) shardsAreApart() {
	c.Helper()
	c.update(0, func(tx Tx) { tx.Put([]byte("apart"), []byte("x")) })
	if _, found := c.get(1, "apart"); found {
		c.Errorf("a key of shard 0 is seen in shard 1")
	}
	if v, found := c.get(0, "apart"); !found || v != "x" {
		c.Errorf("the key reads %q, %v", v, found)
	}
	c.update(0, func(tx Tx) { tx.Put([]byte("apart"), nil) })
	if v, found := c.get(0, "apart"); !found || v != "" {
		c.Errorf("an empty value reads %q, %v: it is there", v, found)
	}
}

func (c *conformance) rangesAreOrdered() {
	c.Helper()
	c.update(1, func(tx Tx) {
		for _, k := range []string{"r3", "r1", "r2", "r4", "s"} {
			tx.Put([]byte(k), []byte("v"+k))
		}
		tx.Delete([]byte("r4"))
		tx.Delete([]byte("never there"))
	})
	for _, test := range []struct {
		lo, hi string
		o      Options
		want   string
	}{
		{"r", "s", Options{}, "r1r2r3"},
		{"r2", "r3", Options{}, "r2"},
		{"r", "", Options{}, "r1r2r3s"},
		{"r", "s", Options{Limit: 2}, "r1r2"},
		{"r", "s", Options{Reverse: Backward}, "r3r2r1"},
		{"r", "", Options{Reverse: Backward, Limit: 2}, "sr3"},
		{"r1x", "r2x", Options{Reverse: Backward}, "r2"},
		{"t", "u", Options{Reverse: Backward}, ""},
	} {
		var got bytes.Buffer
		err := c.e.View(c.ctx, 1, func(r Reader) error {
			var hi []byte
			if test.hi != "" {
				hi = []byte(test.hi)
			}
			for k, v := range r.Range([]byte(test.lo), hi, test.o) {
				if string(v) != "v"+string(k) {
					c.Errorf("%s has the value %s", k, v)
				}
				got.Write(k)
			}
			return nil
		})
		if err != nil || got.String() != test.want {
			c.Errorf("range %q to %q, %+v: %s, %v, want %s", test.lo, test.hi, test.o, &got, err, test.want)
		}
	}
}

func (c *conformance) failedUpdatesLeaveNoTrace() {
	c.Helper()
	boom := errors.New("boom")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			err := c.e.Update(c.ctx, 0, func(tx Tx) error {
				tx.Put(fmt.Appendf(nil, "f%02d", i), []byte("x"))
				if i%3 == 0 {
					return boom
				}
				return nil
			})
			if (i%3 == 0) != errors.Is(err, boom) {
				c.Errorf("update %d: %v", i, err)
			}
		})
	}
	all.Wait()
	for i := range 20 {
		if _, found := c.get(0, fmt.Sprintf("f%02d", i)); found != (i%3 != 0) {
			c.Errorf("after update %d: found %v", i, found)
		}
	}
}

func (c *conformance) boundsHold() {
	c.Helper()
	big := make([]byte, MaxValue)
	for name, fn := range map[string]func(Tx){
		"empty key":  func(tx Tx) { tx.Put(nil, nil) },
		"long key":   func(tx Tx) { tx.Put(make([]byte, MaxKey+1), nil) },
		"long value": func(tx Tx) { tx.Put([]byte("b"), make([]byte, MaxValue+1)) },
		"many writes": func(tx Tx) {
			for i := range MaxTxWrites + 1 {
				tx.Put(fmt.Appendf(nil, "b%d", i), nil)
			}
		},
		"many octets": func(tx Tx) {
			for i := range MaxTxBytes / MaxValue {
				tx.Put(fmt.Appendf(nil, "b%d", i), big)
			}
		},
	} {
		err := c.e.Update(c.ctx, 0, func(tx Tx) error { fn(tx); return nil })
		if !errors.Is(err, ErrBounds) {
			c.Errorf("%s: %v, want %v", name, err, ErrBounds)
		}
	}
	if _, found := c.get(0, "b0"); found {
		c.Errorf("a transaction out of bounds left a trace")
	}
	c.update(0, func(tx Tx) {
		tx.Put(bytes.Repeat([]byte("k"), MaxKey), big)
		for i := range MaxTxWrites - 2 {
			tx.Put(fmt.Appendf(nil, "b%d", i), nil)
		}
		tx.DeleteRange([]byte("b"), []byte("c"))
	})
}

func (c *conformance) viewsAreSnapshots() {
	c.Helper()
	c.update(0, func(tx Tx) { tx.Put([]byte("snap"), []byte("old")) })
	err := c.e.View(c.ctx, 0, func(r Reader) error {
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.update(0, func(tx Tx) { tx.Put([]byte("snap"), []byte("new")) })
		}()
		<-done
		if v := r.Get([]byte("snap")); string(v) != "old" {
			c.Errorf("a snapshot changed to %q", v)
		}
		return nil
	})
	if v, _ := c.get(0, "snap"); err != nil || v != "new" {
		c.Errorf("afterwards: %q, %v", v, err)
	}
}

func (c *conformance) watchersWake() {
	c.Helper()
	moved, stop := c.e.Watch([]byte("topic"))
	defer stop()
	for range 3 { // the channel holds one signal: nobody blocks
		c.update(1, func(tx Tx) { tx.Notify([]byte("topic")) })
	}
	select {
	case <-moved:
	default:
		c.Errorf("no signal after a commit that notified")
	}
	boom := errors.New("boom")
	err := c.e.Update(c.ctx, 1, func(tx Tx) error {
		tx.Put([]byte("x"), nil)
		return boom
	})
	if !errors.Is(err, boom) {
		c.Errorf("update: %v", err)
	}
}

func (c *conformance) manyWriters() {
	c.Helper()
	const writers, each = 16, 20
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				c.update(1, func(tx Tx) {
					n := byte(0)
					if v := tx.Get([]byte("counter")); v != nil {
						n = v[1]
						if n++; n == 0 {
							tx.Put([]byte("counter"), []byte{v[0] + 1, 0})
							return
						}
						tx.Put([]byte("counter"), []byte{v[0], n})
						return
					}
					tx.Put([]byte("counter"), []byte{0, 1})
				})
			}
		})
	}
	all.Wait()
	v, _ := c.get(1, "counter")
	if n := int(v[0])<<8 | int(v[1]); n != writers*each {
		c.Errorf("%d increments counted, want %d: a write was lost", n, writers*each)
	}
	var image bytes.Buffer
	if err := c.e.Copy(c.ctx, 1, &image); err != nil || image.Len() == 0 {
		c.Errorf("copy of %d octets, %v", image.Len(), err)
	}
	if err := c.e.Copy(c.ctx, 1, failingWriter{}); err == nil {
		c.Errorf("a copy that could not be written went well")
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// againstModel runs random transactions beside a plain map, and opens the
// engine anew in between.
func againstModel(t Tester, ctx context.Context, open func() Engine) {
	t.Helper()
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	model := make(map[string]string)
	key := func() string { return fmt.Sprintf("m%03d", rnd.IntN(300)) }
	for round := range 4 {
		e := open()
		for range 60 {
			next := maps.Clone(model)
			plan := randomPlan(rnd, key, next)
			if err := e.Update(ctx, 0, plan); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			model = next
		}
		var got []string
		err := e.View(ctx, 0, func(r Reader) error {
			for k, v := range r.Range([]byte("m"), []byte("n"), Options{}) {
				got = append(got, string(k)+"="+string(v))
			}
			return nil
		})
		var want []string
		for _, k := range slices.Sorted(maps.Keys(model)) {
			want = append(want, k+"="+model[k])
		}
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("seed %d, round %d: %v\ngot  %v\nwant %v", seed, round, err, got, want)
		}
		if err := e.Close(); err != nil {
			t.Fatalf("seed %d: close: %v", seed, err)
		}
	}
}

// randomPlan is a transaction that does to tx what was done to next.
func randomPlan(rnd *rand.Rand, key func() string, next map[string]string) func(Tx) error {
	var steps []func(Tx)
	for range 1 + rnd.IntN(20) {
		k, v := key(), fmt.Sprint(rnd.IntN(1000))
		switch rnd.IntN(8) {
		case 0, 1:
			delete(next, k)
			steps = append(steps, func(tx Tx) { tx.Delete([]byte(k)) })
		case 2:
			hi := fmt.Sprintf("%s%d", k[:3], 9)
			for name := range next {
				if name >= k && name < hi {
					delete(next, name)
				}
			}
			steps = append(steps, func(tx Tx) { tx.DeleteRange([]byte(k), []byte(hi)) })
		default:
			next[k] = v
			steps = append(steps, func(tx Tx) { tx.Put([]byte(k), []byte(v)) })
		}
	}
	return func(tx Tx) error {
		for _, step := range steps {
			step(tx)
		}
		return nil
	}
}
