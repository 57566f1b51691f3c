package query

import (
	"container/list"
	"sync"

	"letterlock/storage"
)

// Cache keeps what the messages of recently sorted and threaded mailboxes are
// sorted by, for all sessions of a server: up to 64 MiB, some 300,000 messages.
// Its zero value is ready. It holds content, so nobody but this package looks
// into it; who may know what of it is judged each time it is asked.
type Cache struct {
	mu     sync.Mutex // guards all below
	boxes  map[boxKey]*list.Element
	recent list.List // of *cached, the last used first
	octets int
}

const maxCache = 64 << 20 // octets

// boxKey names a mailbox among those of all accounts: object ids are random, and
// with the UIDVALIDITY a UID names one message for ever.
type boxKey struct {
	box      storage.ObjectID
	validity uint32
}

func keyOf(m *Mailbox) boxKey {
	box := m.View.Mailbox()
	return boxKey{box.ObjectID, box.UIDValidity}
}

type cached struct {
	key     boxKey
	digests *digests
	octets  int
}

// get answers what there is; at least empty digests.
func (c *Cache) get(m *Mailbox) *digests {
	if c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if e := c.boxes[keyOf(m)]; e != nil {
			c.recent.MoveToFront(e)
			return e.Value.(*cached).digests
		}
	}
	return &digests{}
}

// put keeps digests instead of those of the same mailbox, unless they are too
// large, and lets go of those that were not used for longest.
func (c *Cache) put(m *Mailbox, d *digests) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := keyOf(m)
	if e := c.boxes[key]; e != nil {
		c.drop(e)
	}
	it := &cached{key, d, d.octets()}
	if it.octets > maxCache/2 {
		return
	}
	if c.boxes == nil {
		c.boxes = make(map[boxKey]*list.Element)
	}
	c.boxes[key] = c.recent.PushFront(it)
	c.octets += it.octets
	for c.octets > maxCache {
		c.drop(c.recent.Back())
	}
}

func (c *Cache) drop(e *list.Element) {
	it := c.recent.Remove(e).(*cached)
	delete(c.boxes, it.key)
	c.octets -= it.octets
}
