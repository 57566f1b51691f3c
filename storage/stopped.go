package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// A value of the index that rots, or a mistake of ours over one, is met by the
// applier when a letter comes for its account. It stops that account, and nobody
// else: the mark passes over its items, each of which is written down with its place
// in the log, in the transaction that passes it. Until it is applied no segment from
// there on goes, and every open tries again; so whatever was acknowledged comes into
// the mailbox, once, when the index is mended ([Repair]).
//
// Who has a stopped account reads what can be read. Nothing is filed or changed
// there: a change would give UIDs that letters which wait were promised, and a
// repair may take it back. A letter for an alias that others have a part in is taken
// all the same, and waits as well.

// errStopped is for who wants to change a stopped account: [ErrUnavailable].
var errStopped = errors.New("the index is damaged there, and nothing is changed until letterlock fsck --repair")

// postponed is an item of a stopped account, by the serial of its first part.
type postponed struct {
	account AccountID
	before  segment.Mark // where a replay meets it; zero: not known, and it is looked for in the whole log
}

func postponedKey(a AccountID, serial uint64) []byte {
	return appendUint64(keyUint64(systemAccount, keyPostponed, uint64(a)), serial)
}

func isPostponed(k []byte) bool {
	return keyAccountOf(k) == systemAccount && k[keyHead-1] == keyPostponed
}

// postponedOf is the account of an item that was passed over, by its key.
func postponedOf(k []byte) AccountID { return AccountID(tailUint64(k[:len(k)-8])) }

// loadPostponed reads what earlier transactions of a shard have passed over.
func loadPostponed(r kv.Reader) map[uint64]postponed {
	all := make(map[uint64]postponed)
	lo := key(systemAccount, keyPostponed)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		p := postponed{account: postponedOf(k)}
		if v, err := open(v); err == nil {
			p.before, _ = readMark(segment.ReadFields(v)) // its own checksum was right
		}
		all[tailUint64(k)] = p
	}
	return all
}

// ofItem says whether an error of the applier is about what it was to apply, and not
// about the engine: another item may go.
func ofItem(err error) bool {
	return err != nil && !errors.Is(err, kv.ErrFailed) && !errors.Is(err, kv.ErrClosed)
}

// mendShared makes anew what accounts of a shard have in common and what has rotted of
// it: nothing but numbers hang on that. It says whether there was any.
func (sh *shard) mendShared(ctx context.Context) (mended bool) {
	s := sh.store
	keys := [][]byte{key(systemAccount, keyNextOut)}
	for _, seg := range s.log.Segments() {
		keys = append(keys, deadBytesKey(seg.Number))
	}
	for _, k := range keys {
		err := s.index.View(ctx, sh.number, func(r kv.Reader) error { // each of its own: a sealed one fails it
			_, err := get(r, k)
			return err
		})
		if !isDamaged(err) {
			continue
		}
		next := uint64(0)
		if k[keyHead-1] == keyNextOut {
			next = sh.freshOut(ctx)
		}
		err = s.update(ctx, sh, func(tx kv.Tx) error { // nothing is read
			if tx.Delete(k); next > 0 {
				tx.Put(k, sealValue(segment.AppendUint(newValue(), next)))
			}
			return nil
		})
		s.opt.Log.Warn("a count of the index was damaged and is made anew", "shard", sh.number, "key", fmt.Sprintf("%x", k), "err", err)
		mended = mended || err == nil
	}
	return mended
}

// freshOut is [freshOut] of a shard whose rows may be damaged as well.
func (sh *shard) freshOut(ctx context.Context) (next uint64) {
	now := sh.store.opt.Now()
	err := sh.store.index.View(ctx, sh.number, func(r kv.Reader) error {
		next = freshOut(r, now)
		return nil
	})
	if err != nil {
		next = uint64(now.UnixMicro())
	}
	return next
}

// stop stops the account of an item that cannot be applied; false: it stands already,
// or the item is nobody's.
func (sh *shard) stop(it *item, why error) bool {
	if len(it.parts) == 0 {
		return false
	}
	a := it.account()
	sh.mu.Lock()
	_, stands := sh.stopped[a]
	if !stands {
		sh.stopped[a] = why
		delete(sh.sight.outlooks, a)
	}
	sh.mu.Unlock()
	if !stands {
		sh.store.opt.Log.Error("an account is stopped: the index is damaged there; mail that was taken is safe in the log, no more is taken for it",
			"account", a, "address", it.parts[0].recipient().Rcpt, "shard", sh.number, "err", why, "hint", "stop the server, then: letterlock fsck --repair")
	}
	return !stands
}

