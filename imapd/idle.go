package imapd

import (
	"context"
	"errors"

	"letterlock/imapd/syntax"
	"letterlock/internal/wire"
)

// idle is IDLE (RFC 9051 §6.3.13): what happens to the selected mailbox is told
// as it happens, until the client says DONE.
func (s *session) idle(ctx context.Context) (answer, error) {
	s.putString("+ idling\r\n") // first: Thunderbird takes whatever comes first for it
	defer s.wakeOnChange()()
	for {
		if err := s.idling(ctx); ends(err) {
			return answer{}, err
		} else if err != nil { // it was said that we idle: DONE is answered, whatever happens
			s.log.Error("announce changes", "command", s.verb, "err", err)
		}
		if s.w.Flush() != nil {
			return answer{}, errCut
		}
		err := s.r.Await()
		switch {
		case err == nil:
			return answer{"", "IDLE completed"}, lost(s.d.Done())
		case !errors.Is(err, wire.ErrInterrupted):
			return answer{}, lost(err)
		}
		if text := s.whyLeave(); text != "" {
			s.bye(text)
			return answer{}, errCut
		}
	}
}

// idling tells what happened: with NOTIFY exactly what that asked for (RFC 5465
// §4).
func (s *session) idling(ctx context.Context) error {
	if s.tells(syntax.EventMessageNew) {
		if err := s.sync(ctx, sendExpunges); err != nil {
			return err
		}
		s.settled("")
	}
	return s.news(ctx)
}

// wakeOnChange interrupts the session's wait whenever its mailbox moves, until
// stop is called.
func (s *session) wakeOnChange() (stop func()) {
	switch n := s.notified; {
	case n != nil && n.ended == nil:
		return s.wakeOnNews()
	case n != nil || s.box == nil: // NOTIFY has a watch of its own
		return func() {}
	}
	return s.wakeOn(s.box.moved)
}

// wakeOn interrupts the session's wait at each signal, until stop is called.
func (s *session) wakeOn(moved <-chan struct{}) (stop func()) {
	idle, ended, r := make(chan struct{}), make(chan struct{}), s.r
	go func() {
		defer close(ended)
		for {
			select {
			case <-moved:
				r.Interrupt()
			case <-idle:
				return
			}
		}
	}()
	return func() {
		close(idle)
		<-ended
	}
}
