package relay

import (
	"context"
	"sync"
)

// claims are rows in somebody's hands: a worker's, or an admin's who does something
// with one. What one of them does with a row the other finds done.
type claims struct {
	mu   sync.Mutex // guards all below
	rows map[RowID]*claim
	// Rows that an admin has done something with since the last walk of the outbox, or
	// that were on their way at it. Whoever is to carry one by what it found does not.
	asides map[RowID]bool
}

type claim struct {
	trying context.Context    // of a worker
	cut    context.CancelFunc // ends a try of the row
	ended  chan struct{}
}

// take waits until nobody has the row.
func (c *claims) take(ctx context.Context, id RowID) (mine *claim, err error) {
	for {
		mine, other := c.claim(ctx, id)
		if other == nil {
			return mine, nil
		}
		if err := other.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// seize is take that ends every try of the row: one that was cut may have begun anew
// before we came.
func (c *claims) seize(ctx context.Context, id RowID) (mine *claim, err error) {
	for {
		mine, other := c.claim(ctx, id)
		if other == nil {
			return mine, nil
		}
		other.cut()
		if err := other.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// claim puts the row in the caller's hands, or says in whose it is.
func (c *claims) claim(ctx context.Context, id RowID) (mine, other *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.rows[id]; other != nil {
		return nil, other
	}
	if c.rows == nil {
		c.rows = map[RowID]*claim{}
	}
	mine = &claim{ended: make(chan struct{})}
	mine.trying, mine.cut = context.WithCancel(ctx)
	c.rows[id] = mine
	return mine, nil
}

// release is called once.
func (c *claims) release(id RowID, mine *claim) {
	c.mu.Lock()
	delete(c.rows, id)
	c.mu.Unlock()
	mine.cut()
	close(mine.ended)
}

// aside is called with the row in hands.
func (c *claims) aside(id RowID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asides == nil {
		c.asides = map[RowID]bool{}
	}
	c.asides[id] = true
}

func (c *claims) wasAside(id RowID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asides[id]
}

// forget is called when a walk begins and nothing is left of the one before but what
// is on its way.
func (c *claims) forget(flying map[RowID]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.asides {
		if _, ok := flying[id]; !ok {
			delete(c.asides, id)
		}
	}
}

func (c *claim) wait(ctx context.Context) error {
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
