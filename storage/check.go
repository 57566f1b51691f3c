package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// Finding is one thing that is wrong with a store.
type Finding struct {
	Account AccountID // 0: the store itself
	Mailbox string
	UID     UID
	What    string
}

func (f Finding) String() string {
	switch {
	case f.UID != 0:
		return fmt.Sprintf("account %d, %s, UID %d: %s", f.Account, f.Mailbox, f.UID, f.What)
	case f.Mailbox != "":
		return fmt.Sprintf("account %d, %s: %s", f.Account, f.Mailbox, f.What)
	case f.Account != 0:
		return fmt.Sprintf("account %d: %s", f.Account, f.What)
	}
	return f.What
}

// Check reads everything: every value of the index and its checksum, every
// reference, every counter against a recount, and every octet of every message.
// found is told of each thing that is wrong; Check itself fails only where it
// cannot go on. It runs beside deliveries; segments are not collected meanwhile.
func (s *Store) Check(ctx context.Context, found func(Finding)) error {
	return s.CheckSteps(ctx, found, func(int, int) {})
}

// CheckSteps is [Store.Check] that says how far it is: done of total steps, which
// are the accounts, with what each shard has of none, and the segments. Neither
// function is called while anything is held.
func (s *Store) CheckSteps(ctx context.Context, found func(Finding), progress func(done, total int)) (err error) {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	release := s.log.KeepBodies() // of what is expunged between two looks
	defer func() { err = errors.Join(err, release()) }()
	accounts := make([][]AccountID, len(s.shards))
	segments := s.log.Sealed()
	done, total := 0, len(segments)
	for i, sh := range s.shards {
		if err := sh.drain(ctx); err != nil {
			return err
		}
		var err error
		if accounts[i], err = s.accounts(ctx, sh); err != nil {
			return err
		}
		total += 1 + len(accounts[i])
	}
	step := func(findings []Finding) {
		for _, f := range findings {
			found(f)
		}
		done++
		progress(done, total)
	}
	for i, sh := range s.shards {
		for _, a := range append([]AccountID{systemAccount}, accounts[i]...) {
			c := checker{store: s, account: a}
			if err := s.index.View(ctx, sh.number, c.check); err != nil && !isDamaged(err) {
				return err
			} else if err != nil && !c.named(err) { // sealed, and its key is hidden
				c.say("", 0, "%v", err)
			}
			if err := sh.takes(a); err != nil {
				c.say("", 0, "%d letters wait in the log for it: %v", sh.waits(a), err)
			}
			if err := c.messages(ctx); err != nil {
				return err
			}
			step(c.found)
		}
	}
	for _, seg := range segments { // what no row leads to
		damage, err := s.log.Scan(seg, func(*segment.Record) error { return ctx.Err() })
		if err != nil {
			return err
		}
		var findings []Finding
		for _, d := range damage {
			findings = append(findings, Finding{What: d.String()})
		}
		step(findings)
	}
	return nil
}

// accounts lists those that have keys in a shard.
func (s *Store) accounts(ctx context.Context, sh *shard) (ids []AccountID, err error) {
	next := kv.After(accountPrefix(systemAccount))
	for next != nil {
		found := false
		err := s.index.View(ctx, sh.number, func(r kv.Reader) error {
			for k := range r.Range(next, nil, kv.Options{Limit: 1}) {
				found = true
				a := keyAccountOf(k)
				ids = append(ids, a)
				next = kv.After(accountPrefix(a))
			}
			return nil
		})
		if err != nil || !found {
			return ids, err
		}
	}
	return ids, nil
}

// checker looks at one account.
type checker struct {
	store   *Store
	account AccountID
	found   []Finding
	refs    []reference
	known   map[uint64]bool // numbers some mailbox or some list of the dead has
	rotten  []string        // keys, as an error shows them, of values that were found to be damaged
}

// named says whether an error is about a key that was told of.
func (c *checker) named(err error) bool {
	return slices.ContainsFunc(c.rotten, func(k string) bool { return strings.Contains(err.Error(), k) })
}

// reference is one message in one mailbox.
type reference struct {
	mailbox string
	entry   entry
	row     row
}

func (c *checker) say(mailbox string, uid UID, format string, args ...any) {
	c.found = append(c.found, Finding{c.account, mailbox, uid, fmt.Sprintf(format, args...)})
}

// check reads the account's part of the index.
func (c *checker) check(r kv.Reader) error {
	c.known, c.rotten = make(map[uint64]bool), nil
	lo := accountPrefix(c.account)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		if _, err := open(v); err != nil {
			c.rotten = append(c.rotten, fmt.Sprintf("%x", k))
			c.say("", 0, "key %x: %v", k, err)
		}
	}
	if c.account == systemAccount { // people, aliases, the outbox: no mailboxes
		return nil
	}
	record, err := getAccount(r, c.account)
	if err != nil || record == nil {
		c.say("", 0, "its record cannot be read: %v", err)
		return nil
	}
	if record.removed {
		return nil
	}
	boxes, err := allBoxes(r, c.account)
	if err != nil {
		c.say("", 0, "%v", err)
		return nil
	}
	var total Usage
	for _, b := range boxes {
		c.box(r, b)
		total.Bytes, total.Messages = total.Bytes+b.Size, total.Messages+uint64(b.Messages)
	}
	if now := (Usage{record.bytes, record.messages}); now != total {
		c.say("", 0, "the quota counts %+v, the mailboxes hold %+v", now, total)
	}
	c.notes(r, boxes)
	return c.orphans(r)
}

