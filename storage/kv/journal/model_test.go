package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"letterlock/storage/disk"
	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
)

// fickle is a disk in memory that keeps what was flushed. Of what was not, a power
// cut leaves any sectors and any names.
type fickle struct {
	mu    sync.Mutex // guards all below
	rand  *rand.Rand
	fails float64
	now   map[string]*image // as the process sees it
	kept  map[string]*image // whose names were flushed
}

// image is the octets of a file: as the process sees them, as they are on the
// disk, and the sectors in which both differ.
type image struct {
	now, kept []byte
	dirty     map[int]bool
}

func newFickle(r *rand.Rand) *fickle {
	return &fickle{rand: r, now: make(map[string]*image), kept: make(map[string]*image)}
}

func (d *fickle) breaks(share float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = share
}

func (d *fickle) fail() error {
	if d.rand.Float64() >= d.fails {
		return nil
	}
	if d.rand.IntN(2) == 0 {
		return syscall.EIO
	}
	return syscall.ENOSPC
}

func (d *fickle) Create(name string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now[name] != nil {
		return nil, fs.ErrExist
	}
	if err := d.fail(); err != nil {
		return nil, err
	}
	f := &image{dirty: make(map[int]bool)}
	d.now[name] = f
	return &fickleFile{f, d}, nil
}

func (d *fickle) Open(string) (disk.File, error) { return nil, errors.ErrUnsupported }
func (d *fickle) Rename(_, _ string) error       { return errors.ErrUnsupported }

func (d *fickle) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now[name] == nil {
		return fs.ErrNotExist
	}
	if err := d.fail(); err != nil {
		return err
	}
	delete(d.now, name)
	return nil
}

func (d *fickle) SyncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.fail()
	if err == nil {
		d.kept = maps.Clone(d.now)
	}
	return err
}

// cut writes what a power cut leaves.
func (d *fickle) cut(t *testing.T, dir string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	left := maps.Clone(d.kept)
	for name, f := range d.now {
		if left[name] != f && d.rand.IntN(2) == 0 {
			left[name] = f
		}
	}
	for name := range d.kept {
		if d.now[name] == nil && d.rand.IntN(2) == 0 {
			delete(left, name)
		}
	}
	for name, f := range left {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), f.left(d.rand), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// killed writes what a kill leaves: everything.
func (d *fickle) killed(t *testing.T, dir string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, f := range d.now {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), f.now, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *image) left(r *rand.Rand) []byte {
	b := bytes.Clone(f.kept)
	most := 1 + r.IntN(3) // of four
	for s := range f.dirty {
		if r.IntN(4) < most {
			end := min((s+1)*sector, len(f.now))
			b = append(b, make([]byte, max(0, end-len(b)))...)
			copy(b[s*sector:], f.now[s*sector:end])
		}
	}
	return b
}

type fickleFile struct {
	*image
	disk *fickle
}

func (f *fickleFile) ReadAt([]byte, int64) (int, error) { return 0, errors.ErrUnsupported }
func (f *fickleFile) Allocate(int64) error              { return errors.ErrUnsupported }
func (f *fickleFile) Truncate(int64) error              { return errors.ErrUnsupported }
func (f *fickleFile) Close() error                      { return nil }

func (f *fickleFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	err := f.disk.fail()
	if err != nil {
		b = b[:f.disk.rand.IntN(len(b)+1)]
	}
	end := int(at) + len(b)
	f.now = append(f.now, make([]byte, max(0, end-len(f.now)))...)
	copy(f.now[at:], b)
	for s := int(at) / sector; s*sector < end; s++ {
		f.dirty[s] = true
	}
	return len(b), err
}

func (f *fickleFile) Datasync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	err := f.disk.fail()
	if err != nil {
		f.kept = f.left(f.disk.rand) // the rest is dropped, and no later flush says so
	} else {
		f.kept = bytes.Clone(f.now)
	}
	clear(f.dirty)
	return err
}

// doubtful is an engine that fails at times: before it has settled, and behind it
// where readers have it already.
type doubtful struct {
	Base
	mu    sync.Mutex // a copy of the file is not made while it is held
	disk  *fickle
	shown func() bool
}

func (d *doubtful) fail() error {
	d.disk.mu.Lock()
	defer d.disk.mu.Unlock()
	return d.disk.fail()
}

func (d *doubtful) Settle(ctx context.Context, shard int, stamp uint64, fn func(kv.Tx) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.fail()
	if err == nil {
		if err := d.Base.Settle(ctx, shard, stamp, fn); err != nil {
			return err
		}
		if d.shown() {
			err = d.fail()
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", kv.ErrFailed, err)
	}
	return nil
}

// world is an engine, and what it has to hold.
type world struct {
	*testing.T
	rand   *rand.Rand
	disk   *fickle
	base   *doubtful
	e      *Engine
	dir    string
	want   map[string]string
	others []map[string]string // as it may be after a crash: a change that failed is there
	trace  []string
}

func (w *world) open(dir string) {
	w.Helper()
	w.trace = append(w.trace, "open")
	w.dir, w.disk = dir, newFickle(rand.New(rand.NewPCG(w.rand.Uint64(), 1))) // settling in the background asks it, too
	for _, name := range names(dir, 0) {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			w.Fatal(err)
		}
		f := &image{now: b, kept: b, dirty: make(map[int]bool)}
		w.disk.now[name], w.disk.kept[name] = f, f
	}
	b, err := bolt.Open(dir, bolt.Options{Shards: 1})
	if err != nil {
		w.Fatal(err)
	}
	w.base = &doubtful{Base: b, disk: w.disk, shown: func() bool { return w.e != nil && w.e.shards[0].shown.Load().tree.Len() > 0 }}
	w.e = nil
	if w.e, err = Open(dir, w.base, Options{Files: w.disk}); err != nil {
		w.Fatalf("%v: %v", err, w.trace)
	}
	for _, name := range names(dir, 0) { // the files live in memory from here on
		_ = os.Remove(name)
	}
	got := content(w.T, w.e)
	for _, other := range w.others {
		if maps.Equal(got, other) {
			w.want = other
		}
	}
	w.others = nil
	w.check()
}

