package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"letterlock/storage/disk"
	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
)

func openBase(t *testing.T, dir string) *bolt.Engine {
	t.Helper()
	b, err := bolt.Open(dir, bolt.Options{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openEngine(t *testing.T, dir string, files disk.Files) *Engine {
	t.Helper()
	e, err := Open(dir, openBase(t, dir), Options{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func closeEngine(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func put(e *Engine, key, value string) error {
	return e.Update(context.Background(), 0, func(tx kv.Tx) error {
		tx.Put([]byte(key), []byte(value))
		return nil
	})
}

func mustPut(t *testing.T, e *Engine, key, value string) {
	t.Helper()
	if err := put(e, key, value); err != nil {
		t.Fatal(err)
	}
}

// content is all of shard 0.
func content(t *testing.T, e kv.Engine) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := e.View(context.Background(), 0, func(r kv.Reader) error {
		for k, v := range r.Range(nil, nil, kv.Options{}) {
			if got := r.Get(k); !bytes.Equal(got, v) {
				t.Errorf("%s is %q in the range and %q alone", k, v, got)
			}
			all[string(k)] = string(v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantContent(t *testing.T, e kv.Engine, want map[string]string) {
	t.Helper()
	if got := content(t, e); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// settle lets shard 0 settle in the background, and waits for it.
func settle(t *testing.T, e *Engine) {
	t.Helper()
	s := e.shards[0]
	err := s.queue.Between(context.Background(), func() error {
		s.settleSoon()
		s.await()
		return s.failed
	})
	if err != nil {
		t.Fatal(err)
	}
}

// crashed is the folder as a kill would leave it now.
func crashed(t *testing.T, dir string) string {
	t.Helper()
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return image
}

func TestEngineConforms(t *testing.T) {
	dir := t.TempDir()
	kv.Conform(t, func() kv.Engine { return openEngine(t, dir, nil) })
}

func TestStrictEngineConforms(t *testing.T) {
	dir := t.TempDir()
	kv.Conform(t, func() kv.Engine { return kv.Strict(openEngine(t, dir, nil), nil) })
}

// What was acknowledged is there after a kill, whether it has settled or stands in
// either file of the journal, and with ranges that were deleted from both.
func TestAcknowledgedIsThereAfterAKill(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, nil)
	defer closeEngine(t, e)
	want := make(map[string]string)
	step := func(fn func(kv.Tx)) {
		t.Helper()
		if err := e.Update(context.Background(), 0, func(tx kv.Tx) error { fn(tx); return nil }); err != nil {
			t.Fatal(err)
		}
		again := openEngine(t, crashed(t, dir), nil)
		wantContent(t, again, want)
		closeEngine(t, again)
		wantContent(t, e, want)
	}
	for round := range 4 {
		for i := range 3 {
			k := fmt.Sprintf("%d%d", round, i)
			want[k], want["last"] = "v"+k, k
			step(func(tx kv.Tx) { tx.Put([]byte(k), []byte("v"+k)); tx.Put([]byte("last"), []byte(k)) })
		}
		delete(want, fmt.Sprintf("%d0", round))
		step(func(tx kv.Tx) { tx.Delete(fmt.Appendf(nil, "%d0", round)) })
		if round == 2 {
			maps.DeleteFunc(want, func(k, _ string) bool { return k >= "02" && k < "12" })
			step(func(tx kv.Tx) { tx.DeleteRange([]byte("02"), []byte("12")) })
		}
		if round == 3 {
			maps.DeleteFunc(want, func(k, _ string) bool { return k >= "32" })
			step(func(tx kv.Tx) { tx.DeleteRange([]byte("32"), nil) })
		}
		settle(t, e)
		wantContent(t, e.base, want)
		step(func(tx kv.Tx) {})
	}
}

// A clean stop leaves no journal, and the engine below has everything.
func TestCleanStopLeavesNoJournal(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, nil)
	mustPut(t, e, "a", "1")
	settle(t, e)
	mustPut(t, e, "b", "2")
	closeEngine(t, e)
	if left, err := filepath.Glob(filepath.Join(dir, "*.journal")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	b := openBase(t, dir)
	defer b.Close()
	wantContent(t, b, map[string]string{"a": "1", "b": "2"})
}

func TestCopyHasWhatTheJournalHas(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, nil)
	defer closeEngine(t, e)
	mustPut(t, e, "a", "1")
	to := t.TempDir()
	openBase(t, to).Close()
	var image bytes.Buffer
	if err := e.Copy(context.Background(), 0, &image); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bolt.ShardFile(to, 0), image.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	b := openBase(t, to)
	defer b.Close()
	wantContent(t, b, map[string]string{"a": "1"})
}

// What was deleted for good is in no file of the journal any more.
func TestWipedJournalHoldsNothing(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, nil)
	defer closeEngine(t, e)
	mustPut(t, e, "a", "secret")
	if err := e.Wipe(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "00.*.journal")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	mustPut(t, e, "b", "2")
	again := openEngine(t, crashed(t, dir), nil)
	defer closeEngine(t, again)
	wantContent(t, again, map[string]string{"a": "secret", "b": "2"})
}

// A transaction that writes much is not written twice where nothing stands before
// it, and is where something does.
func TestBigTransactions(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, nil)
	defer closeEngine(t, e)
	want := make(map[string]string)
	big := func(name string) {
		t.Helper()
		value := bytes.Repeat([]byte(name), 30000)
		err := e.Update(context.Background(), 0, func(tx kv.Tx) error {
			for i := range 100 {
				tx.Put(fmt.Appendf(nil, "%s%02d", name, i), value)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			want[fmt.Sprintf("%s%02d", name, i)] = string(value)
		}
	}
	big("a")
	if names, err := filepath.Glob(filepath.Join(dir, "*.journal")); err != nil || len(names) > 0 {
		t.Errorf("a big transaction made %v, %v", names, err)
	}
	mustPut(t, e, "small", "1")
	want["small"] = "1"
	for range 9 { // more than the journal takes before commits wait
		big("b")
		big("c")
	}
	image := crashed(t, dir)
	if got := content(t, e); !maps.Equal(got, want) {
		t.Errorf("%d keys, want %d, or other values", len(got), len(want))
	}
	again := openEngine(t, image, nil)
	defer closeEngine(t, again)
	if got := content(t, again); !maps.Equal(got, want) {
		t.Errorf("after a kill: %d keys, want %d, or other values", len(got), len(want))
	}
}

// A range is deleted in which there is nothing: a big transaction behind that does
// not leave a gap in the file, which the next open would take for damage.
func TestNothingDeletedLeavesNoGap(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, nil)
	defer closeEngine(t, e)
	err := e.Update(context.Background(), 0, func(tx kv.Tx) error { tx.DeleteRange([]byte("x"), []byte("y")); return nil })
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	err = e.Update(context.Background(), 0, func(tx kv.Tx) error {
		for i := range 20 {
			k, v := fmt.Sprint("big", i), string(bytes.Repeat([]byte{'v'}, 60000))
			want[k] = v
			tx.Put([]byte(k), []byte(v))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, e, "small", "1")
	want["small"] = "1"
	again := openEngine(t, crashed(t, dir), nil)
	defer closeEngine(t, again)
	if got := content(t, again); !maps.Equal(got, want) {
		t.Errorf("after a kill: %d keys, want %d, or other values", len(got), len(want))
	}
}

// Many wait with much at once: what has not settled stays within its bound, however
// many of them share a moment.
func TestManyBigTransactionsAtOnceStayWithinTheBound(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, nil)
	defer closeEngine(t, e)
	mustPut(t, e, "small", "1") // or they would need no journal
	value := bytes.Repeat([]byte{'v'}, 60000)
	var all sync.WaitGroup
	s := e.shards[0]
	err := s.queue.Between(context.Background(), func() error {
		for i := range 50 {
			all.Go(func() {
				err := e.Update(context.Background(), 0, func(tx kv.Tx) error {
					for n := range 20 {
						tx.Put(fmt.Appendf(nil, "k%02d%02d", i, n), value)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		for len(s.queue.Calls()) < 50 {
			runtime.Gosched()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all.Wait()
	for _, name := range names(dir, 0) {
		info, err := os.Stat(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if most := int64(settleNow + 2*tooMuch); info.Size() > most {
			t.Errorf("%s has %d octets, want at most %d", filepath.Base(name), info.Size(), most)
		}
	}
}

// Readers never see half of a transaction, nor one that goes back, however it
// settles beside them.
func TestReadersSeeWholeTransactions(t *testing.T) {
	e := openEngine(t, t.TempDir(), nil)
	defer closeEngine(t, e)
	ctx := context.Background()
	write := func(n, size int) {
		err := e.Update(ctx, 0, func(tx kv.Tx) error {
			for _, k := range []string{"a", "m", "z"} {
				tx.Put([]byte(k), fmt.Appendf(nil, "%06d", n))
			}
			tx.Delete(fmt.Appendf(nil, "n%d", n-1))
			tx.Put(fmt.Appendf(nil, "n%d", n), bytes.Repeat([]byte{'x'}, size))
			for i := range size / 1000 {
				tx.Put(fmt.Appendf(nil, "o%d", i), bytes.Repeat([]byte{byte(n)}, 60000))
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	write(1, 0)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			last := ""
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := e.View(ctx, 0, func(r kv.Reader) error {
					now := string(r.Get([]byte("a")))
					var seen []string
					for k, v := range r.Range([]byte("a"), []byte("zz"), kv.Options{}) {
						if len(k) == 1 {
							seen = append(seen, string(v))
						} else if k[0] == 'n' {
							seen = append(seen, fmt.Sprintf("%06s", k[1:]))
						}
					}
					for _, v := range seen {
						if v != now {
							return fmt.Errorf("saw %v and %s", seen, now)
						}
					}
					if len(seen) != 4 || now < last {
						return fmt.Errorf("saw %v, %s before", seen, last)
					}
					last = now
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	s := e.shards[0]
	for n := 2; n < 400; n++ {
		size := 0
		if n%50 == 0 {
			size = 40000
		}
		write(n, size)
		switch n % 7 {
		case 0: // in the background
			_ = s.queue.Between(context.Background(), func() error { s.settleSoon(); return nil })
		case 1:
			_ = s.queue.Between(context.Background(), s.settleAll)
		}
	}
	close(stop)
	all.Wait()
}

func TestWatchersWakeAndClosedIsClosed(t *testing.T) {
	e := openEngine(t, t.TempDir(), nil)
	moved, stop := e.Watch([]byte("topic"))
	defer stop()
	err := e.Update(context.Background(), 0, func(tx kv.Tx) error { tx.Notify([]byte("topic")); return nil })
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-moved:
	default:
		t.Error("nobody was woken")
	}
	closeEngine(t, e)
	closed := map[string]error{
		"update": put(e, "a", "1"),
		"view":   e.View(context.Background(), 0, func(kv.Reader) error { return nil }),
		"copy":   e.Copy(context.Background(), 0, &bytes.Buffer{}),
		"wipe":   e.Wipe(context.Background(), 0),
	}
	for name, err := range closed {
		if !errors.Is(err, kv.ErrClosed) {
			t.Errorf("%s after close: %v, want %v", name, err, kv.ErrClosed)
		}
	}
}

// A closure that fails, or panics, leaves no trace among others that share its
// record.
func TestFailedClosuresLeaveNoTrace(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, nil)
	defer closeEngine(t, e)
	want := make(map[string]string)
	var all sync.WaitGroup
	for i := range 60 {
		k := fmt.Sprintf("k%02d", i)
		if i%3 == 2 {
			want[k] = "1"
		}
		all.Go(func() {
			err := e.Update(context.Background(), 0, func(tx kv.Tx) error {
				tx.Put([]byte(k), []byte("1"))
				switch i % 3 {
				case 0:
					return errors.New("no")
				case 1:
					panic("oops")
				}
				return nil
			})
			if (err == nil) != (i%3 == 2) {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	all.Wait()
	wantContent(t, e, want)
	again := openEngine(t, crashed(t, dir), nil)
	defer closeEngine(t, again)
	wantContent(t, again, want)
}
