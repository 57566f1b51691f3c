package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"letterlock/storage/disk"
	"letterlock/storage/kv/bolt"
	"letterlock/storage/segment"
)

// copyFile copies a file durably; holes stay holes where the kernel can.
func copyFile(from, to string) error { return copyFront(from, to, math.MaxInt64) }

// copyFront copies so many octets of a file, or all it has.
func copyFront(from, to string, octets int64) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return createFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, io.LimitReader(src, octets))
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
// it is not a backup yet. An older copy stays one until all of the new is there: it
// needs room for a second index.
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

func (s *Store) backup(ctx context.Context, dest string) (err error) {
	said, err := readFormat(s.dir)
	if err != nil {
		return err
	}
	b := backup{from: filepath.Join(s.dir, segmentDir), to: filepath.Join(dest, segmentDir), prints: make(map[string]string), flushed: s.flushed}
	if b.kept, err = readSealed(dest, said.id); err != nil {
		return err
	}
	for _, dir := range []string{dest, b.to} {
		if err := prepareFolder(dir); err != nil {
			return err
		}
	}
	release := s.log.KeepBodies() // the copy of the index names those of now
	defer func() { err = errors.Join(err, release()) }()
	fresh := filepath.Join(dest, indexDir+".new")
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }() // its room is wanted
	if err := s.copyIndex(ctx, fresh); err != nil {
		return err
	}
	sealed := make(map[string]bool)
	for _, seg := range s.log.Sealed() {
		sealed[filepath.Base(seg.Name)] = true
	}
	// A big body is there before the record that names it: what the segments say
	// when they are copied is there afterwards.
	for _, suffix := range []string{".big", ".seg", ".big"} {
		if err := b.copy(ctx, suffix); err != nil {
			return errors.Join(err, b.drop())
		}
	}
	if err := s.put(&b, fresh, dest); err != nil {
		return err
	}
	return b.finish(said, dest, sealed)
}

