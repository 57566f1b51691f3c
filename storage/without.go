package storage

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
	left := c
	for i, f := range c.flags {
		switch {
		case hide(f):
			m.uncount(f)
			if left == c {
				left = &chunk{first: c.first, changed: c.changed}
				left.put(c, 0, i)
			}
		case left != c:
			left.put(c, i, i+1)
		}
	}
	return left
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
