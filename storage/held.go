package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// holdName stands in the index of a store that was restored and not opened yet.
const holdName = "HOLD"

// holdRestored holds what waits in the outbox of a restored store, and gives every
// mailbox a new UIDVALIDITY.
func (s *Store) holdRestored(ctx context.Context) error {
	name := filepath.Join(s.dir, indexDir, holdName)
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, sh := range s.shards {
		for more := true; more; {
			err := s.index.Update(ctx, sh.number, func(tx kv.Tx) (err error) {
				more, err = holdSome(tx)
				return err
			})
			if err != nil {
				return fmt.Errorf("hold the outbox: %w", err)
			}
		}
	}
	if err := s.renew(ctx); err != nil {
		return fmt.Errorf("new UIDVALIDITY: %w", err)
	}
	if err := os.Remove(name); err != nil {
		return err
	}
	return segment.OS{}.SyncDir(filepath.Dir(name))
}

func holdSome(tx kv.Tx) (more bool, err error) {
	lo := key(systemAccount, keyDue)
	var keys [][]byte
	for k := range tx.Range(lo, kv.After(lo), kv.Options{Limit: duePage}) {
		keys = append(keys, append([]byte(nil), k...))
	}
	for _, k := range keys {
		id := OutID(tailUint64(k))
		tx.Delete(k)
		w, err := getOut(tx, id)
		if isDamaged(err) {
			continue // it stays as it is, for whoever comes to look
		}
		if err != nil {
			return false, err
		}
		if w != nil {
			w.hold(tx, id, "the store was restored, and it may have left since the backup")
		}
	}
	return len(keys) == duePage, nil
}

// renew gives all mailboxes a new UIDVALIDITY: what came after the backup has shown
// UIDs and modseqs to clients that are going to be given again (RFC 9051 §2.3.1.1).
func (s *Store) renew(ctx context.Context) error {
	for _, sh := range s.shards {
		ids, err := s.accounts(ctx, sh)
		if err != nil {
			return err
		}
		for _, id := range ids {
			a := s.Account(id)
			err := a.change(ctx, func(t *txn, c *account) error { return t.recount(id, c, true, func(string) {}) })
			if isDamaged(err) { // a repair comes to it
				s.opt.Log.Error("mailboxes keep their UIDVALIDITY", "account", id, "err", err)
			} else if err != nil && !isNotFound(err) {
				return fmt.Errorf("account %d: %w", id, err)
			}
		}
	}
	return nil
}
