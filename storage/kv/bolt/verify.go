package bolt

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"letterlock/storage/disk"
	"letterlock/storage/kv"
)

// Verify reads one file that no engine has open: its pages by bbolt's own
// check, then every key through fn. Whatever is wrong with it comes back as an
// error, be it that bbolt panics over it.
func Verify(name string, fn func(k, v []byte) error) error {
	if err := readThrough(name); err != nil {
		return err
	}
	return read(name, bbolt.Options{PreLoadFreelist: true}, checkPages, fn)
}

// Walk reads every key of one file that no engine has open through fn, without a
// check of its pages.
func Walk(name string, fn func(k, v []byte) error) error {
	return read(name, bbolt.Options{}, func(*bbolt.Tx) error { return nil }, fn)
}

// Stamp is what the last [Engine.Settle] has left on a file that no engine has
// open.
func Stamp(name string) (stamp uint64, err error) {
	err = inFile(name, bbolt.Options{}, func(_ *bbolt.Tx, b *bbolt.Bucket) error {
		stamp = b.Sequence()
		return nil
	})
	return stamp, err
}

func read(name string, opt bbolt.Options, pages func(*bbolt.Tx) error, fn func(k, v []byte) error) error {
	return inFile(name, opt, func(tx *bbolt.Tx, b *bbolt.Bucket) error {
		if err := pages(tx); err != nil {
			return fmt.Errorf("%s: damaged pages: %w", name, err)
		}
		return b.ForEach(fn)
	})
}

// inFile runs fn on a file that no engine has open.
func inFile(name string, opt bbolt.Options, fn func(*bbolt.Tx, *bbolt.Bucket) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a page may lie behind the end of the file
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %w: %v", name, kv.ErrDamaged, p)
		}
	}()
	opt.ReadOnly, opt.Timeout = true, time.Second
	db, err := bbolt.Open(name, 0o600, &opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		if b == nil {
			return fmt.Errorf("%s: damaged pages: %w", name, errNoBucket)
		}
		return fn(tx, b)
	})
}

func checkPages(tx *bbolt.Tx) (first error) {
	for err := range tx.Check() { // read to its end, or its goroutine stays
		if first == nil {
			first = err
		}
	}
	return first
}

var errNoBucket = errors.New("not a shard")

// CreateShard makes an empty shard in the place of one that is lost. No engine
// may have the folder open.
func CreateShard(dir string, shard int) error {
	if err := initialise(file(dir, shard) + ".new"); err != nil {
		return err
	}
	return PutShard(dir, shard, file(dir, shard)+".new")
}

// PutShard renames a whole shard file, one that [Engine.Copy] wrote, into its
// place.
func PutShard(dir string, shard int, from string) error {
	if err := syncFile(from); err != nil {
		return err
	}
	if err := os.Rename(from, file(dir, shard)); err != nil {
		return err
	}
	return disk.OS{}.SyncDir(dir)
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// ShardFile is the file of a shard.
func ShardFile(dir string, shard int) string { return file(dir, shard) }
