package lmtp

import (
	"context"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
)

// A 250 that nobody heard makes the client offer the message again (RFC 1047).
// That it was written proves nothing: the kernel takes it also for a peer that
// has left. So the message stays at hand until the peer says another word, QUIT
// at least, which no client may leave out (RFC 5321 §4.1.1.10).

// taken is a message whose answers are on their way.
type taken struct {
	env   *mail.Envelope
	body  *incoming
	rcpts []mail.Address // those who were answered 250
}

// answered keeps what was taken of a transaction, and its body with it.
func (c *session) answered(env *mail.Envelope, tx *transaction, fates map[mail.Address]*reply.Error) {
	t := &taken{env: env, body: tx.body}
	for rcpt, e := range fates {
		if e == nil {
			t.rcpts = append(t.rcpts, rcpt)
		}
	}
	if len(t.rcpts) > 0 {
		c.taken, tx.body = t, nil
	}
}

// heard is called when the peer goes on: it knows what became of the message.
func (c *session) heard() {
	if c.taken != nil {
		c.taken.body.close()
		c.taken = nil
	}
}

// unanswered is called when the connection has ended.
func (c *session) unanswered(ctx context.Context) {
	defer c.heard()
	t := c.taken
	if t == nil || c.opt.Unanswered == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askPatience)
	defer cancel()
	if err := c.opt.Unanswered(ctx, t.env, t.body.hold.body(), t.rcpts); err != nil {
		c.log.Error("answer not heard: a second copy may come", "id", t.env.ID, "err", err)
		return
	}
	c.log.Info("answer not heard", "id", t.env.ID, "recipients", len(t.rcpts))
}
