package journal

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"letterlock/storage/kv"
)

// shard is the journal of one shard and its committer.
type shard struct {
	number int
	base   Base
	hub    *kv.Hub
	slack  int
	queue  *kv.Queue

	recovered bool                // a crash had left something; never changes
	shown     atomic.Pointer[top] // what readers see

	// The committer's own.
	files    *pair
	tree     *tree  // what has not settled
	last     uint64 // the last record, be it that it failed
	settled  uint64 // the last one that has settled
	octets   int    // of records that do not settle yet
	record   record
	failed   error         // why nothing is let in
	torn     bool          // a file is not to be written again
	settling chan settling // what settles in the background; nil: nothing does
	timer    *time.Timer   // to what settles some time
	armed    bool
}

// top is the tree as readers see it. It never changes.
type top struct {
	tree    *tree
	settled uint64
}

func open(dir string, base Base, n int, opt Options, hub *kv.Hub) (*shard, error) {
	ctx := context.Background()
	stamp, err := base.Stamp(ctx, n)
	if err != nil {
		return nil, err
	}
	left, err := read(dir, n, stamp)
	if err != nil {
		return nil, err
	}
	if len(left) > 0 {
		stamp = left[len(left)-1].number
		err = base.Settle(ctx, n, stamp, func(tx kv.Tx) error {
			for i := range left {
				if err := left[i].apply(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	s := &shard{
		number: n, base: base, hub: hub, slack: opt.Slack,
		queue: kv.NewQueue(),
		files: newPair(opt.Files, dir, n), tree: newTree(), last: stamp, settled: stamp,
		timer: time.NewTimer(0), recovered: len(left) > 0,
	}
	<-s.timer.C
	if err := s.files.drop(); err != nil {
		return nil, err
	}
	s.show()
	go s.run()
	return s, nil
}

// show lets readers see the tree as it is.
func (s *shard) show() { s.shown.Store(&top{s.tree.Copy(), s.settled}) }

func (s *shard) run() {
	defer s.queue.Left()
	for {
		select {
		case c := <-s.queue.Calls():
			s.commit(s.queue.Gather(c))
		case task := <-s.queue.Tasks():
			task()
		case <-s.timer.C:
			s.armed = false
			s.settleSoon()
		case end := <-s.settling:
			s.hasSettled(end)
		case <-s.queue.Closing():
			s.queue.Rest(s.commit)
			return
		}
	}
}

// commit makes all of group durable, with as few records as their size allows.
func (s *shard) commit(group []*kv.Call) {
	for len(group) > 0 {
		ran, err := 0, s.room()
		if err == nil {
			ran, err = s.try(group)
		}
		if err != nil {
			refuse(group, err)
			return
		}
		for _, c := range group[:ran] {
			c.Done(s.hub)
		}
		group = group[ran:]
	}
	if s.octets >= settleFrom {
		s.settleSoon()
	}
}

// refuse answers a commit that failed.
func refuse(group []*kv.Call, err error) {
	if !errors.Is(err, kv.ErrFailed) && !errors.Is(err, kv.ErrClosed) {
		err = fmt.Errorf("%w: %w", kv.ErrFailed, err)
	}
	for _, c := range group {
		c.Result = nil
		c.Answer(err)
	}
}

// try runs the front of group, makes what it writes durable, and shows it.
func (s *shard) try(group []*kv.Call) (ran int, err error) {
	s.record.begin()
	var tree *tree
	err = s.base.View(context.Background(), s.number, func(below kv.Reader) error {
		ran, tree = s.runGroup(below, group)
		return nil
	})
	if err != nil || s.record.empty() {
		return ran, err
	}
	before := s.last
	s.last++
	if len(s.record.b) >= tooMuch && s.settled == before {
		return ran, s.through(tree)
	}
	if err := s.files.append(&s.record, s.last); err != nil {
		s.torn = true
		s.fail(err)
		return ran, err
	}
	s.tree, s.octets = tree, s.octets+len(s.record.b)
	s.show()
	s.arm(settleAfter)
	return ran, nil
}

// runGroup runs closures until there is enough for one record, and answers the
// tree as they leave it.
func (s *shard) runGroup(below kv.Reader, group []*kv.Call) (ran int, all *tree) {
	all = s.tree.Copy()
	for i, c := range group {
		before := len(s.record.b)
		t := &tx{reader: reader{tree: all.Copy(), below: below}, tally: kv.Tally{Slack: s.slack}, number: s.last + 1, record: &s.record}
		if _, c.Result = c.Guard(t); c.Result == nil {
			c.Result = t.tally.Err()
		}
		if c.Result != nil {
			s.record.b = s.record.b[:before]
			continue
		}
		if all, c.Topics = t.tree, t.topics; len(s.record.b) >= tooMuch {
			return i + 1, all
		}
	}
	return len(group), all
}
