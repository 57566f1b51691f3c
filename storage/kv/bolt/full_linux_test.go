package bolt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"syscall"
	"testing"

	"letterlock/storage/kv"
)

// A real disk that is full: the shard refuses, says why, and takes writes again
// at once when there is room.
func TestFullDiskIsRefusedAndPasses(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("no small disk here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	e, err := Open(dir, Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer closeEngine(t, e)
	change(t, e, func(tx kv.Tx) { tx.Put([]byte("first"), []byte("1")) })
	ballast := dir + "/ballast"
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 30000)
	for i := 0; err == nil && i < 1000; i++ {
		err = e.Update(context.Background(), 0, func(tx kv.Tx) error { tx.Put(fmt.Appendf(nil, "k%03d", i), value); return nil })
	}
	if !errors.Is(err, kv.ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want %v", err, syscall.ENOSPC)
	}
	before := content(t, e)
	if before["first"] != "1" {
		t.Error("what was acknowledged is gone")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	change(t, e, func(tx kv.Tx) { tx.Put([]byte("last"), []byte("2")) })
	before["last"] = "2"
	if got := content(t, e); !maps.Equal(got, before) {
		t.Errorf("%d keys, want %d", len(got), len(before))
	}
}
