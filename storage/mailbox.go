package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// Account is a handle on one person's mail; it costs nothing to make.
type Account struct {
	store *Store
	id    AccountID
}

// Account is the handle of one account.
func (s *Store) Account(id AccountID) *Account { return &Account{s, id} }

// Mailbox is what LIST and STATUS tell.
type Mailbox struct {
	ID          MailboxID
	ObjectID    ObjectID
	Name        string // UTF-8, "/" between levels; INBOX is "INBOX"
	SpecialUse  string // `\Sent` and so on; empty nearly always
	Subscribed  bool
	UIDValidity uint32
	UIDNext     UID
	Highest     ModSeq
	Messages    uint32
	Unseen      uint32
	Deleted     uint32
	Size        uint64   // octets of all messages
	Required    uint32   // messages that carry REQUIRETLS
	Keywords    []string // in the order of their flag bits
}

// MaxMailboxes is how many mailboxes one account can have: renaming all of
// them fits into one transaction.
const MaxMailboxes = 1000

// change runs fn as one durable change of the account. Whatever was
// acknowledged before is there.
func (a *Account) change(ctx context.Context, fn func(*txn, *account) error) error {
	sh := a.store.shardOf(a.id)
	if err := sh.beginChange(ctx, a.id); err != nil {
		return err
	}
	defer sh.endChange(a.id)
	if err := sh.takes(a.id); err != nil { // not before: what it waited for may have stopped it
		return unavailable(err)
	}
	return a.store.update(ctx, sh, func(tx kv.Tx) error {
		t := newTxn(tx, a.store)
		c, err := t.account(a.id)
		if err != nil {
			return err
		}
		if err := fn(t, c); err != nil {
			return err
		}
		t.finish()
		return nil
	})
}

// read runs fn on a snapshot that shows whatever was acknowledged before, or, while
// the index fails, what it has; see [shard.shown].
func (a *Account) read(ctx context.Context, fn func(kv.Reader) error) error {
	sh := a.store.shardOf(a.id)
	if err := sh.shown(ctx, a.id); err != nil {
		return err
	}
	return a.store.index.View(ctx, sh.number, fn)
}

// Mailboxes lists all, by name. The first call for an account makes its default
// folders: INBOX, Drafts, Sent, Junk, Trash, Archive (all subscribed, with
// their special use).
func (a *Account) Mailboxes(ctx context.Context) (all []Mailbox, err error) {
	known := false
	list := func(r kv.Reader) error {
		c, err := getAccount(r, a.id)
		if c == nil || err != nil {
			return err
		}
		if known = true; c.removed {
			return fmt.Errorf("account %d: %w", a.id, ErrNotFound)
		}
		all, err = a.list(r)
		return err
	}
	if err := a.read(ctx, list); err != nil || known {
		return all, err
	}
	if err := a.change(ctx, func(*txn, *account) error { return nil }); err != nil {
		return nil, err
	}
	return all, a.read(ctx, list)
}

func (a *Account) list(r kv.Reader) ([]Mailbox, error) {
	boxes, err := allBoxes(r, a.id)
	if err != nil {
		return nil, err
	}
	all := make([]Mailbox, len(boxes))
	for i, b := range boxes {
		all[i] = b.public(r, a.id)
	}
	slices.SortFunc(all, func(x, y Mailbox) int { return strings.Compare(x.Name, y.Name) })
	return all, nil
}

// public adds whether the name is subscribed.
func (b *box) public(r kv.Reader, a AccountID) Mailbox {
	m := b.Mailbox
	m.Subscribed = r.Get(namedKey(a, keySubscribe, b.Name)) != nil
	return m
}

// Destination finds the mailbox that letters for a name are appended to:
// [ErrNotFound]. What is still on its way into the index it waits for only where
// that may bring the mailbox: nothing on its way takes one away.
func (a *Account) Destination(ctx context.Context, name string) (MailboxID, error) {
	id, _, err := a.destination(ctx, name)
	return id, err
}

