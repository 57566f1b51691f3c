package seal

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// A key file is text, newest key first:
//
//	letterlock keys 1
//	key 5d0c1f2a77e0b8c3 2026-11-21T23:35:00Z a2V5IG9mIDMyIG9jdGV0cyAuLi4uLi4uLi4uLi4uLi4=
//
// Empty lines and those that start with # say nothing. The id is made of the
// date and the key, so that a slip in any of the three is found.
const firstLine = "letterlock keys 1"

// maxFile bounds what is read: more than ten thousand rotations.
const maxFile = 1 << 20

// NewKeyFile makes a key file (0600) with one fresh key. One that is there is
// left alone: fs.ErrExist.
func NewKeyFile(name string) (ID, error) {
	k := freshKey()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return ID{}, fmt.Errorf("new key file: %w", err)
	}
	_, err = f.Write(encode([]serverKey{k}))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = syncDir(filepath.Dir(name))
	}
	if err != nil {
		return ID{}, errors.Join(fmt.Errorf("new key file %s: %w", name, err), os.Remove(name))
	}
	return k.ID, nil
}

func freshKey() serverKey {
	var secret [chacha20poly1305.KeySize]byte
	_, _ = rand.Read(secret[:]) // never fails (crypto/rand)
	return newKey(time.Now(), secret)
}

// Open reads a key file: [ErrKeyFile], [ErrLoose], fs.ErrNotExist.
func Open(name string) (*Keys, error) {
	k, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", name, err)
	}
	return k, nil
}

func open(name string) (*Keys, error) {
	f, err := os.Open(name)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err // its name is said already
		}
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%w: not a regular file", ErrKeyFile)
	case st.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%w: its mode is %#o, it has to be 0600", ErrLoose, st.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	keys, err := decode(b)
	return &Keys{name: name, keys: keys}, err
}

func encode(keys []serverKey) []byte {
	var b strings.Builder
	fmt.Fprintln(&b, firstLine)
	for _, k := range keys {
		fmt.Fprintln(&b, "key", k.ID, k.Made.Format(time.RFC3339), base64.StdEncoding.EncodeToString(k.secret[:]))
	}
	return []byte(b.String())
}

func decode(b []byte) (keys []serverKey, err error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("%w: more than %d octets", ErrKeyFile, maxFile)
	}
	n, known := 0, make(map[ID]bool)
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		switch {
		case n == 1 && line != firstLine:
			return nil, fmt.Errorf("%w: it does not start with %q", ErrKeyFile, firstLine)
		case n == 1 || line == "" || line[0] == '#':
			continue
		}
		k, err := decodeKey(strings.Fields(line))
		if err == nil && known[k.ID] {
			err = errors.New("a key that came before")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrKeyFile, n, err)
		}
		known[k.ID] = true
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: it holds no key", ErrKeyFile)
	}
	return keys, nil
}

func decodeKey(field []string) (k serverKey, err error) {
	if len(field) != 4 || field[0] != "key" {
		return k, errors.New(`not "key", its id, its date and the key`)
	}
	id, err := ParseID(field[1])
	if err != nil {
		return k, err
	}
	made, err := time.Parse(time.RFC3339, field[2])
	if err != nil {
		return k, fmt.Errorf("%q is not a date", field[2])
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(field[3])
	if err != nil || len(secret) != chacha20poly1305.KeySize {
		return k, fmt.Errorf("the key is not %d octets in base64", chacha20poly1305.KeySize)
	}
	if k = newKey(made, [chacha20poly1305.KeySize]byte(secret)); k.ID != id {
		return k, errors.New("key, date and id do not belong together")
	}
	return k, nil
}

// Rotate puts a fresh key in front; the old ones stay. A store uses it from its
// next opening on.
func Rotate(name string) (ID, error) {
	k := freshKey()
	err := change(name, func(keys []serverKey) ([]serverKey, error) {
		return append([]serverKey{k}, keys...), nil
	})
	return k.ID, err
}

// Retire takes an old key out of the file. The caller vouches that nothing is
// sealed under it any more, backups included: what is can never be read again.
// The newest key stays: [ErrInUse].
func Retire(name string, id ID) error {
	return change(name, func(keys []serverKey) (kept []serverKey, err error) {
		for i := range keys {
			if keys[i].ID != id {
				kept = append(kept, keys[i])
			}
		}
		switch {
		case len(kept) == len(keys):
			return nil, fmt.Errorf("key %s: %w", id, fs.ErrNotExist)
		case keys[0].ID == id:
			return nil, fmt.Errorf("key %s seals what is new: %w", id, ErrInUse)
		}
		return kept, nil
	})
}

// change replaces a key file as a whole. The new one is made beside it under a
// name that only one process can have, so that no two changes meet: a key that
// got lost between them may have been used.
func change(name string, edit func([]serverKey) ([]serverKey, error)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("change key file %s: %w", name, err)
		}
	}()
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s.new is there: another change is under way; if none is, one was cut short and it can be removed", name)
	}
	if err != nil {
		return err
	}
	old, err := open(name)
	if err == nil {
		old.keys, err = edit(old.keys)
	}
	if err == nil {
		_, err = f.Write(encode(old.keys))
	}
	if err == nil {
		err = keepOwner(f, name)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name+".new"))
	}
	return syncDir(filepath.Dir(name))
}

// keepOwner gives a new file to whom the old one belongs: root may change the keys
// of a server that runs as somebody else, and has to be able to start again.
func keepOwner(f *os.File, old string) error {
	info, err := os.Stat(old)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return f.Chown(int(st.Uid), int(st.Gid))
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
