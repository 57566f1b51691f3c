package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"letterlock/storage/kv"
)

// filled is an engine of one shard most of whose pages are free.
func filled(t *testing.T, dir string) *Engine {
	t.Helper()
	e, err := Open(dir, Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte("v"), 900)
	for batch := range 10 {
		change(t, e, func(tx kv.Tx) {
			for i := range 1000 {
				tx.Put(fmt.Appendf(nil, "k%02d%04d", batch, i), value)
			}
		})
	}
	change(t, e, func(tx kv.Tx) { tx.DeleteRange([]byte("k01"), nil) })
	return e
}

func change(t *testing.T, e *Engine, fn func(kv.Tx)) {
	t.Helper()
	if err := e.Update(context.Background(), 0, func(tx kv.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// content reads all of shard 0.
func content(t *testing.T, e *Engine) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := e.View(context.Background(), 0, func(r kv.Reader) error {
		for k, v := range r.Range(nil, nil, kv.Options{}) {
			all[string(k)] = string(v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func closeEngine(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCompactionGivesSpaceBackAndKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	e := filled(t, dir)
	want := content(t, e)
	free, size := e.Room(0)
	if free*2 < size || len(want) != 1000 {
		t.Fatalf("%d of %d octets are free, %d keys", free, size, len(want))
	}
	var snapshot map[string]string
	err := e.View(context.Background(), 0, func(r kv.Reader) error { // a reader of the old file keeps it
		if err := e.Compact(context.Background(), 0, 0); err != nil {
			return err
		}
		snapshot = make(map[string]string)
		for k, v := range r.Range(nil, nil, kv.Options{}) {
			snapshot[string(k)] = string(v)
		}
		return nil
	})
	if err != nil || !maps.Equal(snapshot, want) {
		t.Fatalf("%v; a reader of the old file saw %d keys", err, len(snapshot))
	}
	change(t, e, func(tx kv.Tx) { tx.Put([]byte("after"), nil) })
	want["after"] = ""
	if got := content(t, e); !maps.Equal(got, want) {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
	if _, now := e.Room(0); now*2 > size {
		t.Errorf("%d octets, %d before", now, size)
	}
	closeEngine(t, e)
	if err := Verify(ShardFile(dir, 0), func(k, v []byte) error { return nil }); err != nil {
		t.Error(err)
	}
	e, err = Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeEngine(t, e)
	if got := content(t, e); !maps.Equal(got, want) {
		t.Errorf("opened again: %d keys, want %d", len(got), len(want))
	}
}

// Many write at random while the file is compacted again and again: what is
// there at the end is what each of them acknowledged.
func TestCompactionFollowsWriters(t *testing.T) {
	dir := t.TempDir()
	e := filled(t, dir)
	seed := rand.Uint64()
	const writers = 4
	models := make([]map[string]string, writers)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			model := make(map[string]string)
			models[w] = model
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				k, v := fmt.Sprintf("w%d/%03d", w, rnd.IntN(500)), fmt.Sprint(n)
				lo, hi := fmt.Sprintf("w%d/%03d", w, rnd.IntN(500)), fmt.Sprintf("w%d/%03d", w, rnd.IntN(500))
				kind := rnd.IntN(10)
				err := e.Update(context.Background(), 0, func(tx kv.Tx) error {
					switch kind {
					case 0:
						tx.DeleteRange([]byte(lo), []byte(hi))
					case 1, 2:
						tx.Delete([]byte(k))
					default:
						tx.Put([]byte(k), []byte(v))
					}
					return nil
				})
				switch {
				case err != nil:
					t.Errorf("seed %d: %v", seed, err)
					return
				case kind == 0:
					maps.DeleteFunc(model, func(k, _ string) bool { return k >= lo && k < hi })
				case kind < 3:
					delete(model, k)
				default:
					model[k] = v
				}
			}
		})
	}
	for range 5 {
		if err := e.Compact(context.Background(), 0, 0); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
	close(stop)
	all.Wait()
	got := content(t, e)
	maps.DeleteFunc(got, func(k, _ string) bool { return k[0] == 'k' })
	want := make(map[string]string)
	for _, m := range models {
		maps.Copy(want, m)
	}
	if !maps.Equal(got, want) {
		t.Errorf("seed %d: %d keys, want %d, or other values", seed, len(got), len(want))
	}
	closeEngine(t, e)
	if err := Verify(ShardFile(dir, 0), func(k, v []byte) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestCompactionGivenUpLeavesTheFileAsItWas(t *testing.T) {
	dir := t.TempDir()
	e := filled(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Compact(ctx, 0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	// More is written during it than it can follow.
	s := e.shards[0]
	j := &journal{}
	j.add([]write{{value: make([]byte, maxJournal)}})
	if c := (copier{shard: s, journal: j}); !errors.Is(c.catchUp(context.Background()), ErrOverrun) {
		t.Error("it went on without what it could not follow")
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"+copySuffix))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if len(content(t, e)) != 1000 {
		t.Error("the file changed")
	}
	// A crash leaves its half-made copy behind.
	closeEngine(t, e)
	for _, suffix := range []string{copySuffix, rescueSuffix} {
		if err := os.WriteFile(ShardFile(dir, 0)+suffix, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if e, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer closeEngine(t, e)
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%d files, %v", len(names), err)
	}
	if err := e.Compact(context.Background(), 0, 0); err != nil {
		t.Error(err)
	}
}

func TestClosedEngineIsNotCompacted(t *testing.T) {
	e := openEngine(t, t.TempDir())
	closeEngine(t, e)
	if err := e.Compact(context.Background(), 0, 0); !errors.Is(err, kv.ErrClosed) {
		t.Errorf("got %v, want %v", err, kv.ErrClosed)
	}
}

// The stamp of the last Settle goes into every file that takes the place of
// another, and a Settle may write more than a transaction.
func TestStampStaysWhateverBecomesOfTheFile(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	e := filled(t, dir)
	stamped := func(want uint64) {
		t.Helper()
		if got, err := e.Stamp(ctx, 0); err != nil || got != want {
			t.Errorf("the stamp is %d, %v, want %d", got, err, want)
		}
	}
	stamped(0)
	err := e.Settle(ctx, 0, 7, func(tx kv.Tx) error {
		for i := range 2 * kv.MaxTxWrites {
			tx.Put(fmt.Appendf(nil, "s%05d", i), nil)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	stamped(7)
	if err := e.Compact(ctx, 0, 0); err != nil {
		t.Fatal(err)
	}
	stamped(7)
	boom := errors.New("boom")
	if err := e.Settle(ctx, 0, 8, func(kv.Tx) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("got %v, want %v", err, boom)
	}
	stamped(7)
	s := e.shards[0]
	err = s.queue.Between(ctx, func() error {
		s.failed = boom
		return s.recover()
	})
	if err != nil {
		t.Fatal(err)
	}
	stamped(7)
	closeEngine(t, e)
	if got, err := Stamp(ShardFile(dir, 0)); err != nil || got != 7 {
		t.Errorf("the file has the stamp %d, %v", got, err)
	}
}
