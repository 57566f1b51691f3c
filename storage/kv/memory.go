package kv

import (
	"bytes"
	"context"
	"errors"
	"sync"
)

// Memory is an engine that remembers some of its keys, so that [Memory.Get] of
// one that was asked for before needs no transaction.
//
// It cannot be told wrong, since every change goes through its Update: before a
// transaction that has written a remembered key can commit, the key is forgotten,
// and it stays unknown until that Update has ended. What a Get read meanwhile, or
// before, is not kept.
type Memory struct {
	Engine
	keep   keep
	shards []memory
}

// keep says which keys are remembered. It looks at their first head octets.
type keep struct {
	head int
	of   func(key []byte) bool
}

var _ Engine = (*Memory)(nil)

// Bounds of what is remembered.
const (
	maxRemembered = 8192 // keys of one shard
	maxRecall     = 1024 // octets of key and value
)

// Remember puts a memory around e, for the keys that of chooses by their first
// head octets: short ones that are read often, one by one. From then on nobody
// may change what they say but through it.
func Remember(e Engine, head int, of func(key []byte) bool) *Memory {
	m := &Memory{Engine: e, keep: keep{head, of}, shards: make([]memory, e.Shards())}
	for i := range m.shards {
		m.shards[i] = memory{values: make(map[string][]byte), changing: make(map[string]*change)}
	}
	return m
}

// memory is what is remembered of one shard.
type memory struct {
	mu       sync.RWMutex       // guards all below
	values   map[string][]byte  // nil: the key is absent
	changing map[string]*change // keys that Updates have written which have not ended
	sweeping int                // Updates that have deleted ranges and have not ended
	events   uint64             // Updates that came to their commit, or ended; and recoveries
	failures uint64             // Updates that the engine could not write
	doubtful bool               // none has been written since: it may take back what snapshots show
}

// change is of one key.
type change struct {
	writers int  // Updates that have not ended
	asked   bool // its value was remembered
	shared  bool // several Updates wrote it at once: nobody knows here which was the last
}

// Get hands the value of a key to fn (nil: it is absent) as a View would show it
// now. fn is short, asks nothing of the engine, and keeps no part of the value:
// as long as it runs no Update of this key ends, and none has ended since the
// value was read.
func (m *Memory) Get(ctx context.Context, shard int, key []byte, fn func(value []byte) error) error {
	mem := &m.shards[shard]
	for {
		known, since, err := mem.recall(key, fn)
		if known {
			return err
		}
		var value []byte
		err = m.View(ctx, shard, func(r Reader) error {
			value = bytes.Clone(r.Get(key))
			return nil
		})
		if err != nil {
			return err
		}
		if still, err := mem.learn(key, value, since, m.keep.of(key), fn); still {
			return err
		}
	}
}

// recall runs fn where the key is remembered.
func (mem *memory) recall(key []byte, fn func([]byte) error) (known bool, since uint64, err error) {
	mem.mu.RLock()
	defer mem.mu.RUnlock()
	value, known := mem.values[string(key)]
	if known {
		err = fn(value)
	}
	return known, mem.events, err
}

// learn runs fn, and remembers the value where it may, unless something happened
// since it was read.
func (mem *memory) learn(key, value []byte, since uint64, keep bool, fn func([]byte) error) (still bool, err error) {
	mem.mu.Lock()
	defer mem.mu.Unlock()
	if mem.events != since {
		return false, nil
	}
	if keep && mem.changing[string(key)] == nil {
		mem.put(string(key), value)
	}
	return true, fn(value)
}

// put remembers a value; mu is held.
func (mem *memory) put(key string, value []byte) {
	if mem.sweeping > 0 || mem.doubtful || len(key)+len(value) > maxRecall {
		return
	}
	for old := range mem.values {
		if len(mem.values) < maxRemembered {
			break
		}
		delete(mem.values, old)
	}
	mem.values[key] = value
}

// Update runs fn as one of the engine does.
func (m *Memory) Update(ctx context.Context, shard int, fn func(Tx) error) error {
	u := &noted{memory: &m.shards[shard], keep: m.keep}
	u.begin()
	err := m.Engine.Update(ctx, shard, func(tx Tx) error {
		u.Tx, u.wrote, u.swept = tx, nil, false
		if err := fn(u); err != nil {
			return err
		}
		u.announce()
		return nil
	})
	u.end(err)
	return err
}

// noted is the transaction of one Update.
type noted struct {
	Tx
	memory    *memory
	keep      keep
	failures  uint64            // when it began
	wrote     map[string][]byte // by this run of its function; nil: deleted
	swept     bool
	announced map[string]bool // by any run
	sweeps    bool
}

func (u *noted) Put(key, value []byte) {
	u.Tx.Put(key, value)
	if u.keep.of(key) {
		u.note(key, append([]byte{}, value...))
	}
}

func (u *noted) Delete(key []byte) {
	u.Tx.Delete(key)
	if u.keep.of(key) {
		u.note(key, nil)
	}
}

func (u *noted) note(key, value []byte) {
	if u.wrote == nil {
		u.wrote = make(map[string][]byte)
	}
	u.wrote[string(key)] = value
}

// DeleteRange may meet remembered keys and those that are about to be, unless it
// stays among others.
func (u *noted) DeleteRange(lo, hi []byte) {
	u.Tx.DeleteRange(lo, hi)
	n := u.keep.head
	among := len(lo) >= n && len(hi) >= n && bytes.Equal(lo[:n], hi[:n])
	u.swept = u.swept || !among || u.keep.of(lo)
}

func (u *noted) begin() {
	u.memory.mu.RLock()
	defer u.memory.mu.RUnlock()
	u.failures = u.memory.failures
}

// announce forgets what the transaction has written, before it can commit.
func (u *noted) announce() {
	if len(u.wrote) == 0 && !u.swept {
		return
	}
	mem := u.memory
	mem.mu.Lock()
	defer mem.mu.Unlock()
	mem.events++
	if u.swept {
		if clear(mem.values); !u.sweeps {
			mem.sweeping, u.sweeps = mem.sweeping+1, true
		}
		for _, c := range mem.changing {
			c.shared = true
		}
	}
	for key := range u.wrote {
		_, asked := mem.values[key]
		delete(mem.values, key)
		if u.announced[key] {
			continue
		}
		c := mem.changing[key]
		if c == nil {
			c = &change{asked: asked, shared: mem.sweeping > 0}
			mem.changing[key] = c
		}
		c.shared = c.shared || c.writers > 0
		c.writers++
		if u.announced == nil {
			u.announced = make(map[string]bool, len(u.wrote))
		}
		u.announced[key] = true
	}
}

// end lets the keys be remembered again: with what was written now, where it was
// remembered before and nobody else wrote it meanwhile.
func (u *noted) end(err error) {
	failed := errors.Is(err, ErrFailed)
	mem := u.memory
	mem.mu.Lock()
	defer mem.mu.Unlock()
	switch {
	case failed:
		mem.failures++
		mem.doubtful = true
		clear(mem.values)
	case err == nil && mem.doubtful && mem.failures == u.failures:
		mem.doubtful = false // the engine has recovered: it was written after the last failure
		mem.events++         // snapshots of before may show what was taken back
	}
	if u.sweeps {
		mem.sweeping--
	}
	if u.sweeps || failed || len(u.announced) > 0 {
		mem.events++
	}
	for key := range u.announced {
		c := mem.changing[key]
		if c.writers--; c.writers > 0 {
			continue
		}
		delete(mem.changing, key)
		if value, wrote := u.wrote[key]; err == nil && wrote && c.asked && !c.shared {
			mem.put(key, value)
		}
	}
}
