package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"letterlock/storage/kv"
)

// Turn counts the changes of one account, as long as the store is open; its
// zero is before everything.
type Turn uint64

// Moved is what became different in an account after a turn (RFC 5465 §5).
type Moved struct {
	Turn          Turn        // to ask with the next time
	Mailboxes     []Mailbox   // new ones, and those of which messages, flags, annotations, counters or the name changed; by name
	Lists         bool        // mailboxes were made, deleted or renamed
	Subscriptions bool        // names were subscribed or taken out
	Annotated     []MailboxID // whose annotations changed; 0: the account's own
}

// Moved tells what changed after since. It reads the record of each mailbox and
// nothing of its messages, and it shows whatever was acknowledged before the
// call.
func (a *Account) Moved(ctx context.Context, since Turn) (m Moved, err error) {
	err = a.read(ctx, func(r kv.Reader) error {
		m = Moved{}
		c, err := getAccount(r, a.id)
		if c == nil || err != nil {
			return err
		}
		if c.removed {
			return fmt.Errorf("account %d: %w", a.id, ErrNotFound)
		}
		m.Turn = c.turn
		if c.turn == since {
			return nil
		}
		m.Lists, m.Subscriptions = c.lists > since, c.subscriptions > since
		if c.annotated > since {
			m.Annotated = append(m.Annotated, 0)
		}
		boxes, err := allBoxes(r, a.id)
		for _, b := range boxes {
			if b.turn > since || since == 0 {
				m.Mailboxes = append(m.Mailboxes, b.public(r, a.id))
			}
			if b.annotated > since {
				m.Annotated = append(m.Annotated, b.ID)
			}
		}
		return err
	})
	slices.SortFunc(m.Mailboxes, func(x, y Mailbox) int { return strings.Compare(x.Name, y.Name) })
	return m, err
}
