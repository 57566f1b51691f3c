package storage

import (
	"context"
	"iter"
	"slices"
	"sort"

	"letterlock/storage/kv"
)

// View is an immutable snapshot of a mailbox, shared by all who look at it:
// UID, modseq and flags in columns, in UID order, 20 octets a message. A later
// view shares the chunks that did not change.
type View struct {
	box    Mailbox
	chunks []*chunk
	ends   []int // how many messages there are up to the end of each chunk
}

// chunk is one block as a view keeps it.
type chunk struct {
	first   UID    // the block's key
	changed ModSeq // two chunks of one key and one change are the same
	uids    []UID
	modseqs []ModSeq
	flags   []Flags
}

// Entry is one message in a view.
type Entry struct {
	UID    UID
	ModSeq ModSeq
	Flags  Flags
}

func newView(m Mailbox, chunks []*chunk) *View {
	v := &View{box: m, chunks: chunks, ends: make([]int, len(chunks))}
	n := 0
	for i, c := range chunks {
		n += len(c.uids)
		v.ends[i] = n
	}
	return v
}

// Mailbox is the counters and keywords as of the snapshot.
func (v *View) Mailbox() Mailbox { return v.box }

// Len is how many messages there are.
func (v *View) Len() int {
	if len(v.ends) == 0 {
		return 0
	}
	return v.ends[len(v.ends)-1]
}

// At is message i, from 0: its sequence number less one.
func (v *View) At(i int) Entry {
	c := sort.SearchInts(v.ends, i+1)
	return v.chunks[c].at(i - v.start(c))
}

// start is the index of the first message of chunk c.
func (v *View) start(c int) int {
	if c == 0 {
		return 0
	}
	return v.ends[c-1]
}

func (c *chunk) at(i int) Entry { return Entry{c.uids[i], c.modseqs[i], c.flags[i]} }

func (c *chunk) last() UID { return c.uids[len(c.uids)-1] }

// Find answers the index of uid, or of the first greater one.
func (v *View) Find(uid UID) (i int, found bool) {
	n := sort.Search(len(v.chunks), func(i int) bool { return v.chunks[i].last() >= uid })
	if n == len(v.chunks) {
		return v.Len(), false
	}
	c := v.chunks[n]
	j := sort.Search(len(c.uids), func(i int) bool { return c.uids[i] >= uid })
	return v.start(n) + j, c.uids[j] == uid
}

// All walks [from, to).
func (v *View) All(from, to int) iter.Seq2[int, Entry] {
	return func(yield func(int, Entry) bool) {
		from, to := max(from, 0), min(to, v.Len())
		for c := sort.SearchInts(v.ends, from+1); from < to; c++ {
			for start := v.start(c); from < min(to, v.ends[c]); from++ {
				if !yield(from, v.chunks[c].at(from-start)) {
					return
				}
			}
		}
	}
}

// Since walks the messages whose modseq is greater than m (RFC 7162 §3.1.4):
// stretches of 256 that did not move are passed over unread.
func (v *View) Since(m ModSeq) iter.Seq2[int, Entry] {
	return func(yield func(int, Entry) bool) {
		for c, k := range v.chunks {
			if k.changed <= m {
				continue
			}
			for i, at := range k.modseqs {
				if at > m && !yield(v.start(c)+i, k.at(i)) {
					return
				}
			}
		}
	}
}

// View is the newest snapshot of a mailbox: [ErrNotFound]. It shows whatever
// was acknowledged before the call, as far as the index can follow, and does not wait
// for letters that are on their way into other mailboxes.
func (a *Account) View(ctx context.Context, id MailboxID) (v *View, err error) {
	if err := a.store.shardOf(a.id).shownIn(ctx, a.id, id); err != nil {
		return nil, err
	}
	at := boxID{a.id, id}
	old := a.store.views.get(at)
	if old != nil {
		if m, found, err := a.glance(ctx, id); err == nil && found {
			v = old.with(m)
		}
	}
	if v == nil {
		v, err = a.viewAfter(ctx, id, old)
	}
	if err == nil && v != old {
		a.store.views.put(at, v)
	}
	return v, err
}

// viewAfter reads what an older view does not have, or all.
func (a *Account) viewAfter(ctx context.Context, id MailboxID, old *View) (v *View, err error) {
	err = a.store.index.View(ctx, a.store.shardOf(a.id).number, func(r kv.Reader) error {
		b, err := getBox(r, a.id, id)
		if b == nil || err != nil {
			return orElse(err, absentBox(id))
		}
		m := b.public(r, a.id)
		if v = old.with(m); v == nil {
			v, err = loadView(r, a.id, m, old)
		}
		return err
	})
	return v, err
}

// with is the view of a mailbox whose record is m, where no message has changed
// since old; nil where that is not so.
func (old *View) with(m Mailbox) *View {
	switch {
	case old == nil || old.box.Highest != m.Highest || old.box.UIDValidity != m.UIDValidity:
		return nil
	case old.same(m):
		return old
	}
	return &View{box: m, chunks: old.chunks, ends: old.ends}
}

// same says whether the mailbox record is the one the view was made of. The
// modseq is known to be.
func (v *View) same(m Mailbox) bool {
	return v.box.Name == m.Name && v.box.SpecialUse == m.SpecialUse && v.box.Subscribed == m.Subscribed && slices.Equal(v.box.Keywords, m.Keywords)
}

// loadView reads the blocks that changed since old and shares the others.
func loadView(r kv.Reader, a AccountID, m Mailbox, old *View) (*View, error) {
	shared := make(map[UID]*chunk)
	if old != nil && old.box.UIDValidity == m.UIDValidity {
		for _, c := range old.chunks {
			shared[c.first] = c
		}
	}
	lo := blocksKey(a, m.ID)
	chunks := make([]*chunk, 0, m.Messages/blockSize+1)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		first := UID(tailUint32(k))
		if len(v) >= blockHeader {
			if c := shared[first]; c != nil && c.changed == changedOf(v) {
				chunks = append(chunks, c)
				continue
			}
		}
		p, err := openBlock(v)
		if err != nil {
			return nil, err
		}
		if p.count > 0 {
			chunks = append(chunks, p.chunk(first))
		}
	}
	return newView(m, chunks), nil
}

func (p packed) chunk(first UID) *chunk {
	c := &chunk{first, p.changed, make([]UID, p.count), make([]ModSeq, p.count), make([]Flags, p.count)}
	var room [blockSize]uint64
	for i, n := range p.column(0, room[:]) {
		c.uids[i] = UID(n)
	}
	for i, n := range p.column(1, room[:]) {
		c.modseqs[i] = ModSeq(n)
	}
	for i, n := range p.column(2, room[:]) {
		c.flags[i] = Flags(n)
	}
	return c
}
