package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	kept, err := readSealed(dest)
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
		if kept[name] {
			continue
		}
		if err := backupFile(filepath.Join(s.dir, segmentDir, name), filepath.Join(dest, segmentDir, name)); err != nil {
			return err
		}
	}
	return finishBackup(s.dir, dest, now, sealed)
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
func finishBackup(dir, dest string, now, sealed map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(dest, segmentDir))
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, e := range entries {
		switch name := e.Name(); {
		case !now[name]:
			if err := os.Remove(filepath.Join(dest, segmentDir, name)); err != nil {
				return err
			}
		case sealed[name], strings.HasSuffix(name, ".big"):
			fmt.Fprintln(&list, name)
		}
	}
	if err := syncFolder(filepath.Join(dest, segmentDir)); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dest, sealedName), []byte(list.String())); err != nil {
		return err
	}
	format, err := os.ReadFile(filepath.Join(dir, formatName))
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dest, formatName), format)
}

func readSealed(dest string) (map[string]bool, error) {
	kept := make(map[string]bool)
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
		kept[lines.Text()] = true
	}
	return kept, lines.Err()
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
	return copyFile(filepath.Join(backup, formatName), filepath.Join(dir, formatName))
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
	return syncFolder(to)
}
