package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"letterlock/storage/disk"
	"letterlock/storage/kv"
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
		if _, err := s.holdShard(ctx, sh, "the store was restored, and it may have left since the backup"); err != nil {
			return err
		}
	}
	if err := s.renew(ctx, name); err != nil {
		return fmt.Errorf("new UIDVALIDITY: %w", err)
	}
	if err := os.Remove(name); err != nil {
		return err
	}
	return disk.OS{}.SyncDir(filepath.Dir(name))
}

// holdShard holds what waits in the outbox of a shard and answers how much that is.
func (s *Store) holdShard(ctx context.Context, sh *shard, why string) (held int, err error) {
	for more := true; more; {
		some := 0
		err := s.index.Update(ctx, sh.number, func(tx kv.Tx) (err error) {
			some, more, err = holdSome(tx, why)
			return err
		})
		if err != nil {
			return held, fmt.Errorf("hold the outbox: %w", err)
		}
		held += some
	}
	return held, nil
}

func holdSome(tx kv.Tx, why string) (held int, more bool, err error) {
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
			return 0, false, err
		}
		if w != nil {
			w.hold(tx, id, why)
			held++
		}
	}
	return held, len(keys) == duePage, nil
}

// How many accounts, about, one transaction renews, and how often it is said how far
// that is.
const (
	renewBoxes    = 1000
	renewMessages = 200000
	renewTells    = 5 * time.Second
)

// renew gives all mailboxes a new UIDVALIDITY: what came after the backup has shown
// UIDs and modseqs to clients that are going to be given again (RFC 9051 §2.3.1.1).
// How far it is stands in the file name, so that it goes on there when it was cut
// short; what is renewed twice does no harm.
func (s *Store) renew(ctx context.Context, name string) error {
	shard, last, err := readRenewed(name)
	if err != nil {
		return err
	}
	all := make([][]AccountID, len(s.shards))
	done, total := 0, 0
	for i, sh := range s.shards {
		if all[i], err = s.accounts(ctx, sh); err != nil {
			return err
		}
		total += len(all[i])
		was := len(all[i])
		all[i] = slices.DeleteFunc(all[i], func(a AccountID) bool { return i < shard || i == shard && a <= last })
		done += was - len(all[i])
	}
	for i, told := 0, time.Now(); i < len(all); i++ {
		for ids := all[i]; len(ids) > 0; {
			n, err := s.renewSome(ctx, s.shards[i], ids)
			if err == nil {
				err = writeRenewed(name, i, ids[n-1])
			}
			if err != nil {
				return err
			}
			done, ids = done+n, ids[n:]
			if time.Since(told) > renewTells || done == total {
				s.opt.Log.Info("the store was restored: its mailboxes get a new UIDVALIDITY", "accounts", done, "of", total)
				told = time.Now()
			}
		}
	}
	return nil
}

// renewSome renews the first n accounts in one transaction, one at least. One that
// is damaged is left as it is: a repair comes to it.
func (s *Store) renewSome(ctx context.Context, sh *shard, ids []AccountID) (n int, err error) {
	err = s.update(ctx, sh, func(tx kv.Tx) error {
		t, messages := newTxn(tx, s), uint64(0)
		for n = 0; n < len(ids) && len(t.boxes)+n < renewBoxes && messages < renewMessages; n++ {
			c, err := t.account(ids[n])
			if err == nil {
				err = t.recount(ids[n], c, true, func(string) {})
			}
			if isDamaged(err) && n > 0 { // what it has left half done goes with its own transaction
				return errHalf
			}
			if err != nil && !isNotFound(err) {
				return err
			}
			if c != nil {
				messages += c.messages
			}
		}
		t.finish()
		return nil
	})
	switch {
	case errors.Is(err, errHalf):
		return s.renewSome(ctx, sh, ids[:n])
	case errors.Is(err, kv.ErrBounds) && n > 1:
		return s.renewSome(ctx, sh, ids[:n/2])
	case isDamaged(err):
		s.opt.Log.Error("mailboxes keep their UIDVALIDITY", "account", ids[0], "err", err)
		return 1, nil
	case err != nil:
		return 0, fmt.Errorf("account %d: %w", ids[min(n, len(ids)-1)], err)
	}
	return n, nil
}

// errHalf ends a transaction before an account that is damaged.
var errHalf = errors.New("the next account is damaged")

// readRenewed reads up to which account of which shard a renewal has come.
func readRenewed(name string) (shard int, last AccountID, err error) {
	b, err := os.ReadFile(name)
	if err != nil || len(b) == 0 {
		return 0, 0, err
	}
	if _, err := fmt.Sscanf(string(b), "renewed %d %d\n", &shard, &last); err != nil {
		return 0, 0, nil // it begins again
	}
	return shard, last, nil
}

func writeRenewed(name string, shard int, last AccountID) error {
	return writeFile(name, fmt.Appendf(nil, "renewed %d %d\n", shard, last))
}
