package storage

import (
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// A name that is used again must not show an older UIDVALIDITY than before
// (RFC 9051 §2.3.1.1). A mailbox that is made gets a greater one than any; for
// one that is renamed it is remembered what a name had.

// maxFormer is how many names are remembered; of more the greatest value alone.
const maxFormer = 1000

// former remembers what a name had, when its mailbox loses it.
func (t *txn) former(c *account, b *openBox) {
	a := b.id.account
	lo, n := key(a, keyFormer), 0
	for range t.tx.Range(lo, kv.After(lo), kv.Options{}) {
		n++
	}
	if n >= maxFormer {
		t.tx.DeleteRange(lo, kv.After(lo))
		c.former = c.validity
	}
	v := segment.AppendUint(newValue(), uint64(b.UIDValidity))
	t.tx.Put(namedKey(a, keyFormer, b.Name), sealValue(segment.AppendUint(v, uint64(b.ID))))
}

// outgrow gives a mailbox a greater UIDVALIDITY where the name it gets had one
// that is not smaller, with another mailbox.
func (t *txn) outgrow(c *account, b *openBox, name string) error {
	f, err := fields(t.tx, namedKey(b.id.account, keyFormer, name))
	if err != nil {
		return err
	}
	least := c.former
	if f != nil {
		had, of := uint32(f.Uint()), MailboxID(f.Uint())
		if of != b.ID {
			least = max(least, had)
		}
		if err := f.Err(); err != nil {
			return err
		}
	}
	if b.UIDValidity > least {
		return nil
	}
	t.renewUIDs(c, b)
	return nil
}
