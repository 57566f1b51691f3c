package bolt

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"go.etcd.io/bbolt"

	"letterlock/storage/kv"
)

// shard is one file and its committer.
type shard struct {
	db      *bbolt.DB
	hub     *kv.Hub
	queue   chan *update
	closing chan struct{} // closed: no more updates
	done    chan struct{} // closed: the committer is gone
	once    sync.Once
	failed  error // an I/O error that may have left the file in doubt; the committer's alone
}

// update is one closure on its way to be committed.
type update struct {
	fn     func(kv.Tx) error
	topics []string
	result error // what fn said
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
	for len(group) > 0 {
		var ran, bad int
		err := s.failed
		if err == nil {
			err = s.db.Update(func(btx *bbolt.Tx) error {
				b := btx.Bucket(bucket)
				b.FillPercent = fill
				ran, bad = runGroup(b, group)
				if bad >= 0 {
					return errUndo
				}
				return nil
			})
		}
		switch {
		case errors.Is(err, errUndo):
			group[bad].reply(nil)
			group = append(group[:bad:bad], group[bad+1:]...)
			continue
		case err != nil:
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

// reply answers with what the closure said, or with err where it said nothing.
func (u *update) reply(err error) {
	if u.result != nil {
		err = u.result
	}
	u.answer <- err
}

// runGroup runs closures until the transaction is big enough. bad is the index
// of one that failed after it had written, or -1.
func runGroup(b *bbolt.Bucket, group []*update) (ran, bad int) {
	var total kv.Tally
	for i, u := range group {
		t := &tx{reader: reader{b}}
		u.result = u.run(t)
		u.topics = t.topics
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

// refuse answers a commit that failed. No space is a state that passes: bbolt
// has rolled back. After any other I/O error nobody knows what the file holds,
// so nothing is written to it again until it is opened anew.
func (s *shard) refuse(group []*update, err error) {
	if s.failed == nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		s.failed = err
	}
	for _, u := range group {
		u.result = nil
		u.reply(fmt.Errorf("%w: %w", kv.ErrFailed, err))
	}
}

// close writes the free list with one last commit, so that the next open is
// fast.
func (s *shard) close() error {
	var err error
	s.once.Do(func() {
		close(s.closing)
		<-s.done
		if s.failed == nil {
			s.db.NoFreelistSync = false
			err = s.db.Update(func(*bbolt.Tx) error { return nil })
		}
		err = errors.Join(err, s.db.Close())
	})
	return err
}