// put puts the segments and the fresh index in the place of the older ones: from here
// on the older backup is none any more. Until then it is what it was: newer segments
// behind those it has would tell of others that are missing.
func (s *Store) put(b *backup, fresh, dest string) error {
	if err := os.Remove(filepath.Join(dest, formatName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := (disk.OS{}).SyncDir(dest); err != nil {
		return err
	}
	for _, to := range b.copied {
		if err := os.Rename(to+newSuffix, to); err != nil {
			return err
		}
	}
	index := filepath.Join(dest, indexDir)
	if err := prepareFolder(index); err != nil {
		return err
	}
	for _, sh := range s.shards {
		if err := bolt.PutShard(index, sh.number, bolt.ShardFile(fresh, sh.number)); err != nil {
			return err
		}
	}
	return nil
}

// newSuffix is of a file that is not in its place yet.
const newSuffix = ".new"

// backup is the copy of the log in the making.
type backup struct {
	from, to string
	kept     sealedFiles       // of the backup before
	prints   map[string]string // of what is there now; "": not known
	copied   []string          // segments that are not in their places yet, oldest first
	flushed  func() segment.Pos
}

// copy brings the files with a suffix over that are not there yet.
func (b *backup) copy(ctx context.Context, suffix string) error {
	entries, err := os.ReadDir(b.from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if _, done := b.prints[name]; done || !strings.HasSuffix(name, suffix) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		same, err := b.kept.has(name, b.from, b.to)
		if err == nil && same {
			b.prints[name] = b.kept[name]
			continue
		}
		if err == nil {
			b.prints[name] = ""
			err = b.fetch(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fetch copies a file. A segment waits beside its place, and of the one that is
// written to goes what was flushed before: what is flushed meanwhile may be read behind
// octets that were read too early, as if those were damaged.
func (b *backup) fetch(name string) error {
	from, to := filepath.Join(b.from, name), filepath.Join(b.to, name)
	number, isSegment := segment.NumberOf(name)
	if !isSegment {
		if err := copyFile(from, to+newSuffix); err != nil {
			return err
		}
		return os.Rename(to+newSuffix, to)
	}
	octets, end := int64(math.MaxInt64), b.flushed()
	if number > end.Segment {
		return nil // it was just begun
	}
	if number == end.Segment {
		octets = int64(end.Offset)
	}
	b.copied = append(b.copied, to)
	return copyFront(from, to+newSuffix, octets)
}

// flushed is how far the log is flushed, or further back by what is on its way to the
// appliers.
func (s *Store) flushed() (end segment.Pos) {
	for _, sh := range s.shards {
		sh.mu.Lock()
		if end.Before(sh.tip.At) {
			end = sh.tip.At
		}
		sh.mu.Unlock()
	}
	return end
}

// drop removes segments that were copied for nothing.
func (b *backup) drop() (err error) {
	for _, to := range b.copied {
		if e := os.Remove(to + newSuffix); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// finish removes what the store has no more, says what is sealed, and makes it a
// backup.
func (b *backup) finish(said format, dest string, sealed map[string]bool) error {
	entries, err := os.ReadDir(b.to)
	if err != nil {
		return err
	}
	var list strings.Builder
	fmt.Fprintln(&list, storeLine, said.id)
	for _, e := range entries {
		name := e.Name()
		print, now := b.prints[name]
		switch {
		case !now:
			if err := os.Remove(filepath.Join(b.to, name)); err != nil {
				return err
			}
			continue
		case !sealed[name] && !strings.HasSuffix(name, ".big"):
			continue
		case print == "":
			if print, err = fingerprint(filepath.Join(b.to, name)); err != nil {
				return err
			}
		}
		fmt.Fprintln(&list, name, print)
	}
	if err := (disk.OS{}).SyncDir(b.to); err != nil {
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

// has says whether a file is in all folders, that of the store and that of the
// backup, as it was when the backup was written: a data folder that was put back to
// an older state has other files under the same names, and a backup may lose some.
func (k sealedFiles) has(name string, folders ...string) (bool, error) {
	was, there := k[name]
	if !there || was == "" { // a backup of older versions has no fingerprints
		return false, nil
	}
	for _, dir := range folders {
		is, err := fingerprint(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil || is != was {
			return false, err
		}
	}
	return true, nil
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

// Restore makes a store in dir, which holds none, out of a backup. It has the
// folder to itself, like a store: [ErrLocked]. FORMAT comes last and segments come
// first, so a restore that was cut short is not taken for a store, nor for an empty
// folder. What waits in the outbox is held until [Store.RetryOut]: it may have left
// since the backup. Whatever else the store is nothing without, also puts there
// before FORMAT.
func Restore(ctx context.Context, backup, dir string, also ...func() error) error {
	if err := finishedBackup(backup); err != nil {
		return err
	}
	err := prepareFolder(dir)
	if err != nil {
		return fmt.Errorf("restore to %s: %w", dir, err)
	}
	lock, err := lockFolder(dir)
	if err == nil {
		err = errors.Join(restore(ctx, backup, dir, also), lock.Close())
	}
	if err != nil {
		return fmt.Errorf("restore to %s: %w", dir, err)
	}
	return nil
}

// finishedBackup says whether a folder is a backup: fs.ErrNotExist.
func finishedBackup(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, formatName)); err != nil {
		return fmt.Errorf("%s is not a finished backup: %w", dir, err)
	}
	return nil
}

func restore(ctx context.Context, backup, dir string, also []func() error) error {
	for _, name := range []string{formatName, indexDir, segmentDir} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("it holds a store already: %w", orElse(err, ErrExists))
		}
	}
	for _, name := range []string{segmentDir, indexDir} {
		if err := copyFolder(ctx, filepath.Join(backup, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := writeFile(filepath.Join(dir, indexDir, holdName), nil); err != nil {
		return err
	}
	for _, put := range also {
		if err := put(); err != nil {
			return err
		}
	}
	said, err := readFormat(backup)
	if err != nil {
		return err
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
		if strings.HasSuffix(e.Name(), newSuffix) { // of a backup that was killed
			continue
		}
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return disk.OS{}.SyncDir(to)
}
