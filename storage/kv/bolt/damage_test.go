package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"letterlock/storage/kv"
)

// One page of a file rots. Who reads what lies there is told, and nobody else; and a
// file that was not closed is refused, by those who mend as well, and takes no process
// along.
func TestPageThatRotsIsToldToThoseWhoReadIt(t *testing.T) {
	ctx := context.Background()
	for name, ruin := range map[string]func(page []byte){
		"number": func(page []byte) { page[0] ^= 1 },
		"kind":   func(page []byte) { page[8] = 0x40 },
		"places": func(page []byte) { // of keys and values
			for i := 16; i < len(page); i++ {
				page[i] = 0xff
			}
		},
	} {
		for state, closed := range map[string]bool{"closed": true, "crashed": false} {
			t.Run(name+" "+state, func(t *testing.T) {
				from, dir := t.TempDir(), filepath.Join(t.TempDir(), "index")
				e := openEngine(t, from)
				key := func(i int) []byte { return fmt.Appendf(nil, "key %06d", i) }
				const keys = 2000
				err := e.Update(ctx, 0, func(tx kv.Tx) error {
					for i := range keys {
						tx.Put(key(i), bytes.Repeat([]byte{'v'}, 100))
					}
					return nil
				})
				if err == nil && !closed {
					err = os.CopyFS(dir, os.DirFS(from))
				}
				if err = errors.Join(err, e.Close()); err == nil && closed {
					err = os.CopyFS(dir, os.DirFS(from))
				}
				if err != nil {
					t.Fatal(err)
				}
				ruinPage(t, file(dir, 0), key(keys/2), ruin)

				if err := Verify(file(dir, 0), func(k, v []byte) error { return nil }); err == nil {
					t.Error("nothing is wrong with it")
				}
				e, err = Open(dir, Options{})
				if !closed {
					if !errors.Is(err, kv.ErrDamaged) {
						t.Fatalf("opened: %v, want %v", err, kv.ErrDamaged)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close() // it says that its pages are damaged, or not
				get := func(i int) (v []byte, err error) {
					err = e.View(ctx, 0, func(r kv.Reader) error {
						v = bytes.Clone(r.Get(key(i)))
						return nil
					})
					return v, err
				}
				if v, err := get(keys / 2); !errors.Is(err, kv.ErrDamaged) {
					t.Errorf("read %q, %v; want %v", v, err, kv.ErrDamaged)
				}
				err = e.View(ctx, 0, func(r kv.Reader) error {
					for _, v := range r.Range(nil, nil, kv.Options{}) {
						_ = bytes.Clone(v)
					}
					return nil
				})
				if !errors.Is(err, kv.ErrDamaged) {
					t.Errorf("walked: %v, want %v", err, kv.ErrDamaged)
				}
				if err := e.Update(ctx, 0, func(tx kv.Tx) error { tx.Get(key(keys / 2)); return nil }); !errors.Is(err, kv.ErrDamaged) {
					t.Errorf("changed: %v, want %v", err, kv.ErrDamaged)
				}
				for _, i := range []int{0, keys - 1} {
					if v, err := get(i); err != nil || len(v) != 100 {
						t.Errorf("%s: %q, %v", key(i), v, err)
					}
				}
				if err := e.Update(ctx, 0, func(tx kv.Tx) error { tx.Put(key(keys), nil); return nil }); err != nil {
					t.Errorf("elsewhere: %v", err)
				}
			})
		}
	}
}

// A mistake of whoever reads is none of the file.
func TestPanicOfAReaderIsItsOwn(t *testing.T) {
	e := openEngine(t, t.TempDir())
	defer e.Close()
	defer func() {
		if p := recover(); p != "mine" {
			t.Errorf("recovered %v", p)
		}
	}()
	err := e.View(context.Background(), 0, func(kv.Reader) error { panic("mine") })
	t.Errorf("went on with %v", err)
}

// ruinPage changes the leaf page that has a key.
func ruinPage(t *testing.T, name string, key []byte, ruin func(page []byte)) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const leaf, flags = 2, 8
	size, ruined := os.Getpagesize(), 0
	for at := 2 * size; at < len(b); at += size {
		if page := b[at : at+size]; page[flags] == leaf && bytes.Contains(page, key) {
			ruin(page)
			ruined++
		}
	}
	if ruined == 0 {
		t.Fatalf("no page has %s", key)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
