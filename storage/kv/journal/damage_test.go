package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"letterlock/storage/disk"
	"letterlock/storage/kv"
)

// three is the folder of an engine that was killed with three records in its
// journal, each of one sector.
func three(t *testing.T) (dir, name string) {
	t.Helper()
	from := t.TempDir()
	e := openEngine(t, from, nil)
	for i := range 3 {
		mustPut(t, e, fmt.Sprint("k", i), "v")
	}
	dir = crashed(t, from)
	closeEngine(t, e)
	return dir, names(dir, 0)[0]
}

func change(t *testing.T, name string, fn func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, fn(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A power cut tears the last record, which nobody was told of: it is not there,
// and all before it is.
func TestTornRecordIsNotThere(t *testing.T) {
	dir, _ := three(t)
	for _, cut := range []int{0, 1, 19, 20, 25, sector - 1} {
		for name, tear := range map[string]func([]byte) []byte{
			"cut":    func(b []byte) []byte { return b[:firstAt+2*sector+cut] },
			"zeroed": func(b []byte) []byte { clear(b[firstAt+2*sector+min(cut, 20):]); return b },
		} {
			image := crashed(t, dir)
			change(t, names(image, 0)[0], tear)
			e := openEngine(t, image, nil)
			if got, want := content(t, e), (map[string]string{"k0": "v", "k1": "v"}); !maps.Equal(got, want) && cut < 25 {
				t.Errorf("%s at %d: got %v, want %v", name, cut, got, want)
			}
			mustPut(t, e, "more", "v") // under the number of the one that is not there
			again := openEngine(t, crashed(t, image), nil)
			if got := content(t, again); got["more"] != "v" || got["k1"] != "v" {
				t.Errorf("%s at %d: got %v after one more", name, cut, got)
			}
			closeEngine(t, again)
			closeEngine(t, e)
		}
	}
}

// What rots before the last record is no torn write: nothing is opened, and
// nothing thrown away.
func TestDamageIsNotTakenForATornWrite(t *testing.T) {
	dir, _ := three(t)
	for at := range 2 {
		for _, octet := range []int{0, 5, 9, 17, 21} {
			image := crashed(t, dir)
			name := names(image, 0)[0]
			change(t, name, func(b []byte) []byte { b[firstAt+at*sector+octet] ^= 1; return b })
			b := openBase(t, image)
			e, err := Open(image, b, Options{})
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("record %d, octet %d: %v, want %v", at, octet, err, ErrDamaged)
			}
			if e != nil {
				t.Errorf("it was opened")
			}
			if err := Check(image, 0, 0); !errors.Is(err, ErrDamaged) {
				t.Errorf("Check: %v, want %v", err, ErrDamaged)
			}
			if err := SetAside(image, 0, ".aside"); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(name + ".aside"); err != nil {
				t.Error(err)
			}
			if e, err = Open(image, b, Options{}); err != nil {
				t.Fatal(err)
			}
			closeEngine(t, e)
		}
	}
}

// A process is killed, or the disk is full, between the two headers of a new file:
// nothing was ever acknowledged in it.
func TestFileThatWasHardlyBegunHoldsNothing(t *testing.T) {
	for _, size := range []int{0, 1, sector - 1, sector, sector + 100, firstAt - 1, firstAt} {
		dir, name := three(t)
		change(t, name, func(b []byte) []byte { return b[:size] })
		e := openEngine(t, dir, nil)
		wantContent(t, e, map[string]string{})
		closeEngine(t, e)
	}
}

// One header of a file may rot.
func TestEitherHeaderIsEnough(t *testing.T) {
	dir, _ := three(t)
	for at := range 2 {
		image := crashed(t, dir)
		change(t, names(image, 0)[0], func(b []byte) []byte { b[at*sector+10] ^= 1; return b })
		e := openEngine(t, image, nil)
		wantContent(t, e, map[string]string{"k0": "v", "k1": "v", "k2": "v"})
		closeEngine(t, e)
	}
}

// The first file is lost with its records, the second is there: that is a gap, and
// no torn write.
func TestMissingFileIsDamage(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, nil)
	defer closeEngine(t, e)
	mustPut(t, e, "a", "1")
	s := e.shards[0]
	if err := s.queue.Between(context.Background(), func() error { s.files.change(0); return nil }); err != nil {
		t.Fatal(err)
	}
	mustPut(t, e, "b", "2")
	image := crashed(t, dir)
	if err := os.Remove(names(image, 0)[0]); err != nil {
		t.Fatal(err)
	}
	if err := Check(image, 0, 0); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want %v", err, ErrDamaged)
	}
	if err := Check(dir, 0, 0); err != nil {
		t.Errorf("with both: %v", err)
	}
}

