package storage

import (
	"fmt"
	"sync"

	"letterlock/storage/kv"
)

// blockCache keeps blocks unpacked for those who read message after message.
// A block of one key and one change is always the same (as [View] relies on,
// too), so what is found is right for the snapshot it is asked for. Blocks in
// it are shared: nobody changes them.
type blockCache struct {
	mu    sync.Mutex // guards young, old
	young map[blockID]*block
	old   map[blockID]*block
}

// blockID is a block's key.
type blockID struct {
	box   boxID
	first UID
}

// maxCachedBlocks is how many there are in each of the two generations, of at
// most 13 KiB each: 6.5 MiB in all.
const maxCachedBlocks = 256

// get answers a block that last changed at changed; nil where it has none.
func (c *blockCache) get(id blockID, changed ModSeq) *block {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.young[id]
	if b == nil {
		if b = c.old[id]; b != nil && b.changed == changed {
			c.keep(id, b)
		}
	}
	if b == nil || b.changed != changed {
		return nil
	}
	return b
}

func (c *blockCache) put(id blockID, b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(id, b)
}

// keep puts a block among the young; when there are enough, those that nobody
// asked for since the last time are forgotten.
func (c *blockCache) keep(id blockID, b *block) {
	if c.young == nil || len(c.young) >= maxCachedBlocks {
		c.young, c.old = make(map[blockID]*block), c.young
	}
	c.young[id] = b
}

// anew unpacks a block that the caller may change.
func anew(_ UID, v []byte) (*block, error) { return decodeBlock(v) }

// unpack unpacks the blocks of one mailbox for reading.
func (s *Store) unpack(a AccountID, m MailboxID) func(first UID, v []byte) (*block, error) {
	return func(first UID, v []byte) (*block, error) {
		id := blockID{boxID{a, m}, first}
		if len(v) >= blockHeader {
			if b := s.blocks.get(id, changedOf(v)); b != nil {
				return b, nil
			}
		}
		b, err := decodeBlock(v)
		if err == nil {
			s.blocks.put(id, b)
		}
		return b, err
	}
}

// each reads the rows of uids (ascending) with their entries; those that are
// gone are passed over. What fn is handed is used again for the next.
func (a *Account) each(r kv.Reader, id MailboxID, uids []UID, fn func(*located) error) error {
	var l located
	return pick(r, a.id, id, uids, a.store.unpack(a.id, id), func(_ UID, blk *block, at []int) error {
		return values(r, a.id, keyRow, len(at), func(i int) uint64 { return blk.entries[at[i]].number }, func(i int, v []byte) error {
			l.entry = blk.entries[at[i]]
			if v == nil {
				return missingRow(a.id, l.entry.number)
			}
			w, err := decodeRow(v)
			if err != nil {
				return fmt.Errorf("account %d, message %d: %w", a.id, l.entry.number, err)
			}
			l.row = w
			return fn(&l)
		})
	})
}

// values reads n values of one kind, by the numbers of their messages; nil is
// an absent one. Messages of one mailbox mostly lie side by side: they are
// walked, as long as there is not too much in between.
func values(r kv.Reader, a AccountID, letter byte, n int, number func(int) uint64, fn func(i int, v []byte) error) (err error) {
	next := 0
	if n > 4 {
		between := 0
		for k, v := range r.Range(keyUint64(a, letter, number(0)), kv.After(key(a, letter)), kv.Options{}) {
			if next == n || between > 2*n || tailUint64(k) > number(next) {
				break
			}
			if tailUint64(k) < number(next) {
				between++
				continue
			}
			if err := fn(next, v); err != nil {
				return err
			}
			next++
		}
	}
	for ; next < n; next++ {
		if err := fn(next, r.Get(keyUint64(a, letter, number(next)))); err != nil {
			return err
		}
	}
	return nil
}
