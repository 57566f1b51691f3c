package journal

import (
	"bytes"
	"iter"

	"github.com/tidwall/btree"

	"letterlock/storage/kv"
)

// entry is what a record has made of one key. It never changes.
type entry struct {
	key, value []byte // value nil: it was deleted
	number     uint64 // of the record
}

func newEntry(key, value []byte, number uint64) *entry {
	b := make([]byte, len(key)+len(value))
	n := copy(b, key)
	copy(b[n:], value)
	return &entry{b[:n:n], b[n:], number}
}

// tree is entries in order of their keys. Copies share what they have in common.
type tree = btree.BTreeG[*entry]

func newTree() *tree {
	less := func(a, b *entry) bool { return bytes.Compare(a.key, b.key) < 0 }
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

// reader shows the engine below with a tree on top of it.
type reader struct {
	tree  *tree
	below kv.Reader
	probe entry // what is asked for: one that is made for each key costs an allocation
}

func (r *reader) Get(key []byte) []byte {
	r.probe.key = key
	if e, ok := r.tree.Get(&r.probe); ok {
		return e.value
	}
	return r.below.Get(key)
}

func (r *reader) Range(lo, hi []byte, o kv.Options) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		top := r.climb(lo, hi, o.Reverse)
		if top.at == nil {
			r.below.Range(lo, hi, o)(yield)
			return
		}
		n := 0
		show := func(k, v []byte) (more bool) {
			n++
			return yield(k, v) && n != o.Limit
		}
		for k, v := range r.below.Range(lo, hi, kv.Options{Reverse: o.Reverse}) {
			order := top.compare(k)
			for ; order < 0; order = top.compare(k) {
				if e := top.take(); e.value != nil && !show(e.key, e.value) {
					return
				}
			}
			if order == 0 {
				if v = top.take().value; v == nil {
					continue
				}
			}
			if !show(k, v) {
				return
			}
		}
		for top.at != nil {
			if e := top.take(); e.value != nil && !show(e.key, e.value) {
				return
			}
		}
	}
}

// climber walks a range of a tree.
type climber struct {
	walk   btree.IterG[*entry]
	at     *entry // nil: the walk is over
	lo, hi []byte
	way    kv.Direction
}

func (r *reader) climb(lo, hi []byte, way kv.Direction) *climber {
	c := &climber{walk: r.tree.Iter(), lo: lo, hi: hi, way: way}
	switch {
	case r.tree.Len() == 0:
	case way == kv.Forward:
		c.stand(c.walk.Seek(&entry{key: lo}))
	case hi != nil && c.walk.Seek(&entry{key: hi}):
		c.stand(c.walk.Prev())
	default:
		c.stand(c.walk.Last())
	}
	return c
}

// stand looks where the walk has come to, if it has come anywhere.
func (c *climber) stand(came bool) {
	c.at = nil
	if !came {
		return
	}
	e := c.walk.Item()
	if bytes.Compare(e.key, c.lo) >= 0 && (c.hi == nil || bytes.Compare(e.key, c.hi) < 0) {
		c.at = e
	}
}

// take answers where it stands and goes on.
func (c *climber) take() *entry {
	e := c.at
	if c.way == kv.Forward {
		c.stand(c.walk.Next())
	} else {
		c.stand(c.walk.Prev())
	}
	return e
}

// compare says whether it stands before key (-1), on it (0) or behind it, on its
// way; at its end it is behind all.
func (c *climber) compare(key []byte) int {
	switch {
	case c.at == nil:
		return 1
	case c.way == kv.Forward:
		return bytes.Compare(c.at.key, key)
	}
	return bytes.Compare(key, c.at.key)
}

// tx is one closure's part of a record.
type tx struct {
	reader
	tally  kv.Tally
	number uint64
	record *record
	topics []string
}

func (t *tx) Put(key, value []byte) {
	if t.tally.Count(key, value) {
		t.tree.Set(newEntry(key, value, t.number))
		t.record.put(key, value)
	}
}

func (t *tx) Delete(key []byte) {
	if t.tally.Count(key, nil) {
		t.hide(key)
		t.record.delete(key)
	}
}

// hide makes a key absent, whatever the engine below has.
func (t *tx) hide(key []byte) {
	e := newEntry(key, nil, t.number)
	e.value = nil
	t.tree.Set(e)
}

// DeleteRange gathers the keys first: none may change in a walk.
func (t *tx) DeleteRange(lo, hi []byte) {
	if !t.tally.Count(lo, nil) {
		return
	}
	var keys [][]byte
	for k := range t.Range(lo, hi, kv.Options{}) {
		keys = append(keys, k)
	}
	for _, k := range keys {
		t.hide(k)
	}
	t.record.deleteRange(lo, hi)
}

func (t *tx) Notify(topic []byte) { t.topics = append(t.topics, string(topic)) }