// A value that looks like a record is none, where a later turn of the file ends
// within it: nobody who can have a value stored knows the salt.
func TestValueIsNotTakenForARecord(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, nil)
	defer closeEngine(t, e)
	forged := func(number uint64) []byte {
		var r record
		r.begin()
		r.put([]byte("forged"), []byte("x"))
		return r.end(saltOf(make([]byte, saltSize)), number)[:64]
	}
	value := make([]byte, 60000)
	for at := 0; at+64 < len(value); at += 65 { // at every place within a sector, some time
		copy(value[at:], forged(uint64(3+rand.IntN(3))))
	}
	mustPut(t, e, "a", string(value))
	settle(t, e)
	settle(t, e) // nothing: the other file stays
	mustPut(t, e, "b", "2")
	settle(t, e)
	mustPut(t, e, "c", "3") // over the first file
	again := openEngine(t, crashed(t, dir), nil)
	defer closeEngine(t, again)
	wantContent(t, again, map[string]string{"a": string(value), "b": "2", "c": "3"})
}

// worn is a disk that fails when it is told to.
type worn struct {
	disk.OS
	create, write, sync, remove atomic.Pointer[error]
}

func say(p *atomic.Pointer[error]) error {
	if err := p.Load(); err != nil {
		return *err
	}
	return nil
}

func (w *worn) Create(name string) (disk.File, error) {
	if err := say(&w.create); err != nil {
		return nil, err
	}
	f, err := w.OS.Create(name)
	return &wornFile{f, w}, err
}

func (w *worn) Remove(name string) error {
	if err := say(&w.remove); err != nil {
		return err
	}
	return w.OS.Remove(name)
}

type wornFile struct {
	disk.File
	disk *worn
}

func (f *wornFile) WriteAt(b []byte, at int64) (int, error) {
	if err := say(&f.disk.write); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], at)
		return n, err
	}
	return f.File.WriteAt(b, at)
}

func (f *wornFile) Datasync() error {
	if err := say(&f.disk.sync); err != nil {
		return err
	}
	return f.File.Datasync()
}

// Whatever fails of the journal's file: the change is refused with the reason,
// nobody sees it, now or after a kill that comes behind the next change, and when
// the disk is well again changes are taken at once.
func TestJournalThatFailsIsNotWrittenAgain(t *testing.T) {
	for name, at := range map[string]func(*worn) *atomic.Pointer[error]{
		"create": func(w *worn) *atomic.Pointer[error] { return &w.create },
		"write":  func(w *worn) *atomic.Pointer[error] { return &w.write },
		"flush":  func(w *worn) *atomic.Pointer[error] { return &w.sync },
	} {
		for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
			t.Run(fmt.Sprint(name, " ", cause), func(t *testing.T) {
				w, dir := &worn{}, t.TempDir()
				e := openEngine(t, dir, w)
				defer closeEngine(t, e)
				if name != "create" {
					mustPut(t, e, "before", "1")
				}
				at(w).Store(&cause)
				for range 2 {
					if err := put(e, "failed", "x"); !errors.Is(err, kv.ErrFailed) || !errors.Is(err, cause) {
						t.Errorf("got %v, want %v", err, cause)
					}
				}
				before := content(t, e)
				if before["failed"] != "" {
					t.Error("readers see what failed")
				}
				at(w).Store(nil)
				mustPut(t, e, "after", "2")
				before["after"] = "2"
				wantContent(t, e, before)
				again := openEngine(t, crashed(t, dir), nil)
				defer closeEngine(t, again)
				wantContent(t, again, before)
			})
		}
	}
}

// A file that failed and cannot even be removed lets nothing in.
func TestFailedFileIsNotUsedAsLongAsItIsThere(t *testing.T) {
	w, dir := &worn{}, t.TempDir()
	e := openEngine(t, dir, w)
	defer closeEngine(t, e)
	broken := error(syscall.EIO)
	mustPut(t, e, "before", "1")
	w.sync.Store(&broken)
	w.remove.Store(&broken)
	if err := put(e, "failed", "x"); !errors.Is(err, kv.ErrFailed) {
		t.Errorf("got %v, want %v", err, kv.ErrFailed)
	}
	w.sync.Store(nil)
	if err := put(e, "failed", "x"); !errors.Is(err, kv.ErrFailed) {
		t.Errorf("got %v, want %v", err, kv.ErrFailed)
	}
	w.remove.Store(nil)
	mustPut(t, e, "after", "2")
	wantContent(t, e, map[string]string{"before": "1", "after": "2"})
}