func (w *world) check() {
	w.Helper()
	if got := content(w.T, w.e); !maps.Equal(got, w.want) {
		w.Fatalf("got %d keys, want %d, or other values: %v", len(got), len(w.want), w.trace)
	}
}

// crash goes on with what a kill or a power cut leaves.
func (w *world) crash() {
	w.Helper()
	next := w.TempDir()
	w.base.mu.Lock()
	b, err := os.ReadFile(bolt.ShardFile(w.dir, 0))
	if err == nil {
		err = os.WriteFile(bolt.ShardFile(next, 0), b, 0o600)
	}
	if err != nil {
		w.Fatal(err)
	}
	if w.rand.IntN(2) == 0 {
		w.trace = append(w.trace, "cut")
		w.disk.cut(w.T, next)
	} else {
		w.trace = append(w.trace, "kill")
		w.disk.killed(w.T, next)
	}
	w.base.mu.Unlock()
	w.disk.breaks(0)
	_ = w.e.Close()
	w.open(next)
}

func (w *world) restart() {
	w.Helper()
	w.trace = append(w.trace, "restart")
	err := w.e.Close()
	if err != nil && w.disk.fails == 0 {
		w.Fatal(err)
	}
	w.disk.killed(w.T, w.dir)
	w.open(w.dir)
}

// change is one transaction, with the model beside it.
func (w *world) change() {
	w.Helper()
	then := maps.Clone(w.want)
	var does []func(kv.Tx)
	key := func() string { return strconv.Itoa(w.rand.IntN(200)) }
	kinds := [][2]int{{0, 20}, {0, 20}, {18, 1}, {19, 1}}[w.rand.IntN(4)]
	for range 1 + w.rand.IntN(4) {
		k, v := key(), strconv.Itoa(w.rand.Int())
		switch n := kinds[0] + w.rand.IntN(kinds[1]); {
		case n < 10:
			then[k] = v
			does = append(does, func(tx kv.Tx) { tx.Put([]byte(k), []byte(v)) })
		case n < 14:
			delete(then, k)
			does = append(does, func(tx kv.Tx) { tx.Delete([]byte(k)) })
		case n < 17:
			hi := key()
			maps.DeleteFunc(then, func(x, _ string) bool { return k <= x && x < hi })
			does = append(does, func(tx kv.Tx) { tx.DeleteRange([]byte(k), []byte(hi)) })
		case n < 18:
			k = "9" + k
			maps.DeleteFunc(then, func(x, _ string) bool { return k <= x })
			does = append(does, func(tx kv.Tx) { tx.DeleteRange([]byte(k), nil) })
		case n < 19: // nothing is there
			does = append(does, func(tx kv.Tx) { tx.DeleteRange([]byte("x"), []byte("y")) })
		default:
			big := bytes.Repeat([]byte{byte('a' + w.rand.IntN(26))}, 60000)
			for i := range 1 + w.rand.IntN(20) {
				then[fmt.Sprint(k, i)] = string(big)
				does = append(does, func(tx kv.Tx) { tx.Put(fmt.Append(nil, k, i), big) })
			}
		}
	}
	err := w.e.Update(context.Background(), 0, func(tx kv.Tx) error {
		for _, do := range does {
			do(tx)
		}
		return nil
	})
	w.trace = append(w.trace, fmt.Sprintf("change %d: %v", len(does), err))
	switch {
	case err == nil:
		w.want, w.others = then, nil
	case errors.Is(err, kv.ErrFailed) && w.disk.fails > 0:
		w.others = append(w.others, then)
	default:
		w.Fatalf("%v: %v", err, w.trace)
	}
}

func (w *world) step() {
	w.Helper()
	s := w.e.shards[0]
	switch n := w.rand.IntN(40); {
	case n < 26:
		w.change()
	case n < 31:
		_ = s.queue.Between(context.Background(), func() error { s.settleSoon(); return nil })
	case n < 32:
		_ = w.e.Copy(context.Background(), 0, io.Discard)
	case n < 33:
		_ = w.e.Wipe(context.Background(), 0)
	case n < 34:
		w.restart()
	case n < 36:
		w.crash()
	case n < 37:
		w.disk.breaks(0.3 * w.rand.Float64())
	default:
		w.disk.breaks(0)
	}
}

// Whatever happens in whatever order, what was acknowledged is there, and nothing
// else but a change that failed in the moment of a crash.
// LETTERLOCK_CRASH_ROUNDS says how many lives are tried.
func TestModelCrash(t *testing.T) {
	rounds := 6
	if n, err := strconv.Atoi(os.Getenv("LETTERLOCK_CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	for range rounds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &world{T: t, rand: rand.New(rand.NewPCG(seed, 0)), want: make(map[string]string)}
			w.open(t.TempDir())
			for range 100 {
				w.step()
				w.check()
			}
			w.disk.breaks(0)
			closeEngine(t, w.e)
		})
	}
}
