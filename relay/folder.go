package relay

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// PolicyFolder is [Policies] in a folder: a file for each key, replaced whole,
// so that a crash leaves the old one or the new one. What expires is removed by
// the relay's own housekeeping. It is safe for concurrent use by one process.
type PolicyFolder struct {
	dir string

	mu    sync.Mutex // guards all below, and the order of renames
	sizes map[string]int64
	long  map[string]string // keys, escaped, of the files that cannot be named by them
	total int64
}

// Bounds of a folder. Strangers' domains fill it, so what is full takes nothing
// new and forgets nothing old: a policy that was learnt is not to be washed away.
const (
	maxFolderFiles  = 20_000
	maxFolderOctets = 256 << 20
	maxFileName     = 240 // octets; file systems allow 255
	maxPolicyKey    = 300 // octets, as Policies promises
	halfWritten     = ".new-"
	longKey         = ".long-" // and a digest of the key, which is the file's first line
)

// ErrPoliciesFull says that a [PolicyFolder] takes no more keys.
var ErrPoliciesFull = errors.New("the folder of policies is full")

var errPolicyKey = errors.New("no key for a policy")

// NewPolicyFolder opens a folder, and makes it where it is missing. What a
// crash left half written is removed.
func NewPolicyFolder(dir string) (*PolicyFolder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	f := &PolicyFolder{dir: dir, sizes: map[string]int64{}, long: map[string]string{}}
	for _, file := range files {
		info, err := file.Info()
		switch {
		case strings.HasPrefix(file.Name(), halfWritten):
			if err := os.Remove(filepath.Join(dir, file.Name())); err != nil {
				return nil, fmt.Errorf("policies: %w", err)
			}
		case err == nil && info.Mode().IsRegular():
			if strings.HasPrefix(file.Name(), longKey) {
				text, err := os.ReadFile(filepath.Join(dir, file.Name()))
				if err != nil {
					return nil, fmt.Errorf("policies: %w", err)
				}
				f.long[file.Name()], _, _ = strings.Cut(string(text), "\n")
			}
			f.sizes[file.Name()] = info.Size()
			f.total += info.Size()
		}
	}
	return f, nil
}

// Get implements [Policies].
func (f *PolicyFolder) Get(_ context.Context, key string) ([]byte, error) {
	name, head, err := fileName(key)
	if err != nil {
		return nil, err
	}
	value, err := os.ReadFile(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return bytes.TrimPrefix(value, []byte(head)), err
}

// Put implements [Policies].
func (f *PolicyFolder) Put(_ context.Context, key string, value []byte) error {
	name, head, err := fileName(key)
	if err != nil {
		return err
	}
	if value == nil {
		return f.remove(name)
	}
	value = append([]byte(head), value...)
	half, err := f.write(value)
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	old, there := f.sizes[name]
	grown := f.total - old + int64(len(value))
	if !there && len(f.sizes) >= maxFolderFiles || grown > maxFolderOctets && grown > f.total {
		return errors.Join(ErrPoliciesFull, os.Remove(half))
	}
	if err := os.Rename(half, filepath.Join(f.dir, name)); err != nil {
		return errors.Join(fmt.Errorf("policies: %w", err), os.Remove(half))
	}
	f.sizes[name], f.total = int64(len(value)), grown
	if head != "" {
		f.long[name] = strings.TrimSuffix(head, "\n")
	}
	return nil
}

// write makes a file that is on the disk before it has its name.
func (f *PolicyFolder) write(value []byte) (name string, err error) {
	file, err := os.CreateTemp(f.dir, halfWritten+"*")
	if err != nil {
		return "", err
	}
	_, err = file.Write(value)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

func (f *PolicyFolder) remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.Remove(filepath.Join(f.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("policies: %w", err)
	}
	f.total -= f.sizes[name]
	delete(f.sizes, name)
	delete(f.long, name)
	return nil
}

// Keys implements [Policies].
func (f *PolicyFolder) Keys(_ context.Context, prefix, after string, limit int) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var keys []string
	for name := range f.sizes {
		if key, err := url.PathUnescape(cmp.Or(f.long[name], name)); err == nil && strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), limit)], nil
}

// fileName is a key as a file name: "sts%2Fexample.org". Where it is too long for
// that, the file begins with head.
func fileName(key string) (name, head string, err error) {
	name = url.PathEscape(key)
	switch {
	case name == "", name[0] == '.', len(key) >= maxPolicyKey:
		return "", "", fmt.Errorf("%w: %.80q", errPolicyKey, key)
	case len(name) > maxFileName:
		return fmt.Sprintf("%s%x", longKey, sha256.Sum256([]byte(key))), name + "\n", nil
	}
	return name, "", nil
}
