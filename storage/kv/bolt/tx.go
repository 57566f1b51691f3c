package bolt

import (
	"bytes"
	"fmt"
	"iter"

	"go.etcd.io/bbolt"

	"letterlock/storage/kv"
)

type reader struct {
	b  *bbolt.Bucket
	at *bbolt.Cursor // of Get: one that bbolt makes for each key costs four allocations
}

func newReader(b *bbolt.Bucket) reader { return reader{b, b.Cursor()} }

// stumbled is deferred where bbolt follows its pages: it panics over one that it
// cannot follow, and [kv.Fault] knows that from a mistake of the caller.
func stumbled() {
	if p := recover(); p != nil {
		panic(fmt.Errorf("%w: bbolt: %v", kv.ErrDamaged, p))
	}
}

func seek(c *bbolt.Cursor, key []byte) (k, v []byte) {
	defer stumbled()
	return c.Seek(key)
}

func step(move func() (k, v []byte)) (k, v []byte) {
	defer stumbled()
	return move()
}

func (r reader) Get(key []byte) []byte {
	if k, v := seek(r.at, key); bytes.Equal(k, key) {
		return v
	}
	return nil
}

func (r reader) Range(lo, hi []byte, o kv.Options) iter.Seq2[[]byte, []byte] {
	if o.Reverse == kv.Backward {
		return r.backward(lo, hi, o.Limit)
	}
	return func(yield func(k, v []byte) bool) {
		c, n := r.b.Cursor(), 0
		next := c.Next
		for k, v := seek(c, lo); k != nil && (hi == nil || bytes.Compare(k, hi) < 0); k, v = step(next) {
			if n++; !yield(k, v) || n == o.Limit {
				return
			}
		}
	}
}

func (r reader) backward(lo, hi []byte, limit int) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		c, n := r.b.Cursor(), 0
		prev := c.Prev
		for k, v := before(c, hi); k != nil && bytes.Compare(k, lo) >= 0; k, v = step(prev) {
			if n++; !yield(k, v) || n == limit {
				return
			}
		}
	}
}

// before puts the cursor on the last key below hi.
func before(c *bbolt.Cursor, hi []byte) (k, v []byte) {
	defer stumbled()
	if hi == nil {
		return c.Last()
	}
	if k, _ = c.Seek(hi); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// tx is one closure's part of a transaction.
type tx struct {
	reader
	kept   *kept
	tally  kv.Tally
	topics []string
	noted  bool // keep writes
	writes []write
	err    error
}

// kept is where the values of a transaction lie until it is committed: one
// allocation for many.
type kept struct {
	room []byte
	next int // octets of the next piece
}

const leastKept, mostKept = 1 << 10, 64 << 10

func (k *kept) clone(b []byte) []byte {
	if len(b) > cap(k.room)-len(k.room) {
		k.next = min(max(leastKept, 2*k.next), mostKept)
		k.room = make([]byte, 0, max(k.next, len(b)))
	}
	at := len(k.room)
	k.room = append(k.room, b...)
	return k.room[at:len(k.room):len(k.room)]
}

// write is one of a transaction, for those who follow it.
type write struct {
	kind       writeKind
	key, value []byte // value: the end, of a range
}

type writeKind uint8

const (
	putOne writeKind = iota
	deleteOne
	deleteRange
)

func (t *tx) write(kind writeKind, key, value []byte) {
	if t.noted {
		t.writes = append(t.writes, write{kind, bytes.Clone(key), value})
	}
}

func (t *tx) Put(key, value []byte) {
	if t.tally.Count(key, value) {
		// bbolt copies the key and keeps the value until the commit.
		value = t.kept.clone(value)
		t.note(t.b.Put(key, value))
		t.write(putOne, key, value)
	}
}

func (t *tx) Delete(key []byte) {
	if t.tally.Count(key, nil) {
		t.note(t.b.Delete(key))
		t.write(deleteOne, key, nil)
	}
}

func (t *tx) DeleteRange(lo, hi []byte) {
	if !t.tally.Count(lo, nil) {
		return
	}
	t.note(removeRange(t.b, lo, hi))
	t.write(deleteRange, lo, bytes.Clone(hi))
}

// removeRange gathers the keys first: a cursor is lost after a delete.
func removeRange(b *bbolt.Bucket, lo, hi []byte) error {
	var keys [][]byte
	for k := range (reader{b: b}).Range(lo, hi, kv.Options{}) {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) Notify(topic []byte) { t.topics = append(t.topics, string(topic)) }

func (t *tx) note(err error) {
	if t.err == nil {
		t.err = err
	}
}
