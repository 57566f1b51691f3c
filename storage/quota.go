package storage

import (
	"context"
	"errors"

	"letterlock/storage/kv"
)

// Usage is what the account holds, for quota; as a limit, zero is none.
type Usage struct {
	Bytes    uint64
	Messages uint64
}

// Usage is what the account holds now.
func (a *Account) Usage(ctx context.Context) (u Usage, err error) {
	err = a.read(ctx, func(r kv.Reader) error {
		c, err := getAccount(r, a.id)
		if c != nil {
			u = Usage{c.bytes, c.messages}
		}
		return err
	})
	return u, err
}

// SetLimits sets what the account may hold; zero is no limit.
func (a *Account) SetLimits(ctx context.Context, limits Usage) error {
	return a.change(ctx, func(_ *txn, c *account) error {
		c.limits = limits
		return nil
	})
}

// Limits is what the account may hold; zero is no limit.
func (a *Account) Limits(ctx context.Context) (u Usage, err error) {
	err = a.read(ctx, func(r kv.Reader) error {
		c, err := getAccount(r, a.id)
		if c != nil {
			u = c.limits
		}
		return err
	})
	return u, err
}

// CheckQuota says whether need more would fit: [ErrOverQuota]. What is on its
// way into the index counts.
func (a *Account) CheckQuota(ctx context.Context, need Usage) error {
	held, err := a.reserve(ctx, need)
	a.store.shardOf(a.id).release(a.id, held)
	if isNotFound(err) { // one that nobody has used yet has no quota
		return nil
	}
	return err
}

// reserve takes need of the quota until it is released; [ErrNotFound] where there
// is no such account.
func (a *Account) reserve(ctx context.Context, need Usage) (held Usage, err error) {
	held, err = a.tryReserve(ctx, need)
	if !errors.Is(err, ErrOverQuota) {
		return held, err
	}
	// What was applied this moment may have counted twice.
	if err := a.store.shardOf(a.id).seen(ctx, a.id); err != nil {
		return held, err
	}
	return a.tryReserve(ctx, need)
}

// tryReserve never lets through too much: what is applied is released after the
// Update that has counted it ended, and none ends between the look at the record
// and at what is on its way.
func (a *Account) tryReserve(ctx context.Context, need Usage) (held Usage, err error) {
	sh := a.store.shardOf(a.id)
	absent := false
	err = a.store.index.Get(ctx, sh.number, accountKey(a.id), func(v []byte) error {
		c, known, err := openCounts(v)
		if err != nil {
			return err
		}
		if absent = !known; absent || c.removed {
			return ErrNotFound
		}
		held, err = sh.reserve(a.id, &c, need)
		return err
	})
	if absent && isNotFound(err) { // of one that is damaged nobody may be told that it is not there
		err = a.store.index.View(ctx, sh.number, func(r kv.Reader) error { return orElse(headless(r, a.id), ErrNotFound) })
	}
	return held, err
}

// inFlight is what the recipients of a record took of their quotas, by their
// place in it. Of those who have none there is nothing.
type inFlight map[int]Usage

// reserve takes need of the quota of an account that has one, beside what others
// took that are not in the index yet: [ErrOverQuota].
func (sh *shard) reserve(a AccountID, c *account, need Usage) (held Usage, err error) {
	if c.limits == (Usage{}) {
		return held, nil
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sum := sh.held[a]
	sum.Bytes, sum.Messages = sum.Bytes+need.Bytes, sum.Messages+need.Messages
	if err := c.room(sum); err != nil {
		return held, err
	}
	sh.held[a] = sum
	return need, nil
}

func (sh *shard) release(a AccountID, held Usage) {
	if held == (Usage{}) {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.give(a, held)
}

// give is release for those who hold mu.
func (sh *shard) give(a AccountID, held Usage) {
	sum := sh.held[a]
	sum.Bytes, sum.Messages = sum.Bytes-held.Bytes, sum.Messages-held.Messages
	if sh.held[a] = sum; sum == (Usage{}) {
		delete(sh.held, a)
	}
}

// room says whether need fits under the limits.
func (c *account) room(need Usage) error {
	switch {
	case c.limits.Bytes != 0 && c.bytes+need.Bytes > c.limits.Bytes,
		c.limits.Messages != 0 && c.messages+need.Messages > c.limits.Messages:
		return ErrOverQuota
	}
	return nil
}
