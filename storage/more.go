package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// A delivery does more than file copies: it is remembered that an answer went
// out, and mail leaves. All that stands in the record, beside the copies, and
// the applier writes it in their transaction.

// Bounds of what one recipient of a record, and all of them, bring along.
const (
	maxMore         = 1 << 20
	maxMoreOfRecord = 8 << 20
	maxOutbound     = 256 // rows of one recipient
	maxMemories     = 64
	moreVersion     = 1
	moreReplaces    = 2 // as 1, and behind it the message that goes
)

// errLowered: RFC 8689 §4.1, every instance of a message has its demand, or
// more.
var errLowered = errors.New("what leaves demands less than the message it came of")

// encodeMore is nil where there is nothing.
func encodeMore(demand requiretls.Demand, memories []mail.Memory, out []*mail.Outbound) ([]byte, error) {
	if len(memories)+len(out) == 0 {
		return nil, nil
	}
	if len(memories) > maxMemories || len(out) > maxOutbound {
		return nil, fmt.Errorf("%d memories, %d letters that leave: %w", len(memories), len(out), ErrLimit)
	}
	b := segment.AppendUint([]byte{moreVersion}, uint64(len(memories)))
	for _, m := range memories {
		b = segment.AppendTime(append(b, m.Key[:]...), m.Until)
	}
	b = segment.AppendUint(b, uint64(len(out)))
	for _, o := range out {
		if !o.Demand().Stated() {
			return nil, errNotStated
		}
		if o.Demand() != demand && !o.Demand().IsRequired() {
			return nil, errLowered
		}
		slip, octet := o.Plain()
		b = appendSlip(append(b, octet), &slip)
		for _, text := range [][]byte{slip.Prefix, slip.Suffix, slip.Redacted} {
			b = segment.AppendString(b, text)
		}
	}
	if len(b) > maxMore {
		return nil, fmt.Errorf("%d octets beside the message: %w", len(b), ErrLimit)
	}
	return b, nil
}

// more is what one recipient of a record brings along.
type more struct {
	memories []mail.Memory
	out      []outRow // their demand is read later
	replaces place    // the message that goes when this one comes; zero: none
}

// place is a message in a mailbox.
type place struct {
	mailbox MailboxID
	uid     UID
}

// encodeReplaces says of an appended letter what it replaces.
func encodeReplaces(p place) []byte {
	b := segment.AppendUint([]byte{moreReplaces, 0, 0}, uint64(p.mailbox)) // no memories, nothing that leaves
	return segment.AppendUint(b, uint64(p.uid))
}

func decodeMore(b []byte) (m more, err error) {
	if len(b) == 0 {
		return m, nil
	}
	f := segment.ReadFields(b)
	version := f.Byte()
	if version != moreVersion && version != moreReplaces {
		f.Fail()
	}
	for range f.Count() {
		one := mail.Memory{Key: readHash32(f)}
		one.Until = f.Time()
		m.memories = append(m.memories, one)
	}
	for range f.Count() {
		w := outRow{demand: f.Byte()}
		w.slip = readSlip(f)
		for _, text := range w.texts() {
			*text = f.Bytes()
		}
		m.out = append(m.out, w)
	}
	if version == moreReplaces {
		m.replaces = place{MailboxID(f.Uint()), UID(f.Uint())}
	}
	return m, f.Err()
}

func readHash32(f *segment.Fields) (h [32]byte) {
	for i := range h {
		h[i] = f.Byte()
	}
	return h
}

// What a memory, a row without the parts of its text, and a message that goes
// write at most.
const (
	writesPerMemory   = 3 + forgetAtOnce*2
	writesPerOut      = 5
	writesPerReplaced = 8
)

// writesOfMore is how many writes it takes at most.
func writesOfMore(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	m, _ := decodeMore(b) // what cannot be read fails where it is applied
	return writesPerMemory*len(m.memories) + writesPerOut*len(m.out) + len(b)/textPart + writesPerReplaced
}

