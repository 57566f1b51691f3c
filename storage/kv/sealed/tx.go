package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"

	"letterlock/storage/kv"
	"letterlock/storage/seal"
)

// reader reads one snapshot. The first value that does not open is kept and
// fails the whole of it: Get has no other way to say so.
type reader struct {
	s     *Engine
	ring  *ring
	shard int
	inner kv.Reader
	err   error
}

// failed joins what fn said with what the reader met.
func (r *reader) failed(err error) error {
	if r.err == nil {
		return err
	}
	return errors.Join(err, r.err)
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Get opens one value. One that does not open comes back as it is stored, which
// makes no sense to anybody, so that it is not taken for an absent one.
func (r *reader) Get(key []byte) []byte {
	physical, hidden := r.conceal(key)
	v := r.inner.Get(physical)
	if v == nil && hidden && r.ring.mixed.Load() {
		if v = r.inner.Get(key); isSealed(v) {
			return nil // a name that looks like another's hash
		}
		return v
	}
	if v == nil {
		return nil
	}
	found, value, err := r.open(physical, v)
	if err == nil && !bytes.Equal(found, key) {
		err = fmt.Errorf("index value %x: %w", physical, seal.ErrDamaged)
	}
	if err != nil {
		r.fail(err)
		return v
	}
	return value
}

// open reads an entry of the engine below.
func (r *reader) open(physical, v []byte) (key, value []byte, err error) {
	if isSealed(v) {
		return openValue(r.s.keys, r.shard, r.s.hide, physical, v)
	}
	if !r.ring.mixed.Load() {
		return nil, nil, fmt.Errorf("index value %x: %w: %w", physical, errClear, seal.ErrDamaged)
	}
	return physical, v, nil
}

// entry is one that its owner knows.
type entry struct{ key, value []byte }

// Range walks in the order of the keys as their owner knows them. All entries
// of a group of hidden keys (those with the same octets in clear) are held in
// memory while it is passed. What does not open fails the whole, and the walk goes
// on behind it: where its key is not hidden it comes without any value.
func (r *reader) Range(lo, hi []byte, o kv.Options) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		n := 0
		within := func(e entry) (more bool) {
			if bytes.Compare(e.key, lo) < 0 || hi != nil && bytes.Compare(e.key, hi) >= 0 {
				return true
			}
			n++
			return yield(e.key, e.value) && n != o.Limit
		}
		var group []entry
		var prefix []byte
		flush := func() (more bool) {
			slices.SortFunc(group, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
			if o.Reverse == kv.Backward {
				slices.Reverse(group)
			}
			for _, e := range group {
				if !within(e) {
					return false
				}
			}
			group = group[:0]
			return true
		}
		from, to := r.widen(lo, hi)
		for k, v := range r.inner.Range(from, to, kv.Options{Reverse: o.Reverse}) {
			if bytes.Equal(k, ringKey) {
				continue
			}
			c := r.s.hide(k)
			if c <= 0 || c >= len(k) {
				c = 0
			}
			key, value, err := r.open(k, v)
			if err != nil {
				if r.fail(err); c > 0 {
					continue
				}
				key, value = k, []byte{}
			}
			if len(group) > 0 && (c == 0 || !bytes.Equal(prefix, k[:c])) && !flush() {
				return
			}
			if c > 0 {
				prefix, group = k[:c], append(group, entry{key, value})
			} else if !within(entry{key, value}) {
				return
			}
		}
		flush()
	}
}

// widen takes bounds that lie within a group of hidden keys to its edges.
func (r *reader) widen(lo, hi []byte) (from, to []byte) {
	if n := r.s.hide(lo); n > 0 && n < len(lo) {
		lo = lo[:n]
	}
	if n := r.s.hide(hi); hi != nil && n > 0 && n < len(hi) {
		hi = kv.After(hi[:n])
	}
	return lo, hi
}

// parts says whether a range ends within a group of hidden keys.
func (r *reader) parts(lo, hi []byte) bool {
	from, to := r.widen(lo, hi)
	return !bytes.Equal(from, lo) || !bytes.Equal(to, hi)
}

// tx is one closure's transaction.
type tx struct {
	reader
	out   kv.Tx
	tally kv.Tally
}

var _ kv.Tx = (*tx)(nil)

// Put seals and writes.
func (t *tx) Put(key, value []byte) {
	if t.tally.Count(key, value) {
		t.put(key, value)
	}
}

func (t *tx) put(key, value []byte) {
	physical, hidden := t.conceal(key)
	n := 0
	if hidden {
		n = len(physical) - hashSize
		t.deleteClear(key)
	}
	t.out.Put(physical, sealValue(t.s.keys, t.shard, physical, key, n, value))
}

// deleteClear removes what an index that is not sealed as a whole has under the
// name itself.
func (t *tx) deleteClear(key []byte) {
	if t.ring.mixed.Load() {
		if v := t.inner.Get(key); v != nil && !isSealed(v) {
			t.out.Delete(key)
		}
	}
}

// Delete removes one key.
func (t *tx) Delete(key []byte) {
	if t.tally.Count(key, nil) {
		t.remove(key)
	}
}

func (t *tx) remove(key []byte) {
	physical, hidden := t.conceal(key)
	if hidden {
		t.deleteClear(key)
	}
	t.out.Delete(physical)
}

// DeleteRange removes lo <= key < hi.
func (t *tx) DeleteRange(lo, hi []byte) {
	if !t.tally.Count(lo, nil) {
		return
	}
	switch {
	case t.parts(lo, hi):
		var keys [][]byte
		for k := range t.Range(lo, hi, kv.Options{}) {
			keys = append(keys, bytes.Clone(k))
		}
		for _, k := range keys {
			t.remove(k)
		}
	case bytes.Compare(lo, ringKey) <= 0 && (hi == nil || bytes.Compare(ringKey, hi) < 0):
		t.out.DeleteRange(lo, ringKey)
		t.out.DeleteRange(append(bytes.Clone(ringKey), 0), hi)
	default:
		t.out.DeleteRange(lo, hi)
	}
}

// Notify wakes whoever watches topic, after the commit.
func (t *tx) Notify(topic []byte) { t.out.Notify(topic) }
