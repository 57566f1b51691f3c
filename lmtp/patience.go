package lmtp

import (
	"context"
	"time"
)

// patience is how long the deliverer may take. A new context and a new timer for
// each of its answers would cost as much as many an answer, so a connection has
// one of each, wound up again for the next. It is for one goroutine; the zero
// value is ready.
type patience struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer // runs out: ctx ends; nil: there is none yet, or it has run out
}

// begin answers a context that ends with parent, or when d has passed before
// [patience.end] is called: its error then is [context.DeadlineExceeded].
func (p *patience) begin(parent context.Context, d time.Duration) context.Context {
	if p.timer != nil && p.ctx.Err() == nil {
		p.timer.Reset(d)
		return p.ctx
	}
	p.forget()
	ctx, cancel := context.WithCancelCause(parent)
	p.ctx, p.cancel = timed{ctx}, cancel
	p.timer = time.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return p.ctx
}

// end stops the time. A context that has run out, perhaps this very moment, is
// not used again.
func (p *patience) end() {
	if !p.timer.Stop() {
		p.forget()
	}
}

// forget ends the context.
func (p *patience) forget() {
	if p.cancel != nil {
		p.cancel(nil)
	}
	*p = patience{}
}

// timed is a context whose cause says that time has run out, and whose error
// says so too.
type timed struct{ context.Context }

func (t timed) Err() error {
	err := t.Context.Err()
	if err != nil && context.Cause(t.Context) == context.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return err
}
