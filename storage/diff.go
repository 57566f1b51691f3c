package storage

import "iter"

// Change is one difference between two views.
type Change struct {
	Kind  ChangeKind
	Index int   // of the message in old for Gone and Changed, in new for Added
	Entry Entry // new entry, or the old one for Gone
}

// ChangeKind says what happened to a message.
type ChangeKind uint8

// The kinds of change.
const (
	Gone    ChangeKind = iota // in old alone
	Changed                   // flags or modseq differ
	Added                     // in new alone
)

// cursor walks a view chunk by chunk.
type cursor struct {
	view *View
	c, i int // chunk and place in it
	n    int // index in the view
}

func (k *cursor) done() bool   { return k.c == len(k.view.chunks) }
func (k *cursor) now() *chunk  { return k.view.chunks[k.c] }
func (k *cursor) entry() Entry { return k.now().at(k.i) }

func (k *cursor) next() {
	k.n++
	if k.i++; k.i == len(k.now().uids) {
		k.c, k.i = k.c+1, 0
	}
}

func (k *cursor) skipChunk() {
	k.n += len(k.now().uids)
	k.c++
}

// Diff walks what changed from old to new in UID order, skipping chunks that
// both share: gone (in old alone), added (in new alone), changed (flags or
// modseq differ).
func Diff(old, new *View) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for step, o, n := (Change{}), (&cursor{view: old}), (&cursor{view: new}); ; {
			more, said := nextChange(o, n, &step)
			if said && !yield(step) || !more {
				return
			}
		}
	}
}

// nextChange takes one step of two cursors; said is false where nothing
// differs.
func nextChange(o, n *cursor, step *Change) (more, said bool) {
	switch {
	case o.done() && n.done():
		return false, false
	case !o.done() && !n.done() && o.i == 0 && n.i == 0 && o.now() == n.now():
		o.skipChunk()
		n.skipChunk()
		return true, false
	case n.done() || !o.done() && o.entry().UID < n.entry().UID:
		*step = Change{Gone, o.n, o.entry()}
		o.next()
		return true, true
	case o.done() || n.entry().UID < o.entry().UID:
		*step = Change{Added, n.n, n.entry()}
		n.next()
		return true, true
	}
	said = o.entry() != n.entry()
	*step = Change{Changed, o.n, n.entry()}
	o.next()
	n.next()
	return true, said
}

// HasAll says whether no message of an older view of the mailbox is gone: then all
// have kept their indices.
func (v *View) HasAll(old *View) bool {
	there, _ := v.Find(old.box.UIDNext)
	return there == old.Len()
}

// Keep is new with the messages of old that new lacks put back in their
// places: for a session that may not hear of an EXPUNGE yet (RFC 9051 §7.5.1).
// Messages that came since lie behind all of old, so sequence numbers stay.
func Keep(old, new *View) *View {
	if new.HasAll(old) {
		return new
	}
	var chunks []*chunk
	var own *chunk // the merged stretch being built
	put := func(e Entry) {
		if own == nil || len(own.uids) >= blockSize {
			own = &chunk{first: e.UID}
			chunks = append(chunks, own)
		}
		own.changed = max(own.changed, e.ModSeq) // for Since
		own.uids = append(own.uids, e.UID)
		own.modseqs = append(own.modseqs, e.ModSeq)
		own.flags = append(own.flags, e.Flags)
	}
	o, n := &cursor{view: old}, &cursor{view: new}
	for !o.done() || !n.done() {
		switch {
		case !o.done() && !n.done() && o.i == 0 && n.i == 0 && o.now() == n.now():
			chunks, own = append(chunks, o.now()), nil
			o.skipChunk()
			n.skipChunk()
		case n.done() || !o.done() && o.entry().UID < n.entry().UID:
			put(o.entry())
			o.next()
		case o.done() || n.entry().UID < o.entry().UID:
			put(n.entry())
			n.next()
		default:
			put(n.entry())
			o.next()
			n.next()
		}
	}
	return newView(new.box, chunks)
}
