package storage

import (
	"fmt"
	"slices"

	"letterlock/storage/kv"
)

// keywords turns names into bits, adding names to the table of the mailbox. A
// name that finds no room takes the place of one that no message carries;
// where all are carried it is left out, and the error is [ErrLimit].
func (t *txn) keywords(b *openBox, names []string) (bits Flags, full error) {
	for _, name := range names {
		i := indexFold(b.Keywords, name)
		if i < 0 {
			var err error
			if i, err = t.newKeyword(b, name); isLimit(err) {
				full = err
				continue
			} else if err != nil {
				return 0, err
			}
		}
		bits |= Keyword(i)
		b.given |= Keyword(i)
	}
	return bits, full
}

func (t *txn) newKeyword(b *openBox, name string) (int, error) {
	if n := len(b.Keywords); n < MaxKeywords {
		b.Keywords = append(b.Keywords[:n:n], name)
		return n, nil
	}
	if err := t.lookForCarried(b); err != nil {
		return 0, err
	}
	for i := range b.Keywords {
		if (b.carried|b.given)&Keyword(i) == 0 {
			b.Keywords = slices.Clone(b.Keywords) // a view may have the old table
			b.Keywords[i] = name
			return i, nil
		}
	}
	return 0, fmt.Errorf("keyword %s: %w", name, ErrLimit)
}

// lookForCarried finds the flags that some message of a mailbox has: once in a
// transaction, since all messages are looked at. What is given to others in it is
// known, and what is taken away counts from the next one on.
func (t *txn) lookForCarried(b *openBox) error {
	if b.looked {
		return nil
	}
	t.settleTail(b)
	var room [blockSize]uint64
	lo := blocksKey(b.id.account, b.ID)
	for _, v := range t.tx.Range(lo, kv.After(lo), kv.Options{}) {
		p, err := openBlock(v)
		if err != nil {
			return err
		}
		for _, n := range p.column(2, room[:]) {
			b.carried |= Flags(n)
		}
	}
	b.looked = true
	return nil
}