// takes is why an account takes no change; nil where it does.
func (sh *shard) takes(a AccountID) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.stopOf(a)
}

// allTake is why a record cannot be moved: one of its recipients is stopped.
func (s *Store) allTake(r *segment.Record) error {
	for i := range r.Recipients {
		a := AccountID(r.Recipients[i].Account)
		if err := s.shardOf(a).takes(a); err != nil {
			return err
		}
	}
	return nil
}

// stopOf is takes for those who hold mu.
func (sh *shard) stopOf(a AccountID) error {
	if why := sh.stopped[a]; why != nil {
		return fmt.Errorf("account %d: %w: %w", a, errStopped, why)
	}
	return nil
}

// postpone passes over an item of a stopped account. An append that nobody was told
// of goes nowhere.
func (t *txn) postpone(it *item, why error, result *applied) error {
	if it.filing != nil && !it.assured && it.promised == (promise{}) {
		result.err = unavailable(why)
		return t.discard(it.parts)
	}
	result.postponed = true
	t.tx.Put(postponedKey(it.account(), it.parts[0].serial()), sealValue(appendMark(newValue(), it.before)))
	return nil
}

// notePostponed remembers what became of an item. mu is held.
func (sh *shard) notePostponed(it *item, result applied) {
	switch {
	case result.postponed:
		sh.postponed[it.parts[0].serial()] = postponed{it.account(), it.before}
	case it.late:
		delete(sh.postponed, it.parts[0].serial())
	}
}

// isLate says whether an item that a replay meets, and that the mark is behind, is to be
// applied: it was passed over, or its account is begun again. left says of one whose
// account is that it was applied once, or, being moved, is about what was.
func (sh *shard) isLate(it *item) (late, left bool) {
	serial := it.parts[0].serial()
	g, again := sh.grafted[it.account()]
	moved := again && it.parts[0].Kind == segment.Moved
	if serial >= sh.opened.Serial {
		return false, moved
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, passed := sh.postponed[serial]; passed {
		return true, moved
	}
	late = again && serial >= g.from.Serial
	return late, late
}

// waits is how many items of an account were passed over.
func (sh *shard) waits(a AccountID) (n int) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, p := range sh.postponed {
		if p.account == a {
			n++
		}
	}
	return n
}

// giveUp is called behind a replay: what was passed over and did not come cannot be
// read any more. Its letters may have been answered with UIDs, which are not given
// again.
func (sh *shard) giveUp(ctx context.Context) error {
	var lost []AccountID
	sh.mu.Lock()
	for _, p := range sh.postponed {
		if sh.stopped[p.account] == nil && !slices.Contains(lost, p.account) {
			lost = append(lost, p.account)
		}
	}
	sh.mu.Unlock()
	for _, a := range lost {
		if _, err := sh.store.renewSome(ctx, sh, []AccountID{a}); err != nil {
			return err
		}
		if err := sh.forgetPostponed(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// forgetPostponed forgets what was passed over of an account.
func (sh *shard) forgetPostponed(ctx context.Context, a AccountID) error {
	var serials []uint64
	var keys [][]byte
	sh.mu.Lock()
	for serial, p := range sh.postponed {
		if p.account == a {
			serials, keys = append(serials, serial), append(keys, postponedKey(a, serial))
		}
	}
	sh.mu.Unlock()
	for len(keys) > 0 {
		some := keys[:min(len(keys), removeStep)]
		err := sh.store.update(ctx, sh, func(tx kv.Tx) error {
			for _, k := range some {
				tx.Delete(k)
			}
			return nil
		})
		if err != nil {
			return err
		}
		keys = keys[len(some):]
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, serial := range serials {
		delete(sh.postponed, serial)
	}
	return nil
}

// Stopped is the accounts that take no change, and why: the index is damaged there.
func (s *Store) Stopped() map[AccountID]error {
	all := make(map[AccountID]error)
	for _, sh := range s.shards {
		sh.mu.Lock()
		for a := range sh.stopped {
			all[a] = sh.stopOf(a)
		}
		sh.mu.Unlock()
	}
	return all
}
