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

// copyIndex writes every shard into dir.
func (s *Store) copyIndex(ctx context.Context, dir string) error {
	if err := prepareFolder(dir); err != nil {
		return err
	}
	for _, sh := range s.shards {
		name := bolt.ShardFile(dir, sh.number) + ".new"
		err := createFile(name, func(w io.Writer) error { return s.index.Copy(ctx, sh.number, w) })
		if err == nil {
			err = bolt.PutShard(dir, sh.number, name)
		}
		if err != nil {
			return fmt.Errorf("copy shard %d: %w", sh.number, err)
		}
	}
	return nil
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
	return bolt.Verify(name, func(k, v []byte) error {
		plain, v, err := sealed.Decode(keys, shard, hide, k, v)
		if err != nil || plain == nil {
			return err
		}
		if _, err := open(v); err != nil {
			return fmt.Errorf("key %x: %w", k, err)
		}
		return nil
	})
}
