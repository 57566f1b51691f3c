package seal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newFile(t testing.TB) (name string, id ID) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "keys")
	id, err := NewKeyFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return name, id
}

func mustOpen(t testing.TB, name string) *Keys {
	t.Helper()
	k, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestNewKeyFileIsForItsOwnerAlone(t *testing.T) {
	name, id := newFile(t)
	st, err := os.Stat(name)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	k := mustOpen(t, name)
	if k.Current() != id || !k.Sealing() || time.Since(k.All()[0].Made) > time.Minute {
		t.Errorf("holds %+v, want %s", k.All(), id)
	}
	if _, err := NewKeyFile(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key file was made where one is: %v", err)
	}
	if mustOpen(t, name).Current() != id {
		t.Error("the key that was there is gone")
	}
}

func TestKeyFileOpenToOthersIsRefused(t *testing.T) {
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o602, 0o610} {
		name, _ := newFile(t)
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(name)
		if !errors.Is(err, ErrLoose) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "0600") {
			t.Errorf("mode %#o: %v", mode, err)
		}
		if _, err := Rotate(name); !errors.Is(err, ErrLoose) {
			t.Errorf("mode %#o: rotated: %v", mode, err)
		}
	}
}

func TestEveryChangedOctetOfAKeyFileIsNoticed(t *testing.T) {
	name, id := newFile(t)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1
		keys, err := decode(b)
		if err == nil && (len(keys) != 1 || keys[0].ID != id) {
			t.Errorf("octet %d changed: %+v", i, keys)
		}
		if err != nil && !errors.Is(err, ErrKeyFile) {
			t.Errorf("octet %d changed: %v", i, err)
		}
		if err == nil && !strings.ContainsAny(string(whole[i]), " \n") {
			t.Errorf("octet %d (%q) changed: nobody noticed", i, whole[i])
		}
	}
}

func TestDamagedKeyFilesAreNamed(t *testing.T) {
	name, _ := newFile(t)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	key := string(whole[len(firstLine)+1:])
	for what, text := range map[string]string{
		"empty":        "",
		"another file": "-----BEGIN CERTIFICATE-----\n",
		"no key":       firstLine + "\n# none\n",
		"cut off":      string(whole[:len(whole)-10]),
		"twice":        string(whole) + key,
		"huge":         string(whole) + strings.Repeat("#\n", maxFile/2),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(name); !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.WriteFile(name, []byte(firstLine+"\n\n# kept in the safe\n"+key), 0o600); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, name)
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestRotationKeepsTheOldKeysAndRetiringTakesOneOut(t *testing.T) {
	name, first := newFile(t)
	old := mustOpen(t, name)
	wrapped := old.Wrap(nil, []byte("secret"), []byte("place"))
	second, err := Rotate(name)
	if err != nil {
		t.Fatal(err)
	}
	k := mustOpen(t, name)
	if k.Current() != second || len(k.All()) != 2 || !k.Has(first) {
		t.Fatalf("after the rotation: %+v", k.All())
	}
	if s, err := k.Unwrap(nil, wrapped, []byte("place")); err != nil || string(s) != "secret" {
		t.Errorf("under the old key: %q, %v", s, err)
	}
	if err := Retire(name, second); !errors.Is(err, ErrInUse) {
		t.Errorf("the newest was retired: %v", err)
	}
	if err := Retire(name, ID{1}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is not there: %v", err)
	}
	if err := Retire(name, first); err != nil {
		t.Fatal(err)
	}
	_, err = mustOpen(t, name).Unwrap(nil, wrapped, []byte("place"))
	if !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), first.String()) || !strings.Contains(err.Error(), name) {
		t.Errorf("under a retired key: %v", err)
	}
	var none *Keys
	if _, err := none.Unwrap(nil, wrapped, nil); !errors.Is(err, ErrNoKey) || none.Sealing() || len(none.All()) != 0 {
		t.Errorf("without a key file: %v", err)
	}
}

// Two rotations at once could lose a key that was used already; and one that
// was cut short by a crash leaves the old file whole.
func TestKeyFileIsChangedByOneAtATime(t *testing.T) {
	name, id := newFile(t)
	if err := os.WriteFile(name+".new", []byte("cut sho"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(name); err == nil || !strings.Contains(err.Error(), name+".new") {
		t.Errorf("rotated beside another change: %v", err)
	}
	if mustOpen(t, name).Current() != id {
		t.Error("the key is gone")
	}
	if err := os.Remove(name + ".new"); err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(name); err != nil {
		t.Error(err)
	}
}

func TestWrappedSecretsAreBound(t *testing.T) {
	name, _ := newFile(t)
	k := mustOpen(t, name)
	wrapped := k.Wrap([]byte("front"), []byte("secret"), []byte("place"))[len("front"):]
	if len(wrapped) != len("secret")+Overhead {
		t.Errorf("%d octets", len(wrapped))
	}
	if _, err := k.Unwrap(nil, wrapped, []byte("another place")); !errors.Is(err, ErrDamaged) {
		t.Errorf("at another place: %v", err)
	}
	for i := range wrapped {
		b := bytes.Clone(wrapped)
		b[i] ^= 0x80
		want := ErrDamaged
		if i < len(ID{}) {
			want = ErrNoKey
		}
		if _, err := k.Unwrap(nil, b, []byte("place")); !errors.Is(err, want) {
			t.Errorf("octet %d changed: %v, want %v", i, err, want)
		}
	}
	for n := range wrapped {
		if _, err := k.Unwrap(nil, wrapped[:n], []byte("place")); err == nil {
			t.Errorf("the first %d octets were unwrapped", n)
		}
	}
}

func TestBoxTellsItsPartsApart(t *testing.T) {
	box := NewBox()
	again, err := OpenBox(box.Secret())
	if err != nil {
		t.Fatal(err)
	}
	p := Part{Kind: 1, At: 7}
	sealed := box.Seal(nil, []byte("text"), p)
	if got, err := again.Open(nil, sealed, p); err != nil || string(got) != "text" {
		t.Errorf("%q, %v", got, err)
	}
	for _, other := range []Part{{Kind: 2, At: 7}, {Kind: 1, At: 8}, {Kind: 1, At: 7, End: Last}} {
		if _, err := again.Open(nil, sealed, other); !errors.Is(err, ErrDamaged) {
			t.Errorf("opened as %+v: %v", other, err)
		}
	}
	if _, err := NewBox().Open(nil, sealed, p); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened by another box: %v", err)
	}
	if _, err := OpenBox([]byte("short")); !errors.Is(err, ErrDamaged) {
		t.Errorf("a short key: %v", err)
	}
}

func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(firstLine + "\nkey 5d0c1f2a77e0b8c3 2026-11-21T23:35:00Z a2V5IG9mIDMyIG9jdGV0cyAuLi4uLi4uLi4uLi4uLi4=\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := decode(b)
		if err != nil {
			if !errors.Is(err, ErrKeyFile) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := decode(encode(keys))
		if err != nil || len(again) != len(keys) {
			t.Errorf("written and read again: %d keys of %d, %v", len(again), len(keys), err)
		}
	})
}