// more writes what comes of a part of an item beside its copies. needed says that a
// row wants the octets of the message.
func (t *txn) more(a AccountID, it *item, p part, m *more) (needed bool, err error) {
	for _, one := range m.memories {
		if err := t.remember(a, one); err != nil {
			return false, err
		}
	}
	if it.left {
		return wantedBy(t.tx, a, p.Number(p.recip)), nil
	}
	for j := range m.out {
		w := &m.out[j]
		w.account, w.due = a, t.now
		if it.hold && !it.unsent {
			w.state, w.history.Error = outHeld, "held: the index was lost, and it may have left before"
		}
		if w.slip.Source == mail.FromBody {
			w.number, needed = p.Number(p.recip), true
		}
		if _, err := t.putOut(w); err != nil {
			return false, err
		}
	}
	return needed, nil
}

// forgetAtOnce is how many memories are forgotten for each that is added.
const forgetAtOnce = 8

// remember writes a memory, and forgets some that are over.
func (t *txn) remember(a AccountID, m mail.Memory) error {
	lo := key(a, keyForget)
	var over [][]byte
	for k := range t.tx.Range(lo, forgetKey(a, t.now, [32]byte{}), kv.Options{Limit: forgetAtOnce}) {
		over = append(over, append([]byte(nil), k...))
	}
	for _, k := range over {
		t.tx.Delete(k)
		t.tx.Delete(memoryKey(a, [32]byte(k[len(k)-32:])))
	}
	k := memoryKey(a, m.Key)
	f, err := fields(t.tx, k)
	if err != nil && !isDamaged(err) { // one that is damaged is written anew
		return err
	}
	if f != nil && err == nil {
		t.tx.Delete(forgetKey(a, f.Time(), m.Key))
	}
	t.tx.Put(k, sealValue(segment.AppendTime(newValue(), m.Until)))
	t.tx.Put(forgetKey(a, m.Until, m.Key), sealValue(newValue()))
	return nil
}

// Remembered says until when something is remembered (a reply that was sent,
// RFC 5230 §4.2; a duplicate that was seen, RFC 7352); ok is false where it is
// not, or not any more. It knows of whatever was committed before.
func (a *Account) Remembered(ctx context.Context, key [32]byte) (until time.Time, ok bool, err error) {
	sh := a.store.shardOf(a.id)
	if err := sh.seen(ctx, a.id); err != nil {
		return time.Time{}, false, err
	}
	err = a.store.index.View(ctx, sh.number, func(r kv.Reader) error {
		f, err := fields(r, memoryKey(a.id, key))
		if f == nil || err != nil {
			return err
		}
		until = f.Time()
		return f.Err()
	})
	if err != nil || !a.store.opt.Now().Before(until) {
		return time.Time{}, false, err
	}
	return until, true, nil
}

// Remember remembers each until its time, durably. [Store.Commit] does so with
// the copies of a delivery; this is for what comes of no delivery. At most 64:
// [ErrLimit].
func (a *Account) Remember(ctx context.Context, memories ...mail.Memory) error {
	if len(memories) > maxMemories {
		return fmt.Errorf("%d memories at once: %w", len(memories), ErrLimit)
	}
	return a.change(ctx, func(t *txn, _ *account) error {
		for _, m := range memories {
			if err := t.remember(a.id, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// sending walks the numbers of messages whose octets the outbox wants.
func (a *Account) sending(r kv.Reader) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		lo := key(a.id, keySending)
		for k := range r.Range(lo, kv.After(lo), kv.Options{}) {
			if !yield(tailUint64(k[:len(k)-8])) {
				return
			}
		}
	}
}

// wantedOutside says whether the outbox wants the octets of a message.
func (s *Store) wantedOutside(ctx context.Context, a AccountID, number uint64) (wanted bool, err error) {
	err = s.index.View(ctx, s.shardOf(a).number, func(r kv.Reader) error {
		wanted = wantedBy(r, a, number)
		return nil
	})
	return wanted, err
}

func wantedBy(r kv.Reader, a AccountID, number uint64) bool {
	lo := keyUint64(a, keySending, number)
	for range r.Range(lo, kv.After(lo), kv.Options{Limit: 1}) {
		return true
	}
	return false
}
