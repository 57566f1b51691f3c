package storage

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// What one recipient of a record writes at most beside what is shared with others:
// row, summary and thread. Each account writes its record once in a transaction,
// and each mailbox its own, its last block and one that was filled.
const (
	writesPerRecipient = 3
	writesPerAccount   = 1
	writesPerBox       = 3
	bytesPerEntry      = 24 // of a block
)

// guess is about what one transaction writes.
type guess struct {
	writes, bytes int
	counted       map[shared]bool
}

// shared is an account, or one of its mailboxes.
type shared struct {
	account uint64
	mailbox uint32
}

func (g *guess) add(it *item) {
	g.writes, g.bytes = g.writes+it.writes, g.bytes+it.bytes
	for _, p := range it.parts {
		rc := p.recipient()
		if own := (shared{account: rc.Account}); !g.counted[own] {
			g.counted[own] = true
			g.writes, g.bytes = g.writes+writesPerAccount, g.bytes+1024
		}
		for i := range rc.Copies {
			box := shared{rc.Account, rc.Copies[i].Mailbox}
			if box.mailbox != 0 && g.counted[box] {
				continue
			}
			g.counted[box] = true
			g.writes, g.bytes = g.writes+writesPerBox, g.bytes+1024+blockSize*bytesPerEntry
		}
	}
}

// apply brings a batch into the index, together with the mark; t is what did it.
func (sh *shard) apply(batch []item) (results []applied, t *txn, err error) {
	err = sh.store.index.Update(context.Background(), sh.number, func(tx kv.Tx) error {
		t = newTxn(tx, sh.store)
		t.shard = sh.number
		results = make([]applied, len(batch))
		for i := range batch {
			if err := sh.applyOne(t, &batch[i], &results[i]); err != nil {
				return err
			}
		}
		t.finish()
		putMark(tx, batch[len(batch)-1].after)
		return nil
	})
	if err == nil && t.sends {
		poke(sh.store.sends)
	}
	return results, t, err
}

// applyOne applies an item, or passes over it where its account is stopped, or it was
// refused.
func (sh *shard) applyOne(t *txn, it *item, result *applied) error {
	if len(it.parts) == 0 {
		return nil
	}
	if f := it.filing; f != nil && f.refused != nil {
		result.err = f.refused
		return t.discard(it.parts)
	}
	if why := sh.takes(it.account()); why != nil {
		return t.postpone(it, why, result)
	}
	if it.late {
		t.tx.Delete(postponedKey(it.account(), it.parts[0].serial()))
	}
	return t.apply(it, result)
}

// apply files the parts of one item, all or none. Why none were is for who waits
// for an answer.
func (t *txn) apply(it *item, result *applied) error {
	for _, p := range it.parts {
		if err := t.applyPart(it, p, result); err != nil {
			return err
		}
		if result.err != nil {
			return t.discard(it.parts)
		}
	}
	return nil
}

func (t *txn) applyPart(it *item, p part, result *applied) error {
	rc := p.recipient()
	a := AccountID(rc.Account)
	c, err := t.account(a)
	if isNotFound(err) { // the person was removed meanwhile
		result.err = err
		return nil
	}
	if err != nil {
		return err
	}
	if c.address.IsNull() {
		c.address = rc.Rcpt
	}
	if p.Kind == segment.Moved {
		if unknown, err := t.relocate(a, p.Record, p.recip); !unknown || !it.unmarked || err != nil {
			return err
		}
	}
	if there, err := t.isThere(it, a, p); there || err != nil {
		return err
	}
	boxes, err := t.targets(a, it.owed(p.Kind), rc)
	if err != nil {
		return err
	}
	if len(boxes) == 0 && len(rc.Copies) > 0 { // letters that were appended: they go nowhere
		result.err = fmt.Errorf("mailbox %s: %w", rc.Copies[0].Name, ErrNotFound)
		return nil
	}
	beside, err := decodeMore(rc.More)
	if err != nil {
		return err
	}
	if result.err, err = t.replace(a, c, beside.replaces, it.hold); err != nil {
		return err
	}
	if result.err != nil && !it.stays() {
		return nil
	}
	result.err = nil // what it was to replace has gone, and it stays
	needed, err := t.more(a, it, p, &beside)
	if err != nil {
		return err
	}
	if len(boxes) == 0 && !needed {
		return t.discard([]part{p})
	}
	if len(result.uids) == 0 && len(boxes) > 0 {
		t.vouch(it, c, boxes, result)
	}
	return t.file(a, c, p.Record, p.recip, boxes, result)
}

