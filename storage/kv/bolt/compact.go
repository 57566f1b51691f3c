package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"go.etcd.io/bbolt"

	"letterlock/storage/kv"
)

// Suffixes of the file that is to take a shard's place, smaller or because the
// old one is in doubt. One that a crash has left is removed at the next open:
// the old one is whole.
const (
	copySuffix   = ".copy"
	rescueSuffix = ".rescue"
)

const (
	copyBatch   = 1 << 20   // octets of keys and values copied by one transaction
	lastCatchUp = 256 << 10 // octets of journal that writers may have to wait for
	maxJournal  = 64 << 20  // octets written meanwhile beyond which it is given up
	maxRounds   = 20        // of catching up
)

var (
	// ErrBusy says that a shard is being compacted already.
	ErrBusy = errors.New("the shard is being compacted")
	// ErrOverrun says that more was written during a compaction than it could
	// follow; it may be tried again in a quieter hour.
	ErrOverrun = errors.New("too much was written meanwhile")
)

// Room says how much of a shard's file is free, as of its last commit: 0 before
// the first. A file never shrinks by itself.
func (e *Engine) Room(shard int) (free, size int64) {
	_ = e.shards[shard].view(func(tx *bbolt.Tx) error {
		size = tx.Size()
		stats := tx.DB().Stats()
		free = int64(stats.FreePageN+stats.PendingPageN) * int64(tx.DB().Info().PageSize)
		return nil
	})
	return free, size
}

// Compact rewrites the file of a shard without its free pages, reading rate
// octets a second (0: as fast as it goes), while the shard is used. Writers wait
// for the last step alone, a few hundred KiB and two flushes. The new file takes
// the place of the old one in one step: a crash at any moment leaves one of
// them, whole. It needs the room for a second file until it is done.
func (e *Engine) Compact(ctx context.Context, shard int, rate int64) error {
	if err := e.shards[shard].compact(ctx, rate); err != nil {
		return fmt.Errorf("compact shard %d: %w", shard, err)
	}
	return nil
}

func (s *shard) compact(ctx context.Context, rate int64) (err error) {
	s.mu.Lock()
	busy := s.copying
	s.copying = true
	s.mu.Unlock()
	if busy {
		return ErrBusy
	}
	defer func() {
		s.mu.Lock()
		s.copying = false
		s.mu.Unlock()
	}()
	j := new(journal)
	var db *bbolt.DB
	err = s.queue.Between(ctx, func() (err error) {
		if s.failed != nil {
			return s.failed
		}
		if db, err = s.newCopy(copySuffix); err == nil {
			s.journal = j
		}
		return err
	})
	if err != nil {
		return err
	}
	c := copier{shard: s, to: db, batch: copyBatch, pace: kv.Pace{Rate: rate}, journal: j}
	if err = c.all(ctx); err == nil {
		err = c.catchUp(ctx)
	}
	installed := false
	endErr := s.queue.Between(context.WithoutCancel(ctx), func() error {
		s.journal = nil
		switch {
		case err != nil:
			return nil
		case s.failed != nil:
			return s.failed
		case j.overrun():
			return ErrOverrun
		}
		if err := c.follow(j.take()); err != nil {
			return err
		}
		installed = true // or removed
		return s.install(db, copySuffix)
	})
	if !installed {
		endErr = errors.Join(endErr, db.Close(), os.Remove(s.name+copySuffix))
	}
	return errors.Join(err, endErr)
}

// newCopy opens an empty file that will take the shard's place. It is flushed
// once, when it is whole.
func (s *shard) newCopy(suffix string) (*bbolt.DB, error) {
	name := s.name + suffix
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	db, err := openFile(name, s.opt)
	if err != nil {
		return nil, err
	}
	db.NoSync, db.NoGrowSync = true, true
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close(), os.Remove(name))
	}
	return db, nil
}

// copier fills a copy.
type copier struct {
	shard   *shard
	to      *bbolt.DB
	batch   int
	pace    kv.Pace
	journal *journal
}

// all copies every key, batch by batch, each from a snapshot of its own: what
// changes meanwhile comes with the journal.
func (c *copier) all(ctx context.Context) error {
	octets := 0
	for next := []byte{}; next != nil; {
		if err := c.pace.Spend(ctx, int64(octets)); err != nil {
			return err
		}
		if c.journal.overrun() {
			return ErrOverrun
		}
		err := c.shard.view(func(from *bbolt.Tx) error {
			return c.into(func(b *bbolt.Bucket) (err error) {
				next, octets, err = c.some(b, from.Bucket(bucket), next)
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) into(fn func(*bbolt.Bucket) error) error {
	return c.to.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		b.FillPercent = fill
		return fn(b)
	})
}

// some copies one batch from key next on and answers where the following starts.
func (c *copier) some(to, from *bbolt.Bucket, next []byte) (after []byte, octets int, err error) {
	for k, v := range newReader(from).Range(next, nil, kv.Options{}) {
		if octets >= c.batch {
			return bytes.Clone(k), octets, nil
		}
		if err := to.Put(k, v); err != nil {
			return nil, octets, err
		}
		octets += len(k) + len(v)
	}
	return nil, octets, nil
}

// catchUp does what was done to the shard meanwhile, until little is left, and
// flushes the most of it before the committer has to wait.
func (c *copier) catchUp(ctx context.Context) error {
	for range maxRounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.journal.overrun() {
			return ErrOverrun
		}
		writes := c.journal.take()
		if err := c.follow(writes); err != nil {
			return err
		}
		if err := c.to.Sync(); err != nil {
			return err
		}
		if c.journal.size() <= lastCatchUp {
			return nil
		}
	}
	return ErrOverrun
}

// follow repeats writes in their order: once all are done, each key has what it
// had last.
func (c *copier) follow(writes []write) error {
	for len(writes) > 0 {
		n, octets := 0, 0
		for n < len(writes) && octets < 4*c.batch {
			octets += writes[n].octets()
			n++
		}
		some := writes[:n]
		err := c.into(func(b *bbolt.Bucket) error {
			for _, w := range some {
				if err := w.to(b); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		writes = writes[n:]
	}
	return nil
}

func (w *write) to(b *bbolt.Bucket) error {
	switch w.kind {
	case putOne:
		return b.Put(w.key, w.value)
	case deleteOne:
		return b.Delete(w.key)
	}
	return removeRange(b, w.key, w.value)
}

func (w *write) octets() int { return len(w.key) + len(w.value) + 64 }

// journal is what was committed since a compaction began, in order.
type journal struct {
	mu     sync.Mutex // guards all below
	writes []write
	octets int
	over   bool
}

func (j *journal) add(writes []write) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.over {
		return
	}
	j.writes = append(j.writes, writes...)
	for i := range writes {
		j.octets += writes[i].octets()
	}
	if j.octets > maxJournal {
		j.writes, j.over = nil, true
	}
}

// giveUp makes the compaction fail.
func (j *journal) giveUp() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes, j.over = nil, true
}

func (j *journal) take() []write {
	j.mu.Lock()
	defer j.mu.Unlock()
	writes := j.writes
	j.writes, j.octets = nil, 0
	return writes
}

func (j *journal) size() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.octets
}

func (j *journal) overrun() bool {
	if j == nil {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.over
}
