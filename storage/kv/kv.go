package kv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Engine is an ordered byte-key store in shards, durable when Update returns.
type Engine interface {
	// Shards is how many there are, fixed at creation.
	Shards() int
	// View runs fn on a consistent snapshot of one shard. fn must be short
	// (milliseconds): the pages it sees cannot be used again until it returns.
	View(ctx context.Context, shard int, fn func(Reader) error) error
	// Update runs fn in a transaction that is durable when Update returns nil.
	// It may run fn several times: fn must have no effect but through tx. An
	// error of fn leaves no trace. [ErrFailed] and everything it wraps says
	// that the engine could not write.
	Update(ctx context.Context, shard int, fn func(Tx) error) error
	// Watch signals after commits that notified topic. The channel has room
	// for one signal and may signal spuriously; stop ends it.
	Watch(topic []byte) (moved <-chan struct{}, stop func())
	// Copy writes a consistent image of one shard, in the engine's own form.
	Copy(ctx context.Context, shard int, w io.Writer) error
	Close() error
}

// Reader reads one snapshot. Slices it returns are valid until fn returns and
// must not be written to.
type Reader interface {
	Get(key []byte) []byte // nil: absent
	// Range walks lo <= key < hi in order; a nil hi is the end of the shard.
	// The keys must not be changed while it runs.
	Range(lo, hi []byte, o Options) iter.Seq2[[]byte, []byte]
}

// Tx reads its own writes.
type Tx interface {
	Reader
	Put(key, value []byte) // both are copied
	Delete(key []byte)     // absent is fine
	// DeleteRange deletes lo <= key < hi; it counts as one write.
	DeleteRange(lo, hi []byte)
	Notify(topic []byte) // those who watch it, after the commit
}

// Options of a Range; the zero value walks all, forward.
type Options struct {
	Limit   int // entries; 0: all
	Reverse Direction
}

// Direction of a Range.
type Direction uint8

const (
	Forward Direction = iota
	Backward
)

// Bounds that every engine keeps. A transaction that crosses one fails with
// [ErrBounds] and leaves no trace.
const (
	MaxKey      = 512      // octets
	MaxValue    = 64 << 10 // octets
	MaxTxBytes  = 8 << 20  // octets of keys and values written by one Update
	MaxTxWrites = 4096     // Put, Delete and DeleteRange calls of one Update
)

var (
	ErrBounds = errors.New("out of bounds")               // a key, a value or a transaction is too big
	ErrClosed = errors.New("the index is closed")         // after Close
	ErrFailed = errors.New("the index cannot be written") // wraps the cause: no space, an I/O error
	// ErrDamaged fails a View or a call of an Update, and no other, that met a part of
	// the engine's files which cannot be read.
	ErrDamaged = errors.New("the index is damaged")
)

// Fault is what a panic in a transaction says of a part of a file that cannot be
// read: [ErrDamaged]. Of every other panic it is nil: somebody made a mistake.
func Fault(p any) error {
	err, _ := p.(error)
	if errors.Is(err, ErrDamaged) {
		return err
	}
	if at, mapped := p.(interface {
		error
		Addr() uintptr
	}); mapped { // debug.SetPanicOnFault: the disk did not give a page, or the file has none
		return fmt.Errorf("%w: %w", ErrDamaged, at)
	}
	return nil
}

// Tally counts what one transaction writes against the bounds.
type Tally struct {
	Writes int
	Bytes  int
	// Slack is by how many octets a wrapper around the engine makes a value
	// longer, and it may need two writes for one: it keeps the bounds itself, and
	// those of the engine are as much wider.
	Slack int
	// Wide lets the transaction have any size.
	Wide bool
	err  error
}

// Count adds one write; false means that it must not be done.
func (t *Tally) Count(key, value []byte) bool {
	t.Writes++
	t.Bytes += len(key) + len(value)
	writes, bytes := MaxTxWrites, MaxTxBytes
	if t.Slack > 0 {
		writes, bytes = 2*writes, bytes+2*writes*t.Slack
	}
	switch {
	case t.err != nil:
	case len(key) == 0 || len(key) > MaxKey:
		t.err = fmt.Errorf("key of %d octets: %w", len(key), ErrBounds)
	case len(value) > MaxValue+t.Slack:
		t.err = fmt.Errorf("value of %d octets: %w", len(value), ErrBounds)
	case t.Wide:
	case t.Writes > writes:
		t.err = fmt.Errorf("more than %d writes: %w", writes, ErrBounds)
	case t.Bytes > bytes:
		t.err = fmt.Errorf("more than %d octets: %w", bytes, ErrBounds)
	}
	return t.err == nil
}

// Err is the first bound that was crossed.
func (t *Tally) Err() error { return t.err }

// After is the smallest key that is greater than every key with this prefix;
// nil when there is none.
func After(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			next := append([]byte(nil), prefix[:i+1]...)
			next[i]++
			return next
		}
	}
	return nil
}
