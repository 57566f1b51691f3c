package sealed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
	"letterlock/storage/seal"
)

func keyFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys")
	if _, err := seal.NewKeyFile(name); err != nil {
		t.Fatal(err)
	}
	return name
}

func openKeys(t testing.TB, name string) *seal.Keys {
	t.Helper()
	keys, err := seal.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func openBolt(t testing.TB, dir string) kv.Engine {
	t.Helper()
	e, err := bolt.Open(dir, bolt.Options{Shards: 2, Slack: Slack})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func open(t testing.TB, dir string, keys *seal.Keys, hide Hide) *Engine {
	t.Helper()
	e, err := New(openBolt(t, dir), keys, hide)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func closeEngine(t testing.TB, e kv.Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// hideAllBut leaves n octets of every key in clear.
func hideAllBut(n int) Hide {
	return func([]byte) int { return n }
}

func TestSealedEngineConforms(t *testing.T) {
	for name, hide := range map[string]Hide{
		"no key hidden": nil, "one octet in clear": hideAllBut(1), "three octets in clear": hideAllBut(3),
		"some hidden": func(k []byte) int {
			if len(k) > 0 && (k[0] == 'r' || k[0] == 'f') {
				return 1
			}
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, keys := t.TempDir(), openKeys(t, keyFile(t))
			bounded := func(k []byte) int { // conform writes keys of 512 octets: no room for a hash there
				if len(k) > 400 || hide == nil {
					return 0
				}
				return hide(k)
			}
			kv.Conform(t, func() kv.Engine { return kv.Strict(open(t, dir, keys, bounded), nil) })
		})
	}
}

func TestEngineWithoutKeysConforms(t *testing.T) {
	dir := t.TempDir()
	kv.Conform(t, func() kv.Engine { return open(t, dir, nil, nil) })
}

// An index that is sealed on the way conforms, too: what was written in clear
// and what is sealed are one.
func TestMixedEngineConforms(t *testing.T) {
	dir, keys := t.TempDir(), openKeys(t, keyFile(t))
	e := open(t, dir, nil, nil)
	put(t, e, 0, "a key", "in clear")
	put(t, e, 1, "a key", "in clear")
	closeEngine(t, e)
	kv.Conform(t, func() kv.Engine { return open(t, dir, keys, nil) })
	if e = open(t, dir, keys, nil); e.Sealed() {
		t.Error("what lies in clear was forgotten")
	}
	closeEngine(t, e)
}

func put(t testing.TB, e kv.Engine, shard int, key, value string) {
	t.Helper()
	err := e.Update(context.Background(), shard, func(tx kv.Tx) error { tx.Put([]byte(key), []byte(value)); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

// all lists what a shard holds, as its owner knows it.
func all(t testing.TB, e kv.Engine, shard int, lo, hi string) (list string) {
	t.Helper()
	err := e.View(context.Background(), shard, func(r kv.Reader) error {
		list = ""
		var end []byte
		if hi != "" {
			end = []byte(hi)
		}
		for k, v := range r.Range([]byte(lo), end, kv.Options{}) {
			list += fmt.Sprintf("%s=%s ", k, v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func showsNothing(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s shows %q in clear", filepath.Base(name), s)
			}
		}
	}
}

func TestNothingReadableIsOnTheDisk(t *testing.T) {
	dir, keys := t.TempDir(), openKeys(t, keyFile(t))
	e := open(t, dir, keys, hideAllBut(2))
	put(t, e, 0, "n:Love Letters", "the envelope of a letter")
	put(t, e, 0, "n:Archive", "another envelope")
	if got, want := all(t, e, 0, "n:", "n;"), "n:Archive=another envelope n:Love Letters=the envelope of a letter "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := all(t, e, 0, "n:B", "n:Z"), "n:Love Letters=the envelope of a letter "; got != want {
		t.Errorf("from B to Z: got %q, want %q", got, want)
	}
	if !e.Sealed() {
		t.Error("a new index is not sealed")
	}
	closeEngine(t, e)
	showsNothing(t, dir, "Love Letters", "Archive", "envelope")
}

func TestIndexIsNotOpenedWithoutItsKey(t *testing.T) {
	dir, keys := t.TempDir(), openKeys(t, keyFile(t))
	e := open(t, dir, keys, nil)
	put(t, e, 0, "k", "v")
	closeEngine(t, e)
	for name, wrong := range map[string]*seal.Keys{"none": nil, "another": openKeys(t, keyFile(t))} {
		below := openBolt(t, dir)
		if _, err := New(below, wrong, nil); !errors.Is(err, seal.ErrNoKey) {
			t.Errorf("%s: %v, want %v", name, err, seal.ErrNoKey)
		}
		closeEngine(t, below)
	}
	e = open(t, dir, keys, nil)
	defer closeEngine(t, e)
	if got := all(t, e, 0, "", ""); got != "k=v " {
		t.Errorf("got %q", got)
	}
}

// tamper changes what the engine below holds.
func tamper(t *testing.T, dir string, fn func(kv.Tx)) {
	t.Helper()
	below := openBolt(t, dir)
	err := below.Update(context.Background(), 0, func(tx kv.Tx) error { fn(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
	closeEngine(t, below)
}

func TestEveryChangedOctetOfAValueIsNoticed(t *testing.T) {
	dir, keys := t.TempDir(), openKeys(t, keyFile(t))
	e := open(t, dir, keys, nil)
	put(t, e, 0, "k", "value")
	closeEngine(t, e)
	below := openBolt(t, dir)
	var whole []byte
	err := below.View(context.Background(), 0, func(r kv.Reader) error {
		whole = bytes.Clone(r.Get([]byte("k")))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if e, err = New(below, keys, nil); err != nil {
		t.Fatal(err)
	}
	defer closeEngine(t, e)
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		err := below.Update(context.Background(), 0, func(tx kv.Tx) error { tx.Put([]byte("k"), b); return nil })
		if err != nil {
			t.Fatal(err)
		}
		for what, read := range map[string]func(kv.Reader){
			"get":   func(r kv.Reader) { r.Get([]byte("k")) },
			"range": func(r kv.Reader) { r.Range(nil, nil, kv.Options{})(func(k, v []byte) bool { return true }) },
		} {
			err := e.View(context.Background(), 0, func(r kv.Reader) error { read(r); return nil })
			if !errors.Is(err, seal.ErrDamaged) && !errors.Is(err, seal.ErrNoKey) {
				t.Fatalf("octet %d changed, %s: %v", i, what, err)
			}
		}
		err = e.Update(context.Background(), 0, func(tx kv.Tx) error { tx.Get([]byte("k")); tx.Put([]byte("new"), nil); return nil })
		if err == nil {
			t.Fatalf("octet %d changed: a transaction that read it was committed", i)
		}
	}
}

func TestValueIsNotReadInPlaceOfAnother(t *testing.T) {
	dir, keys := t.TempDir(), openKeys(t, keyFile(t))
	e := open(t, dir, keys, nil)
	put(t, e, 0, "a", "value of a")
	put(t, e, 0, "b", "value of b")
	closeEngine(t, e)
	tamper(t, dir, func(tx kv.Tx) { tx.Put([]byte("b"), tx.Get([]byte("a"))) })
	e = open(t, dir, keys, nil)
	defer closeEngine(t, e)
	err := e.View(context.Background(), 0, func(r kv.Reader) error { r.Get([]byte("b")); return nil })
	if !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("b read as a: %v", err)
	}
}

func TestEncryptionTurnedOnSealsAllAndThenBelievesNothingInClear(t *testing.T) {
	ctx, dir, file := context.Background(), t.TempDir(), keyFile(t)
	hide := hideAllBut(2)
	e := open(t, dir, nil, hide)
	want := ""
	for i := range 1000 {
		key, value := fmt.Sprintf("n:name %03d", i), fmt.Sprintf("value %d", i)
		put(t, e, 0, key, value)
		want += key + "=" + value + " "
	}
	closeEngine(t, e)

	e = open(t, dir, openKeys(t, file), hide)
	if got := all(t, e, 0, "", ""); got != want || e.Sealed() {
		t.Errorf("turned on: sealed %v, got %q", e.Sealed(), got)
	}
	put(t, e, 0, "n:name 007", "bond") // a name that is there in clear has one value, not two
	put(t, e, 0, "n:name 007", "value 7")
	err := e.Update(ctx, 0, func(tx kv.Tx) error { tx.Delete([]byte("n:name 999")); return nil })
	if err != nil {
		t.Fatal(err)
	}
	want = want[:len(want)-len("n:name 999=value 999 ")]
	if got := all(t, e, 0, "", ""); got != want {
		t.Errorf("changed: got %q", got)
	}
	if c, err := e.Census(ctx); err != nil || c[seal.ID{}].Values != 998 {
		t.Errorf("census %+v, %v", c, err)
	}
	cut, cancel := context.WithCancel(ctx)
	cancel()
	if err := e.SealAll(cut, 0); !errors.Is(err, context.Canceled) || e.Sealed() {
		t.Errorf("cut short: sealed %v, %v", e.Sealed(), err)
	}
	if err := e.SealAll(ctx, 0); err != nil || !e.Sealed() {
		t.Fatalf("sealed %v, %v", e.Sealed(), err)
	}
	if c, err := e.Census(ctx); err != nil || len(c) != 1 {
		t.Errorf("census %+v, %v", c, err)
	}
	if got := all(t, e, 0, "", ""); got != want {
		t.Errorf("sealed: got %q", got)
	}
	closeEngine(t, e)

	e = open(t, dir, openKeys(t, file), hide)
	if !e.Sealed() {
		t.Error("that all is sealed was forgotten")
	}
	closeEngine(t, e)
	tamper(t, dir, func(tx kv.Tx) { tx.Put([]byte("x"), []byte("slipped in")) })
	e = open(t, dir, openKeys(t, file), hide)
	defer closeEngine(t, e)
	err = e.View(ctx, 0, func(r kv.Reader) error {
		r.Range(nil, nil, kv.Options{})(func(k, v []byte) bool { return true })
		return nil
	})
	if !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("a clear value in a sealed index: %v", err)
	}
}

func TestRotationLeavesOldValuesReadableUntilAllIsSealedAnew(t *testing.T) {
	ctx, dir, file := context.Background(), t.TempDir(), keyFile(t)
	e := open(t, dir, openKeys(t, file), hideAllBut(1))
	put(t, e, 0, "name", "old")
	closeEngine(t, e)
	first := openKeys(t, file).Current()
	if _, err := seal.Rotate(file); err != nil {
		t.Fatal(err)
	}
	e = open(t, dir, openKeys(t, file), hideAllBut(1))
	put(t, e, 0, "nose", "new")
	if got := all(t, e, 0, "", ""); got != "name=old nose=new " {
		t.Errorf("got %q", got)
	}
	if c, err := e.Census(ctx); err != nil || c[first].Values != 1 {
		t.Errorf("census %+v, %v", c, err)
	}
	if err := e.SealAll(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if c, err := e.Census(ctx); err != nil || c[first].Values != 0 {
		t.Errorf("census %+v, %v", c, err)
	}
	closeEngine(t, e)
	if err := seal.Retire(file, first); err != nil {
		t.Fatal(err)
	}
	e = open(t, dir, openKeys(t, file), hideAllBut(1))
	defer closeEngine(t, e)
	if got := all(t, e, 0, "", ""); got != "name=old nose=new " {
		t.Errorf("without the first key: got %q", got)
	}
}

func TestImageIsDecodedForChecks(t *testing.T) {
	dir, keys := t.TempDir(), openKeys(t, keyFile(t))
	hide := hideAllBut(1)
	e := open(t, dir, keys, hide)
	put(t, e, 0, "name", "value")
	closeEngine(t, e)
	got := ""
	decode := func(keys *seal.Keys) error {
		return bolt.Verify(bolt.ShardFile(dir, 0), func(k, v []byte) error {
			key, value, err := Decode(keys, 0, hide, k, v)
			if key != nil {
				got += fmt.Sprintf("%s=%s ", key, value)
			}
			return err
		})
	}
	if err := decode(keys); err != nil || got != "name=value " {
		t.Errorf("got %q, %v", got, err)
	}
	if err := decode(nil); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("without keys: %v", err)
	}
}
