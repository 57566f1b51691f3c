package lmtp

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatienceWithADelivererRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p patience
		defer p.forget()
		for range 2 { // what has run out is not used again
			before := time.Now()
			ctx := p.begin(t.Context(), time.Minute)
			if err := ctx.Err(); err != nil {
				t.Fatalf("a new one begins with %v", err)
			}
			<-ctx.Done()
			if err, waited := ctx.Err(), time.Since(before); !errors.Is(err, context.DeadlineExceeded) || waited != time.Minute {
				t.Errorf("%v after %v; want a deadline exceeded after one minute", err, waited)
			}
			p.end()
		}
	})
}

func TestPatienceWithADelivererIsForEachAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p patience
		defer p.forget()
		for range 3 {
			ctx := p.begin(t.Context(), time.Minute)
			<-time.After(59 * time.Second) // the deliverer is slow
			if err := ctx.Err(); err != nil {
				t.Errorf("%v before the time is over", err)
			}
			p.end()
			<-time.After(time.Hour) // the peer is slower
		}
	})
}

func TestPatienceWithADelivererEndsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, stop := context.WithCancel(t.Context())
		var p patience
		defer p.forget()
		ctx := p.begin(server, time.Minute)
		inner, done := context.WithCancel(ctx)
		defer done()
		stop()
		<-inner.Done()
		if err := ctx.Err(); err != context.Canceled {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		p.end()
	})
}
