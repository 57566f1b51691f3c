package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Rename gives a mailbox and all below it another name, and makes missing
// parents. A name that only others lie below (\NonExistent) is renamed with them.
// Renaming INBOX moves its messages into a new mailbox and leaves it
// empty; what lies below it stays (RFC 9051 §6.3.6), and both have its annotations
// then (RFC 5464 §4.1). Nothing of a message
// changes, its demand least of all; UIDVALIDITY grows where the name had one
// that was as great, with another mailbox. [ErrNotFound], [ErrExists],
// [ErrBadName], and [ErrLimit] where there is no room for the parents.
func (a *Account) Rename(ctx context.Context, from, to string) error {
	from, err := cleanName(from)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if to, err = cleanName(to); err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(to, from+"/") && from != inbox:
		return fmt.Errorf("%s lies below %s: %w", to, from, ErrBadName)
	case from == inbox:
		return a.renameInbox(ctx, to)
	}
	return a.change(ctx, func(t *txn, c *account) error { return t.rename(a.id, c, from, to) })
}

func (a *Account) renameInbox(ctx context.Context, to string) error {
	if _, err := a.CreateForInbox(ctx, to); err != nil {
		return err
	}
	for {
		v, err := a.View(ctx, inboxID)
		if err != nil || v.Len() == 0 {
			return err
		}
		uids := make([]UID, 0, min(v.Len(), moveStep))
		for _, e := range v.All(0, min(v.Len(), moveStep)) {
			uids = append(uids, e.UID)
		}
		if _, err := a.Move(ctx, inboxID, uids, to); err != nil {
			return err
		}
	}
}

func (t *txn) rename(a AccountID, c *account, from, to string) error {
	boxes, err := allBoxes(t.tx, a)
	if err != nil {
		return err
	}
	names := make(map[string]MailboxID, len(boxes))
	for _, b := range boxes {
		names[b.Name] = b.ID
	}
	moved := make(map[MailboxID]string)
	for name, id := range names {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || rest[0] == '/') {
			if moved[id], err = cleanName(to + rest); err != nil {
				return err
			}
		}
	}
	switch {
	case len(moved) == 0:
		return fmt.Errorf("mailbox %s: %w", from, ErrNotFound)
	case names[from] == 0 && names[to] != 0:
		return fmt.Errorf("mailbox %s: %w", to, ErrExists)
	}
	for id, name := range moved {
		if other, ok := names[name]; ok && (moved[other] == "" || other == id) {
			return fmt.Errorf("mailbox %s: %w", name, ErrExists)
		}
	}
	above := slices.DeleteFunc(parents(to), func(p string) bool { return names[p] != 0 })
	if len(above) > 0 && len(boxes)+len(above) > MaxMailboxes {
		return errManyBoxes
	}
	for _, p := range above {
		t.create(a, c, p, "")
	}
	return t.renameAll(a, c, moved)
}

func (t *txn) renameAll(a AccountID, c *account, moved map[MailboxID]string) error {
	opened := make(map[*openBox]string, len(moved))
	for id, name := range moved {
		b, err := t.box(a, id)
		if err != nil {
			return err
		}
		opened[b] = name
		t.former(c, b)
		t.tx.Delete(namedKey(a, keyName, b.Name))
	}
	c.lists = c.stir()
	for b, name := range opened {
		if err := t.outgrow(c, b, name); err != nil {
			return err
		}
		b.Name, b.turn = name, c.lists
		t.name(a, name, b.ID)
	}
	return nil
}
