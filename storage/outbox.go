package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// fill reads the next page. An error ends the walk of this shard, unless it is of
// single values: those that could be read are there. A domain that is damaged reads as "": the key says which row it
// is, and the row itself where it goes.
func (d *dueWalk) fill(ctx context.Context, s *Store) error {
	if len(d.page) > 0 || d.ended {
		return nil
	}
	err := s.index.View(ctx, d.shard, func(r kv.Reader) error {
		lo := d.lo
		d.page = d.page[:0]
		for k, v := range r.Range(lo, kv.After(key(systemAccount, keyDue)), kv.Options{Limit: duePage}) {
			v, err := open(v)
			if err != nil {
				v = nil
			}
			d.page = append(d.page, OutRow{
				ID: OutID(tailUint64(k)), Domain: string(v), Due: time.UnixMicro(int64(tailUint64(k[:len(k)-8]))).UTC(),
			})
			d.lo = append(append([]byte(nil), k...), 0)
		}
		d.ended = len(d.page) < duePage
		return nil
	})
	d.ended = d.ended || err != nil && !isDamaged(err)
	return err
}

// DueOut returns rows whose time has come, the longest due first, at most
// limit, without those that skip names; skip must not call the store. next is
// the earliest time at which one becomes due that is not due now, as far as it
// was looked for; zero where there is none. What is parked or held is never
// due. It waits for nothing that is on its way: [Store.SendsChanged] tells. With
// an error come the rows of all that could be read: what is damaged in one place
// does not keep the others.
func (s *Store) DueOut(ctx context.Context, now time.Time, limit int, skip func(OutRow) bool) (rows []OutRow, next time.Time, err error) {
	walks := make([]dueWalk, len(s.shards))
	for i := range walks {
		walks[i] = dueWalk{shard: i, lo: key(systemAccount, keyDue)}
	}
	for len(rows) < limit {
		var first *dueWalk
		for i := range walks {
			d := &walks[i]
			if e := d.fill(ctx, s); e != nil {
				err = errors.Join(err, fmt.Errorf("outbox, shard %d: %w", d.shard, e))
			}
			if len(d.page) > 0 && (first == nil || d.page[0].Due.Before(first.page[0].Due)) {
				first = d
			}
		}
		if first == nil {
			return rows, time.Time{}, err
		}
		row := first.page[0]
		if row.Due.After(now) {
			return rows, row.Due, err
		}
		if first.page = first.page[1:]; !skip(row) {
			rows = append(rows, row)
		}
	}
	return rows, time.Time{}, err
}

// OpenOut reads a row whole: [ErrRowGone]. [mail.ErrParked], where the demand
// cannot be read or its octets are damaged, comes with the letter: it will not
// get better. Its demand is joined with those of the message's row and record
// (RFC 8689 §4.1): where they disagree it is required. The letter's body can be
// read until it is closed.
func (s *Store) OpenOut(ctx context.Context, id OutID) (l *OutLetter, err error) {
	for range 3 { // the segment may be collected between the look and the open
		if l, err = s.openOut(ctx, id); !errors.Is(err, segment.ErrGone) {
			break
		}
	}
	if err != nil && (isDamaged(err) || errors.Is(err, segment.ErrGone)) && !errors.Is(err, mail.ErrParked) {
		err = fmt.Errorf("%w: %w", mail.ErrParked, err)
	}
	return l, err
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
	l := &OutLetter{ID: id, Outbound: &mail.Outbound{}}
	if w != nil {
		l.History = w.history
	}
	if err != nil {
		return l, err
	}
	if message != nil {
		if l.stored, err = s.log.Open(message.at); err == nil && uint64(l.stored.Size()) != message.bodySize {
			err = fmt.Errorf("body of %d octets, not %d: %w", l.stored.Size(), message.bodySize, segment.ErrDamaged)
		}
		if err != nil {
			l.Close()
			l.stored = nil
			return l, fmt.Errorf("outbox, row %d: %w", id, err)
		}
		l.Body = &outBody{l.stored, func() { s.rotten.add(id) }}
	}
	l.Outbound, err = w.outbound(l.stored, message)
	return l, err
}

// outBody notes when its octets turn out to be damaged.
type outBody struct {
	*segment.Stored
	damaged func()
}

func (b *outBody) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.Stored.ReadAt(p, off)
	if isDamaged(err) {
		b.damaged()
	}
	return n, err
}

// rotten is rows whose octets turned out to be damaged while they were sent: a
// further try would fail as well.
type rotten struct {
	mu   sync.Mutex // guards rows
	rows map[OutID]bool
}

func (r *rotten) add(id OutID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows == nil {
		r.rows = make(map[OutID]bool)
	}
	r.rows[id] = true
}

// take says whether a row is one of them, once.
func (r *rotten) take(id OutID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.rows[id]
	delete(r.rows, id)
	return was
}

func (s *Store) viewOut(ctx context.Context, id OutID, fn func(kv.Reader) error) error {
	if id.shard() >= len(s.shards) {
		return fmt.Errorf("outbox, row %d: %w", id, ErrRowGone)
	}
	return s.index.View(ctx, id.shard(), fn)
}
