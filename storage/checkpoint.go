package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"letterlock/storage/kv/bolt"
	"letterlock/storage/kv/sealed"
	"letterlock/storage/seal"
)

// checkpointDir holds a whole copy of each shard, each with the mark up to
// which it knows the log: what [Repair] starts from.
const (
	checkpointDir   = "checkpoint"
	checkpointEvery = time.Hour
)

// Checkpoint renews the copy of the index, shard by shard: a copy is replaced
// only by a finished one.
func (s *Store) Checkpoint(ctx context.Context) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	return s.copyIndex(ctx, filepath.Join(s.dir, checkpointDir))
}

// hasCheckpoint says whether there is a copy of every shard, good or not.
func (s *Store) hasCheckpoint() bool {
	for _, sh := range s.shards {
		if _, err := os.Stat(bolt.ShardFile(filepath.Join(s.dir, checkpointDir), sh.number)); err != nil {
			return false
		}
	}
	return true
}

// errRotten says what is to be done about an index that is copied no more.
var errRotten = errors.New("the index is damaged, and the older copy stays: letterlock fsck --repair")

// copyIndex writes every shard into dir, in the place of an older copy. A shard that
// has rotted does not take that of one that is whole: a repair needs it.
func (s *Store) copyIndex(ctx context.Context, dir string) error {
	if err := prepareFolder(dir); err != nil {
		return err
	}
	var rotten []error
	for _, sh := range s.shards {
		err := s.copyShard(ctx, dir, sh.number)
		if err != nil {
			err = fmt.Errorf("copy shard %d: %w", sh.number, err)
		}
		if errors.Is(err, errRotten) {
			rotten = append(rotten, err)
		} else if err != nil {
			return err
		}
	}
	return errors.Join(rotten...)
}

func (s *Store) copyShard(ctx context.Context, dir string, n int) error {
	name := bolt.ShardFile(dir, n) + ".new"
	if err := createFile(name, func(w io.Writer) error { return s.index.Copy(ctx, n, w) }); err != nil {
		return err
	}
	err := bolt.Walk(name, checkValue(ctx, n, s.opt.Keys))
	if err == nil {
		return bolt.PutShard(dir, n, name)
	}
	if ctx.Err() == nil && !passing(err) {
		err = fmt.Errorf("%w: %w", errRotten, err)
	}
	return errors.Join(err, os.Remove(name))
}

// createFile writes a file of mode 0600, durably; what cannot be written whole
// is removed.
func createFile(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// verifyShard reads a shard's file from end to end: pages and the checksum of
// every value.
func verifyShard(name string, shard int, keys *seal.Keys) error {
	return bolt.Verify(name, checkValue(context.Background(), shard, keys))
}

// checkValue looks whether a value is what was written.
func checkValue(ctx context.Context, shard int, keys *seal.Keys) func(k, v []byte) error {
	return func(k, v []byte) error {
		plain, v, err := sealed.Decode(keys, shard, hide, k, v)
		if err == nil && plain != nil {
			_, err = open(v)
		}
		if err != nil {
			return fmt.Errorf("key %x: %w", k, err)
		}
		return ctx.Err()
	}
}
