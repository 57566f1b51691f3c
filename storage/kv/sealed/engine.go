package sealed

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"sync"
	"sync/atomic"

	"letterlock/storage/kv"
	"letterlock/storage/seal"
)

// Slack is how many octets longer a stored value may be than what it says: what
// the engine below has to allow beyond kv's bounds.
const Slack = len(marker) + seal.Overhead + tailSize + kv.MaxKey

// Hide says how many leading octets of a key stay in clear; 0, or its length
// and more: all of them. It looks at those octets alone, since it is asked about
// keys in both forms, and it never changes for a key that may be in use. A
// hidden key must have room for 32 octets of hash: [kv.MaxKey].
type Hide func(key []byte) int

// Engine is a [kv.Engine] over another.
type Engine struct {
	kv.Engine
	keys   *seal.Keys
	hide   Hide
	shards []*ring // none: nothing is sealed, and nothing will be
}

var _ kv.Engine = (*Engine)(nil)

// ring is what one shard's sealing rests on. It lies in the shard, wrapped.
type ring struct {
	hashes sync.Pool   // of hash.Hash under the shard's own secret
	mixed  atomic.Bool // what is in clear is believed: not all is sealed yet
}

// New puts sealing around e. Without keys an index in clear stays so, and a
// sealed one is refused: seal.ErrNoKey. hide may be nil: no key shows a name.
func New(e kv.Engine, keys *seal.Keys, hide Hide) (*Engine, error) {
	if hide == nil {
		hide = func([]byte) int { return 0 }
	}
	s := &Engine{Engine: e, keys: keys, hide: hide}
	for shard := range e.Shards() {
		if err := s.join(shard); err != nil {
			return nil, fmt.Errorf("index shard %d: %w", shard, err)
		}
	}
	return s, nil
}

// ringKey is behind all keys of whoever uses the engine.
var ringKey = []byte("\xff\xff\xff\xff\xff\xff\xff\xffsealed")

// A ring's value: version 1, whether all is sealed, the wrapped secret.
const (
	ringVersion = 1
	stateMixed  = 0
	stateSealed = 1
)

// join reads the ring of a shard, or makes one.
func (s *Engine) join(shard int) error {
	var value []byte
	empty := false
	ctx := context.Background()
	err := s.Engine.View(ctx, shard, func(r kv.Reader) error {
		value = append([]byte(nil), r.Get(ringKey)...)
		empty = true
		for range r.Range(nil, nil, kv.Options{Limit: 1}) {
			empty = false
		}
		return nil
	})
	if err != nil || value == nil && !s.keys.Sealing() {
		return err
	}
	secret, state := make([]byte, sha256.Size), byte(stateMixed)
	if value == nil {
		_, _ = rand.Read(secret) // never fails (crypto/rand)
		if empty {
			state = stateSealed
		}
	} else if secret, state, err = openRing(s.keys, shard, value); err != nil {
		return err
	}
	g := &ring{hashes: sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}}
	g.mixed.Store(state == stateMixed)
	s.shards = append(s.shards, g)
	if value != nil && seal.ID(value[2:]) == s.keys.Current() {
		return nil
	}
	return s.Engine.Update(ctx, shard, func(tx kv.Tx) error {
		tx.Put(ringKey, s.keys.Wrap([]byte{ringVersion, state}, secret, ringBound(shard, state)))
		return nil
	})
}

func openRing(keys *seal.Keys, shard int, value []byte) (secret []byte, state byte, err error) {
	if len(value) < 2+seal.Overhead || value[0] != ringVersion {
		return nil, 0, fmt.Errorf("its own key: %w", seal.ErrDamaged)
	}
	if secret, err = keys.Unwrap(nil, value[2:], ringBound(shard, value[1])); err != nil {
		return nil, 0, fmt.Errorf("its own key: %w", err)
	}
	return secret, value[1], nil
}

func ringBound(shard int, state byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte("letterlock index ring"), uint16(shard)), state)
}

// Sealed says whether everything in the index is sealed, and nothing in clear
// believed.
func (s *Engine) Sealed() bool {
	for _, g := range s.shards {
		if g.mixed.Load() {
			return false
		}
	}
	return len(s.shards) > 0
}

// View runs fn on a snapshot of one shard. A value that does not open fails it,
// whatever fn says.
func (s *Engine) View(ctx context.Context, shard int, fn func(kv.Reader) error) error {
	if len(s.shards) == 0 {
		return s.Engine.View(ctx, shard, fn)
	}
	return s.Engine.View(ctx, shard, func(inner kv.Reader) error {
		r := reader{s: s, ring: s.shards[shard], shard: shard, inner: inner}
		return r.failed(fn(&r))
	})
}

// Update runs fn in a transaction of one shard, within the bounds of kv as they
// are without sealing.
func (s *Engine) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	if len(s.shards) == 0 {
		return s.Engine.Update(ctx, shard, func(inner kv.Tx) error {
			t := bounded{Tx: inner}
			return t.failed(fn(&t))
		})
	}
	return s.Engine.Update(ctx, shard, func(inner kv.Tx) error {
		t := tx{reader: reader{s: s, ring: s.shards[shard], shard: shard, inner: inner}, out: inner}
		err := fn(&t)
		if err == nil {
			err = t.tally.Err()
		}
		return t.failed(err)
	})
}

// bounded keeps the bounds of kv where nothing is sealed and the engine below
// allows more.
type bounded struct {
	kv.Tx
	tally kv.Tally
}

func (t *bounded) Put(key, value []byte) {
	if t.tally.Count(key, value) {
		t.Tx.Put(key, value)
	}
}

func (t *bounded) Delete(key []byte) {
	if t.tally.Count(key, nil) {
		t.Tx.Delete(key)
	}
}

func (t *bounded) DeleteRange(lo, hi []byte) {
	if t.tally.Count(lo, nil) {
		t.Tx.DeleteRange(lo, hi)
	}
}

func (t *bounded) failed(err error) error {
	if err != nil {
		return err
	}
	return t.tally.Err()
}

// errClear says that something lies in clear where all was sealed.
var errClear = errors.New("in clear, in an index that is sealed")

// conceal is a key as it is stored, and whether it is a hidden one.
func (r *reader) conceal(key []byte) (physical []byte, hidden bool) {
	n := r.s.hide(key)
	if n <= 0 || n >= len(key) {
		return key, false
	}
	h := r.ring.hashes.Get().(hash.Hash)
	defer r.ring.hashes.Put(h)
	h.Reset()
	h.Write(key)
	return h.Sum(append(make([]byte, 0, n+sha256.Size), key[:n]...)), true
}
