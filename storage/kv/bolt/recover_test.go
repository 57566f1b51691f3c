package bolt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"syscall"
	"testing"
	"time"

	"letterlock/storage/kv"
)

// A commit whose flush failed may lie in the file as a whole. It was refused:
// it must not be there afterwards, whatever was acknowledged before has to be,
// and the shard takes writes again once the disk does.
func TestShardRecoversFromAFailedFlush(t *testing.T) {
	for name, cause := range map[string]error{
		"I/O error": syscall.EIO,
		"full disk": syscall.ENOSPC,
		"no number": errors.New("something else"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := openEngine(t, dir)
			change(t, e, func(tx kv.Tx) { tx.Put([]byte("acknowledged"), []byte("1")) })
			s := e.shards[0]
			broken := true
			s.flushed = func() error { // runs in the committer, between our calls
				if broken {
					return cause
				}
				return nil
			}
			fails := func() error {
				return e.Update(context.Background(), 0, func(tx kv.Tx) error {
					tx.Put([]byte("refused"), []byte("2"))
					tx.Delete([]byte("acknowledged"))
					return nil
				})
			}
			if err := fails(); !errors.Is(err, kv.ErrFailed) || !errors.Is(err, cause) {
				t.Fatalf("got %v, want %v of %v", err, kv.ErrFailed, cause)
			}
			want := map[string]string{"acknowledged": "1"}
			if got := content(t, e); !maps.Equal(got, want) {
				t.Errorf("after the failure: %v", got)
			}
			if err := fails(); !errors.Is(err, kv.ErrFailed) {
				t.Errorf("on a disk that still fails: %v", err)
			}
			broken = false
			s.tried = time.Time{} // as if its time had passed
			change(t, e, func(tx kv.Tx) { tx.Put([]byte("new"), []byte("3")) })
			want["new"] = "3"
			if got := content(t, e); !maps.Equal(got, want) {
				t.Errorf("recovered: %v", got)
			}
			closeEngine(t, e)
			e = openEngine(t, dir)
			defer closeEngine(t, e)
			if got := content(t, e); !maps.Equal(got, want) {
				t.Errorf("opened again: %v", got)
			}
		})
	}
}

// Compaction never carries over what was refused while it ran.
func TestCompactionDoesNotSurviveAFailedFlush(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir)
	defer closeEngine(t, e)
	s := e.shards[0]
	change(t, e, func(tx kv.Tx) { tx.Put([]byte("k"), nil) })
	s.flushed = func() error { return syscall.EIO }
	j := &journal{}
	s.journal = j
	if err := e.Update(context.Background(), 0, func(tx kv.Tx) error { tx.Put([]byte("x"), nil); return nil }); err == nil {
		t.Error("a failed flush was acknowledged")
	}
	if !j.overrun() {
		t.Error("the compaction goes on")
	}
	s.flushed, s.tried = nil, time.Time{}
	change(t, e, func(tx kv.Tx) { tx.Put([]byte("y"), nil) })
}

func TestPanicOfTheEngineIsAFailure(t *testing.T) {
	e := openEngine(t, t.TempDir())
	defer closeEngine(t, e)
	s := e.shards[0]
	s.flushed = func() error { panic("a page of no type") }
	if err := e.Update(context.Background(), 0, func(tx kv.Tx) error { tx.Put([]byte("x"), nil); return nil }); !errors.Is(err, kv.ErrFailed) {
		t.Errorf("got %v, want %v", err, kv.ErrFailed)
	}
	s.flushed, s.tried = nil, time.Time{}
	change(t, e, func(tx kv.Tx) { tx.Put([]byte("y"), nil) })
	if got := content(t, e); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestTextOfAFullDiskIsUnderstood(t *testing.T) {
	err := fmt.Errorf("file sync error: %s", syscall.ENOSPC) // as bbolt says it
	if !noSpace(err) || !errors.Is(spelledOut(err), syscall.ENOSPC) {
		t.Errorf("%v is not taken for a full disk", err)
	}
	if noSpace(syscall.EIO) {
		t.Error("an I/O error is taken for a full disk")
	}
}
