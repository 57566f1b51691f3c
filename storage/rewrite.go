package storage

import (
	"context"
	"slices"

	"letterlock/storage/kv"
)

// rewrittenAtOnce is how many records of mailboxes one transaction writes: of 9 KiB at
// most, with all their keywords.
const rewrittenAtOnce = kv.MaxTxBytes / (16 << 10)

// rewrite changes the records of mailboxes of a shard and nothing else of them, some
// at a time. What is gone, or cannot be read, stays as it is.
func (sh *shard) rewrite(ctx context.Context, boxes []boxID, change func(*openBox)) error {
	for some := range slices.Chunk(boxes, rewrittenAtOnce) {
		err := sh.store.update(ctx, sh, func(tx kv.Tx) error {
			t := newTxn(tx, sh.store)
			for _, id := range some {
				b, err := t.box(id.account, id.mailbox)
				switch {
				case isDamaged(err): // a repair comes to it
				case err != nil:
					return err
				case b != nil:
					change(b)
				}
			}
			t.finish()
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// allBoxes is every mailbox of a shard.
func (sh *shard) allBoxes(ctx context.Context) (all []boxID, err error) {
	ids, err := sh.store.accounts(ctx, sh)
	if err != nil {
		return nil, err
	}
	for _, a := range ids {
		err := sh.store.index.View(ctx, sh.number, func(r kv.Reader) error {
			lo := key(a, keyBox)
			for k := range r.Range(lo, kv.After(lo), kv.Options{}) {
				all = append(all, boxID{a, MailboxID(tailUint32(k))})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
