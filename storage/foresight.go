package storage

import (
	"context"
	"fmt"

	"letterlock/storage/segment"
)

// An APPEND is answered with the UIDs of its letters (RFC 4315 §3), and those are
// given when its record is applied. To wait for that would cost it two flushes of
// the index behind the one of the log, and each its own. But the log is applied in
// its order, so what the index is going to give can be known when a record is
// queued: where the mailbox stood when all before was applied, and how many letters
// were queued for it since.
//
// A promise holds, also after a crash, because
//
//   - it is made of a mailbox alone that the index has, to a group of letters that
//     all go there and do nothing else, when of each item that is queued before it
//     for the account it is known which UIDs it takes. All others are blind: until
//     they are applied nothing is promised;
//   - it is made when the record is durable. A crash leaves the index as it was at
//     the mark, and the log behind it is applied in the same order;
//   - nothing else gives UIDs, or takes a mailbox away, between promise and apply: a
//     change of the account from outside the log begins with [shard.beginChange],
//     which waits until all that was promised is applied, and nothing is promised
//     before it has ended.
//
// Two things are left. The UIDs of a record that cannot be read any more when the log
// is replayed are given to nobody ([replay.missing]), and where that shifts those that
// letters behind it were promised, their mailboxes get a new UIDVALIDITY
// ([item.doubtful]), as they do wherever an older index takes the place of a lost
// one. And where we are mistaken, [txn.honour] sees that no UID ever means two
// letters to one who was promised it.

// foresight is what a shard knows of UIDs that are not given yet.
type foresight struct {
	outlooks map[AccountID]*outlook
	changing map[AccountID]int // changes from outside the log that have begun and not ended
	letters  int               // that were promised UIDs and are not applied
	octets   int               // of what is kept of them

	owed map[AccountID]bool // while the index fails: who was told that letters are stored which it does not know
}

// outlook is of an account that nobody has changed from outside the log since it
// was made.
type outlook struct {
	last  uint64 // the last item queued that takes UIDs
	blind uint64 // the last one of which nobody knew which
	// next is the mailboxes of which it is known where they stand when all up to
	// last is applied, once blind is.
	next map[MailboxID]promise
	// lasts is the last item queued that was promised UIDs of a mailbox, as long as
	// such an item is not applied.
	lasts map[MailboxID]uint64
}

// promise is the UIDs from first on.
type promise struct {
	mailbox  MailboxID
	validity uint32
	first    UID
}

// Bounds of what is foreseen in one shard. Beyond them an APPEND waits for the
// index.
const (
	maxOutlooks       = 1024
	maxForeseenBoxes  = 64 // of one account
	maxPromised       = 8192
	maxPromisedOctets = 32 << 20
	besidesALetter    = 1 << 10 // octets of its record without summary and keywords
	besidesAKeyword   = 16
)

// foresee promises an item the UIDs that it takes, where that is known; number is
// its place in the queue. The shard's mu is held.
func (sh *shard) foresee(it *item, number uint64) {
	if !it.takesUIDs() {
		return
	}
	a, box := it.account(), it.destination()
	o := sh.sight.outlooks[a]
	if o == nil {
		if box == 0 || it.again || sh.failing != nil || sh.stopped[a] != nil || sh.sight.changing[a] > 0 {
			return
		}
		o = sh.sight.open(a)
		o.blind = number
	}
	o.last = number
	p, known := o.next[box]
	n, octets := len(it.parts), it.octetsKept()
	if !known || o.blind > sh.applied || uint64(p.first)+uint64(n) > uint64(^UID(0)) ||
		sh.sight.letters+n > maxPromised || sh.sight.octets+octets > maxPromisedOctets {
		o.blind = number
		return
	}
	it.promised = p
	sh.sight.letters, sh.sight.octets = sh.sight.letters+n, sh.sight.octets+octets
	p.first += UID(n)
	o.next[box], o.lasts[box] = p, number
	it.filing.answer <- applied{uidValidity: it.promised.validity, uids: it.promised.uids(n)}
}

// open makes the outlook of an account.
func (f *foresight) open(a AccountID) *outlook {
	for other := range f.outlooks {
		if len(f.outlooks) < maxOutlooks {
			break
		}
		delete(f.outlooks, other)
	}
	o := &outlook{next: make(map[MailboxID]promise), lasts: make(map[MailboxID]uint64)}
	f.outlooks[a] = o
	return o
}

// learn takes over where a transaction has left mailboxes. The shard's mu is held,
// and applied says how far the index is with it.
func (sh *shard) learn(t *txn) {
	for id, b := range t.boxes {
		o := sh.sight.outlooks[id.account]
		switch {
		case o == nil:
		case o.last <= sh.applied:
			if len(o.next) >= maxForeseenBoxes {
				clear(o.next)
			}
			o.next[id.mailbox] = promise{id.mailbox, b.UIDValidity, b.UIDNext}
			clear(o.lasts)
		case o.blind > sh.applied: // more may come for it, or less
			delete(o.next, id.mailbox)
		}
	}
}

