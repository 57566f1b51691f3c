package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress is one line on a terminal, written over again and again for a person
// who waits. Where standard error is no terminal it is silent.
type progress struct {
	tty io.Writer // nil: nobody looks

	mu    sync.Mutex // guards shown
	shown bool
}

func newProgress(c *call) *progress {
	p := &progress{}
	if tty, ok := terminal(c.err); ok {
		p.tty = tty
	}
	return p
}

func (p *progress) show(format string, args ...any) {
	if p.tty == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.tty, "\r\x1b[K"+format, args...)
	p.shown = true
}

// clear makes room for something that stays.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.tty, "\r\x1b[K")
		p.shown = false
	}
}

// during shows what line says every half second until stop is called.
func (p *progress) during(line func(passed time.Duration) string) (stop func()) {
	if p.tty == nil {
		return func() {}
	}
	begun, done := time.Now(), make(chan struct{})
	var showing sync.WaitGroup
	showing.Go(func() {
		every := time.NewTicker(500 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				p.show("%s", line(time.Since(begun)))
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		showing.Wait()
		p.clear()
	}
}
