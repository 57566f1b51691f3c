package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
)

// OutSettlement is what [Store.SettleOut] writes.
type OutSettlement struct {
	End     End
	Due     time.Time        // of a row that stays
	History History          // of a row that stays
	Reports []*mail.Outbound // rows to make: the bounce, the notice of delay, of success
}

// End says what becomes of a row.
type End uint8

// What becomes of a row.
const (
	Stays End = iota // due again
	Ended
	Parks // its demand or its octets cannot be read: kept, not due until [Store.RetryOut]
)

// SettleOut writes what became of a row, and the rows of its reports, in one
// transaction: [ErrRowGone] where it has ended in the meantime. A report of
// source [mail.FromBody] is about the octets of the row's own message. A row
// whose octets turned out to be damaged parks instead of staying.
func (s *Store) SettleOut(ctx context.Context, id OutID, end OutSettlement) error {
	if s.rotten.take(id) && end.End == Stays {
		end.End = Parks
	}
	err := s.settleOut(ctx, id, end)
	if end.End == Parks && isDamaged(err) {
		err = s.parkDamaged(ctx, id)
	}
	return err
}

// parkDamaged takes a row that cannot be read off the list of what is due. It
// stays as it is, for whoever comes to look.
func (s *Store) parkDamaged(ctx context.Context, id OutID) error {
	return s.update(ctx, s.shards[id.shard()], func(tx kv.Tx) error {
		if due := dueOf(tx, id); due != nil {
			tx.Delete(due)
		}
		return nil
	})
}

func (s *Store) settleOut(ctx context.Context, id OutID, end OutSettlement) error {
	return s.changeOut(ctx, id, func(t *txn, w *outRow) error {
		for _, o := range end.Reports {
			if err := t.report(w, o); err != nil {
				return err
			}
		}
		if end.End == Ended {
			w.end(t.tx, id)
			return nil
		}
		w.history, w.due = end.History, end.Due
		if w.state == outQueued && end.End == Parks {
			w.state = outParked
		}
		w.write(t.tx, id)
		return nil
	})
}

// report makes the row of a report about w.
func (t *txn) report(w *outRow, o *mail.Outbound) error {
	if !o.Demand().Stated() {
		return errNotStated
	}
	slip, octet := o.Plain()
	if n := len(slip.Prefix) + len(slip.Suffix) + len(slip.Redacted); n > maxMore {
		return fmt.Errorf("report of %d octets: %w", n, ErrLimit)
	}
	next := &outRow{demand: octet, account: w.account, due: t.now, slip: slip}
	if slip.Source == mail.FromBody {
		next.number = w.number
	}
	_, err := t.putOut(next)
	return err
}

// changeOut changes one row: it is off the list of what is due when fn is
// called, which writes it again or ends it, and says in sends whether whoever
// empties the outbox is to look again.
func (s *Store) changeOut(ctx context.Context, id OutID, fn func(*txn, *outRow) error) error {
	gone := fmt.Errorf("outbox, row %d: %w", id, ErrRowGone)
	if id.shard() >= len(s.shards) {
		return gone
	}
	sends := false
	err := s.update(ctx, s.shards[id.shard()], func(tx kv.Tx) error {
		w, err := getOut(tx, id)
		if isDamaged(err) {
			return fmt.Errorf("%w: %w", mail.ErrParked, err)
		}
		if w == nil || err != nil {
			return orElse(err, gone)
		}
		if w.state == outQueued {
			tx.Delete(dueKey(w.due, id))
		}
		t := newTxn(tx, s)
		t.shard = id.shard()
		err = fn(t, w)
		sends = t.sends
		return err
	})
	if err == nil {
		if sends {
			poke(s.sends)
		}
		s.reaper.wake()
	}
	return err
}

