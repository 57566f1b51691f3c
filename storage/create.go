package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"letterlock/storage/kv"
)

// Create makes a mailbox and its missing parents: [ErrExists], [ErrBadName],
// [ErrLimit].
func (a *Account) Create(ctx context.Context, name, specialUse string) (m Mailbox, err error) {
	return a.createAnd(ctx, name, specialUse, func(*txn, *account, *openBox) error { return nil })
}

// CreateForInbox is [Account.Create] of the mailbox that INBOX is renamed to: the
// annotations of INBOX are copied to it (RFC 5464 §4.1). [ErrAnnotationCount] where
// the account has no room for them.
func (a *Account) CreateForInbox(ctx context.Context, name string) (Mailbox, error) {
	return a.createAnd(ctx, name, "", func(t *txn, c *account, b *openBox) error { return t.copyNotes(c, inboxID, b) })
}

// createAnd makes a mailbox and does more with it in the same transaction.
func (a *Account) createAnd(ctx context.Context, name, use string, more func(*txn, *account, *openBox) error) (m Mailbox, err error) {
	name, err = cleanName(name)
	if err != nil {
		return m, err
	}
	err = a.change(ctx, func(t *txn, c *account) error {
		if b, err := t.find(a.id, name); b != nil || err != nil {
			return orElse(err, fmt.Errorf("mailbox %s: %w", name, ErrExists))
		}
		b, err := t.createPath(a.id, name, use)
		if err == nil {
			m = b.public(t.tx, a.id)
			err = more(t, c, b)
		}
		return err
	})
	return m, err
}

// createPath makes a mailbox that is not there, and its parents.
func (t *txn) createPath(a AccountID, name, use string) (*openBox, error) {
	c, err := t.account(a)
	if err != nil {
		return nil, err
	}
	fresh, err := missingParents(t.tx, a, name)
	if err != nil {
		return nil, err
	}
	if !hasRoom(t.tx, a, fresh) {
		return nil, errManyBoxes
	}
	for _, p := range fresh {
		t.create(a, c, p, "")
	}
	return t.create(a, c, name, use), nil
}

// boxesAtOnce is how many paths one transaction makes, of 32 levels each.
const boxesAtOnce = 32

// makeBoxes makes the mailboxes that an item files into ahead of it: all that it
// brings is more than one transaction writes.
func (sh *shard) makeBoxes(it *item) error {
	for _, p := range it.parts {
		rc := p.recipient()
		for some := range slices.Chunk(rc.Copies, boxesAtOnce) {
			err := sh.store.index.Update(context.Background(), sh.number, func(tx kv.Tx) error {
				t := newTxn(tx, sh.store)
				for i := range some {
					if _, err := t.target(AccountID(rc.Account), &some[i]); err != nil {
						return err
					}
				}
				t.finish()
				return nil
			})
			if err != nil && !isNotFound(err) { // a person who was removed meanwhile
				return err
			}
		}
	}
	return nil
}

var errManyBoxes = fmt.Errorf("more than %d mailboxes: %w", MaxMailboxes, ErrLimit)

// missingParents are the mailboxes above a name that are not there.
func missingParents(r kv.Reader, a AccountID, name string) (fresh []string, err error) {
	for _, p := range parents(name) {
		f, err := fields(r, namedKey(a, keyName, p))
		if err != nil {
			return nil, err
		}
		if f == nil {
			fresh = append(fresh, p)
		}
	}
	return fresh, nil
}

// hasRoom says whether an account can have another mailbox, with these above it.
func hasRoom(r kv.Reader, a AccountID, parents []string) bool {
	n := len(parents) + 1
	lo := key(a, keyName)
	for range r.Range(lo, kv.After(lo), kv.Options{}) {
		n++
	}
	return n <= MaxMailboxes
}

// Delete removes a mailbox and its messages. Children stay: the name then lists
// as \NonExistent (RFC 9051 §6.3.5). INBOX cannot go: [ErrBadName].
func (a *Account) Delete(ctx context.Context, name string) error {
	return a.DeleteUnless(ctx, name, func(Mailbox) error { return nil })
}

// DeleteUnless is [Account.Delete] for those who may object: refuse is shown
// the mailbox as it is when it would go, within the transaction, and what it
// answers is the answer; the mailbox stays. It may be called more than once.
func (a *Account) DeleteUnless(ctx context.Context, name string, refuse func(Mailbox) error) error {
	name, err := cleanName(name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if name == inbox {
		return fmt.Errorf("INBOX cannot be deleted: %w", ErrBadName)
	}
	err = a.change(ctx, func(t *txn, c *account) error {
		b, err := t.find(a.id, name)
		if err != nil {
			return err
		}
		if b == nil {
			return a.absent(t, name)
		}
		if err := refuse(b.public(t.tx, a.id)); err != nil {
			return err
		}
		return t.drop(c, b)
	})
	a.store.reaper.wake()
	return err
}

// absent says why a name cannot be deleted: nothing has it, or only children.
func (a *Account) absent(t *txn, name string) error {
	boxes, err := allBoxes(t.tx, a.id)
	for _, b := range boxes {
		if strings.HasPrefix(b.Name, name+"/") {
			return fmt.Errorf("mailbox %s: %w", name, ErrHasChildren)
		}
	}
	return orElse(err, fmt.Errorf("mailbox %s: %w", name, ErrNotFound))
}

// drop deletes a mailbox; its messages become dead where no other mailbox has
// them.
func (t *txn) drop(c *account, b *openBox) error {
	t.settleTail(b)
	var dead deadList
	lo := blocksKey(b.id.account, b.ID)
	for _, v := range t.tx.Range(lo, kv.After(lo), kv.Options{}) {
		p, err := openBlock(v)
		if err != nil {
			return err
		}
		dead.numbers = append(dead.numbers, p.column(3, nil)...)
	}
	dead.putOf(t.tx, b)
	c.bytes -= b.Size
	c.messages -= uint64(b.Messages)
	t.tx.DeleteRange(lo, kv.After(lo))
	vanished := keyUint32(b.id.account, keyVanished, uint32(b.ID))
	t.tx.DeleteRange(vanished, kv.After(vanished))
	t.former(c, b)
	notes := notesKey(b.id.account, b.ID)
	t.tx.DeleteRange(notes, kv.After(notes))
	t.tx.Delete(boxKey(b.id.account, b.ID))
	t.tx.Delete(namedKey(b.id.account, keyName, b.Name))
	t.tx.Notify(boxKey(b.id.account, b.ID))
	b.gone, c.lists = true, c.stir()
	return nil
}
