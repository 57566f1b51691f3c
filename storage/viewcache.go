package storage

import (
	"slices"
	"sync"
	"weak"
)

// viewCache holds the newest view of a mailbox as long as somebody looks at it,
// and those that were looked at last a while longer.
type viewCache struct {
	mu    sync.Mutex // guards all below
	views map[boxID]weak.Pointer[View]
	sweep int // how many entries make a look for dead ones worth while
	kept  []*View
}

// maxKeptMessages is how many messages the views have that nobody need look at:
// of 20 octets each, 40 MB.
const (
	maxKeptMessages = 2000000
	maxKeptViews    = 256
)

func (c *viewCache) get(id boxID) *View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.views[id].Value()
}

func (c *viewCache) put(id boxID, v *View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.views == nil {
		c.views = make(map[boxID]weak.Pointer[View])
	}
	// A slower reader must not put an older snapshot over a newer one.
	old := c.views[id].Value()
	if old != nil && old.box.UIDValidity == v.box.UIDValidity && old.box.Highest > v.box.Highest {
		return
	}
	c.views[id] = weak.Make(v)
	c.keep(old, v)
	if len(c.views) > c.sweep {
		for id, p := range c.views {
			if p.Value() == nil {
				delete(c.views, id)
			}
		}
		c.sweep = 2*len(c.views) + 64
	}
}

// keep takes v in the place of its forerunner, and lets the oldest go.
func (c *viewCache) keep(old, v *View) {
	c.kept = append(slices.DeleteFunc(c.kept, func(k *View) bool { return k == old }), v)
	n := 0
	for _, k := range c.kept {
		n += k.Len()
	}
	for n > maxKeptMessages || len(c.kept) > maxKeptViews {
		n -= c.kept[0].Len()
		c.kept = slices.Delete(c.kept, 0, 1)
	}
}
