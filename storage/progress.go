package storage

import (
	"context"
	"sync/atomic"
)

// Progress says how far a change of many messages has come, while it is being
// made: [Account.Copy], [Account.Move], [Account.StoreFlags] and
// [Account.Expunge] report to the one that [WithProgress] put into their
// context. It may be read at any time, from anywhere.
type Progress struct {
	done, total atomic.Int64
}

// WithProgress makes the changes that get the context report to p.
func WithProgress(ctx context.Context, p *Progress) context.Context {
	return context.WithValue(ctx, progressKey{}, p)
}

type progressKey struct{}

// Load answers of how many messages how many are done. A change that failed
// half-way and is tried again falls back.
func (p *Progress) Load() (done, total int) { return int(p.done.Load()), int(p.total.Load()) }

// progressOf is whom a change of total messages reports to.
func progressOf(ctx context.Context, total int) *Progress {
	p, ok := ctx.Value(progressKey{}).(*Progress)
	if !ok {
		p = new(Progress)
	}
	p.done.Store(0)
	p.total.Store(int64(total))
	return p
}

// reached notes that rest messages are still to be done.
func (p *Progress) reached(rest int) { p.done.Store(p.total.Load() - int64(rest)) }
