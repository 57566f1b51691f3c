package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"letterlock/storage/disk"
	"letterlock/storage/kv"
)

// Base is an engine that a journal can stand before.
type Base interface {
	kv.Engine
	// Settle is an Update that the bounds of a transaction do not hold for, those of
	// keys and values do. It leaves stamp on the shard together with what fn writes.
	Settle(ctx context.Context, shard int, stamp uint64, fn func(kv.Tx) error) error
	// Stamp is what the last Settle has left on a shard; 0 before the first.
	Stamp(ctx context.Context, shard int) (uint64, error)
}

// Options of a journal; the zero value is the documented default.
type Options struct {
	Slack int        // octets by which a wrapper makes values longer: [kv.Tally]
	Files disk.Files // default [disk.OS]
}

// Engine is a [kv.Engine] over another, which nobody else may write to.
type Engine struct {
	kv.Hub
	base   Base
	shards []*shard
}

var _ kv.Engine = (*Engine)(nil)

// Open puts a journal in dir before base, and settles what a crash has left in
// it: [ErrDamaged] where that cannot be followed.
func Open(dir string, base Base, opt Options) (*Engine, error) {
	if opt.Files == nil {
		opt.Files = disk.OS{}
	}
	e := &Engine{base: base}
	for n := range base.Shards() {
		s, err := open(dir, base, n, opt, &e.Hub)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("journal of shard %d: %w", n, err), e.stop())
		}
		e.shards = append(e.shards, s)
	}
	return e, nil
}

// Check says whether what a shard has in its journal behind stamp can be
// followed: [ErrDamaged]. Nobody may have it open.
func Check(dir string, shard int, stamp uint64) error {
	_, err := read(dir, shard, stamp)
	return err
}

// SetAside renames what a shard has in its journal, so that nobody follows it any
// more. Nobody may have it open.
func SetAside(dir string, shard int, suffix string) error {
	any := false
	for _, name := range names(dir, shard) {
		err := os.Rename(name, name+suffix)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		any = any || err == nil
	}
	if !any {
		return nil
	}
	return disk.OS{}.SyncDir(filepath.Clean(dir))
}

// Shards is how many the engine below has.
func (e *Engine) Shards() int { return len(e.shards) }

// View runs fn on a snapshot: the engine below, and on top of it what it has not.
func (e *Engine) View(ctx context.Context, shard int, fn func(kv.Reader) error) error {
	s := e.shards[shard]
	for {
		settled, again := s.shown.Load().settled, false
		err := e.base.View(ctx, shard, func(below kv.Reader) error {
			top := s.shown.Load()
			if top.settled != settled { // it may have settled behind this snapshot
				again = true
				return nil
			}
			if top.tree.Len() == 0 {
				return fn(below)
			}
			return fn(&reader{tree: top.tree, below: below})
		})
		if !again {
			return err
		}
	}
}

// Recovered says whether a crash had left something in the journal when it was opened.
func (e *Engine) Recovered() bool {
	return slices.ContainsFunc(e.shards, func(s *shard) bool { return s.recovered })
}

// Update queues fn for the shard's committer and waits until it is in the journal.
func (e *Engine) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.shards[shard].queue.Do(fn)
}

// Copy settles what the journal has of a shard and copies it.
func (e *Engine) Copy(ctx context.Context, shard int, w io.Writer) error {
	s := e.shards[shard]
	if err := s.queue.Between(ctx, s.settleAll); err != nil {
		return err
	}
	return e.base.Copy(ctx, shard, w)
}

// Wipe settles what the journal has of a shard and removes its files, with all
// they ever held.
func (e *Engine) Wipe(ctx context.Context, shard int) error {
	s := e.shards[shard]
	return s.queue.Between(ctx, s.wipe)
}

// Close settles everything and closes the engine below. What does not settle is
// still in the journal, for the next open.
func (e *Engine) Close() error { return errors.Join(e.stop(), e.base.Close()) }

func (e *Engine) stop() error {
	var errs []error
	for _, s := range e.shards {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
