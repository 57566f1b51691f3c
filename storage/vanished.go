package storage

import (
	"context"
	"fmt"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// UIDRange is the UIDs from First to Last, both included.
type UIDRange struct{ First, Last UID }

// Bounds of the vanished log of one mailbox.
const (
	maxPart     = 60 << 10 // octets of one value
	maxVanished = 2048     // values; at that the older half is forgotten
)

// vanish writes down which UIDs are gone (RFC 7162 §3.2.10).
func (t *txn) vanish(b *openBox, gone []entry) error {
	at := b.bump()
	v := newValue()
	put := func() {
		t.tx.Put(partKey(b.id.account, keyVanished, b.ID, at, b.vanishedParts), sealValue(v))
		v = newValue()
		b.vanishedParts++
		b.vanished++
	}
	for i := 0; i < len(gone); {
		first, last := gone[i].uid, gone[i].uid
		for i++; i < len(gone) && gone[i].uid == last+1; i++ {
			last++
		}
		v = segment.AppendUint(segment.AppendUint(v, uint64(first)), uint64(last-first))
		if len(v) > maxPart {
			put()
		}
	}
	if len(v) > valueHeader {
		put()
	}
	if b.vanished > maxVanished {
		return t.trimVanished(b)
	}
	return nil
}

// trimVanished forgets the older half. Whoever asks for what lies below the
// horizon is told that it is not known.
func (t *txn) trimVanished(b *openBox) error {
	lo := keyUint32(b.id.account, keyVanished, uint32(b.ID))
	n, end := uint32(0), ModSeq(0)
	for k := range t.tx.Range(lo, kv.After(lo), kv.Options{Limit: maxVanished / 2}) {
		end = ModSeq(tailUint64(k[:len(k)-2]))
		n++
	}
	// Parts of one modseq stay or go together.
	hi := partKey(b.id.account, keyVanished, b.ID, end, 0)
	kept := uint32(0)
	for range t.tx.Range(hi, kv.After(lo), kv.Options{}) {
		kept++
	}
	t.tx.DeleteRange(lo, hi)
	b.vanished, b.horizon = kept, max(b.horizon, end-1)
	return nil
}

// Vanished lists the UIDs that left a mailbox after since, in the order they
// went. complete is false where the log does not reach back that far: then
// whoever asks has to compare by himself (RFC 7162 §3.2.5.2).
func (a *Account) Vanished(ctx context.Context, id MailboxID, since ModSeq) (gone []UIDRange, complete bool, err error) {
	err = a.read(ctx, func(r kv.Reader) error {
		gone = nil
		b, err := getBox(r, a.id, id)
		if b == nil || err != nil {
			return orElse(err, absentBox(id))
		}
		complete = since >= b.horizon
		end := kv.After(keyUint32(a.id, keyVanished, uint32(id)))
		for k, v := range r.Range(partKey(a.id, keyVanished, id, since+1, 0), end, kv.Options{}) {
			v, err := open(v)
			if err != nil {
				return fmt.Errorf("key %x: %w", k, err)
			}
			for f := segment.ReadFields(v); f.Left() > 0; {
				first, more := UID(f.Uint()), UID(f.Uint())
				gone = append(gone, UIDRange{first, first + more})
			}
		}
		return nil
	})
	return gone, complete, err
}
