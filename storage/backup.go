package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"letterlock/storage/segment"
)

// copyFile copies a file durably; holes stay holes where the kernel can.
func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return createFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, src)
		return err
	})
}

// sealedName lists, in a backup, the files that will never change again: the
// next backup into the same folder leaves them alone.
const sealedName = "SEALED"

// Backup writes a consistent copy of the store into dest while it runs, or
// brings an older copy there up to date. The index is copied first: the log
// only grows behind it, so whatever the index knows is there, and [Restore]
// followed by [Open] replays the rest. FORMAT is written last: a folder without
// it is not a backup yet.
func (s *Store) Backup(ctx context.Context, dest string) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	if err := s.backup(ctx, dest); err != nil {
		return fmt.Errorf("backup to %s: %w", dest, err)
	}
	return nil
}

func (s *Store) backup(ctx context.Context, dest string) error {
	said, err := readFormat(s.dir)
	if err != nil {
		return err
	}
	kept, err := readSealed(dest, said.id)
	if err != nil {
		return err
	}
	for _, dir := range []string{dest, filepath.Join(dest, segmentDir)} {
		if err := prepareFolder(dir); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(dest, formatName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.copyIndex(ctx, filepath.Join(dest, indexDir)); err != nil {
		return err
	}
	sealed := make(map[string]bool)
	for _, seg := range s.log.Sealed() {
		sealed[filepath.Base(seg.Name)] = true
	}
	names, err := s.logFiles()
	if err != nil {
		return err
	}
	now := make(map[string]bool)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		now[name] = true
		if same, err := kept.has(filepath.Join(s.dir, segmentDir), name); err != nil || same {
			if err != nil {
				return err
			}
			continue
		}
		if err := backupFile(filepath.Join(s.dir, segmentDir, name), filepath.Join(dest, segmentDir, name)); err != nil {
			return err
		}
	}
	return finishBackup(said, dest, now, sealed)
}

// logFiles lists segments and big bodies.
func (s *Store) logFiles() (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, segmentDir))
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".seg") || strings.HasSuffix(e.Name(), ".big") {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// backupFile copies one file; a big body that went meanwhile is not missed.
func backupFile(from, to string) error {
	err := copyFile(from, to+".new")
	if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(from, ".big") {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}

// finishBackup removes what the store has no more, says what is sealed, and
// makes it a backup.
func finishBackup(said format, dest string, now, sealed map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(dest, segmentDir))
	if err != nil {
		return err
	}
	var list strings.Builder
	fmt.Fprintln(&list, storeLine, said.id)
	for _, e := range entries {
		switch name := e.Name(); {
		case !now[name]:
			if err := os.Remove(filepath.Join(dest, segmentDir, name)); err != nil {
				return err
			}
		case sealed[name], strings.HasSuffix(name, ".big"):
			print, err := fingerprint(filepath.Join(dest, segmentDir, name))
			if err != nil {
				return err
			}
			fmt.Fprintln(&list, name, print)
		}
	}
	if err := (segment.OS{}).SyncDir(filepath.Join(dest, segmentDir)); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dest, sealedName), []byte(list.String())); err != nil {
		return err
	}
	return writeFormat(dest, said)
}

// storeLine says, first in SEALED, of which store the files are.
const storeLine = "store"

// sealedFiles is what SEALED lists: the fingerprint of each file.
type sealedFiles map[string]string

// errOtherStore: the files of one store would be taken for those of another.
var errOtherStore = errors.New("it holds a backup of another store, or of this one before it was restored: take an empty folder")

func readSealed(dest, id string) (sealedFiles, error) {
	kept := make(sealedFiles)
	f, err := os.Open(filepath.Join(dest, sealedName))
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, what, _ := strings.Cut(lines.Text(), " ")
		if name == storeLine && what != id {
			return nil, errOtherStore
		}
		kept[name] = what
	}
	return kept, lines.Err()
}

// has says whether the backup has the file as it is now: a data folder that was
// put back to an older state has other files under the same names.
func (k sealedFiles) has(dir, name string) (bool, error) {
	was, there := k[name]
	if !there || was == "" { // a backup of older versions has no fingerprints
		return false, nil
	}
	is, err := fingerprint(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) { // a big body that went meanwhile
		return false, nil
	}
	return is == was, err
}

// Fingerprints read so much of every so much of a file, and its length.
const (
	printOctets = 4 << 10
	printEvery  = 64 << 10
)

func fingerprint(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	sum, b := crc32.New(crc32.MakeTable(crc32.Castagnoli)), make([]byte, printOctets)
	for at := int64(0); at < st.Size(); at += printEvery {
		n, err := f.ReadAt(b, at)
		if err != nil && err != io.EOF {
			return "", err
		}
		_, _ = sum.Write(b[:n]) // never fails (hash.Hash)
	}
	return fmt.Sprintf("%d-%08x", st.Size(), sum.Sum32()), nil
}

// Restore makes a store in dir, which holds none, out of a backup. FORMAT comes
// last, so a restore that was cut short is not taken for a store. What waits in
// the outbox is held until [Store.RetryOut]: it may have left since the backup.
func Restore(ctx context.Context, backup, dir string) error {
	if _, err := os.Stat(filepath.Join(backup, formatName)); err != nil {
		return fmt.Errorf("%s is not a finished backup: %w", backup, err)
	}
	for _, name := range []string{formatName, indexDir, segmentDir} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s holds a store already: %w", dir, orElse(err, ErrExists))
		}
	}
	for _, name := range []string{indexDir, segmentDir} {
		if err := copyFolder(ctx, filepath.Join(backup, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("restore to %s: %w", dir, err)
		}
	}
	if err := writeFile(filepath.Join(dir, indexDir, holdName), nil); err != nil {
		return fmt.Errorf("restore to %s: %w", dir, err)
	}
	said, err := readFormat(backup)
	if err != nil {
		return fmt.Errorf("restore to %s: %w", dir, err)
	}
	said.id = newStoreID() // what it does from now on is not what the other did
	return writeFormat(dir, said)
}

func copyFolder(ctx context.Context, from, to string) error {
	if err := prepareFolder(to); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return segment.OS{}.SyncDir(to)
}
