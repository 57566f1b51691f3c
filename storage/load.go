package storage

import (
	"context"
	"sync"
	"time"
)

// load says whether letters come so fast that work which can wait should wait.
type load struct {
	mu    sync.Mutex // guards all below
	since time.Time  // of the window that is being counted
	count int        // letters in it
	rate  int        // a second, in the window before
}

const (
	loadWindow = 100 * time.Millisecond
	busyRate   = 200 // letters a second
	giveWay    = 250 * time.Millisecond
)

// note counts a letter.
func (l *load) note() {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	if took := now.Sub(l.since); took > loadWindow {
		l.rate = int(time.Duration(l.count) * time.Second / took)
		l.since, l.count = now, 0
	}
}

func (l *load) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate > busyRate && time.Since(l.since) < 2*loadWindow
}

// wait lets letters go first, for a while: what waits is done in the end.
func (l *load) wait(ctx context.Context) error {
	if !l.busy() {
		return ctx.Err()
	}
	timer := time.NewTimer(giveWay)
	defer timer.Stop()
	tick := time.NewTicker(loadWindow)
	defer tick.Stop()
	for l.busy() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case <-tick.C:
		}
	}
	return nil
}
