package bolt

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"letterlock/storage/kv"
)

// shard is one file and its committer.
type shard struct {
	name    string
	opt     Options
	hub     *kv.Hub
	queue   chan *update
	tasks   chan func()   // what the committer does between two commits
	closing chan struct{} // closed: no more updates
	done    chan struct{} // closed: the committer is gone
	once    sync.Once

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

// view runs fn on a snapshot of the current file.
func (s *shard) view(fn func(*bbolt.Tx) error) error {
	s.mu.Lock()
	f := s.cur
	f.refs++
	s.mu.Unlock()
	defer s.leave(f)
	err := f.db.View(fn)
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

// update is one closure on its way to be committed.
type update struct {
	fn     func(kv.Tx) error
	topics []string
	writes []write // what a compaction has to hear of
	result error   // what fn said
	answer chan error
}

// maxGroup is how many closures share one commit.
const maxGroup = 512

func (s *shard) update(fn func(kv.Tx) error) error {
	u := &update{fn: fn, answer: make(chan error, 1)}
	select {
	case s.queue <- u:
	case <-s.closing:
		return kv.ErrClosed
	}
	select {
	case err := <-u.answer:
		return err
	case <-s.done:
	}
	select { // answered in the same moment as the committer left
	case err := <-u.answer:
		return err
	default:
		return kv.ErrClosed
	}
}

func (s *shard) run() {
	defer close(s.done)
	for {
		select {
		case u := <-s.queue:
			s.commit(s.gather(u))
		case task := <-s.tasks:
			task()
		case <-s.closing:
			for group := s.gather(nil); len(group) > 0; group = s.gather(nil) {
				s.commit(group)
			}
			return
		}
	}
}

// gather takes what is queued, without waiting for more.
func (s *shard) gather(first *update) []*update {
	var group []*update
	if first != nil {
		group = append(group, first)
	}
	for len(group) < maxGroup {
		select {
		case u := <-s.queue:
			group = append(group, u)
		default:
			return group
		}
	}
	return group
}

// errUndo rolls back a transaction in which a closure failed after it wrote:
// the others run again without it.
var errUndo = errors.New("undo")

// commit runs all of group, in as few transactions as their size allows.
func (s *shard) commit(group []*update) {
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
			group[bad].reply(nil)
			group = append(group[:bad:bad], group[bad+1:]...)
			continue
		case err != nil:
			s.doubt(err)
			s.refuse(group, err)
			return
		}
		for _, u := range group[:ran] {
			for _, topic := range u.topics {
				s.hub.Signal(topic)
			}
			u.reply(nil)
		}
		group = group[ran:]
	}
}

// try commits the front of group. bbolt panics over a file it cannot follow:
// that is a failure like any other.
func (s *shard) try(group []*update) (ran, bad int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bbolt: %v", p)
		}
	}()
	id := 0
	err = s.cur.db.Update(func(btx *bbolt.Tx) error {
		id = btx.ID()
		b := btx.Bucket(bucket)
		b.FillPercent = fill
		ran, bad = s.runGroup(b, group)
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
		for _, u := range group[:ran] {
			s.journal.add(u.writes)
		}
	}
	return ran, bad, nil
}

// reply answers with what the closure said, or with err where it said nothing.
func (u *update) reply(err error) {
	if u.result != nil {
		err = u.result
	}
	u.answer <- err
}

// runGroup runs closures until the transaction is big enough. bad is the index
// of one that failed after it had written, or -1.
func (s *shard) runGroup(b *bbolt.Bucket, group []*update) (ran, bad int) {
	var total kv.Tally
	var values kept
	for i, u := range group {
		t := &tx{reader: newReader(b), kept: &values, tally: kv.Tally{Slack: s.opt.Slack}, noted: s.journal != nil}
		u.result = u.run(t)
		u.topics, u.writes = t.topics, t.writes
		if u.result != nil && t.tally.Writes > 0 {
			return 0, i
		}
		total.Writes += t.tally.Writes
		total.Bytes += t.tally.Bytes
		if total.Writes >= kv.MaxTxWrites || total.Bytes >= kv.MaxTxBytes {
			return i + 1, -1
		}
	}
	return len(group), -1
}

func (u *update) run(t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.tally.Writes++ // whatever it wrote goes
			err = fmt.Errorf("transaction panicked: %v", p)
		}
	}()
	if err := u.fn(t); err != nil {
		return err
	}
	return errors.Join(t.tally.Err(), t.err)
}

// refuse answers a commit that failed.
func (s *shard) refuse(group []*update, err error) {
	for _, u := range group {
		u.result = nil
		u.reply(fmt.Errorf("%w: %w", kv.ErrFailed, spelledOut(err)))
	}
}

// close writes the free list with one last commit, so that the next open is
// fast.
func (s *shard) close() error {
	var err error
	s.once.Do(func() {
		close(s.closing)
		<-s.done
		db := s.cur.db // the committer is gone: nobody replaces it
		if s.failed == nil {
			db.NoFreelistSync = false
			err = db.Update(func(*bbolt.Tx) error { return nil })
		}
		err = errors.Join(err, db.Close())
	})
	return err
}
