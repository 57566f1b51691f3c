package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"letterlock/storage/kv"
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

// maxMailboxes is how many mailboxes one account can have: renaming all of
// them fits into one transaction.
const maxMailboxes = 1000

// change runs fn as one durable change of the account. Whatever was
// acknowledged before is there.
func (a *Account) change(ctx context.Context, fn func(*txn, *account) error) error {
	sh := a.store.shardOf(a.id)
	if err := sh.seen(ctx, a.id); err != nil {
		return err
	}
	return a.store.update(ctx, sh, func(tx kv.Tx) error {
		t := newTxn(tx, a.store.opt.Now())
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

// read runs fn on a snapshot that shows whatever was acknowledged before.
func (a *Account) read(ctx context.Context, fn func(kv.Reader) error) error {
	sh := a.store.shardOf(a.id)
	if err := sh.seen(ctx, a.id); err != nil {
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

// Mailbox finds one by name: [ErrNotFound].
func (a *Account) Mailbox(ctx context.Context, name string) (m Mailbox, err error) {
	name, err = cleanName(name)
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	found := false
	err = a.read(ctx, func(r kv.Reader) error {
		b, err := findBox(r, a.id, name)
		if b != nil {
			m, found = b.public(r, a.id), true
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
	return a.change(ctx, func(t *txn, _ *account) error {
		names, err := subscriptions(t.tx, a.id)
		if err != nil {
			return err
		}
		if len(names) >= 2*maxMailboxes && !slices.Contains(names, name) {
			return fmt.Errorf("more than %d subscriptions: %w", 2*maxMailboxes, ErrLimit)
		}
		t.subscribe(a.id, name)
		return nil
	})
}

// Unsubscribe takes a name out; one that is not there is no error.
func (a *Account) Unsubscribe(ctx context.Context, name string) error {
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	return a.change(ctx, func(t *txn, _ *account) error {
		t.tx.Delete(namedKey(a.id, keySubscribe, name))
		return nil
	})
}

// Create makes a mailbox and its missing parents: [ErrExists], [ErrBadName],
// [ErrLimit].
func (a *Account) Create(ctx context.Context, name, specialUse string) (m Mailbox, err error) {
	name, err = cleanName(name)
	if err != nil {
		return m, err
	}
	err = a.change(ctx, func(t *txn, _ *account) error {
		if b, err := t.find(a.id, name); b != nil || err != nil {
			return orElse(err, fmt.Errorf("mailbox %s: %w", name, ErrExists))
		}
		b, err := t.createPath(a.id, name, specialUse)
		if err == nil {
			m = b.public(t.tx, a.id)
		}
		return err
	})
	return m, err
}

// orElse is err, or other where err is nil.
func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// createPath makes a mailbox that is not there, and its parents.
func (t *txn) createPath(a AccountID, name, use string) (*openBox, error) {
	c, err := t.account(a)
	if err != nil {
		return nil, err
	}
	above := parents(name)
	if t.countBoxes(a)+len(above)+1 > maxMailboxes {
		return nil, fmt.Errorf("more than %d mailboxes: %w", maxMailboxes, ErrLimit)
	}
	for _, p := range above {
		b, err := t.find(a, p)
		if err != nil {
			return nil, err
		}
		if b == nil {
			t.create(a, c, p, "")
		}
	}
	return t.create(a, c, name, use), nil
}

func (t *txn) countBoxes(a AccountID) (n int) {
	lo := key(a, keyName)
	for range t.tx.Range(lo, kv.After(lo), kv.Options{}) {
		n++
	}
	return n
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
		p.column(3, func(_ int, n uint64) { dead.numbers = append(dead.numbers, n) })
	}
	dead.put(t.tx, b.id.account, b.ID, b.bump())
	c.bytes -= b.Size
	c.messages -= uint64(b.Messages)
	t.tx.DeleteRange(lo, kv.After(lo))
	vanished := keyUint32(b.id.account, keyVanished, uint32(b.ID))
	t.tx.DeleteRange(vanished, kv.After(vanished))
	t.tx.Delete(boxKey(b.id.account, b.ID))
	t.tx.Delete(namedKey(b.id.account, keyName, b.Name))
	t.tx.Notify(boxKey(b.id.account, b.ID))
	b.gone = true
	return nil
}

// Rename gives a mailbox and all below it another name, and makes missing
// parents. Renaming INBOX moves its messages into a new mailbox and leaves it
// empty; what lies below it stays (RFC 9051 §6.3.6). Nothing of a message
// changes, its demand least of all.
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
	if _, err := a.Create(ctx, to, ""); err != nil {
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
	if _, ok := names[from]; !ok {
		return fmt.Errorf("mailbox %s: %w", from, ErrNotFound)
	}
	moved := make(map[MailboxID]string)
	for name, id := range names {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || rest[0] == '/') {
			if moved[id], err = cleanName(to + rest); err != nil {
				return err
			}
		}
	}
	for id, name := range moved {
		if other, ok := names[name]; ok && (moved[other] == "" || other == id) {
			return fmt.Errorf("mailbox %s: %w", name, ErrExists)
		}
	}
	for _, p := range parents(to) {
		if _, ok := names[p]; !ok {
			t.create(a, c, p, "")
		}
	}
	return t.renameAll(a, moved)
}

func (t *txn) renameAll(a AccountID, moved map[MailboxID]string) error {
	opened := make(map[*openBox]string, len(moved))
	for id, name := range moved {
		b, err := t.box(a, id)
		if err != nil {
			return err
		}
		opened[b] = name
		t.tx.Delete(namedKey(a, keyName, b.Name))
	}
	for b, name := range opened {
		b.Name = name
		t.name(a, name, b.ID)
	}
	return nil
}

// ClaimRecent answers the first UID no read-write session has been told of
// (RFC 3501 §2.3.2, \Recent) and, if claim, moves the mark to UIDNEXT.
func (a *Account) ClaimRecent(ctx context.Context, id MailboxID, claim bool) (first UID, err error) {
	var next UID
	err = a.read(ctx, func(r kv.Reader) error {
		b, err := getBox(r, a.id, id)
		if b == nil || err != nil {
			return orElse(err, absentBox(id))
		}
		first, next = b.recent, b.UIDNext
		return nil
	})
	if err != nil || !claim || first == next {
		return first, err
	}
	err = a.change(ctx, func(t *txn, _ *account) error {
		b, err := t.mustBox(a.id, id)
		if err == nil {
			first, b.recent = b.recent, b.UIDNext
		}
		return err
	})
	return first, err
}

func absentBox(id MailboxID) error { return fmt.Errorf("mailbox %d: %w", id, ErrNotFound) }

func (t *txn) mustBox(a AccountID, id MailboxID) (*openBox, error) {
	b, err := t.box(a, id)
	if b == nil && err == nil {
		err = absentBox(id)
	}
	return b, err
}

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
