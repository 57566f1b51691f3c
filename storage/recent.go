package storage

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"letterlock/storage/kv"
)

// ClaimRecent answers the first UID no read-write session has been told of
// (RFC 3501 §2.3.2, \Recent), and moves the mark to told, where that is greater:
// 0 moves nothing. A claim waits for no disk: it is written with the next change of
// the mailbox, and when the store is closed. After a crash in between some messages
// are \Recent once more, as they should be when nobody can tell.
func (a *Account) ClaimRecent(ctx context.Context, id MailboxID, told UID) (first UID, err error) {
	full, stale := false, true
	for stale {
		var written UID
		since := a.store.claims.settled()
		err = a.read(ctx, func(r kv.Reader) error {
			b, err := getBox(r, a.id, id)
			if b == nil || err != nil {
				return orElse(err, absentBox(id))
			}
			written = b.recent
			return nil
		})
		if err != nil {
			return 0, err
		}
		first, full, stale = a.store.claims.claim(boxID{a.id, id}, written, told, since)
	}
	if full && a.store.writeClaims(ctx) != nil {
		a.store.claims.forget() // as a crash would: mail can be read while the vault takes no changes
	}
	return first, nil
}

// claims is what was claimed and is perhaps not written yet. Those of a mailbox
// that is gone are in nobody's way: no mailbox gets its number.
type claims struct {
	mu   sync.Mutex // guards all below
	told map[boxID]UID
	gone uint64 // claims that records have: one that was read before may not
}

// maxClaims is how many mailboxes may wait for their claims to be written.
const maxClaims = 10000

// settled is how many claims records have by now, to be asked before one is read.
func (c *claims) settled() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// settle takes out a claim that a record has. mu is held.
func (c *claims) settle(id boxID) {
	if _, there := c.told[id]; there {
		delete(c.told, id)
		c.gone++
	}
}

// claim moves the mark of a mailbox, whose record says written, to told. It answers
// where the mark was, and whether there are so many claims that they have to go. A
// record that was read before a claim was settled is stale: then nothing is done.
func (c *claims) claim(id boxID, written, told UID, since uint64) (first UID, full, stale bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone != since {
		return 0, false, true
	}
	first = max(written, c.told[id])
	if first == written {
		c.settle(id)
	}
	if told > first {
		if c.told == nil {
			c.told = make(map[boxID]UID)
		}
		c.told[id] = told
	}
	return first, len(c.told) > maxClaims, false
}

// of is the claim of a mailbox, 0 without one.
func (c *claims) of(id boxID) UID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told[id]
}

// forget drops all claims.
func (c *claims) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.told)
}

// waiting is all claims, by the shard that they are of.
func (c *claims) waiting(s *Store) map[*shard]map[boxID]UID {
	c.mu.Lock()
	defer c.mu.Unlock()
	there := make(map[*shard]map[boxID]UID)
	for id, told := range c.told {
		sh := s.shardOf(id.account)
		if there[sh] == nil {
			there[sh] = make(map[boxID]UID)
		}
		there[sh][id] = told
	}
	return there
}

// written forgets claims that nobody has moved since.
func (c *claims) written(those map[boxID]UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, told := range those {
		if c.told[id] == told {
			c.settle(id)
		}
	}
}

// writeClaims writes all claims: opening a mailbox for a change is enough.
func (s *Store) writeClaims(ctx context.Context) error {
	var errs []error
	for sh, those := range s.claims.waiting(s) {
		err := sh.rewrite(ctx, slices.Collect(maps.Keys(those)), func(*openBox) {})
		if err == nil {
			s.claims.written(those)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
