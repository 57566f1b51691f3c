package bolt

import (
	"bytes"
	"iter"

	"go.etcd.io/bbolt"

	"letterlock/storage/kv"
)

type reader struct{ b *bbolt.Bucket }

func (r reader) Get(key []byte) []byte { return r.b.Get(key) }

func (r reader) Range(lo, hi []byte, o kv.Options) iter.Seq2[[]byte, []byte] {
	if o.Reverse == kv.Backward {
		return r.backward(lo, hi, o.Limit)
	}
	return func(yield func(k, v []byte) bool) {
		c, n := r.b.Cursor(), 0
		for k, v := c.Seek(lo); k != nil && (hi == nil || bytes.Compare(k, hi) < 0); k, v = c.Next() {
			if n++; !yield(k, v) || n == o.Limit {
				return
			}
		}
	}
}

func (r reader) backward(lo, hi []byte, limit int) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		c, n := r.b.Cursor(), 0
		for k, v := before(c, hi); k != nil && bytes.Compare(k, lo) >= 0; k, v = c.Prev() {
			if n++; !yield(k, v) || n == limit {
				return
			}
		}
	}
}

// before puts the cursor on the last key below hi.
func before(c *bbolt.Cursor, hi []byte) (k, v []byte) {
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
	tally  kv.Tally
	topics []string
	err    error
}

func (t *tx) Put(key, value []byte) {
	if t.tally.Count(key, value) {
		// bbolt copies the key and keeps the value until the commit.
		t.note(t.b.Put(key, bytes.Clone(value)))
	}
}

func (t *tx) Delete(key []byte) {
	if t.tally.Count(key, nil) {
		t.note(t.b.Delete(key))
	}
}

func (t *tx) DeleteRange(lo, hi []byte) {
	if !t.tally.Count(lo, nil) {
		return
	}
	// A cursor is lost after a delete: the keys are gathered first.
	var keys [][]byte
	for k := range t.Range(lo, hi, kv.Options{}) {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		t.note(t.b.Delete(k))
	}
}

func (t *tx) Notify(topic []byte) { t.topics = append(t.topics, string(topic)) }

func (t *tx) note(err error) {
	if t.err == nil {
		t.err = err
	}
}