// destination is Destination, with the clean name.
func (a *Account) destination(ctx context.Context, name string) (id MailboxID, clean string, err error) {
	if clean, err = cleanName(name); err != nil {
		return 0, "", fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if id, err = a.store.boxNamed(ctx, a.id, clean); id != 0 || err != nil {
		return id, clean, err
	}
	m, err := a.Mailbox(ctx, clean)
	return m.ID, m.Name, err
}

// Lands is the mailbox that a delivery files a copy in: the one that it names, as the
// name is kept, or INBOX where that is missing and not to be made, or cannot be. It
// waits as [Account.Destination] does.
func (a *Account) Lands(ctx context.Context, c mail.Copy) (name string, err error) {
	clean, err := cleanName(c.Mailbox)
	if err != nil || clean == inbox {
		return inbox, nil
	}
	if _, err = a.Destination(ctx, clean); !isNotFound(err) {
		return clean, err
	}
	if !c.Create {
		return inbox, nil
	}
	name = inbox
	err = a.read(ctx, func(r kv.Reader) error {
		fresh, err := missingParents(r, a.id, clean)
		if err == nil && hasRoom(r, a.id, fresh) {
			name = clean
		}
		return err
	})
	return name, err
}

// boxNamed is the mailbox that has a clean name in the index; 0: none.
func (s *Store) boxNamed(ctx context.Context, a AccountID, name string) (id MailboxID, err error) {
	err = s.index.Get(ctx, s.shardOf(a).number, namedKey(a, keyName, name), func(v []byte) (err error) {
		id, err = readNamed(v)
		return err
	})
	return id, err
}

// readNamed reads which mailbox has a name; 0: none.
func readNamed(v []byte) (MailboxID, error) {
	if v == nil {
		return 0, nil
	}
	v, err := open(v)
	if err != nil {
		return 0, fmt.Errorf("name of a mailbox: %w", err)
	}
	f := segment.ReadFields(v)
	return MailboxID(f.Uint()), f.Err()
}

// glance is a mailbox as it stands in the index, from memory where it was asked for
// before.
func (a *Account) glance(ctx context.Context, id MailboxID) (m Mailbox, found bool, err error) {
	shard := a.store.shardOf(a.id).number
	err = a.store.index.Get(ctx, shard, boxKey(a.id, id), func(v []byte) error {
		if v == nil {
			return nil
		}
		b, err := decodeBox(id, v)
		if err == nil {
			m, found = b.Mailbox, true
		}
		return err
	})
	if !found || err != nil {
		return m, found, err
	}
	err = a.store.index.Get(ctx, shard, namedKey(a.id, keySubscribe, m.Name), func(v []byte) error {
		m.Subscribed = v != nil
		return nil
	})
	return m, found, err
}

// Mailbox finds one by name: [ErrNotFound].
func (a *Account) Mailbox(ctx context.Context, name string) (m Mailbox, err error) {
	name, err = cleanName(name)
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err := a.store.shardOf(a.id).shown(ctx, a.id); err != nil {
		return m, err
	}
	found := false
	if id, err := a.store.boxNamed(ctx, a.id, name); err == nil && id != 0 {
		if m, found, err = a.glance(ctx, id); err == nil && found && m.Name == name {
			return m, nil
		}
	}
	err = a.read(ctx, func(r kv.Reader) error { // it is not there, or has moved meanwhile
		b, err := findBox(r, a.id, name)
		if found = b != nil; found {
			m = b.public(r, a.id)
		}
		return err
	})
	switch {
	case err != nil || found:
		return m, err
	case name == inbox: // perhaps the account is new
		return a.firstInbox(ctx)
	}
	return m, fmt.Errorf("mailbox %s: %w", name, ErrNotFound)
}

func (a *Account) firstInbox(ctx context.Context) (Mailbox, error) {
	all, err := a.Mailboxes(ctx)
	for _, m := range all {
		if m.ID == inboxID {
			return m, nil
		}
	}
	return Mailbox{}, err
}

// orElse is err, or other where err is nil.
func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func absentBox(id MailboxID) error { return fmt.Errorf("mailbox %d: %w", id, ErrNotFound) }

func (t *txn) mustBox(a AccountID, id MailboxID) (*openBox, error) {
	b, err := t.box(a, id)
	if b == nil && err == nil {
		err = absentBox(id)
	}
	return b, err
}
