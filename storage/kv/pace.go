package kv

import (
	"context"
	"time"
)

// Pace keeps work in the background to a rate. The zero value lets it run.
type Pace struct {
	Rate int64 // octets a second; 0: as fast as it goes

	start time.Time
	spent int64
}

// Spend counts n octets that are about to be worked on, and waits where the
// work is ahead of its rate. It answers ctx's error.
func (p *Pace) Spend(ctx context.Context, n int64) error {
	if p.Rate <= 0 {
		return ctx.Err()
	}
	if p.start.IsZero() {
		p.start = time.Now()
	}
	p.spent += n
	ahead := time.Duration(float64(p.spent)/float64(p.Rate)*float64(time.Second)) - time.Since(p.start)
	if ahead < 10*time.Millisecond { // timers are not finer, and need not be
		return ctx.Err()
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
