package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// The outbox is what [Store.Commit] was told leaves: a row for each
// recipient elsewhere, in the shard of the account it came of. A second key
// says when it is due; one that is parked or held has none. Nothing of it is
// kept in memory.

// History is what a row remembers of its tries; the store keeps it as it is.
type History struct {
	Tries   int
	Last    time.Time // of the last try
	Error   string    // what the last try said; at most 1,000 octets
	Host    string    // the host that said it
	Delayed bool      // the sender was told of the delay
}

// OutRow is what is needed to choose a row.
type OutRow struct {
	ID     OutID
	Domain string // of the recipient
	Due    time.Time
}

// OutLetter is a row opened. It holds no transaction.
type OutLetter struct {
	ID OutID
	*mail.Outbound
	Body    mail.Body // the message it came of, without any recipient's own prefix; nil where the row has all octets
	History History
	stored  *segment.Stored
}

// Close lets the body go.
func (l *OutLetter) Close() {
	if l.stored != nil {
		_ = l.stored.Close() // read only: nothing can be lost
	}
}

// ErrRowGone says that a row of the outbox has ended.
var ErrRowGone = errors.New("the row has ended")

// OutSettlement is what [Store.SettleOut] writes.
type OutSettlement struct {
	End     End
	Due     time.Time        // of a row that stays
	History History          // of a row that stays
	Reports []*mail.Outbound // rows to make: the bounce, the notice of delay, of success
}

// End says what becomes of a row.
type End uint8

const (
	Stays End = iota // due again
	Ended
	Parks // its demand cannot be read: kept, never due
)

// SendsChanged gives a value some time after rows were added or their times
// changed; several changes may be one value. It is for one reader.
func (s *Store) SendsChanged() <-chan struct{} { return s.sends }

// duePage is how many rows one transaction of [Store.DueOut] looks at.
const duePage = 256

// dueWalk walks one shard's rows by time.
type dueWalk struct {
	shard int
	lo    []byte
	page  []OutRow
	ended bool
}

func (d *dueWalk) fill(ctx context.Context, s *Store) error {
	if len(d.page) > 0 || d.ended {
		return nil
	}
	return s.index.View(ctx, d.shard, func(r kv.Reader) error {
		lo := d.lo
		d.page = d.page[:0]
		for k, v := range r.Range(lo, kv.After(key(systemAccount, keyDue)), kv.Options{Limit: duePage}) {
			v, err := open(v)
			if err != nil {
				return fmt.Errorf("key %x: %w", k, err)
			}
			d.page = append(d.page, OutRow{
				ID: OutID(tailUint64(k)), Domain: string(v), Due: time.UnixMicro(int64(tailUint64(k[:len(k)-8]))).UTC(),
			})
			d.lo = append(append([]byte(nil), k...), 0)
		}
		d.ended = len(d.page) < duePage
		return nil
	})
}

// DueOut returns rows whose time has come, the longest due first, at most
// limit, without those that skip names; skip must not call the store. next is
// the earliest time at which one becomes due that is not due now, as far as it
// was looked for; zero where there is none. What is parked or held is never
// due. It waits for nothing that is on its way: [Store.SendsChanged] tells.
func (s *Store) DueOut(ctx context.Context, now time.Time, limit int, skip func(OutRow) bool) (rows []OutRow, next time.Time, err error) {
	walks := make([]dueWalk, len(s.shards))
	for i := range walks {
		walks[i] = dueWalk{shard: i, lo: key(systemAccount, keyDue)}
	}
	for len(rows) < limit {
		var first *dueWalk
		for i := range walks {
			d := &walks[i]
			if err := d.fill(ctx, s); err != nil {
				return nil, time.Time{}, fmt.Errorf("outbox: %w", err)
			}
			if len(d.page) > 0 && (first == nil || d.page[0].Due.Before(first.page[0].Due)) {
				first = d
			}
		}
		if first == nil {
			return rows, time.Time{}, nil
		}
		row := first.page[0]
		if row.Due.After(now) {
			return rows, row.Due, nil
		}
		if first.page = first.page[1:]; !skip(row) {
			rows = append(rows, row)
		}
	}
	return rows, time.Time{}, nil
}

