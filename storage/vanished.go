package storage

import (
	"context"
	"fmt"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// UIDRange is the UIDs from First to Last, both included.
type UIDRange struct{ First, Last UID }

// Bounds of the vanished log of one mailbox: about a megabyte. What weighs more
// forgets its older half.
const (
	maxPart     = 60 << 10 // octets of one value
	maxVanished = 2048     // of weight
	weightOf    = 512      // octets of a value that weigh one more
)

// weight is what a value of the log counts.
func weight(v []byte) uint32 { return 1 + uint32(len(v))/weightOf }

// vanish writes down which UIDs are gone (RFC 7162 §3.2.10).
func (t *txn) vanish(b *openBox, gone []entry) error {
	at := b.bump()
	v := newValue()
	put := func() {
		t.tx.Put(partKey(b.id.account, keyVanished, b.ID, at, b.vanishedParts), sealValue(v))
		b.vanished += weight(v)
		v = newValue()
		b.vanishedParts++
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
		t.trimVanished(b, at)
	}
	return nil
}

// trimVanished forgets the older half, but nothing of newest. Parts of one modseq stay
// or go together. Whoever asks for what lies below the horizon is told that it is not
// known (RFC 7162 §3.2.6).
func (t *txn) trimVanished(b *openBox, newest ModSeq) {
	lo := keyUint32(b.id.account, keyVanished, uint32(b.ID))
	gone, kept, end := uint32(0), uint32(0), ModSeq(0)
	for k, v := range t.tx.Range(lo, kv.After(lo), kv.Options{}) {
		at := ModSeq(tailUint64(k[:len(k)-2]))
		if at < newest && (at == end || gone < b.vanished/2) {
			gone, end = gone+weight(v), at
		} else {
			kept += weight(v)
		}
	}
	t.tx.DeleteRange(lo, partKey(b.id.account, keyVanished, b.ID, end+1, 0))
	b.vanished, b.horizon = kept, max(b.horizon, end)
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
