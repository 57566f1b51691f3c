package kv

import (
	"context"
	"fmt"
	"sync"
)

// Queue is the way of closures to the one goroutine that commits those of a
// shard, many at a time.
type Queue struct {
	calls   chan *Call
	tasks   chan func()
	closing chan struct{} // closed: no more are taken
	done    chan struct{} // closed: the committer is gone
	once    sync.Once
}

// Call is the closure of one Update.
type Call struct {
	Fn     func(Tx) error
	Topics []string // that it notified
	Result error    // what it said
	answer chan error
}

// maxGroup is how many closures share one commit.
const maxGroup = 512

// NewQueue makes a queue; its committer calls [Queue.Left] when it ends.
func NewQueue() *Queue {
	return &Queue{calls: make(chan *Call, maxGroup), tasks: make(chan func()), closing: make(chan struct{}), done: make(chan struct{})}
}

// Do queues fn and waits for the answer. [ErrClosed] after Close.
func (q *Queue) Do(fn func(Tx) error) error {
	c := &Call{Fn: fn, answer: make(chan error, 1)}
	select {
	case q.calls <- c:
	case <-q.closing:
		return ErrClosed
	}
	select {
	case err := <-c.answer:
		return err
	case <-q.done:
	}
	select { // answered in the same moment as the committer left
	case err := <-c.answer:
		return err
	default:
		return ErrClosed
	}
}

// Between lets the committer run fn between two commits. [ErrClosed] after Close,
// or the error of ctx where it ends before fn begins.
func (q *Queue) Between(ctx context.Context, fn func() error) error {
	answer := make(chan error, 1)
	select {
	case q.tasks <- func() { answer <- fn() }:
		return <-answer
	case <-q.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Tasks is what the committer runs between two commits.
func (q *Queue) Tasks() <-chan func() { return q.tasks }

// Calls is where the committer waits for the first of a group.
func (q *Queue) Calls() <-chan *Call { return q.calls }

// Closing is closed when no more are taken. What is queued is still committed.
func (q *Queue) Closing() <-chan struct{} { return q.closing }

// Gather takes what is queued, behind first if there is one, without waiting for
// more.
func (q *Queue) Gather(first *Call) (group []*Call) {
	if first != nil {
		group = append(group, first)
	}
	for len(group) < maxGroup {
		select {
		case c := <-q.calls:
			group = append(group, c)
		default:
			return group
		}
	}
	return group
}

// Rest hands what is still queued to commit, group by group.
func (q *Queue) Rest(commit func(group []*Call)) {
	for group := q.Gather(nil); len(group) > 0; group = q.Gather(nil) {
		commit(group)
	}
}

// Left says that the committer is gone.
func (q *Queue) Left() { close(q.done) }

// Close ends the queue and waits for its committer; first says whether this was
// the first call.
func (q *Queue) Close() (first bool) {
	q.once.Do(func() {
		first = true
		close(q.closing)
		<-q.done
	})
	return first
}

// Guard runs the closure; one that panics fails, and panicked says so: [ErrDamaged]
// where it met what cannot be read.
func (c *Call) Guard(tx Tx) (panicked bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			if panicked, err = true, Fault(p); err == nil {
				err = fmt.Errorf("transaction panicked: %v", p)
			}
		}
	}()
	return false, c.Fn(tx)
}

// Done ends the call when it is committed, and wakes those who watch what it has
// notified.
func (c *Call) Done(h *Hub) {
	for _, topic := range c.Topics {
		h.Signal(topic)
	}
	c.Answer(nil)
}

// Answer ends the call: with what the closure said, or with err where it said
// nothing.
func (c *Call) Answer(err error) {
	if c.Result != nil {
		err = c.Result
	}
	c.answer <- err
}
