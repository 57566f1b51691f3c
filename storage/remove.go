package storage

import (
	"context"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
)

// RemovePerson removes an account and all its mail: [ErrNotFound]. From then
// on nothing can be delivered to it; an id is never given again. A removal that
// was cut short goes on at the next open.
func (s *Store) RemovePerson(ctx context.Context, addr mail.Address) error {
	var p Person
	err := s.system(ctx, func(tx kv.Tx) (err error) {
		if p, err = getPerson(tx, addr); err != nil {
			return err
		}
		tx.Delete(addressKey(keyPerson, p.Address))
		tx.Put(removalKey(p.ID), sealValue(newValue()))
		return nil
	})
	s.persons.forget(addr)
	if err != nil {
		return err
	}
	return s.remove(ctx, p.ID)
}

// removeStep is how many keys of an account one transaction deletes.
const removeStep = 2000

// remove empties an account. A tombstone stays, so that letters on their way
// find out.
func (s *Store) remove(ctx context.Context, a AccountID) error {
	sh := s.shardOf(a)
	if err := sh.beginChange(ctx, a); err != nil {
		return err
	}
	defer sh.endChange(a)
	err := s.update(ctx, sh, func(tx kv.Tx) error {
		tx.Put(accountKey(a), (&account{removed: true}).encode())
		return nil
	})
	for more := err == nil; more && err == nil; {
		err = s.update(ctx, sh, func(tx kv.Tx) error {
			more = false
			return removeSome(tx, a, &more)
		})
	}
	if err == nil {
		err = sh.forgetPostponed(ctx, a)
	}
	if err != nil {
		return err
	}
	sh.mu.Lock()
	delete(sh.stopped, a) // nothing of it is left
	sh.mu.Unlock()
	return s.system(ctx, func(tx kv.Tx) error {
		tx.Delete(removalKey(a))
		return nil
	})
}

func removeSome(tx kv.Tx, a AccountID, more *bool) error {
	var keys [][]byte
	dead := make(map[uint64]uint64)
	leaving := make(map[uint64]bool) // what is on its way out goes when it is out
	for n := range (&Account{id: a}).sending(tx) {
		leaving[n] = true
	}
	for k, v := range tx.Range(accountPrefix(a), kv.After(accountPrefix(a)), kv.Options{}) {
		if len(keys) == removeStep {
			break
		}
		if k[8] == keyAccount || k[8] == keySending || k[8] == keyRow && leaving[tailUint64(k)] {
			continue
		}
		if k[8] == keyRow {
			if w, err := decodeRow(v); err == nil {
				dead[w.at.Segment] += uint64(w.share)
			}
		}
		keys = append(keys, append([]byte(nil), k...))
	}
	for _, k := range keys {
		tx.Delete(k)
	}
	*more = len(keys) == removeStep
	return addDeadBytes(tx, dead)
}

// finishRemovals goes on with what a crash cut short.
func (s *Store) finishRemovals(ctx context.Context) error {
	var left []AccountID
	lo := key(systemAccount, keyRemoval)
	err := s.readSystem(ctx, func(r kv.Reader) error {
		for k := range r.Range(lo, kv.After(lo), kv.Options{}) {
			left = append(left, AccountID(tailUint64(k)))
		}
		return nil
	})
	for _, a := range left {
		if err == nil {
			err = s.remove(ctx, a)
		}
		if isDamaged(err) { // nobody has it: that is no reason to keep others waiting
			s.opt.Log.Error("what is left of a removed account was not removed", "account", a, "err", err)
			err = nil
		}
	}
	return err
}
