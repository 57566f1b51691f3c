package storage

import (
	"context"
	"fmt"
	"slices"

	"letterlock/storage/kv"
)

// Subscriptions lists subscribed names, which may name no mailbox.
func (a *Account) Subscriptions(ctx context.Context) (names []string, err error) {
	if _, err := a.Mailbox(ctx, inbox); err != nil { // the default folders are subscribed
		return nil, err
	}
	err = a.read(ctx, func(r kv.Reader) error {
		names, err = subscriptions(r, a.id)
		return err
	})
	slices.Sort(names)
	return names, err
}

func subscriptions(r kv.Reader, a AccountID) (names []string, err error) {
	lo := key(a, keySubscribe)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		name, err := open(v)
		if err != nil {
			return nil, fmt.Errorf("key %x: %w", k, err)
		}
		names = append(names, string(name))
	}
	return names, nil
}

// Subscribe adds a name to the subscriptions; no mailbox need have it
// (RFC 9051 §6.3.7). There can be twice as many as mailboxes: [ErrLimit].
func (a *Account) Subscribe(ctx context.Context, name string) error {
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	return a.change(ctx, func(t *txn, c *account) error { return t.addSubscription(a.id, c, name) })
}

func (t *txn) addSubscription(a AccountID, c *account, name string) error {
	names, err := subscriptions(t.tx, a)
	if err != nil {
		return err
	}
	if len(names) >= 2*MaxMailboxes && !slices.Contains(names, name) {
		return fmt.Errorf("more than %d subscriptions: %w", 2*MaxMailboxes, ErrLimit)
	}
	t.subscribe(a, name)
	c.subscriptions = c.stir()
	return nil
}

// Unsubscribe takes a name out; one that is not there is no error.
func (a *Account) Unsubscribe(ctx context.Context, name string) error {
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	return a.change(ctx, func(t *txn, c *account) error {
		t.tx.Delete(namedKey(a.id, keySubscribe, name))
		c.subscriptions = c.stir()
		return nil
	})
}