// OpenOut reads a row whole: [ErrRowGone]. [mail.ErrParked], where the demand
// cannot be read, comes with the letter. Its demand is joined with those of the
// message's row and record (RFC 8689 §4.1): where they disagree it is required.
// The letter's body can be read until it is closed.
func (s *Store) OpenOut(ctx context.Context, id OutID) (l *OutLetter, err error) {
	for range 3 { // the segment may be collected between the look and the open
		if l, err = s.openOut(ctx, id); !errors.Is(err, segment.ErrGone) {
			return l, err
		}
	}
	return nil, err
}

func (s *Store) openOut(ctx context.Context, id OutID) (*OutLetter, error) {
	var w, message = (*outRow)(nil), (*row)(nil)
	err := s.viewOut(ctx, id, func(r kv.Reader) error {
		var err error
		if w, err = getOut(r, id); w == nil || err != nil {
			return orElse(err, fmt.Errorf("outbox, row %d: %w", id, ErrRowGone))
		}
		if w.number != 0 {
			if message, err = mustRow(r, w.account, w.number); err != nil {
				return err
			}
		}
		return w.readTexts(r, id)
	})
	if errors.Is(err, segment.ErrDamaged) && w == nil { // not even its demand can be read
		return &OutLetter{ID: id, Outbound: &mail.Outbound{}}, fmt.Errorf("%w: %w", mail.ErrParked, err)
	}
	if err != nil {
		return nil, err
	}
	l := &OutLetter{ID: id, History: w.history}
	if message != nil {
		if l.stored, err = s.log.Open(message.at); err == nil && uint64(l.stored.Size()) != message.bodySize {
			err = fmt.Errorf("body of %d octets, not %d: %w", l.stored.Size(), message.bodySize, segment.ErrDamaged)
		}
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("outbox, row %d: %w", id, err)
		}
		l.Body = l.stored
	}
	l.Outbound, err = w.outbound(l.stored, message)
	return l, err
}

func (s *Store) viewOut(ctx context.Context, id OutID, fn func(kv.Reader) error) error {
	if id.shard() >= len(s.shards) {
		return fmt.Errorf("outbox, row %d: %w", id, ErrRowGone)
	}
	return s.index.View(ctx, id.shard(), fn)
}

// SettleOut writes what became of a row, and the rows of its reports, in one
// transaction: [ErrRowGone] where it has ended in the meantime. A report of
// source [mail.FromBody] is about the octets of the row's own message.
func (s *Store) SettleOut(ctx context.Context, id OutID, end OutSettlement) error {
	err := s.settleOut(ctx, id, end)
	if end.End == Parks && errors.Is(err, segment.ErrDamaged) {
		err = s.parkDamaged(ctx, id)
	}
	return err
}

