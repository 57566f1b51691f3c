package storage

import (
	"context"

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

// CheckQuota says whether need more would fit: [ErrOverQuota].
func (a *Account) CheckQuota(ctx context.Context, need Usage) error {
	return a.read(ctx, func(r kv.Reader) error {
		c, err := getAccount(r, a.id)
		if c == nil || err != nil {
			return err
		}
		return c.room(need)
	})
}
