package lmtp

import (
	"context"
	"io"
	"strconv"
	"strings"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
)

// data takes a message that ends with CRLF . CRLF (RFC 5321 §4.1.1.4).
func (c *session) data(ctx context.Context, args string) {
	switch {
	case args != "":
		c.blame(reply.BadArguments.Saying("DATA takes no arguments"))
		return
	case c.tx == nil || len(c.tx.rcpts) == 0: // RFC 2033 §4.2: MUST be 503
		c.blame(reply.BadSequence.Saying("there is no accepted recipient"))
		return
	case c.tx.body != nil: // RFC 3030 §2
		c.blame(reply.BadSequence.Saying("DATA cannot follow BDAT"))
		return
	}
	c.say("354 send the message, end with CRLF . CRLF")
	c.hasty = c.in.Buffered() > 0
	c.tx.body = c.newIncoming(c.tx.declared)
	text := c.in.Dots()
	c.tx.body.mend.lines = text.Lines
	if err := c.tx.body.read(text, c.opt.Now); err != nil {
		c.hangUp(err)
		return
	}
	if !c.hasty { // what follows 354 has heard what was before it
		c.heard()
	}
	c.finish(ctx)
}

// bdat takes one chunk of a message (RFC 3030 §2): exactly the octets it
// announces, also where they are refused. Where the number cannot be read
// nobody knows where the next command begins, so the connection ends.
func (c *session) bdat(ctx context.Context, args string) {
	size, last, ok := parseChunk(args)
	if !ok {
		c.refuse(reply.Temp(21, "5.4", "BDAT wants a number of octets and perhaps LAST: the next command cannot be found"))
		c.over = true
		return
	}
	if c.tx == nil || len(c.tx.rcpts) == 0 {
		c.swallowChunk(size, last)
		return
	}
	if c.tx.body == nil {
		c.tx.body = c.newIncoming(c.tx.declared)
	}
	switch err := c.readChunk(c.tx.body, size); {
	case err != nil:
		c.hangUp(err)
	case last == lastChunk:
		c.finish(ctx)
		c.out.Flush()
	case c.tx.body.refused != nil:
		c.refuse(c.tx.body.refused)
	default:
		c.say("250 2.0.0 %d octets taken", size)
	}
}

// swallowChunk discards a chunk that cannot belong to a message. The last one
// of a transaction without accepted recipients has no replies at all (RFC 2033
// §4.3); everything else is out of order.
func (c *session) swallowChunk(size int64, last chunkEnd) {
	nowhere := &incoming{refused: reply.BadSequence, end: c.opt.Now().Add(bodyPatience)}
	switch err := c.readChunk(nowhere, size); {
	case err != nil:
		c.hangUp(err)
	case c.tx != nil && last == lastChunk:
		c.reset()
	default:
		c.blame(reply.BadSequence.Saying("there is no accepted recipient"))
	}
}

// readChunk reads size octets, no fewer.
func (c *session) readChunk(to *incoming, size int64) error {
	chunk := &io.LimitedReader{R: c.in, N: size}
	err := to.read(chunk, c.opt.Now)
	if err == nil && chunk.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// chunkEnd says whether a chunk is the message's last.
type chunkEnd uint8

const (
	moreChunks chunkEnd = iota
	lastChunk
)

// parseChunk reads "123" or "123 LAST".
func parseChunk(args string) (size int64, last chunkEnd, ok bool) {
	words := strings.Fields(args)
	switch {
	case len(words) == 2 && strings.EqualFold(words[1], "LAST"):
		last = lastChunk
	case len(words) != 1:
		return 0, 0, false
	}
	size, err := strconv.ParseInt(words[0], 10, 64)
	return size, last, err == nil && isDigits(words[0])
}

// finish seals the envelope, hands the message over and answers for every
// accepted RCPT, in order, duplicates included (RFC 2033 §4.2).
func (c *session) finish(ctx context.Context) {
	tx := c.tx
	defer c.reset()
	c.errors = 0
	env, fates := c.handOver(ctx, tx)
	t := c.answered(env, tx, fates)
	for _, rcpt := range tx.rcpts {
		if e := fates[rcpt]; e != nil {
			c.refuse(e)
			c.opt.Mail.Refused(ctx, tx.id, c.conn.Peer(), tx.from, rcpt, e)
			continue
		}
		c.say("250 2.0.0 %s delivered as %s", shown(rcpt), tx.id)
		c.opt.Mail.Accepted(ctx, env, rcpt, t.body.hold.body().Size())
	}
}

// handOver gives the message to the deliverer, once for each address, and
// answers what became of each.
func (c *session) handOver(ctx context.Context, tx *transaction) (*mail.Envelope, map[mail.Address]*reply.Error) {
	fates := make(map[mail.Address]*reply.Error, len(tx.rcpts))
	var rcpts []mail.Address
	for _, rcpt := range tx.rcpts {
		if _, there := fates[rcpt]; !there {
			rcpts = append(rcpts, rcpt)
		}
		fates[rcpt] = tx.body.refused
	}
	if tx.body.refused != nil {
		return nil, fates
	}
	env, err := c.seal(ctx, tx)
	if err != nil {
		for _, rcpt := range rcpts {
			fates[rcpt] = reply.From(err)
		}
		return nil, fates
	}
	for i, err := range c.deliver(ctx, env, tx.body.hold.body(), rcpts) {
		fates[rcpts[i]] = reply.From(err)
	}
	return env, fates
}
