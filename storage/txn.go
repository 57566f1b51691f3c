package storage

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// txn is one change of the index: it holds what it has read until [txn.finish]
// writes it, so that a thousand deliveries into one mailbox write its record
// once. It lives inside one run of an Update's function.
type txn struct {
	tx       kv.Tx
	now      time.Time
	claims   *claims // of the store
	accounts map[AccountID]*account
	boxes    map[boxID]*openBox
	shard    int    // of the account, for rows of the outbox
	nextOut  uint64 // 0: not read
	sends    bool   // rows of the outbox were added, or are due at another time

	key, value []byte // for what is put at once: a Put copies both
}

// number is keyUint64 in the transaction's own buffer, good until the next.
func (t *txn) number(a AccountID, letter byte, n uint64) []byte {
	t.key = appendUint64Key(t.key[:0], a, letter, n)
	return t.key
}

// header is newValue in the transaction's own buffer, good until the next.
func (t *txn) header() []byte { return slices.Grow(t.value[:0], valueHeader)[:valueHeader] }

// boxID names a mailbox in the store.
type boxID struct {
	account AccountID
	mailbox MailboxID
}

// openBox is a mailbox being changed.
type openBox struct {
	*box
	id     boxID
	gone   bool   // deleted in this transaction
	bumped bool   // Highest is this transaction's own
	anew   bool   // UIDValidity is
	tail   *block // the last block, when something was appended
	first  UID    // its key
	given  Flags  // keywords somebody asked for in this transaction

	carried Flags // of its messages, once it was looked for
	looked  bool

	vanishedParts, deadParts int // values that say what left it in this transaction
}

func newTxn(tx kv.Tx, s *Store) *txn {
	return &txn{tx: tx, now: s.opt.Now(), claims: &s.claims, accounts: make(map[AccountID]*account), boxes: make(map[boxID]*openBox)}
}

// random is a fresh object id: 64 bits that say nothing (RFC 8474 §3).
func random() ObjectID {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return ObjectID(binary.LittleEndian.Uint64(b[:]) | 1)
}

// account opens an account; one that was removed is [ErrNotFound]. One that is
// new gets its default folders.
func (t *txn) account(a AccountID) (*account, error) {
	if c := t.accounts[a]; c != nil {
		return c, nil
	}
	c, err := getAccount(t.tx, a)
	if err != nil {
		return nil, err
	}
	if c != nil && c.removed {
		return nil, fmt.Errorf("account %d: %w", a, ErrNotFound)
	}
	if c != nil {
		t.accounts[a] = c
		return c, nil
	}
	if err := headless(t.tx, a); err != nil { // its folders would be made anew, in the place of what it has
		return nil, err
	}
	return t.newAccount(a), nil
}

// headless is the damage of an account that has no record, and has other keys.
func headless(r kv.Reader, a AccountID) error {
	if a == systemAccount {
		return nil
	}
	lo := accountPrefix(a)
	for k := range r.Range(lo, kv.After(lo), kv.Options{Limit: 1}) {
		return fmt.Errorf("account %d has no record, and has key %x: %w", a, k, segment.ErrDamaged)
	}
	return nil
}

// newAccount makes an account with its default folders.
func (t *txn) newAccount(a AccountID) *account {
	c := &account{nextMailbox: inboxID, created: t.now}
	t.accounts[a] = c
	for _, d := range defaultFolders {
		b := t.create(a, c, d.name, d.use)
		t.subscribe(a, b.Name)
	}
	return c
}

// defaultFolders are made with the account, INBOX first so that it gets its id.
var defaultFolders = []struct{ name, use string }{
	{inbox, ""}, {"Drafts", `\Drafts`}, {"Sent", `\Sent`}, {"Junk", `\Junk`}, {"Trash", `\Trash`}, {"Archive", `\Archive`},
}

