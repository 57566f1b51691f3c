package storage

import (
	"context"
	"errors"
	"fmt"

	"letterlock/storage/kv"
)

// How much one transaction changes. Copying is atomic and therefore bounded;
// flags, expunges and moves of more are done step by step.
const (
	blocksPerStep = 1000   // blocks read and written again
	moveStep      = 100000 // messages
	maxCopy       = 250000 // messages of one COPY
)

// errStepFull ends a step: the rest belongs to the next.
var errStepFull = errors.New("step full")

// step hands the blocks that hold uids to fn, which changes the messages at the given
// places, as many as one transaction may change. rest is what the next one has to do.
func step[S stretch](t *txn, b *openBox, uids []UID, unpack func(first UID, v []byte) (S, error), fn func(first UID, s S, at []int)) (rest []UID, err error) {
	t.settleTail(b)
	steps := 0
	err = pick(t.tx, b.id.account, b.ID, uids, unpack, func(first UID, s S, at []int) error {
		if steps++; steps > blocksPerStep {
			rest = from(uids, s.list(nil)[at[0]])
			return errStepFull
		}
		fn(first, s, at)
		return nil
	})
	if errors.Is(err, errStepFull) {
		err = nil
	}
	return rest, err
}

// from is the part of uids that starts with uid.
func from(uids []UID, uid UID) []UID {
	for i := range uids {
		if uids[i] >= uid {
			return uids[i:]
		}
	}
	return nil
}

func living(entries []entry) []entry {
	kept := entries[:0]
	for _, e := range entries {
		if e.uid != 0 {
			kept = append(kept, e)
		}
	}
	return kept
}

// take removes uids from a mailbox and tells the vanished log.
func (t *txn) take(c *account, b *openBox, uids []UID) (taken []entry, rest []UID, err error) {
	var one block
	again := func(_ UID, v []byte) (*block, error) { return &one, one.decode(v) }
	rest, err = step(t, b, uids, again, func(first UID, blk *block, at []int) {
		for _, i := range at {
			e := &blk.entries[i]
			taken = append(taken, *e)
			b.count(e, -1)
			c.bytes -= e.size
			c.messages--
			e.uid = 0
		}
		blk.changed = b.bump()
		blk.entries = living(blk.entries)
		k := blockKey(b.id.account, b.ID, first)
		if len(blk.entries) == 0 {
			t.tx.Delete(k)
		} else {
			t.tx.Put(k, blk.encode())
		}
	})
	if err == nil && len(taken) > 0 {
		err = t.vanish(b, taken)
	}
	return taken, rest, err
}

// Expunge removes uids (ascending) for good; those already gone are no error.
func (a *Account) Expunge(ctx context.Context, id MailboxID, uids []UID) error {
	defer a.store.reaper.wake()
	progress := progressOf(ctx, len(uids))
	for len(uids) > 0 {
		var rest []UID
		err := a.change(ctx, func(t *txn, c *account) error {
			b, err := t.mustBox(a.id, id)
			if err != nil {
				return err
			}
			var taken []entry
			if taken, rest, err = t.take(c, b, uids); err != nil || len(taken) == 0 {
				return err
			}
			dead := deadList{}
			for i := range taken {
				dead.numbers = append(dead.numbers, taken[i].number)
			}
			dead.putOf(t.tx, b)
			return nil
		})
		if err != nil {
			return err
		}
		uids = rest
		progress.reached(len(uids))
	}
	return nil
}

// Copied says where messages went: From[i] became To[i] (RFC 4315 §3).
type Copied struct {
	UIDValidity uint32
	From, To    []UID
}

