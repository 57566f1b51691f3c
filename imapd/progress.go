package imapd

import (
	"context"
	"time"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// progress tells the client of a long search how far it is, now and then (RFC
// 9585).
func (s *session) progress() func(done, total int) {
	next := time.Now().Add(s.srv.opt.Progress)
	return func(done, total int) {
		if now := time.Now(); now.After(next) {
			next = now.Add(s.srv.opt.Progress)
			s.inProgress(done, total)
		}
	}
}

// progressing makes a change of many messages and tells the client how far it is.
// What is told meanwhile is written beside this session's goroutine, which waits
// for the vault and writes nothing until both are done.
func (s *session) progressing(ctx context.Context, change func(context.Context) error) error {
	var p storage.Progress
	done, ended := make(chan struct{}), make(chan struct{})
	long := time.AfterFunc(s.srv.opt.Progress, func() { // most changes are made before
		defer close(ended)
		clock := time.NewTicker(s.srv.opt.Progress)
		defer clock.Stop()
		for {
			if n, total := p.Load(); n < total {
				s.inProgress(n, total)
			}
			select {
			case <-done:
				return
			case <-clock.C:
			}
		}
	})
	defer func() {
		close(done)
		if !long.Stop() {
			<-ended
		}
	}()
	return change(storage.WithProgress(ctx, &p))
}

func (s *session) inProgress(done, total int) {
	b := append(s.scratch[:0], "* OK ["...)
	b = syntax.AppendInProgress(b, s.tag, uint32(done), uint32(total))
	s.put(append(b, "] Working\r\n"...))
	if s.w.Flush() != nil {
		s.broken = true
	}
}
