package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"letterlock/storage/kv/bolt"
	"letterlock/storage/kv/sealed"
	"letterlock/storage/seal"
	"letterlock/storage/segment"
)

// errNoKeys: there is nothing to seal with.
var errNoKeys = errors.New("the store has no keys to seal with")

// Seal seals under the newest key whatever lies in clear or under an older one,
// while the store is used: the index, whose files are then rewritten since their
// free pages hold what was there, every segment with such a record, and the
// checkpoint. It may be cut short and called again. Afterwards the older keys
// are not needed any more, but for backups ([Store.Keys] tells). told hears how
// many segments are done of all that there are; rate is octets a second, 0 as
// fast as it goes.
func (s *Store) SealAll(ctx context.Context, rate int64, told func(done, total int)) error {
	if !s.opt.Keys.Sealing() {
		return fmt.Errorf("seal: %w", errNoKeys)
	}
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	if err := s.sealIndex(ctx, rate); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if err := s.sealLog(ctx, rate, told); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if err := s.copyIndex(ctx, filepath.Join(s.dir, checkpointDir)); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return nil
}

func (s *Store) sealIndex(ctx context.Context, rate int64) error {
	if err := s.cover.SealAll(ctx, rate); err != nil {
		return err
	}
	for _, sh := range s.shards {
		if err := s.journal.Wipe(ctx, sh.number); err != nil {
			return err
		}
		if err := s.compact(ctx, sh, rate); err != nil {
			return err
		}
	}
	return nil
}

// compact rewrites the file of a shard; when too much is written meanwhile it
// tries again.
func (s *Store) compact(ctx context.Context, sh *shard, rate int64) (err error) {
	for range 3 {
		if err = s.files.Compact(ctx, sh.number, rate); !errors.Is(err, bolt.ErrOverrun) {
			return err
		}
	}
	return err
}

// firstRecord is the offset at which the records of a segment begin.
const firstRecord = 4096

// errStale ends a look at a segment: it has something to be sealed.
var errStale = errors.New("not under the newest key")

// sealLog rewrites every segment that has a record that is not under the newest
// key, the one that is being written included.
func (s *Store) sealLog(ctx context.Context, rate int64, told func(done, total int)) error {
	if err := s.log.Roll(ctx); err != nil {
		return err
	}
	all := s.log.Sealed()
	if err := s.passTo(ctx, s.log.Segments()); err != nil {
		return err
	}
	for i, seg := range all {
		told(i, len(all))
		_, err := s.log.Scan(seg, func(r *segment.Record) error {
			if r.Key != s.opt.Keys.Current() {
				return errStale
			}
			return ctx.Err()
		})
		if err == nil {
			continue
		}
		if errors.Is(err, errStale) {
			err = s.collectSegment(ctx, seg, rate, sparing)
		}
		if err != nil {
			return fmt.Errorf("segment %d: %w", seg.Number, err)
		}
	}
	told(len(all), len(all))
	return s.dropFree()
}

// passTo brings the marks of all shards to the last of segments, to which
// nothing was written when it was begun: no replay starts before it.
func (s *Store) passTo(ctx context.Context, segments []segment.Segment) error {
	if len(segments) < 2 {
		return nil
	}
	began := segment.Mark{At: segment.Pos{Segment: segments[len(segments)-1].Number, Offset: firstRecord}}
	written := false // others followed to it, then, or are about to
	for _, sh := range s.shards {
		sh.mu.Lock()
		began.Serial, written = max(began.Serial, sh.tip.Serial), written || !sh.tip.At.Before(began.At)
		sh.mu.Unlock()
	}
	for _, sh := range s.shards {
		if !written {
			sh.pass(began)
		}
		if err := sh.drain(ctx); err != nil {
			return err
		}
	}
	for _, why := range s.Stopped() { // what waits for it in the log holds the segments
		return why
	}
	if !s.settled(segments[len(segments)-2].Number) {
		return errors.New("the index has not come to the new segment yet: try again")
	}
	return nil
}

// dropFree removes files of dead segments that wait to be written over: what was
// in clear is still in them.
func (s *Store) dropFree() error {
	names, err := filepath.Glob(filepath.Join(s.dir, segmentDir, "*.free"))
	for _, name := range names {
		if rerr := os.Remove(name); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// KeyCensus is what is sealed under which key, dead octets that are still there
// included.
type KeyCensus struct {
	Clear KeyUse   // what lies in clear
	Keys  []KeyUse // those of the file, and those that are not in it and still needed
}

// KeyUse is what one key has of a store, in octets.
type KeyUse struct {
	ID      string
	Made    time.Time
	Current bool
	Missing bool // it is not in the key file
	Log     int64
	Index   int64 // its checkpoint included
}

// Keys reads what is sealed under which key: a few octets of every record, and
// every value's first. What the checkpoint has counts as well: a [Store.SealAll]
// that was cut short leaves it under its older key, and a repair needs it.
func (s *Store) Keys(ctx context.Context) (all KeyCensus, err error) {
	index, err := s.cover.Census(ctx)
	if err != nil {
		return all, fmt.Errorf("keys: %w", err)
	}
	if err := countShards(ctx, filepath.Join(s.dir, checkpointDir), len(s.shards), index); err != nil {
		return all, fmt.Errorf("keys: checkpoint: %w", err)
	}
	log, err := s.log.Census(ctx)
	if err != nil {
		return all, fmt.Errorf("keys: %w", err)
	}
	all.Clear = KeyUse{Log: log[seal.ID{}].Octets, Index: index[seal.ID{}].Octets}
	known := map[seal.ID]bool{{}: true}
	if s.opt.Keys != nil {
		for _, k := range s.opt.Keys.All() {
			known[k.ID] = true
			all.Keys = append(all.Keys, KeyUse{ID: k.ID.String(), Made: k.Made, Current: k.ID == s.opt.Keys.Current(), Log: log[k.ID].Octets, Index: index[k.ID].Octets})
		}
	}
	for id := range log {
		if !known[id] {
			known[id] = true
			all.Keys = append(all.Keys, KeyUse{ID: id.String(), Missing: true, Log: log[id].Octets, Index: index[id].Octets})
		}
	}
	for id := range index {
		if !known[id] {
			all.Keys = append(all.Keys, KeyUse{ID: id.String(), Missing: true, Index: index[id].Octets})
		}
	}
	return all, nil
}

// countShards adds what copies of shards in a folder have. One that is not there has
// nothing, and one that cannot be read is of use to nobody.
func countShards(ctx context.Context, dir string, shards int, c sealed.Census) error {
	for n := range shards {
		err := bolt.Walk(bolt.ShardFile(dir, n), func(k, v []byte) error {
			c.Count(k, v)
			return ctx.Err()
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case passing(err): // it may be whole
			return err
		}
	}
	return nil
}

// CheckBackup looks, before a backup is restored, whether keys hold those that its
// index is sealed with: seal.ErrNoKey. keys may be nil.
func CheckBackup(ctx context.Context, backup string, keys *seal.Keys) error {
	if err := finishedBackup(backup); err != nil {
		return err
	}
	said, err := readFormat(backup)
	if err != nil {
		return fmt.Errorf("%s: %w", backup, err)
	}
	used := make(sealed.Census)
	if err := countShards(ctx, filepath.Join(backup, indexDir), said.shards, used); err != nil {
		return fmt.Errorf("%s: %w", backup, err)
	}
	for id := range used {
		if id != (seal.ID{}) && !keys.Has(id) {
			return fmt.Errorf("%s: %w", backup, keys.Missing(id))
		}
	}
	return nil
}