// RetryOut makes a row due now, whether it was held, parked or neither:
// [ErrRowGone]. What was wrong with its octets may be mended; where it is not, it
// parks again. One whose demand cannot be read, or nothing of it, stays parked:
// [mail.ErrParked].
func (s *Store) RetryOut(ctx context.Context, id OutID) error {
	return s.changeOut(ctx, id, func(t *txn, w *outRow) error {
		if _, err := w.slip.Outbound(w.demand); err != nil {
			return fmt.Errorf("outbox, row %d: %w", id, err)
		}
		w.due, w.state = t.now, outQueued
		t.sends = true
		w.write(t.tx, id)
		return nil
	})
}

// RecallOut makes due now what is not due before latest is over: it was put off by
// a clock that was ahead, and would wait until it is right again. It looks at such
// rows alone.
func (s *Store) RecallOut(ctx context.Context, latest time.Time) error {
	for i := range s.shards {
		d := dueWalk{shard: i, lo: append(dueKey(latest, OutID(math.MaxUint64)), 0)}
		for !d.ended {
			if err := d.fill(ctx, s); err != nil {
				return fmt.Errorf("recall what was put off: %w", err)
			}
			for _, row := range d.page {
				if err := s.RetryOut(ctx, row.ID); err != nil && !errors.Is(err, ErrRowGone) && !errors.Is(err, mail.ErrParked) {
					return fmt.Errorf("recall what was put off: %w", err)
				}
			}
			d.page = nil
		}
	}
	return nil
}

// HoldOut keeps a row from being due until [Store.RetryOut]: [ErrRowGone], or
// [mail.ErrParked] where nothing of it can be read.
func (s *Store) HoldOut(ctx context.Context, id OutID) error {
	return s.changeOut(ctx, id, func(t *txn, w *outRow) error {
		if w.state == outQueued {
			w.state = outHeld
		}
		t.sends = true
		w.write(t.tx, id)
		return nil
	})
}

// DeleteOut ends a row without a word to anybody: [ErrRowGone]. One that cannot
// be read can be deleted, too.
func (s *Store) DeleteOut(ctx context.Context, id OutID) error {
	err := s.changeOut(ctx, id, func(t *txn, w *outRow) error {
		w.end(t.tx, id)
		return nil
	})
	if !isDamaged(err) {
		return err
	}
	w, due, err := s.traces(ctx, id)
	if err != nil {
		return err
	}
	err = s.update(ctx, s.shards[id.shard()], func(tx kv.Tx) error {
		if due != nil {
			tx.Delete(due)
		}
		w.end(tx, id)
		return nil
	})
	s.reaper.wake()
	return err
}

// traces finds what a row that cannot be read has left elsewhere: the message it
// wants the octets of, and its time.
func (s *Store) traces(ctx context.Context, id OutID) (w outRow, due []byte, err error) {
	sh := s.shards[id.shard()]
	ids, err := s.accounts(ctx, sh)
	if err != nil {
		return w, nil, err
	}
	err = s.index.View(ctx, sh.number, func(r kv.Reader) error {
		due = dueOf(r, id)
		for _, a := range ids {
			lo := key(a, keySending)
			for k := range r.Range(lo, kv.After(lo), kv.Options{}) {
				if OutID(tailUint64(k)) == id {
					w.account, w.number = a, tailUint64(k[:len(k)-8])
				}
			}
		}
		return nil
	})
	return w, due, err
}

// dueOf finds the time of a row by its id alone; nil where it has none.
func dueOf(r kv.Reader, id OutID) []byte {
	lo := key(systemAccount, keyDue)
	for k := range r.Range(lo, kv.After(lo), kv.Options{}) {
		if OutID(tailUint64(k)) == id {
			return append([]byte(nil), k...)
		}
	}
	return nil
}

// Submit queues a letter of ours that came of no message here, such as a report
// about TLS. Its octets are all its own ([mail.Own]).
func (s *Store) Submit(ctx context.Context, o *mail.Outbound) error {
	if o.Source != mail.Own {
		return errors.New("a letter without its message")
	}
	sh := s.shardOf(systemAccount)
	err := s.update(ctx, sh, func(tx kv.Tx) error {
		t := newTxn(tx, s)
		t.shard = sh.number
		return t.report(&outRow{}, o)
	})
	if err == nil {
		poke(s.sends)
	}
	return err
}
