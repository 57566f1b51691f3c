package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"letterlock/internal/requiretls"
	"letterlock/storage"
)

const (
	// inMemory is how big a message may be to be searched in memory; a bigger one
	// is read piece by piece.
	inMemory = 256 << 10
	// readStep is how much is read between two looks at the context.
	readStep = 64 << 10
)

// byEnvelopes decides what cached envelopes can decide, and answers what stays
// open.
func (q *searching) byEnvelopes(ctx context.Context, open []candidate) ([]candidate, error) {
	still := open[:0]
	rest := open
	var c candidate // of one message after the other: each would be an allocation of its own
	var row storage.Row
	for one, err := range q.m.Account.Envelopes(ctx, q.m.ID, uidsOf(open), q.m.Gate) {
		if err != nil {
			return nil, err
		}
		c, rest = q.next(rest, one.Row.UID)
		row = one.Row
		c.row, c.summary, c.level = &row, one.Summary, levelEnvelope
		q.forgetFuzzy()
		switch {
		case one.Err != nil:
			q.unread(&c, one.Err)
		case q.ask(&c) == unknown:
			c.row, c.summary = nil, nil
			still = append(still, c)
		}
	}
	for range rest {
		q.lost()
	}
	return still, nil
}

// next is the candidate of that UID; those before it have been expunged.
func (q *searching) next(open []candidate, uid storage.UID) (c candidate, rest []candidate) {
	for open[0].entry.UID < uid {
		q.lost()
		open = open[1:]
	}
	return open[0], open[1:]
}

// unread decides about a message whose content cannot be had. One that is
// withheld after all is asked for the rest; one that was expunged meanwhile does
// not match; one that cannot be read is passed over: the others shall be found
// all the same.
func (q *searching) unread(c *candidate, err error) {
	switch {
	case errors.Is(err, requiretls.ErrWithheld):
		c.held, c.level = true, levelText
		q.ask(c)
	case errors.Is(err, storage.ErrNotFound):
		q.lost()
	default:
		q.damaged++
		q.decidedOne()
		q.m.trouble(c.entry.UID, err)
	}
}

// byContents decides by what is in the messages.
func (q *searching) byContents(ctx context.Context, open []candidate) error {
	rest := open
	var c candidate
	for o, err := range q.m.Account.Messages(ctx, q.m.ID, uidsOf(open), q.m.Gate) {
		if err != nil {
			return err
		}
		c, rest = q.next(rest, o.Row.UID)
		c.row = &o.Row
		if err := q.decide(ctx, &c, o); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			q.unread(&c, err)
		}
	}
	for range rest {
		q.lost()
	}
	return nil
}

// decide looks up more and more of a message until it is known whether it
// matches.
func (q *searching) decide(ctx context.Context, c *candidate, o *storage.Opened) (err error) {
	if o.Err != nil {
		return o.Err
	}
	if c.summary, err = o.Summary(); err != nil {
		return err
	}
	q.texts.forget()
	q.forgetFuzzy()
	if c.octets, err = q.hold(ctx, o.Message); err != nil {
		return err
	}
	c.level = levelSummary
	for _, lookThrough := range []func(*candidate) error{q.lookThroughHeader, q.lookThroughText} {
		if q.test(c) != unknown {
			break
		}
		if err := lookThrough(c); err != nil {
			return err
		}
		c.level = max(levelHeader, c.level+1)
	}
	if q.ask(c) == unknown {
		panic("query: a key did not know what to say of a whole message")
	}
	return nil
}

// hold reads a small message at once, into memory used again for the next.
func (q *searching) hold(ctx context.Context, m storage.Message) (io.ReaderAt, error) {
	if m.Size() > inMemory {
		return &attentive{m, ctx}, nil
	}
	q.text = slices.Grow(q.text[:0], int(m.Size()))[:m.Size()]
	if n, err := m.ReadAt(q.text, 0); n < len(q.text) {
		return nil, fmt.Errorf("read message: %w", err)
	}
	q.octets.Reset(q.text)
	return &q.octets, nil
}

// attentive is an open message whose reading ends with the search. Whatever
// decodes or searches reads in small steps, so each loop over content ends here.
type attentive struct {
	storage.Message
	ctx context.Context
}

// ReadAt reads as the message does, and fails when the search has ended. What
// came with an error does not count.
func (a *attentive) ReadAt(p []byte, off int64) (n int, err error) {
	for err == nil && n < len(p) {
		if err := a.ctx.Err(); err != nil {
			return n, err
		}
		var k int
		k, err = a.Message.ReadAt(p[n:min(len(p), n+readStep)], off+int64(n))
		if err == nil || errors.Is(err, io.EOF) {
			n += k
		}
	}
	return n, err
}

// memory is what messages are read into, one after the other.
type memory struct {
	text   []byte
	octets bytes.Reader
}
