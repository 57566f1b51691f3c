package maillog

import (
	"io"
	"sync"
	"time"
)

// How lines about mail wait for each other where there are many: so long, and so
// much of them.
const (
	lineLull   = 5 * time.Millisecond
	waitingMax = 32 << 10 // octets
)

// inTurn writes one line after the other, whoever formed them. Where letters come
// by the thousand, writing each line would be a twentieth of their work: so a line
// that says what went well waits a moment for the next ones, unless there was none
// for as long. All others are written at once, behind those that wait. Whoever
// writes faster than the log can be taken waits as ever.
type inTurn struct {
	mu      sync.Mutex // guards all below, and writes to w
	w       io.Writer
	waiting []byte
	last    time.Time   // of the last line written at once
	timer   *time.Timer // nil: none was needed yet
	armed   bool        // the timer runs
}

// Write writes a line now.
func (t *inTurn) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		return t.w.Write(line)
	}
	t.waiting = append(t.waiting, line...)
	return len(line), t.flush()
}

// soon writes a line of that time, or lets it wait.
func (t *inTurn) soon(line []byte, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, line...)
	if len(t.waiting) < waitingMax && now.Sub(t.last) < lineLull {
		t.arm()
		return nil
	}
	t.last = now
	return t.flush()
}

func (t *inTurn) arm() {
	switch {
	case t.armed:
		return
	case t.timer == nil:
		t.timer = time.AfterFunc(lineLull, t.ring)
	default:
		t.timer.Reset(lineLull)
	}
	t.armed = true
}

func (t *inTurn) ring() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed = false
	_ = t.flush() // who writes the log says so itself: there is no other place to say it
}

func (t *inTurn) flush() error {
	if len(t.waiting) == 0 {
		return nil
	}
	_, err := t.w.Write(t.waiting)
	t.waiting = t.waiting[:0]
	return err
}
