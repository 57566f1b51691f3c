package sealed

import (
	"bytes"
	"context"
	"fmt"

	"letterlock/storage/kv"
	"letterlock/storage/seal"
)

// Census says what is sealed under which key; the zero ID stands for what lies
// in clear.
type Census map[seal.ID]Share

// Share is what one key has of the index.
type Share struct {
	Values int
	Octets int64 // of keys and values, as they are stored
}

// How much one look, and one transaction, takes.
const (
	lookAtOnce = 4096
	sealAtOnce = 256
)

// Census walks all values of all shards; it opens none.
func (s *Engine) Census(ctx context.Context) (Census, error) {
	c := make(Census)
	for shard := range s.Shards() {
		for next := []byte{}; next != nil; {
			err := s.Engine.View(ctx, shard, func(r kv.Reader) error {
				from := next
				next = nil
				n := 0
				for k, v := range r.Range(from, nil, kv.Options{Limit: lookAtOnce}) {
					c.Count(k, v)
					if n++; n == lookAtOnce {
						next = append(bytes.Clone(k), 0)
					}
				}
				return nil
			})
			if err != nil {
				return nil, fmt.Errorf("index shard %d: %w", shard, err)
			}
		}
	}
	return c, nil
}

// Count adds one entry as it is stored.
func (c Census) Count(k, v []byte) {
	id := keyOf(k, v)
	share := c[id]
	share.Values, share.Octets = share.Values+1, share.Octets+int64(len(k)+len(v))
	c[id] = share
}

// keyOf is the key an entry is sealed under.
func keyOf(k, v []byte) (id seal.ID) {
	switch {
	case bytes.Equal(k, ringKey) && len(v) >= 2+len(id):
		copy(id[:], v[2:])
	case isSealed(v):
		copy(id[:], v[len(marker):])
	}
	return id
}

// SealAll seals under the newest key what lies in clear or under another, at
// rate octets a second (0: as fast as it goes), while the index is used. From
// then on nothing in clear is believed. It may be cut short and called again.
// What it replaces is still there on the disk until the engine below has
// written over it or was compacted.
func (s *Engine) SealAll(ctx context.Context, rate int64) error {
	for shard, g := range s.shards {
		if err := s.sealShard(ctx, shard, rate); err != nil {
			return fmt.Errorf("seal index shard %d: %w", shard, err)
		}
		if !g.mixed.Load() {
			continue
		}
		if err := s.sealed(ctx, shard); err != nil {
			return fmt.Errorf("seal index shard %d: %w", shard, err)
		}
	}
	return nil
}

func (s *Engine) sealShard(ctx context.Context, shard int, rate int64) error {
	pace, octets := kv.Pace{Rate: rate}, int64(0)
	for next := []byte{}; next != nil; {
		if err := pace.Spend(ctx, octets); err != nil {
			return err
		}
		stale, after, n, err := s.stale(ctx, shard, next)
		octets = n
		if err == nil && stale {
			err = s.sealSome(ctx, shard, next, after)
		}
		if err != nil {
			return err
		}
		next = after
	}
	return nil
}

// stale looks whether anything from lo on wants to be sealed; after is where the
// next look starts, nil at the end.
func (s *Engine) stale(ctx context.Context, shard int, lo []byte) (stale bool, after []byte, octets int64, err error) {
	err = s.Engine.View(ctx, shard, func(r kv.Reader) error {
		n := 0
		for k, v := range r.Range(lo, nil, kv.Options{Limit: sealAtOnce}) {
			octets += int64(len(k) + len(v))
			stale = stale || keyOf(k, v) != s.keys.Current()
			if n++; n == sealAtOnce || octets >= kv.MaxTxBytes/4 {
				after = append(bytes.Clone(k), 0)
				break
			}
		}
		return nil
	})
	return stale, after, octets, err
}

// sealSome seals lo <= key < hi.
func (s *Engine) sealSome(ctx context.Context, shard int, lo, hi []byte) error {
	return s.Engine.Update(ctx, shard, func(inner kv.Tx) error {
		t := tx{reader: reader{s: s, ring: s.shards[shard], shard: shard, inner: inner}, out: inner}
		var found []entry
		for k, v := range inner.Range(lo, hi, kv.Options{}) {
			if bytes.Equal(k, ringKey) || keyOf(k, v) == s.keys.Current() {
				continue
			}
			key, value, err := t.open(k, v)
			if err != nil {
				return err
			}
			found = append(found, entry{bytes.Clone(key), bytes.Clone(value)})
		}
		for _, e := range found {
			t.put(e.key, e.value)
		}
		return t.failed(nil)
	})
}

// sealed writes down that everything is.
func (s *Engine) sealed(ctx context.Context, shard int) error {
	err := s.Engine.Update(ctx, shard, func(tx kv.Tx) error {
		secret, _, err := openRing(s.keys, shard, tx.Get(ringKey))
		if err != nil {
			return err
		}
		tx.Put(ringKey, s.keys.Wrap([]byte{ringVersion, stateSealed}, secret, ringBound(shard, stateSealed)))
		return nil
	})
	if err == nil {
		s.shards[shard].mixed.Store(false)
	}
	return err
}