// owed is a kind as the index sees it: an append that stays is owed a place as a
// delivery is.
func (it *item) owed(kind segment.Kind) segment.Kind {
	if kind == segment.Appended && it.stays() {
		return segment.Delivered
	}
	return kind
}

// stays says of an append that it was answered, or may have been before a crash.
func (it *item) stays() bool { return it.again || it.assured || it.promised != (promise{}) }

// vouch sees, before the first letter of an item is filed, that its UIDs are what
// anybody was told.
func (t *txn) vouch(it *item, c *account, boxes []target, result *applied) {
	if it.promised != (promise{}) {
		result.slip = t.honour(c, boxes[0].box, it.promised)
	}
	if it.doubtful {
		for _, to := range boxes {
			t.renewUIDs(c, to.box)
		}
	}
}

// isThere says whether a form was filed before the crash that an item is replayed
// after: where another form of its group is damaged, what is left of the group
// does not begin where the mark within it says.
func (t *txn) isThere(it *item, a AccountID, p part) (bool, error) {
	if !it.again || p.Kind != segment.Several {
		return false, nil
	}
	w, err := getRow(t.tx, a, p.Number(p.recip))
	return w != nil, err
}

// discard counts records as dead: nobody gets a row of them.
func (t *txn) discard(parts []part) error {
	dead := make(map[uint64]uint64)
	for _, p := range parts {
		dead[p.At.Segment] += uint64(shareOf(p.Record))
	}
	return addDeadBytes(t.tx, dead)
}

// target is where one message goes, and with which flags.
type target struct {
	box   *openBox
	flags Flags
}

// targets finds the mailboxes of a recipient, each once. A delivery whose
// mailbox is gone goes to INBOX; an append that has not been answered yet goes
// nowhere.
func (t *txn) targets(a AccountID, kind segment.Kind, rc *segment.Recipient) (all []target, err error) {
	for i := range rc.Copies {
		cp := &rc.Copies[i]
		b, err := t.target(a, cp)
		if err != nil {
			return nil, err
		}
		if b == nil && kind != segment.Appended {
			if b, err = t.inbox(a); err != nil {
				return nil, err
			}
		}
		if b == nil {
			continue
		}
		bits, err := t.keywords(b, cp.Keywords)
		if err != nil && !isLimit(err) { // a keyword that finds no room is not worth the letter
			return nil, err
		}
		bits |= Flags(cp.Flags) & systemFlags
		merged := false
		for j := range all {
			if all[j].box == b {
				all[j].flags |= bits
				merged = true
			}
		}
		if !merged {
			all = append(all, target{b, bits})
		}
	}
	return all, nil
}

