package journal

import (
	"context"
	"errors"
	"time"

	"letterlock/storage/kv"
)

// When what is in the journal settles.
const (
	settleAfter = 2 * time.Second
	settleFrom  = 4 << 20  // octets of records
	settleNow   = 16 << 20 // octets of records beyond which commits wait for it
	tooMuch     = 1 << 20  // octets of one record that is not worth its journal
	retryAfter  = time.Second
)

// settling is the end of one in the background.
type settling struct {
	upTo uint64
	err  error
}

// write brings a tree into the engine below, with the number of its last record.
func (s *shard) write(tree *tree, upTo uint64) error {
	return s.base.Settle(context.Background(), s.number, upTo, func(tx kv.Tx) error {
		tree.Scan(func(e *entry) bool {
			if e.value == nil {
				tx.Delete(e.key)
			} else {
				tx.Put(e.key, e.value)
			}
			return true
		})
		return nil
	})
}

// arm sees that what is in the journal settles some time.
func (s *shard) arm(after time.Duration) {
	if !s.armed {
		s.armed = true
		s.timer.Reset(after)
	}
}

// settleSoon lets everything settle in the background; commits go to the other
// file meanwhile.
func (s *shard) settleSoon() {
	switch {
	case s.failed != nil:
		_ = s.settleAll() // it is tried again
	case s.settling == nil && s.settled < s.last:
		s.files.change(s.settled)
		tree, upTo, end := s.tree.Copy(), s.last, make(chan settling, 1)
		s.settling, s.octets = end, 0
		go func() { end <- settling{upTo, s.write(tree, upTo)} }()
	}
}

// hasSettled is told how what was in the background ended.
func (s *shard) hasSettled(end settling) {
	s.settling = nil
	if end.err != nil {
		s.fail(end.err)
		return
	}
	left := newTree()
	s.tree.Scan(func(e *entry) bool {
		if e.number > end.upTo {
			left.Set(e)
		}
		return true
	})
	if s.tree, s.settled = left, end.upTo; s.settled < s.last {
		s.arm(settleAfter)
	}
	s.show()
}

// await waits for what settles in the background.
func (s *shard) await() {
	if s.settling != nil {
		s.hasSettled(<-s.settling)
	}
}

// room waits where too much has not settled, or what failed has to settle first.
func (s *shard) room() error {
	if s.octets >= settleNow {
		s.await()
	}
	if s.failed != nil {
		if err := s.settleAll(); err != nil {
			return err
		}
	}
	if s.octets >= settleFrom {
		s.settleSoon()
	}
	return nil
}

// settleAll lets everything settle now. What a failed write has left in a file
// goes with the files.
func (s *shard) settleAll() error {
	s.await()
	if s.settled < s.last {
		if err := s.write(s.tree, s.last); err != nil {
			s.fail(err)
			return err
		}
		s.tree, s.settled, s.octets = newTree(), s.last, 0
		s.show()
	}
	s.files.rewind()
	if s.torn {
		if err := s.files.drop(); err != nil {
			s.fail(err)
			return err
		}
	}
	s.failed, s.torn = nil, false
	return nil
}

// through brings a tree that no journal has into the engine below: there was
// nothing before it. Readers see it there at once.
func (s *shard) through(tree *tree) error {
	err := s.write(tree, s.last)
	if err != nil {
		s.fail(err)
		return err
	}
	s.settled = s.last
	s.show()
	return nil
}

// fail lets nothing more in until everything has settled.
func (s *shard) fail(err error) {
	s.failed = err
	s.arm(retryAfter)
}

func (s *shard) wipe() error {
	if err := s.settleAll(); err != nil {
		return err
	}
	return s.files.drop()
}

// close lets everything settle. The files go with it: they are made anew when they
// are needed.
func (s *shard) close() error {
	if !s.queue.Close() {
		return nil
	}
	s.timer.Stop()
	if err := s.settleAll(); err != nil {
		return errors.Join(err, s.files.close())
	}
	return s.files.drop()
}
