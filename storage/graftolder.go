package storage

import (
	"bytes"
	"errors"
	"path/filepath"

	"letterlock/storage/kv/bolt"
	"letterlock/storage/kv/sealed"
	"letterlock/storage/seal"
	"letterlock/storage/segment"
)

// older is what a checkpoint has of what has rotted since.
type older struct {
	name   string
	mark   segment.Mark
	whole  map[AccountID]bool      // accounts of which it has all
	missed map[AccountID]postponed // the first item each had not got by then, though the mark is behind it
	values map[string]pair         // by the key as it is stored
}

// from is up to where the account of a checkpoint knows the log.
func (o *older) from(a AccountID) segment.Mark {
	if p, missed := o.missed[a]; missed {
		return p.before
	}
	return o.mark
}

// miss notes what an account of the checkpoint had not got: from the first such item on
// it got nothing.
func (o *older) miss(a AccountID, before segment.Mark) {
	if p, missed := o.missed[a]; !missed || before.Serial < p.before.Serial {
		o.missed[a] = postponed{a, before}
	}
}

type pair struct{ key, value []byte }

// older reads the checkpoint of a shard. One that is damaged, or not there, has nothing;
// an error says that it may be read another time, or with another key.
func (g *grafter) older(n int, keys [][]byte, accounts map[AccountID]bool) (*older, error) {
	old := &older{name: bolt.ShardFile(filepath.Join(g.dir, checkpointDir), n), whole: make(map[AccountID]bool), missed: make(map[AccountID]postponed), values: make(map[string]pair)}
	wanted, rotten, heads := make(map[string]bool), make(map[AccountID]bool), make(map[AccountID]int)
	for _, k := range keys {
		wanted[string(k)] = true
	}
	err := bolt.Walk(old.name, func(k, v []byte) error {
		key, value, err := sealed.Decode(g.opt.Keys, n, hide, k, v)
		if key == nil && err == nil { // the ring
			return nil
		}
		if errors.Is(err, seal.ErrNoKey) {
			return err
		}
		a := keyAccountOf(k)
		plain, perr := open(value)
		if err = errors.Join(err, perr); err != nil && spared(k) {
			if rotten[a] = true; isPostponed(k) {
				rotten[postponedOf(k)] = true
			}
			return nil
		}
		if err != nil {
			return err
		}
		if bytes.Equal(k, markKey()) {
			old.mark, err = readMark(segment.ReadFields(plain))
		}
		if accounts[a] && headOf(k) > 0 {
			var c account
			if k[keyHead-1] == keyAccount {
				c.readCounts(segment.ReadFields(plain))
			}
			heads[a] += headOf(k)
			old.whole[a] = heads[a] == wholeHead || c.removed
		}
		if isPostponed(k) {
			var before segment.Mark
			if before, err = readMark(segment.ReadFields(plain)); before.Serial == 0 { // nobody knows where it lies
				rotten[postponedOf(k)] = true
			}
			old.miss(postponedOf(k), before)
		}
		if wanted[string(k)] {
			old.values[string(k)] = pair{bytes.Clone(key), bytes.Clone(value)}
		}
		return err
	})
	if errors.Is(err, seal.ErrNoKey) || passing(err) {
		return nil, err
	}
	if err != nil {
		clear(old.whole)
	}
	for a := range rotten {
		delete(old.whole, a)
	}
	return old, nil
}