// Copy copies uids (ascending) into another mailbox, all or none; those that
// are gone are passed over. The demand goes with every message, and so do its
// EMAILID and its octets: only columns are written. [ErrNotFound] where the
// target is not there, [ErrOverQuota], [ErrLimit] above 250,000 messages.
func (a *Account) Copy(ctx context.Context, id MailboxID, uids []UID, to string) (done Copied, err error) {
	if len(uids) > maxCopy {
		return done, fmt.Errorf("copy of %d messages: %w", len(uids), ErrLimit)
	}
	progress := progressOf(ctx, len(uids))
	err = a.change(ctx, func(t *txn, c *account) error {
		source, target, err := t.pair(a.id, id, to)
		if err != nil {
			return err
		}
		var found []entry
		var need Usage
		err = pick(t.tx, a.id, id, uids, anew, func(_ UID, blk *block, at []int) error {
			for _, i := range at {
				found = append(found, blk.entries[i])
				need.Bytes += blk.entries[i].size
			}
			return nil
		})
		if err != nil {
			return err
		}
		need.Messages = uint64(len(found))
		if err := c.room(need); err != nil {
			return err
		}
		done, err = t.addAll(c, source, target, found, func(i int) { progress.reached(len(found) - i) })
		return err
	})
	return done, err
}

// Move moves uids (ascending) into another mailbox. Each step of up to a
// hundred thousand messages is atomic (RFC 6851 §3.3); the demand goes with
// every message. What was moved before an error is answered with it.
func (a *Account) Move(ctx context.Context, id MailboxID, uids []UID, to string) (done Copied, err error) {
	progress := progressOf(ctx, len(uids))
	for {
		var step Copied
		var rest []UID
		now := uids[:min(len(uids), moveStep)]
		err := a.change(ctx, func(t *txn, c *account) error {
			source, target, err := t.pair(a.id, id, to)
			if err != nil {
				return err
			}
			var taken []entry
			if taken, rest, err = t.take(c, source, now); err != nil {
				return err
			}
			behind := len(uids) - len(now) + len(rest)
			step, err = t.addAll(c, source, target, taken, func(i int) { progress.reached(behind + len(taken) - i) })
			return err
		})
		if err != nil {
			return done, err
		}
		done.UIDValidity = step.UIDValidity
		done.From = append(done.From, step.From...)
		done.To = append(done.To, step.To...)
		uids = uids[len(now)-len(rest):]
		if len(uids) == 0 {
			return done, nil
		}
	}
}

// pair opens source and target.
func (t *txn) pair(a AccountID, id MailboxID, to string) (source, target *openBox, err error) {
	name, err := cleanName(to)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if source, err = t.mustBox(a, id); err != nil {
		return nil, nil, err
	}
	if target, err = t.find(a, name); target == nil && err == nil {
		err = fmt.Errorf("mailbox %s: %w", name, ErrNotFound)
	}
	return source, target, err
}

// addAll files entries of source into target. Keywords go by name; one that
// finds no room there is left behind. filed hears how many are there.
func (t *txn) addAll(c *account, source, target *openBox, entries []entry, filed func(n int)) (done Copied, err error) {
	done.UIDValidity = target.UIDValidity
	moved := make(map[Flags]Flags)
	for i, e := range entries {
		words := e.flags &^ (systemFlags | demandBits)
		if _, known := moved[words]; !known {
			if moved[words], err = t.keywords(target, source.wordsOf(words)); err != nil && !isLimit(err) {
				return done, err
			}
		}
		before := e.uid
		e.flags = e.flags&(systemFlags|demandBits) | moved[words]
		e.saved = t.now.Unix() // RFC 8514 §4: a copy was saved when it was copied
		uid, err := t.add(c, target, e)
		if err != nil {
			return done, err
		}
		done.From, done.To = append(done.From, before), append(done.To, uid)
		filed(i + 1)
	}
	return done, nil
}

// wordsOf is the names of keyword bits.
func (b *box) wordsOf(bits Flags) (names []string) {
	for i, name := range b.Keywords {
		if bits&Keyword(i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Rows reads the rows of uids (ascending); those that are gone are missing in
// the answer. Ask for a few hundred at a time.
func (a *Account) Rows(ctx context.Context, id MailboxID, uids []UID) (rows []Row, err error) {
	err = a.read(ctx, func(r kv.Reader) error {
		rows = make([]Row, 0, len(uids))
		return a.each(r, id, uids, func(l *located) error {
			rows = append(rows, l.row.public(&l.entry))
			return nil
		})
	})
	return rows, err
}
