package storage

import (
	"encoding/binary"
	"fmt"
	"time"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// account is the record of one account.
type account struct {
	removed     bool
	nextMailbox MailboxID
	validity    uint32 // greatest UIDVALIDITY ever given
	bytes       uint64 // of all messages in all mailboxes
	messages    uint64
	limits      Usage // 0: none
	created     time.Time
	address     mail.Address // of its person, for repair
	former      uint32       // greatest UIDVALIDITY of names that are not remembered

	// When what last moved; see [Account.Moved].
	turn, lists, subscriptions, annotated Turn
	stirred                               bool // turn is this transaction's own
}

// stir is the turn of all that one transaction does to the account.
func (c *account) stir() Turn {
	if !c.stirred {
		c.stirred = true
		c.turn++
	}
	return c.turn
}

// freshValidity is the next UIDVALIDITY: a time, and greater than any that the
// account ever gave, so that a name which is made again never shows old UIDs (RFC
// 9051 §2.3.1.1).
func (c *account) freshValidity(now time.Time) uint32 {
	c.validity = max(c.validity+1, uint32(now.Unix()))
	return c.validity
}

func (c *account) encode() []byte {
	b := append(newValue(), flagByte(c.removed))
	for _, n := range []uint64{uint64(c.nextMailbox), uint64(c.validity), c.bytes, c.messages, c.limits.Bytes, c.limits.Messages} {
		b = segment.AppendUint(b, n)
	}
	b = appendAddress(segment.AppendTime(b, c.created), c.address)
	for _, n := range []Turn{c.turn, c.lists, c.subscriptions, c.annotated} {
		b = segment.AppendUint(b, uint64(n))
	}
	return sealValue(segment.AppendUint(b, uint64(c.former)))
}

func flagByte(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// readCounts reads the start of the record: all that is asked for each letter.
func (c *account) readCounts(f *segment.Fields) {
	c.removed = f.Byte() != 0
	c.nextMailbox, c.validity = MailboxID(f.Uint()), uint32(f.Uint())
	c.bytes, c.messages = f.Uint(), f.Uint()
	c.limits = Usage{Bytes: f.Uint(), Messages: f.Uint()}
}

// openCounts reads no more of the record than [account.readCounts]; known says
// whether there is one.
func openCounts(v []byte) (c account, known bool, err error) {
	if v == nil {
		return c, false, nil
	}
	if v, err = open(v); err != nil {
		return c, false, err
	}
	f := segment.ReadFields(v)
	c.readCounts(f)
	return c, true, f.Err()
}

// getAccount reads the record; nil is an absent one.
func getAccount(r kv.Reader, a AccountID) (*account, error) {
	f, err := fields(r, accountKey(a))
	if f == nil || err != nil {
		return nil, err
	}
	c := &account{}
	c.readCounts(f)
	c.created, c.address = f.Time(), readAddress(f)
	if f.Left() > 0 { // older values end here
		for _, n := range []*Turn{&c.turn, &c.lists, &c.subscriptions, &c.annotated} {
			*n = Turn(f.Uint())
		}
		c.former = uint32(f.Uint())
	}
	return c, f.Err()
}

// box is the record of one mailbox.
type box struct {
	Mailbox
	recent   UID    // the first UID no read-write session was told of
	horizon  ModSeq // what vanished up to here is not known any more
	vanished uint32 // values of the vanished log

	turn, annotated Turn // when it, and its annotations, last moved
}

func (b *box) encode() []byte {
	v := binary.LittleEndian.AppendUint64(newValue(), uint64(b.ObjectID))
	v = segment.AppendString(v, b.Name)
	v = segment.AppendString(v, b.SpecialUse)
	for _, n := range []uint64{
		uint64(b.UIDValidity), uint64(b.UIDNext), uint64(b.Highest), uint64(b.Messages), uint64(b.Unseen), uint64(b.Deleted),
		b.Size, uint64(b.Required), uint64(b.recent), uint64(b.horizon), uint64(b.vanished), uint64(len(b.Keywords)),
	} {
		v = segment.AppendUint(v, n)
	}
	for _, k := range b.Keywords {
		v = segment.AppendString(v, k)
	}
	return sealValue(segment.AppendUint(segment.AppendUint(v, uint64(b.turn)), uint64(b.annotated)))
}

func decodeBox(id MailboxID, v []byte) (*box, error) {
	v, err := open(v)
	if err != nil || len(v) < 8 {
		return nil, fmt.Errorf("mailbox %d: %w", id, segment.ErrDamaged)
	}
	b := &box{Mailbox: Mailbox{ID: id, ObjectID: ObjectID(binary.LittleEndian.Uint64(v))}}
	f := segment.ReadFields(v[8:])
	b.Name, b.SpecialUse = f.String(), f.String()
	b.UIDValidity, b.UIDNext, b.Highest = uint32(f.Uint()), UID(f.Uint()), ModSeq(f.Uint())
	b.Messages, b.Unseen, b.Mailbox.Deleted = uint32(f.Uint()), uint32(f.Uint()), uint32(f.Uint())
	b.Size, b.Required = f.Uint(), uint32(f.Uint())
	b.recent, b.horizon, b.vanished = UID(f.Uint()), ModSeq(f.Uint()), uint32(f.Uint())
	for range f.Count() {
		b.Keywords = append(b.Keywords, f.String())
	}
	if f.Left() > 0 { // older values end here
		b.turn, b.annotated = Turn(f.Uint()), Turn(f.Uint())
	}
	if err := f.Err(); err != nil {
		return nil, fmt.Errorf("mailbox %d: %w", id, err)
	}
	return b, nil
}

// getBox reads the record; nil is an absent one.
func getBox(r kv.Reader, a AccountID, id MailboxID) (*box, error) {
	v := r.Get(boxKey(a, id))
	if v == nil {
		return nil, nil
	}
	return decodeBox(id, v)
}

// findBox finds a mailbox by its clean name; nil is an absent one.
func findBox(r kv.Reader, a AccountID, name string) (*box, error) {
	f, err := fields(r, namedKey(a, keyName, name))
	if f == nil || err != nil {
		return nil, err
	}
	return getBox(r, a, MailboxID(f.Uint()))
}

// allBoxes reads every mailbox of an account, by id.
func allBoxes(r kv.Reader, a AccountID) (all []*box, err error) {
	lo := key(a, keyBox)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		b, err := decodeBox(MailboxID(tailUint32(k)), v)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// count adds an entry to the mailbox's counters, or takes it out.
func (b *box) count(e *entry, by int) {
	n := uint32(by)
	b.Messages += n
	if e.flags&Seen == 0 {
		b.Unseen += n
	}
	if e.flags&Deleted != 0 {
		b.Mailbox.Deleted += n
	}
	if e.flags.Demand().IsRequired() {
		b.Required += n
	}
	b.Size += e.size * uint64(by)
}

// remark counts a message that gets other flags; its demand stays.
func (b *box) remark(was, now Flags) {
	b.Unseen += was.ones(Seen) - now.ones(Seen)
	b.Mailbox.Deleted += now.ones(Deleted) - was.ones(Deleted)
}

// ones is 1 where a bit is set.
func (f Flags) ones(bit Flags) uint32 {
	if f&bit != 0 {
		return 1
	}
	return 0
}
