package storage

import (
	"context"
	"fmt"
	"time"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// mend makes one value anew, takes it from the checkpoint, or takes it out. What takes
// its place is there before it goes: who is cut short finds it again.
func (g *grafter) mend(ctx context.Context, n int, k []byte, old *older) error {
	a, letter := keyAccountOf(k), k[keyHead-1]
	was, kept := old.values[string(k)]
	if a == systemAccount && letter == keyOut {
		return g.mendOut(ctx, n, OutID(tailUint64(k)), was)
	}
	err := g.index.Update(ctx, n, func(tx kv.Tx) error {
		switch {
		case a != systemAccount:
			return g.mendOwn(tx, a, letter, k, was, kept)
		case letter == keyDeadBytes, letter == keyRetry, letter == keyNext: // begun again
		case letter == keyReap, letter == keyRemoval: // the key says all
			tx.Put(k, sealValue(newValue()))
		case letter == keyPostponed:
			tx.Put(k, sealValue(appendMark(newValue(), segment.Mark{})))
		case letter == keyNextOut:
			tx.Put(k, sealValue(segment.AppendUint(newValue(), freshOut(tx, time.Now()))))
		case letter == keyDue:
			id := OutID(tailUint64(k))
			if w, err := getOut(tx, id); err == nil && w != nil && w.state == outQueued {
				w.write(tx, id)
			}
		default:
			g.takeOlder(tx, fmt.Sprintf("shard %d", n), k, was, kept)
		}
		return nil
	})
	if err != nil {
		return err
	}
	check := checkValue(ctx, n, g.opt.Keys)
	return g.index.Engine.Update(ctx, n, func(tx kv.Tx) error {
		if v := tx.Get(k); v != nil && isDamaged(check(k, v)) { // nothing took its place
			tx.Delete(k)
		}
		return nil
	})
}

// freshOut is a number that no row of the outbox has had in a shard: what counted them
// is lost.
func freshOut(r kv.Reader, now time.Time) uint64 {
	next := uint64(now.UnixMicro())
	lo := key(systemAccount, keyOut)
	for k := range r.Range(lo, kv.After(lo), kv.Options{Limit: 1, Reverse: kv.Backward}) {
		next = max(next, tailUint64(k)>>shardBits+1)
	}
	return next
}

// mendOwn mends a value of an account that can do without it.
func (g *grafter) mendOwn(tx kv.Tx, a AccountID, letter byte, k []byte, was pair, kept bool) error {
	switch letter {
	case keySummary, keyThread, keyMemory, keyForget: // the log has it, it is made again, or it is over some day
	case keySending:
		tx.Put(k, sealValue(newValue()))
	case keyFilters, keyFiltered:
		tx.DeleteRange(filtersKey(a), kv.After(filtersKey(a)))
		tx.Delete(filteredKey(a))
	case keyName:
		boxes, err := allBoxes(tx, a)
		for _, b := range boxes {
			(&txn{tx: tx}).name(a, b.Name, b.ID)
		}
		return err
	default:
		g.takeOlder(tx, fmt.Sprintf("account %d", a), k, was, kept)
	}
	return nil
}

// takeOlder takes a value from the checkpoint where it was kept there.
func (g *grafter) takeOlder(tx kv.Tx, whose string, k []byte, was pair, kept bool) {
	became := "it is lost, and not in the checkpoint"
	if kept {
		tx.Put(was.key, was.value)
		became = "taken from the checkpoint"
	}
	g.say(fmt.Sprintf("%s, key %x: %s", whose, k, became))
}