// parkDamaged takes a row that cannot be read off the list of what is due. It
// stays as it is, for whoever comes to look.
func (s *Store) parkDamaged(ctx context.Context, id OutID) error {
	lo := key(systemAccount, keyDue)
	return s.update(ctx, s.shards[id.shard()], func(tx kv.Tx) error {
		var found []byte
		for k := range tx.Range(lo, kv.After(lo), kv.Options{}) {
			if OutID(tailUint64(k)) == id {
				found = append(found, k...)
				break
			}
		}
		if found != nil {
			tx.Delete(found)
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
// called, which writes it again or ends it.
func (s *Store) changeOut(ctx context.Context, id OutID, fn func(*txn, *outRow) error) error {
	gone := fmt.Errorf("outbox, row %d: %w", id, ErrRowGone)
	if id.shard() >= len(s.shards) {
		return gone
	}
	err := s.update(ctx, s.shards[id.shard()], func(tx kv.Tx) error {
		w, err := getOut(tx, id)
		if w == nil || err != nil {
			return orElse(err, gone)
		}
		if w.state == outQueued {
			tx.Delete(dueKey(w.due, id))
		}
		t := newTxn(tx, s.opt.Now())
		t.shard = id.shard()
		return fn(t, w)
	})
	if err == nil {
		poke(s.sends)
		s.reaper.wake()
	}
	return err
}

// RetryOut makes a row due now, whether it was held or not: [ErrRowGone]. One
// that is parked stays so.
func (s *Store) RetryOut(ctx context.Context, id OutID) error {
	return s.changeOut(ctx, id, func(t *txn, w *outRow) error {
		if w.due = t.now; w.state == outHeld {
			w.state = outQueued
		}
		w.write(t.tx, id)
		return nil
	})
}

// HoldOut keeps a row from being due until [Store.RetryOut]: [ErrRowGone].
func (s *Store) HoldOut(ctx context.Context, id OutID) error {
	return s.changeOut(ctx, id, func(t *txn, w *outRow) error {
		if w.state == outQueued {
			w.state = outHeld
		}
		w.write(t.tx, id)
		return nil
	})
}

// DeleteOut ends a row without a word to anybody: [ErrRowGone].
func (s *Store) DeleteOut(ctx context.Context, id OutID) error {
	return s.changeOut(ctx, id, func(t *txn, w *outRow) error {
		w.end(t.tx, id)
		return nil
	})
}

// Submit queues a letter of ours that came of no message here, such as a report
// about TLS. Its octets are all its own ([mail.Own]).
func (s *Store) Submit(ctx context.Context, o *mail.Outbound) error {
	if o.Source != mail.Own {
		return errors.New("a letter without its message")
	}
	sh := s.shardOf(systemAccount)
	err := s.update(ctx, sh, func(tx kv.Tx) error {
		t := newTxn(tx, s.opt.Now())
		t.shard = sh.number
		return t.report(&outRow{}, o)
	})
	if err == nil {
		poke(s.sends)
	}
	return err
}

// holdName stands in the index of a store that was restored and not opened yet.
const holdName = "HOLD"

// holdRestored holds what waits in the outbox of a restored store.
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
	if err := os.Remove(name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
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
		if errors.Is(err, segment.ErrDamaged) {
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

// Queued is a row as an admin sees it.
type Queued struct {
	ID      OutID
	Account AccountID // whose message it came of
	Due     time.Time
	Parked  bool // its demand cannot be read, or nothing of it
	Held    bool
	*mail.Outbound
	History History
}

// Outbox walks all rows, without their texts, shard by shard and by age within
// a shard, some hundred at a time. Whatever was acknowledged before is among them.
func (s *Store) Outbox(ctx context.Context) iter.Seq2[Queued, error] {
	return func(yield func(Queued, error) bool) {
		for i, sh := range s.shards {
			if err := sh.drain(ctx); err != nil {
				yield(Queued{}, fmt.Errorf("outbox: %w", err))
				return
			}
			lo := key(systemAccount, keyOut)
			for more := true; more; {
				var page []Queued
				err := s.index.View(ctx, i, func(r kv.Reader) error {
					page = page[:0]
					for k, v := range r.Range(lo, kv.After(key(systemAccount, keyOut)), kv.Options{Limit: duePage}) {
						page = append(page, queued(OutID(tailUint64(k)), v))
						lo = append(append([]byte(nil), k...), 0)
					}
					return nil
				})
				if err != nil {
					yield(Queued{}, fmt.Errorf("outbox: %w", err))
					return
				}
				for _, q := range page {
					if !yield(q, nil) {
						return
					}
				}
				more = len(page) == duePage
			}
		}
	}
}

func queued(id OutID, v []byte) Queued {
	q := Queued{ID: id, Parked: true, Outbound: &mail.Outbound{}}
	v, err := open(v)
	if err != nil {
		q.History.Error = err.Error()
		return q
	}
	w, err := decodeOut(v)
	if err != nil {
		q.History.Error = err.Error()
		return q
	}
	q.Account, q.Due, q.Held, q.History = w.account, w.due, w.state == outHeld, w.history
	o, err := w.slip.Outbound(w.demand)
	q.Outbound, q.Parked = o, w.state == outParked || err != nil
	return q
}
