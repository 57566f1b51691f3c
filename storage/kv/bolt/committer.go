package bolt

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"letterlock/storage/kv"
)

// shard is one file and its committer.
type shard struct {
	name  string
	opt   Options
	hub   *kv.Hub
	queue *kv.Queue

	mu      sync.Mutex // guards cur, its refs, and copying
	cur     *opened
	copying bool

	// The committer's own.
	good    int          // the last transaction that was acknowledged
	failed  error        // why the file is in doubt
	tried   time.Time    // to make a new one of it
	journal *journal     // of a compaction under way
	flushed func() error // tests make the flush of a commit fail
}

// opened is an open bbolt file and how many read it.
type opened struct {
	db      *bbolt.DB
	refs    int
	retired bool // another has taken its place
}

// view runs fn on a snapshot of the current file: [kv.ErrDamaged] where it meets a page
// that cannot be read.
func (s *shard) view(fn func(*bbolt.Tx) error) (err error) {
	s.mu.Lock()
	f := s.cur
	f.refs++
	s.mu.Unlock()
	defer s.leave(f)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if err = kv.Fault(p); err == nil {
				panic(p)
			}
		}
	}()
	err = f.db.View(fn)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return kv.ErrClosed
	}
	return err
}

// leave closes a file that was replaced when its last reader goes.
func (s *shard) leave(f *opened) {
	s.mu.Lock()
	f.refs--
	last := f.retired && f.refs == 0
	s.mu.Unlock()
	if last {
		_ = f.db.Close() // it has no name any more: nothing can be lost
	}
}

// replace puts another file in the place of the current one.
func (s *shard) replace(db *bbolt.DB) {
	s.mu.Lock()
	old := s.cur
	s.cur = &opened{db: db}
	old.retired = true
	last := old.refs == 0
	s.mu.Unlock()
	if last {
		_ = old.db.Close() // it has no name any more
	}
	s.good = visible(db)
}

// visible is the last transaction that whoever opens a snapshot sees.
func visible(db *bbolt.DB) (txid int) {
	_ = db.View(func(tx *bbolt.Tx) error { // nothing in it fails
		txid = tx.ID()
		return nil
	})
	return txid
}

func (s *shard) run() {
	defer s.queue.Left()
	for {
		select {
		case c := <-s.queue.Calls():
			s.commit(s.queue.Gather(c))
		case task := <-s.queue.Tasks():
			task()
		case <-s.queue.Closing():
			s.queue.Rest(s.commit)
			return
		}
	}
}

// errUndo rolls back a transaction in which a closure failed after it wrote:
// the others run again without it.
var errUndo = errors.New("undo")

// commit runs all of group, in as few transactions as their size allows.
func (s *shard) commit(group []*kv.Call) {
	if s.failed != nil {
		if err := s.recover(); err != nil {
			s.refuse(group, err)
			return
		}
	}
	for len(group) > 0 {
		ran, bad, err := s.try(group)
		switch {
		case errors.Is(err, errUndo):
			group[bad].Answer(nil)
			group = append(group[:bad:bad], group[bad+1:]...)
			continue
		case err != nil:
			s.doubt(err)
			s.refuse(group, err)
			return
		}
		for _, c := range group[:ran] {
			c.Done(s.hub)
		}
		group = group[ran:]
	}
}

// try commits the front of group. bbolt panics over a file it cannot follow:
// that is a failure like any other.
func (s *shard) try(group []*kv.Call) (ran, bad int, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bbolt: %v", p)
		}
	}()
	id := 0
	var writes []write
	err = s.cur.db.Update(func(btx *bbolt.Tx) error {
		id = btx.ID()
		b := btx.Bucket(bucket)
		b.FillPercent = fill
		ran, bad, writes = s.runGroup(b, group)
		if bad >= 0 {
			return errUndo
		}
		return nil
	})
	if err == nil && s.flushed != nil {
		err = s.flushed()
	}
	if err != nil {
		return ran, bad, err
	}
	s.good = id
	if s.journal != nil {
		s.journal.add(writes)
	}
	return ran, bad, nil
}

// runGroup runs closures until the transaction is big enough. bad is the index
// of one that failed after it had written, or -1; writes is what a compaction has
// to hear of.
func (s *shard) runGroup(b *bbolt.Bucket, group []*kv.Call) (ran, bad int, writes []write) {
	var total kv.Tally
	var values kept
	for i, c := range group {
		t := &tx{reader: newReader(b), kept: &values, tally: kv.Tally{Slack: s.opt.Slack}, noted: s.journal != nil}
		panicked, err := c.Guard(t)
		if err == nil {
			err = errors.Join(t.tally.Err(), t.err)
		}
		if c.Result, c.Topics = err, t.topics; err != nil && (panicked || t.tally.Writes > 0) {
			return 0, i, nil
		}
		writes = append(writes, t.writes...)
		total.Writes += t.tally.Writes
		total.Bytes += t.tally.Bytes
		if total.Writes >= kv.MaxTxWrites || total.Bytes >= kv.MaxTxBytes {
			return i + 1, -1, writes
		}
	}
	return len(group), -1, writes
}

// refuse answers a commit that failed.
func (s *shard) refuse(group []*kv.Call, err error) {
	for _, c := range group {
		c.Result = nil
		c.Answer(fmt.Errorf("%w: %w", kv.ErrFailed, spelledOut(err)))
	}
}

// close writes the free list with one last commit, so that the next open is
// fast.
func (s *shard) close() (err error) {
	if !s.queue.Close() {
		return nil
	}
	db := s.cur.db // the committer is gone: nobody replaces it
	if s.failed == nil {
		db.NoFreelistSync = false
		err = db.Update(func(*bbolt.Tx) error { return nil })
	}
	return errors.Join(err, db.Close())
}
