package relay

import (
	"context"
	"sync"
)

// claims are rows in somebody's hands: a worker's, or an admin's who gives one
// up. What one of them does with a row the other finds done.
type claims struct {
	mu   sync.Mutex // guards rows
	rows map[RowID]*claim
}

type claim struct {
	cut   context.CancelFunc // ends a try of the row
	ended chan struct{}
}

// take waits until nobody has the row. The context ends with ctx, or when
// somebody cuts the row's try; release is called once.
func (c *claims) take(ctx context.Context, id RowID) (trying context.Context, release func(), err error) {
	for {
		c.mu.Lock()
		other := c.rows[id]
		if other == nil {
			if c.rows == nil {
				c.rows = map[RowID]*claim{}
			}
			mine := &claim{ended: make(chan struct{})}
			trying, mine.cut = context.WithCancel(ctx)
			c.rows[id] = mine
			c.mu.Unlock()
			return trying, func() {
				c.mu.Lock()
				delete(c.rows, id)
				c.mu.Unlock()
				mine.cut()
				close(mine.ended)
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-other.ended:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// cut ends a try of the row where there is one.
func (c *claims) cut(id RowID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.rows[id]; other != nil {
		other.cut()
	}
}