// notes finds annotations of mailboxes that are not there.
func (c *checker) notes(r kv.Reader, boxes []*box) {
	for _, k := range strayNotes(r, c.account, boxes) {
		c.say("", 0, "annotation %q is of no mailbox", k[len(notesKey(c.account, 0)):])
	}
}

// box compares a mailbox with a recount.
func (c *checker) box(r kv.Reader, b *box) {
	if named, err := findBox(r, c.account, b.Name); err != nil || named == nil || named.ID != b.ID {
		c.say(b.Name, 0, "its name does not lead to it: %v", err)
	}
	recount := &box{Mailbox: Mailbox{ID: b.ID}}
	last := UID(0)
	lo := blocksKey(c.account, b.ID)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		blk, err := decodeBlock(v)
		if err != nil {
			c.say(b.Name, UID(tailUint32(k)), "%v", err)
			continue
		}
		for _, e := range blk.entries {
			if e.uid <= last || e.uid >= b.UIDNext || e.modseq > b.Highest {
				c.say(b.Name, e.uid, "out of order: after UID %d, UIDNEXT %d, modseq %d of %d", last, b.UIDNext, e.modseq, b.Highest)
			}
			last = e.uid
			recount.count(&e, 1)
			c.known[e.number] = true
			c.row(r, b, e)
		}
	}
	if recount.Messages != b.Messages || recount.Unseen != b.Unseen || recount.Mailbox.Deleted != b.Mailbox.Deleted || recount.Required != b.Required || recount.Size != b.Size {
		c.say(b.Name, 0, "it counts %d messages, %d unseen, %d deleted, %d required, %d octets; there are %d, %d, %d, %d, %d",
			b.Messages, b.Unseen, b.Mailbox.Deleted, b.Required, b.Size, recount.Messages, recount.Unseen, recount.Mailbox.Deleted, recount.Required, recount.Size)
	}
}

func (c *checker) row(r kv.Reader, b *box, e entry) {
	w, err := mustRow(r, c.account, e.number)
	if err != nil {
		c.say(b.Name, e.uid, "%v", err)
		return
	}
	if w.storedDemand() != e.flags.Demand() {
		c.say(b.Name, e.uid, "its row says %v, its flags say %v: it is treated as required", w.storedDemand(), e.flags.Demand())
	}
	if w.size() != e.size {
		c.say(b.Name, e.uid, "its row says %d octets, its mailbox %d", w.size(), e.size)
	}
	c.refs = append(c.refs, reference{b.Name, e, *w})
}

// orphans finds rows that no mailbox leads to and no list of the dead.
func (c *checker) orphans(r kv.Reader) error {
	lo := key(c.account, keyDead)
	for _, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		if v, err := open(v); err == nil {
			number := uint64(0)
			for f := segment.ReadFields(v); f.Left() > 0; {
				number += f.Uint()
				c.known[number] = true
			}
		}
	}
	for n := range c.store.Account(c.account).sending(r) {
		c.known[n] = true
		if _, err := mustRow(r, c.account, n); err != nil {
			c.say("", 0, "the outbox wants it: %v", err)
		}
	}
	lo = key(c.account, keyRow)
	for k := range r.Range(lo, kv.After(lo), kv.Options{}) {
		if n := tailUint64(k); !c.known[n] {
			c.say("", 0, "message %d is in no mailbox", n)
		}
	}
	return nil
}

// messages reads every message through its row.
func (c *checker) messages(ctx context.Context) error {
	buf := make([]byte, segment.BlockSize)
	for i := range c.refs {
		if err := ctx.Err(); err != nil {
			return err
		}
		ref := &c.refs[i]
		if err := c.store.checkMessage(&ref.row, buf); err != nil {
			c.say(ref.mailbox, ref.entry.uid, "%v", err)
		}
	}
	return nil
}

func (s *Store) checkMessage(w *row, buf []byte) error {
	stored, err := s.log.Open(w.at)
	if err != nil {
		return err
	}
	defer stored.Close()
	if stored.Demand() != w.storedDemand() {
		return fmt.Errorf("the record says %v, the row %v: it is treated as required", stored.Demand(), w.storedDemand())
	}
	if uint64(stored.Size()) != w.bodySize {
		return fmt.Errorf("the record has %d octets, the row says %d: %w", stored.Size(), w.bodySize, segment.ErrDamaged)
	}
	if _, err := stored.Prefix(w.prefixAt, w.prefixLen, w.prefixCRC); err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.NewSectionReader(stored, 0, stored.Size()), buf)
	return err
}