// stubborn is an engine that does not settle when it is told so.
type stubborn struct {
	Base
	broken atomic.Pointer[error]
}

func (s *stubborn) Settle(ctx context.Context, shard int, stamp uint64, fn func(kv.Tx) error) error {
	if err := say(&s.broken); err != nil {
		return fmt.Errorf("%w: %w", kv.ErrFailed, err)
	}
	return s.Base.Settle(ctx, shard, stamp, fn)
}

// Where the index takes nothing, nothing more is let into the journal, and what
// was acknowledged stays: for readers, for the next open, and for the index when
// it is well again.
func TestNothingIsLetInThatCannotSettle(t *testing.T) {
	dir := t.TempDir()
	base := &stubborn{Base: openBase(t, dir)}
	e, err := Open(dir, base, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { closeEngine(t, e) }()
	mustPut(t, e, "a", "1")
	broken := error(syscall.ENOSPC)
	base.broken.Store(&broken)
	s := e.shards[0]
	if err := s.queue.Between(context.Background(), func() error { s.settleSoon(); s.await(); return s.failed }); !errors.Is(err, broken) {
		t.Errorf("settle: %v, want %v", err, broken)
	}
	if err := put(e, "b", "2"); !errors.Is(err, kv.ErrFailed) || !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	want := map[string]string{"a": "1"}
	wantContent(t, e, want)
	if err := e.Copy(context.Background(), 0, nil); !errors.Is(err, broken) {
		t.Errorf("copy: %v, want %v", err, broken)
	}
	again := openEngine(t, crashed(t, dir), nil)
	wantContent(t, again, want)
	closeEngine(t, again)
	base.broken.Store(nil)
	mustPut(t, e, "b", "2")
	want["b"] = "2"
	wantContent(t, e, want)
	wantContent(t, base, map[string]string{"a": "1"})

	mustPut(t, e, "c", "3")
	base.broken.Store(&broken)
	if err := e.Close(); !errors.Is(err, broken) {
		t.Errorf("close: %v, want %v", err, broken)
	}
	want["c"] = "3"
	e = openEngine(t, dir, nil)
	wantContent(t, e, want)
}

func TestStrangeRecordsAreRefused(t *testing.T) {
	for name, writes := range map[string][]byte{
		"unknown kind":   {9, 1, 'k'},
		"no key":         {putOne},
		"key too long":   {deleteOne, 200, 'k'},
		"no value":       {putOne, 1, 'k'},
		"value too long": append([]byte{putOne, 1, 'k'}, binary.AppendUvarint(nil, 1<<62)...),
	} {
		t.Run(name, func(t *testing.T) {
			e := openEngine(t, t.TempDir(), nil)
			defer closeEngine(t, e)
			f := found{1, writes}
			err := e.Update(context.Background(), 0, func(tx kv.Tx) error { return f.apply(tx) })
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v, want %v", err, ErrDamaged)
			}
		})
	}
}

// FuzzJournal reads files that rotted at random: no panic, and what is found has
// its numbers in order.
func FuzzJournal(f *testing.F) {
	var r record
	b := fileHeader(make([]byte, saltSize))
	for n := range uint64(3) {
		r.begin()
		r.put([]byte("key"), []byte("value"))
		r.deleteRange([]byte("a"), []byte("b"))
		r.deleteRange([]byte("a"), nil)
		b = append(b, r.end(saltOf(make([]byte, saltSize)), n+1)...)
	}
	f.Add(b, uint64(0))
	f.Add(b, uint64(2))
	f.Add(b[:len(b)-sector], uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, stamp uint64) {
		all, err := readFile(b, stamp)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
		for i := range all {
			if all[i].number <= stamp || i > 0 && all[i].number != all[i-1].number+1 {
				t.Errorf("record %d of %d has the number %d behind %d", i, len(all), all[i].number, stamp)
			}
		}
	})
}

// A file of the journal is for its owner alone.
func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, nil)
	defer closeEngine(t, e)
	mustPut(t, e, "a", "1")
	found, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	info, err := os.Stat(found[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