// target finds a mailbox by its id, else by its name, else makes it where it
// may.
func (t *txn) target(a AccountID, cp *segment.Copy) (*openBox, error) {
	if cp.Mailbox != 0 {
		if b, err := t.box(a, MailboxID(cp.Mailbox)); b != nil || err != nil {
			return b, err
		}
	}
	b, err := t.find(a, cp.Name)
	if b != nil || err != nil || !cp.Create {
		return b, err
	}
	b, err = t.createPath(a, cp.Name, "")
	if isLimit(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return b, t.show(a, cp.Name)
}

// show subscribes an account to a mailbox that was made for a letter: clients that
// list subscribed ones alone would hide both.
func (t *txn) show(a AccountID, name string) error {
	c, err := t.account(a)
	if err == nil {
		err = t.addSubscription(a, c, name)
	}
	if isLimit(err) {
		return nil
	}
	return err
}

// inbox opens the mailbox that is always there.
func (t *txn) inbox(a AccountID) (*openBox, error) {
	b, err := t.box(a, inboxID)
	if b == nil && err == nil {
		err = fmt.Errorf("account %d has no INBOX: %w", a, segment.ErrDamaged)
	}
	return b, err
}

// file writes the row of one message and puts it into its mailboxes.
func (t *txn) file(a AccountID, c *account, r *segment.Record, i int, boxes []target, result *applied) error {
	number, f := r.Number(i), segment.ReadFields(r.Summary)
	thread := readThreading(f)
	known := idSpaces(r.Envelope.Demand)
	w := newRow(r, i)
	w.headerSize, w.messageID = uint32(thread.headerSize), known[len(known)-1].of(thread.messageID)
	var err error
	if w.threadID, err = t.thread(a, thread, known, w.messageID); err != nil {
		return err
	}
	t.value = w.encodeIn(t.value)
	t.tx.Put(t.number(a, keyRow, number), t.value)
	if len(r.Summary) <= maxCached {
		t.value = sealValue(append(t.header(), r.Summary...))
		t.tx.Put(t.number(a, keySummary, number), t.value)
	}
	e := entry{number: number, saved: r.Envelope.Received.Unix(), size: w.size()}
	for _, to := range boxes {
		e.flags = to.flags | bitsOf(r.Envelope.Demand)
		uid, err := t.add(c, to.box, e)
		if err != nil {
			return err
		}
		result.uidValidity = to.box.UIDValidity
		result.uids = append(result.uids, uid)
	}
	return nil
}

// newRow says of recipient i what the record says.
func newRow(r *segment.Record, i int) *row {
	rc, e := &r.Recipients[i], &r.Envelope
	_, zone := rc.Date.Zone()
	return &row{
		demand: e.Demand.Byte(), tlsVersion: e.TLSVersion, tlsCipher: e.TLSCipher, peer: e.Peer,
		at: r.At, prefixAt: rc.PrefixAt, prefixLen: uint32(len(rc.Prefix)), prefixCRC: segment.Checksum(rc.Prefix),
		share:   shareOf(r),
		emailID: ObjectID(rc.EmailID), date: rc.Date.UnixMicro(), zone: int32(zone), bodySize: uint64(r.RawSize),
	}
}

// shareOf is how many octets of the segment go when one recipient's row goes.
func shareOf(r *segment.Record) uint32 {
	return uint32(min(r.Size/int64(len(r.Recipients)), 1<<32-1))
}

// thread finds the thread of a message by what it answers, else begins one. own
// is its Message-ID in its own space.
// What a message that requires TLS refers to is known to others of its kind
// alone: a thread that open mail joins by way of it would tell readers in clear
// of its content (RFC 8689 §4.4).
func (t *txn) thread(a AccountID, th threading, known []idSpace, own uint64) (id ObjectID, err error) {
	for i := len(th.references) - 1; i >= 0 && id == 0; i-- {
		if id, err = t.threadOf(a, th.references[i], known); err != nil {
			return 0, err
		}
	}
	if th.messageID == 0 {
		return cmp.Or(id, random()), nil
	}
	same, err := t.threadOf(a, th.messageID, known)
	if err != nil || same != 0 { // the same letter again: its thread stays
		return same, err
	}
	id = cmp.Or(id, random())
	t.value = sealValue(binary.LittleEndian.AppendUint64(t.header(), uint64(id)))
	t.tx.Put(t.number(a, keyThread, own), t.value)
	return id, nil
}

// threadOf is the thread of the message with an id; 0: it is not known.
func (t *txn) threadOf(a AccountID, hash uint64, known []idSpace) (ObjectID, error) {
	for _, space := range known {
		v, err := get(t.tx, t.number(a, keyThread, space.of(hash)))
		if isDamaged(err) { // a letter is worth more than its thread
			continue
		}
		if err != nil {
			return 0, err
		}
		if len(v) == 8 {
			return ObjectID(binary.LittleEndian.Uint64(v)), nil
		}
	}
	return 0, nil
}

// relocate points a row at the new place of its octets. One that has moved on
// already stays as it is; unknown says that there is none.
func (t *txn) relocate(a AccountID, r *segment.Record, i int) (unknown bool, err error) {
	number := r.Number(i)
	w, err := getRow(t.tx, a, number)
	if w == nil || err != nil || !w.at.Before(r.At) {
		return w == nil, err
	}
	rc := &r.Recipients[i]
	w.at, w.prefixAt, w.share = r.At, rc.PrefixAt, shareOf(r)
	t.tx.Put(rowKey(a, number), w.encode())
	return false, nil
}

// timeOr is at, or now where at is zero.
func timeOr(at, now time.Time) time.Time {
	if at.IsZero() {
		return now
	}
	return at
}
