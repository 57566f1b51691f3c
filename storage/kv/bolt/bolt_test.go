package bolt

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"letterlock/storage/kv"
)

func openEngine(t *testing.T, dir string) *Engine {
	t.Helper()
	e, err := Open(dir, Options{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEngineConforms(t *testing.T) {
	dir := t.TempDir()
	kv.Conform(t, func() kv.Engine { return openEngine(t, dir) })
}

func TestStrictEngineConforms(t *testing.T) {
	dir := t.TempDir()
	kv.Conform(t, func() kv.Engine { return kv.Strict(openEngine(t, dir), nil) })
}

func TestStrictShowsMisuse(t *testing.T) {
	e := kv.Strict(openEngine(t, t.TempDir()), func(key []byte) int { return int(key[0]) })
	defer e.Close()
	ctx := context.Background()
	if err := e.Update(ctx, 0, func(tx kv.Tx) error { tx.Put([]byte{1}, nil); return nil }); err == nil {
		t.Error("a key of another shard was taken")
	}
	var kept []byte
	err := e.Update(ctx, 1, func(tx kv.Tx) error {
		tx.Put([]byte{1}, []byte("value"))
		kept = tx.Get([]byte{1})
		return nil
	})
	if err != nil || string(kept) == "value" {
		t.Errorf("a slice that outlived its transaction still reads %q, %v", kept, err)
	}
}

func TestPanicInATransactionLeavesNoTrace(t *testing.T) {
	e := openEngine(t, t.TempDir())
	defer e.Close()
	ctx := context.Background()
	if err := e.Update(ctx, 0, func(tx kv.Tx) error { tx.Put([]byte("x"), nil); panic("oops") }); err == nil {
		t.Error("a panic was taken for success")
	}
	err := e.View(ctx, 0, func(r kv.Reader) error {
		if r.Get([]byte("x")) != nil {
			t.Error("what it wrote is there")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFreeListIsWrittenAtACleanCloseAlone(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir)
	err := e.Update(context.Background(), 0, func(tx kv.Tx) error { tx.Put([]byte("x"), nil); return nil })
	if err != nil {
		t.Fatal(err)
	}
	isClean := func() bool {
		f, err := os.Open(filepath.Join(dir, "00.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return clean(f)
	}
	if isClean() {
		t.Error("a running shard looks cleanly closed")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if !isClean() {
		t.Error("a closed shard does not look so: its next open would read it through")
	}
}

func TestMissingShardIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := openEngine(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "00.db")); err != nil {
		t.Fatal(err)
	}
	if e, err := Open(dir, Options{}); err == nil {
		t.Errorf("opened %d shards, one was lost", e.Shards())
	}
}
