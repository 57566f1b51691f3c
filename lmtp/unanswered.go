package lmtp

import (
	"context"
	"slices"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
)

// A 250 that nobody heard makes the client offer the message again (RFC 1047).
// That it was written proves nothing: the kernel takes it also for a peer that
// has left. So the message stays at hand until the peer goes on, with a command
// that was not here already when the answer was said: clients may send what
// follows the last dot together with it (RFC 2920 §3.1).
//
// Postfix sends QUIT like that where it wants to deliver nothing more. QUIT, which
// no client may leave out (RFC 5321 §4.1.1.10), is therefore a good sign where the
// connection then ends in peace, all answers taken; see [serve.Conn.Part].

// maxUnheard is how many messages one connection keeps at hand. Who sends more of
// them ahead is believed to have heard of the first.
const maxUnheard = 8

// taken is a message whose answers are on their way.
type taken struct {
	env   *mail.Envelope
	body  *incoming
	rcpts []mail.Address // those who were answered 250
}

// answered keeps what was taken of a transaction, and its body with it; nil where
// nothing was.
func (c *session) answered(env *mail.Envelope, tx *transaction, fates map[mail.Address]*reply.Error) *taken {
	t := &taken{env: env, body: tx.body}
	for rcpt, e := range fates {
		if e == nil {
			t.rcpts = append(t.rcpts, rcpt)
		}
	}
	if len(t.rcpts) == 0 {
		return nil
	}
	if len(c.taken) == maxUnheard {
		c.taken[0].body.close()
		c.taken = slices.Delete(c.taken, 0, 1)
	}
	c.taken, tx.body = append(c.taken, t), nil
	return t
}

// heard is called when the peer knows what became of its messages.
func (c *session) heard() {
	for _, t := range c.taken {
		t.body.close()
	}
	clear(c.taken)
	c.taken = c.taken[:0]
}

// unanswered is called when the connection has ended.
func (c *session) unanswered(ctx context.Context) {
	defer c.heard()
	if len(c.taken) == 0 || c.opt.Unanswered == nil || c.leftInPeace() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askPatience)
	defer cancel()
	for _, t := range c.taken {
		c.tell(ctx, t)
	}
}

// leftInPeace waits a moment for a peer that has said QUIT.
func (c *session) leftInPeace() bool {
	return c.quitted && c.out.Flush() == nil && c.conn.Part() == nil
}

func (c *session) tell(ctx context.Context, t *taken) {
	if err := c.opt.Unanswered(ctx, t.env, t.body.hold.body(), t.rcpts); err != nil {
		c.log.Error("answer not heard: a second copy may come", "id", t.env.ID, "err", err)
		return
	}
	c.log.Info("answer not heard", "id", t.env.ID, "recipients", len(t.rcpts))
}
