package storage

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"letterlock/storage/disk"
)

// prepareFolder makes a folder of mode 0700.
func prepareFolder(dir string) error { return os.MkdirAll(dir, 0o700) }

// checkFolder refuses a folder of somebody else's, before anything is made in it: one
// that is no store, and holds something where a store keeps what each start throws
// away. The data folder may have been named wrongly, and /, /var and many a home have
// a tmp.
func checkFolder(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, formatName)); !errors.Is(err, fs.ErrNotExist) {
		_, err := readFormat(dir)
		return err
	}
	return checkLeft(dir)
}

// checkLeft refuses a folder without FORMAT in which more lies than a creation that was
// cut short has left: nothing in tmp, and files of an index alone.
func checkLeft(dir string) error {
	for _, name := range []string{tempDir, indexDir} {
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if name == tempDir || !ofIndex(e.Name()) {
				return fmt.Errorf("%w: %s", ErrForeign, filepath.Join(name, e.Name()))
			}
		}
	}
	return nil
}

// ofIndex says whether a file of that name is one of an index.
func ofIndex(name string) bool {
	return strings.Contains(name, ".db") || strings.Contains(name, ".journal") || name == holdName || name == repairName
}

func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// checkModes refuses folders and files that others may read or write: mail
// lies in them.
func checkModes(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, name)
		if err != nil || !ours(inside) {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			return fmt.Errorf("%s has mode %04o: others may look at it (chmod go-rwx)", name, mode)
		}
		return nil
	})
}

// ours says whether a name inside the data folder is the vault's. Others keep
// their files there too (certificates, a socket the MTA has to reach), so the
// folder itself may be open to a group; they judge theirs themselves.
func ours(inside string) bool {
	top, _, _ := strings.Cut(filepath.ToSlash(inside), "/")
	switch top {
	case lockName, formatName, indexDir, segmentDir, tempDir, checkpointDir:
		return true
	}
	return false
}

const (
	lockName   = "LOCK"
	formatName = "FORMAT"
)

// lockFolder holds the folder for this process alone.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("%w by process %s", ErrLocked, holder(f)), f.Close())
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
	}
	return f, nil
}

func holder(f io.ReaderAt) string {
	b := make([]byte, 16)
	n, _ := f.ReadAt(b, 0) // what cannot be read is not known
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return pid
	}
	return "unknown"
}

// formatVersion is what this code writes; it reads every version from the
// first. 2: records may be sealed, and values have fields behind those of 1. 3: a
// letter may lie in several forms in one group, and a shard's mark within it,
// which a program of 2 would take for damage. 4: what was changed last may stand in
// the index's journal alone, which a program of 3 does not read.
const formatVersion = 4

// format is what FORMAT says of a store.
type format struct {
	version int
	shards  int    // 0: no store was ever finished here, FORMAT is written last
	id      string // of this store: a restored one gets its own
}

func readFormat(dir string) (said format, err error) {
	name := filepath.Join(dir, formatName)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return said, noStoreYet(dir)
	}
	if err != nil {
		return said, err
	}
	lines := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		lines[k] = v
	}
	if said.version, err = strconv.Atoi(lines["version"]); err != nil {
		return said, fmt.Errorf("%s: no version", name)
	}
	if said.version < 1 || said.version > formatVersion {
		return said, fmt.Errorf("%s: the store is of version %d, this program reads versions up to %d", name, said.version, formatVersion)
	}
	if said.shards, err = strconv.Atoi(lines["shards"]); err != nil || said.shards < 1 {
		return said, fmt.Errorf("%s: no number of shards", name)
	}
	said.id = lines["store"]
	return said, nil
}

// noStoreYet clears away a creation that was cut short. Where segments lie
// there was a store, and its FORMAT is lost: nothing is touched. Nor is what is
// somebody else's.
func noStoreYet(dir string) error {
	if err := checkLeft(dir); err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(dir, segmentDir, "*"))
	if err != nil {
		return err
	}
	if len(segments) > 0 {
		return fmt.Errorf("%s holds mail and its %s is missing", dir, formatName)
	}
	return emptyFolder(filepath.Join(dir, indexDir))
}

// newStoreID tells a store from every other, and from its own restored copies.
func newStoreID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return hex.EncodeToString(id[:])
}

// writeFormat writes FORMAT as this version does.
func writeFormat(dir string, said format) error {
	text := fmt.Sprintf("letterlock store\nversion %d\nstore %s\nshards %d\n", formatVersion, said.id, said.shards)
	return writeFile(filepath.Join(dir, formatName), []byte(text))
}

// writeFile puts a whole file in its place, durably, or leaves the old one.
func writeFile(name string, b []byte) error {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return disk.OS{}.SyncDir(filepath.Dir(name))
}