// create makes a mailbox under a clean name that is free.
func (t *txn) create(a AccountID, c *account, name, use string) *openBox {
	b := &openBox{id: boxID{a, c.nextMailbox}, box: &box{
		Mailbox: Mailbox{ID: c.nextMailbox, ObjectID: random(), Name: name, SpecialUse: use, UIDValidity: c.freshValidity(t.now), UIDNext: 1, Highest: 1},
		recent:  1, horizon: 1,
	}}
	c.nextMailbox++
	c.lists = c.stir()
	b.turn = c.lists
	t.boxes[b.id] = b
	t.name(a, name, b.ID)
	return b
}

func (t *txn) name(a AccountID, name string, id MailboxID) {
	t.tx.Put(namedKey(a, keyName, name), sealValue(binary.AppendUvarint(newValue(), uint64(id))))
}

func (t *txn) subscribe(a AccountID, name string) {
	t.tx.Put(namedKey(a, keySubscribe, name), sealValue(append(newValue(), name...)))
}

// box opens a mailbox; nil is an absent one.
func (t *txn) box(a AccountID, id MailboxID) (*openBox, error) {
	at := boxID{a, id}
	if b := t.boxes[at]; b != nil {
		if b.gone {
			return nil, nil
		}
		return b, nil
	}
	b, err := getBox(t.tx, a, id)
	if b == nil || err != nil {
		return nil, err
	}
	b.recent = max(b.recent, t.claims.of(at))
	o := &openBox{box: b, id: at}
	t.boxes[at] = o
	return o, nil
}

// find opens a mailbox by its clean name; nil is an absent one.
func (t *txn) find(a AccountID, name string) (*openBox, error) {
	f, err := fields(t.tx, namedKey(a, keyName, name))
	if f == nil || err != nil {
		return nil, err
	}
	return t.box(a, MailboxID(f.Uint()))
}

// bump is the modseq of all that this transaction does to the mailbox.
func (b *openBox) bump() ModSeq {
	if !b.bumped {
		b.bumped = true
		b.Highest++
	}
	return b.Highest
}

// add appends a message and answers its UID.
func (t *txn) add(c *account, b *openBox, e entry) (UID, error) {
	if b.UIDNext == ^UID(0) {
		return 0, fmt.Errorf("mailbox %s has no UIDs left: %w", b.Name, ErrLimit)
	}
	if b.tail == nil {
		if err := t.loadTail(b); err != nil {
			return 0, err
		}
	}
	if len(b.tail.entries) >= blockSize {
		t.putTail(b)
		b.tail, b.first = &block{}, b.UIDNext
	}
	e.uid, e.modseq = b.UIDNext, b.bump()
	b.UIDNext++
	b.tail.changed = e.modseq
	b.tail.entries = append(b.tail.entries, e)
	b.count(&e, 1)
	c.bytes += e.size
	c.messages++
	return e.uid, nil
}

func (t *txn) loadTail(b *openBox) error {
	first, tail, err := blockAt(t.tx, b.id.account, b.id.mailbox, ^UID(0), anew)
	if err != nil {
		return err
	}
	if tail == nil {
		first, tail = b.UIDNext, &block{}
	}
	b.tail, b.first = tail, first
	return nil
}

func (t *txn) putTail(b *openBox) {
	if b.tail != nil && len(b.tail.entries) > 0 {
		t.tx.Put(blockKey(b.id.account, b.id.mailbox, b.first), b.tail.encode())
	}
}

// settleTail writes and forgets the cached block: whoever changes blocks in
// place calls it first, so that an append in the same transaction reads anew.
func (t *txn) settleTail(b *openBox) {
	t.putTail(b)
	b.tail = nil
}

// finish writes what changed and wakes those who watch.
func (t *txn) finish() {
	for id, b := range t.boxes {
		if b.gone {
			continue
		}
		t.putTail(b)
		if b.bumped {
			b.turn = t.accounts[id.account].stir()
			t.tx.Notify(boxKey(id.account, id.mailbox))
		}
		t.tx.Put(boxKey(id.account, id.mailbox), b.encode())
	}
	for a, c := range t.accounts {
		t.tx.Put(accountKey(a), c.encode())
		if c.stirred {
			t.tx.Notify(accountKey(a))
		}
	}
}
