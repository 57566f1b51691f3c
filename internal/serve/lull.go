package serve

import (
	"runtime/debug"
	"sync"
	"time"
)

const (
	crowdSize  = 100             // connections that have come and stayed, whose coming left something behind
	crowdSteps = 500             // and so many more, what is worth looking through at once
	lullTime   = 2 * time.Second // in which nobody comes
)

// lull keeps the memory of a crowd small. Handshakes and logins leave garbage in
// between what stays: many at once, and the holes cost as much as the sessions.
// So it is collected while they come, and given back to the system when nobody
// comes any more. Connections that come and go change nothing.
type lull struct {
	free func() // nil: debug.FreeOSMemory

	mu        sync.Mutex // guards what follows
	collected int        // how many were open when garbage was collected last
	given     int        // and when memory was given back
	open      int
	timer     *time.Timer
	over      bool
}

// disturb is called for each connection that comes, with the number of those
// that are open. It says whether garbage is to be collected now.
func (l *lull) disturb(open int) (collect bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open, l.collected, l.given = open, min(l.collected, open), min(l.given, open)
	if open-l.given >= crowdSize && !l.over {
		if l.timer == nil {
			l.timer = time.AfterFunc(lullTime, l.come)
		}
		l.timer.Reset(lullTime)
	}
	if open-l.collected < crowdSteps {
		return false
	}
	l.collected = open
	return true
}

func (l *lull) come() {
	l.mu.Lock()
	l.collected, l.given = l.open, l.open
	l.mu.Unlock()
	if l.free != nil {
		l.free()
		return
	}
	debug.FreeOSMemory()
}

// end is called when the server ends.
func (l *lull) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.timer != nil {
		l.timer.Stop()
	}
}
