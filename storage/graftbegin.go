package storage

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
	"letterlock/storage/kv/sealed"
	"letterlock/storage/segment"
)

// begin puts what the checkpoint has of accounts in the place of what there is.
func (g *grafter) begin(ctx context.Context, n int, accounts map[AccountID]bool, old *older) error {
	ids := slices.Sorted(maps.Keys(accounts))
	for _, a := range ids {
		g.say(fmt.Sprintf("account %d is begun again from: %s", a, g.restored.accounts[a].origin))
		err := g.index.Update(ctx, n, func(tx kv.Tx) error {
			for letter := range 256 {
				if lo := key(a, byte(letter)); bytes.IndexByte(stays, byte(letter)) < 0 {
					tx.DeleteRange(lo, kv.After(lo))
				}
			}
			return nil
		})
		if err == nil && !old.whole[a] {
			err = g.empty(ctx, n, a)
		}
		if err != nil {
			return err
		}
	}
	c := carrier{ctx: ctx, to: g.index, shard: n}
	if len(old.whole) > 0 {
		err := bolt.Walk(old.name, func(k, v []byte) error {
			if !old.whole[keyAccountOf(k)] || k[keyHead-1] == keySending || bytes.IndexByte(stays, k[keyHead-1]) >= 0 {
				return nil
			}
			key, value, err := sealed.Decode(g.opt.Keys, n, hide, k, v)
			if err != nil {
				return err
			}
			return c.put(key, value)
		})
		if err != nil {
			return err
		}
	}
	for _, a := range ids { // what has died in the meantime dies again
		if err := c.put(reapKey(a), sealValue(newValue())); err != nil {
			return err
		}
	}
	if err := g.sending(&c, accounts); err != nil {
		return err
	}
	return c.flush()
}

// empty makes an account anew, for what the log has.
func (g *grafter) empty(ctx context.Context, n int, a AccountID) error {
	var address mail.Address
	err := g.index.View(ctx, placeAccount(systemAccount, g.shards), func(r kv.Reader) error {
		lo := key(systemAccount, keyPerson)
		for _, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
			if v, err := open(v); err == nil {
				if p, err := readPerson(segment.ReadFields(v)); err == nil && p.ID == a {
					address = p.Address
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.index.Update(ctx, n, func(tx kv.Tx) error {
		t := &txn{tx: tx, now: time.Now(), claims: &claims{}, accounts: make(map[AccountID]*account), boxes: make(map[boxID]*openBox)}
		t.newAccount(a).address = address
		t.finish()
		return nil
	})
}

// sending says anew which messages of accounts the outbox wants.
func (g *grafter) sending(c *carrier, accounts map[AccountID]bool) error {
	var keys [][]byte
	err := g.index.View(c.ctx, c.shard, func(r kv.Reader) error {
		keys = nil
		lo := key(systemAccount, keyOut)
		for k := range r.Range(lo, kv.After(lo), kv.Options{}) {
			id := OutID(tailUint64(k))
			if w, err := getOut(r, id); err == nil && accounts[w.account] && w.number != 0 {
				keys = append(keys, sendingKey(w.account, w.number, id))
			}
		}
		return nil
	})
	for _, k := range keys {
		if err == nil {
			err = c.put(k, sealValue(newValue()))
		}
	}
	return err
}

// carrier writes many values, some at a time.
type carrier struct {
	ctx    context.Context // of one repair; it ends with it
	to     kv.Engine
	shard  int
	pairs  []pair
	octets int
}

func (c *carrier) put(key, value []byte) error {
	c.pairs = append(c.pairs, pair{bytes.Clone(key), bytes.Clone(value)})
	if c.octets += len(key) + len(value); len(c.pairs) < kv.MaxTxWrites/2 && c.octets < kv.MaxTxBytes/2 {
		return nil
	}
	return c.flush()
}

func (c *carrier) flush() error {
	err := c.to.Update(c.ctx, c.shard, func(tx kv.Tx) error {
		for _, p := range c.pairs {
			tx.Put(p.key, p.value)
		}
		return nil
	})
	c.pairs, c.octets = nil, 0
	return err
}
