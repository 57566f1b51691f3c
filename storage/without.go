package storage

import "slices"

// Without is a view of its own, of the messages of v that hide says no to. Its
// counters are of what is left, but for Size, which no view knows of its
// messages; known makes of that record what the mailbox is called there. Chunks
// that lose nothing are shared with v.
func (v *View) Without(hide func(Flags) bool, known func(Mailbox) Mailbox) *View {
	m := v.box
	chunks := make([]*chunk, 0, len(v.chunks))
	for _, c := range v.chunks {
		if left := c.without(hide, &m); len(left.uids) > 0 {
			chunks = append(chunks, left)
		}
	}
	return newView(known(m), chunks)
}

// without is the chunk itself where it loses nothing; what it loses is taken off
// the counters.
func (c *chunk) without(hide func(Flags) bool, m *Mailbox) *chunk {
	at := slices.IndexFunc(c.flags, hide)
	if at < 0 {
		return c
	}
	n := len(c.flags)
	left := &chunk{c.first, c.changed, make([]UID, 0, n), make([]ModSeq, 0, n), make([]Flags, 0, n)}
	for from := 0; ; {
		left.put(c, from, at)
		if at == n {
			return left
		}
		m.uncount(c.flags[at])
		from = at + 1
		if at = slices.IndexFunc(c.flags[from:], hide); at < 0 {
			at = n
		} else {
			at += from
		}
	}
}

// put appends the messages [from, to) of another chunk.
func (c *chunk) put(of *chunk, from, to int) {
	c.uids = append(c.uids, of.uids[from:to]...)
	c.modseqs = append(c.modseqs, of.modseqs[from:to]...)
	c.flags = append(c.flags, of.flags[from:to]...)
}

// uncount takes a message with these flags off the counters.
func (m *Mailbox) uncount(f Flags) {
	m.Messages--
	if f&Seen == 0 {
		m.Unseen--
	}
	if f&Deleted != 0 {
		m.Deleted--
	}
	if f.Demand().IsRequired() {
		m.Required--
	}
}
