package storage

import (
	"context"
	"slices"
	"sort"
)

// Stored is what a STORE did.
type Stored struct {
	Modified []UID  // left alone: they changed after unchangedSince
	ModSeq   ModSeq // that the messages which changed got last; 0: none did
}

// StoreFlags changes the flags of uids (ascending), in transactions of some
// hundred thousand messages. unchangedSince 0 is unconditional; otherwise uids
// whose modseq is greater are left alone and returned (RFC 7162 §3.1.3).
// $RequireTLS cannot be named: [ErrReadOnlyFlag]. A keyword that finds no room
// in the mailbox is [ErrLimit].
func (a *Account) StoreFlags(ctx context.Context, id MailboxID, uids []UID, op FlagOp, flags []string, unchangedSince ModSeq) (done Stored, err error) {
	system, keywords, err := splitFlags(flags)
	if err != nil {
		return done, err
	}
	progress := progressOf(ctx, len(uids))
	for {
		var step marking
		var rest []UID
		before := a.store.views.get(boxID{a.id, id})
		err := a.change(ctx, func(t *txn, _ *account) error {
			b, err := t.mustBox(a.id, id)
			if err != nil {
				return err
			}
			step = marking{box: b, before: before, op: op, since: unchangedSince}
			if step.arg, err = t.argument(b, op, system, keywords); err != nil {
				return err
			}
			if rest, err = step.run(t, uids); err == nil {
				step.see(t)
			}
			return err
		})
		if err != nil {
			return done, err
		}
		done.Modified = append(done.Modified, step.late...)
		if step.box.bumped {
			done.ModSeq = step.box.Highest
		}
		if step.after != nil {
			a.store.views.put(step.box.id, step.after)
		}
		progress.reached(len(rest))
		if uids = rest; len(uids) == 0 {
			return done, nil
		}
	}
}

// argument is the bits a STORE names. Taking away makes no keywords.
func (t *txn) argument(b *openBox, op FlagOp, system Flags, keywords []string) (Flags, error) {
	if op != RemoveFlags {
		bits, err := t.keywords(b, keywords)
		return system | bits, err
	}
	for _, k := range keywords {
		if i := indexFold(b.Keywords, k); i >= 0 {
			system |= Keyword(i)
		}
	}
	return system, nil
}

// marking is one transaction that changes flags. Of each block it writes the two
// columns that change; what they are now it hands to those who look at the mailbox,
// so that nobody reads them again.
type marking struct {
	box   *openBox
	op    FlagOp
	arg   Flags
	since ModSeq
	late  []UID

	before, after *View    // the newest snapshot; nil where nobody looks
	chunks        []*chunk // of after
}

// run changes uids, or as many as one step may; rest is for the next.
func (m *marking) run(t *txn, uids []UID) (rest []UID, err error) {
	b := m.box
	if v := m.before; v != nil && (v.box.Highest != b.Highest || v.box.UIDValidity != b.UIDValidity) {
		m.before = nil // others have changed it since
	}
	if m.before != nil {
		m.chunks = slices.Clone(m.before.chunks)
	}
	var lies packed
	unpack := func(first UID, v []byte) (c *chunk, err error) {
		if lies, err = openBlock(v); err != nil {
			return nil, err
		}
		if c = m.known(first, lies); c == nil {
			c = lies.chunk(first)
		}
		return c, nil
	}
	return step(t, b, uids, unpack, func(first UID, c *chunk, at []int) {
		if c = m.mark(c, at); c != nil {
			t.tx.Put(blockKey(b.id.account, b.ID, first), lies.marked(c))
		}
	})
}

// place is where the chunk of a block stands in the view.
func (m *marking) place(first UID) (i int, found bool) {
	return sort.Find(len(m.chunks), func(i int) int { return int(first) - int(m.chunks[i].first) })
}

// known is a block as the view has it; nil where it lacks it.
func (m *marking) known(first UID, lies packed) *chunk {
	i, found := m.place(first)
	if !found || m.chunks[i].changed != lies.changed || len(m.chunks[i].uids) != lies.count {
		return nil
	}
	return m.chunks[i]
}

// mark is a chunk with the flags of the messages at the given places changed; nil
// where that changes nothing.
func (m *marking) mark(c *chunk, at []int) (marked *chunk) {
	b := m.box
	for _, i := range at {
		was := c.flags[i]
		now := m.op.apply(was, m.arg)
		switch {
		case m.since != 0 && c.modseqs[i] > m.since:
			m.late = append(m.late, c.uids[i])
			continue
		case now == was:
			continue
		case marked == nil:
			marked = &chunk{c.first, b.bump(), c.uids, slices.Clone(c.modseqs), slices.Clone(c.flags)}
		}
		b.remark(was, now)
		marked.flags[i], marked.modseqs[i] = now, marked.changed
	}
	if i, found := m.place(c.first); found && marked != nil {
		m.chunks[i] = marked
	}
	return marked
}

// see makes the snapshot that shows the change, for when it is durable.
func (m *marking) see(t *txn) {
	if m.before == nil || !m.box.bumped {
		return
	}
	m.after = &View{box: m.box.public(t.tx, m.box.id.account), chunks: m.chunks, ends: m.before.ends}
}