// end is called when the index begins to fail: nothing more is promised that waits for
// what fails. queue is what waits: who appended it hears that it is durable, and not
// what becomes of it, unless it is refused.
func (f *foresight) end(queue []item) {
	clear(f.outlooks)
	f.owed = make(map[AccountID]bool)
	for i := range queue {
		it := &queue[i]
		if it.filing != nil && it.filing.refused != nil {
			continue
		}
		it.assured = true
		if it.filing != nil || it.promised != (promise{}) {
			f.owed[it.account()] = true
		}
	}
}

// kept is told that an item was applied whose UIDs were promised.
func (f *foresight) kept(it *item) {
	f.letters, f.octets = f.letters-len(it.parts), f.octets-it.octetsKept()
}

// shownIn is [shard.shown] for who looks at one mailbox alone: for what was promised
// UIDs in others he need not wait.
func (sh *shard) shownIn(ctx context.Context, a AccountID, box MailboxID) error {
	sh.mu.Lock()
	target := sh.pending[a]
	if o := sh.sight.outlooks[a]; o != nil { // all before it was made, and it was made blind
		target = max(o.blind, o.lasts[box])
	}
	sh.mu.Unlock()
	return sh.reachOr(ctx, target, sh.unlessOwed(a))
}

// beginChange announces a change of an account from outside the log, and waits
// until whatever was acknowledged before is in the index. Where it fails there is
// nothing to end.
func (sh *shard) beginChange(ctx context.Context, a AccountID) error {
	sh.mu.Lock()
	sh.sight.changing[a]++
	delete(sh.sight.outlooks, a)
	target := sh.pending[a]
	sh.mu.Unlock()
	err := sh.reach(ctx, target)
	if err != nil {
		sh.endChange(a)
	}
	return err
}

// endChange is called when a change was made, or was not.
func (sh *shard) endChange(a AccountID) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.sight.changing[a]--; sh.sight.changing[a] == 0 {
		delete(sh.sight.changing, a)
	}
}

// takesUIDs says whether an item may put messages into mailboxes.
func (it *item) takesUIDs() bool {
	return len(it.parts) > 0 && (it.parts[0].Kind != segment.Moved || it.unmarked)
}

// destination is the mailbox that an item of appended letters is for, which does
// nothing but file them; 0 for every other.
func (it *item) destination() (box MailboxID) {
	if it.filing == nil {
		return 0
	}
	for i, p := range it.parts {
		rc := p.recipient()
		if p.Kind != segment.Appended || len(rc.Copies) != 1 || len(rc.More) > 0 {
			return 0
		}
		if id := MailboxID(rc.Copies[0].Mailbox); i == 0 {
			box = id
		} else if id != box {
			return 0
		}
	}
	return box
}

// octetsKept is about what memory an item takes until it is applied.
func (it *item) octetsKept() (n int) {
	for _, p := range it.parts {
		n += len(p.Summary) + besidesALetter
		for i := range p.recipient().Copies {
			for _, k := range p.recipient().Copies[i].Keywords {
				n += len(k) + besidesAKeyword
			}
		}
	}
	return n
}

// uids is the first n that were promised.
func (p promise) uids(n int) []UID {
	all := make([]UID, n)
	for i := range all {
		all[i] = p.first + UID(i)
	}
	return all
}

// honour sees, before the first letter of an item is filed, that the UIDs come
// which were promised. That it would be others is our mistake, and slip says which:
// the mailbox goes on from the promised one where it may, else its UIDs are all
// said to be new (RFC 9051 §2.3.1.1).
func (t *txn) honour(c *account, b *openBox, p promise) (slip error) {
	stands := promise{b.ID, b.UIDValidity, b.UIDNext}
	if stands == p {
		return nil
	}
	switch {
	case stands.mailbox != p.mailbox || stands.validity != p.validity: // what was promised is not valid any more
	case stands.first < p.first:
		b.UIDNext = p.first
	default:
		t.renewUIDs(c, b)
	}
	return fmt.Errorf("account %d: UID %d was promised in mailbox %d (%d), it is %d in %d (%d)",
		b.id.account, p.first, p.mailbox, p.validity, stands.first, stands.mailbox, stands.validity)
}

// renewUIDs gives a mailbox another UIDVALIDITY: whatever was told of its UIDs says
// nothing any more.
func (t *txn) renewUIDs(c *account, b *openBox) {
	if b.anew {
		return
	}
	b.UIDValidity, b.anew = c.freshValidity(t.now), true
	b.bump()
}
