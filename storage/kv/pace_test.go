package kv

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPaceKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, p := time.Now(), Pace{Rate: 1 << 20}
		for range 100 {
			if err := p.Spend(t.Context(), 1<<20/10); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("10 MiB at 1 MiB/s took %v", took)
		}
	})
}

func TestPaceEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, p := range []Pace{{}, {Rate: 1}} {
		if err := p.Spend(ctx, 1<<40); !errors.Is(err, context.Canceled) {
			t.Errorf("rate %d: %v", p.Rate, err)
		}
	}
}
