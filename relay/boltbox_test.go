package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"letterlock/internal/mail"
)

// boltBox is a small real outbox: one bbolt file, one transaction for each
// promise of [Outbox].
type boltBox struct {
	db      *bbolt.DB
	changed chan struct{}
	now     func() time.Time

	mu      sync.Mutex // guards settled
	settled map[RowID]Settlement
	fates   chan Fate
}

type boltRow struct {
	Slip    mail.Slip
	Demand  byte
	Body    uint64 // key of the body; 0: none
	Due     time.Time
	Parked  bool
	History History
}

var (
	rowsBucket, dueBucket, bodyBucket = []byte("rows"), []byte("due"), []byte("body")
	buckets                           = [][]byte{rowsBucket, dueBucket, bodyBucket}
)

func newBoltBox(t testing.TB, now func() time.Time) *boltBox {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "outbox.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b := &boltBox{db: db, changed: make(chan struct{}, 1), now: now, settled: map[RowID]Settlement{}, fates: make(chan Fate, 100_000)}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func dueKey(due time.Time, id uint64) []byte {
	return binary.BigEndian.AppendUint64(key(uint64(due.UnixNano())), id)
}

// add is what a store's commit does.
func (b *boltBox) add(t testing.TB, o *mail.Outbound, body string, due time.Time) RowID {
	t.Helper()
	var id uint64
	err := b.db.Update(func(tx *bbolt.Tx) (err error) {
		var at uint64
		if o.Source == mail.FromBody {
			if at, err = tx.Bucket(bodyBucket).NextSequence(); err != nil {
				return err
			}
			if err := tx.Bucket(bodyBucket).Put(key(at), []byte(body)); err != nil {
				return err
			}
		}
		id, err = b.put(tx, o, at, due)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return RowID(id)
}

func (b *boltBox) put(tx *bbolt.Tx, o *mail.Outbound, body uint64, due time.Time) (uint64, error) {
	id, err := tx.Bucket(rowsBucket).NextSequence()
	if err != nil {
		return 0, err
	}
	slip, demand := o.Plain()
	return id, b.write(tx, id, &boltRow{Slip: slip, Demand: demand, Body: body, Due: due})
}

func (b *boltBox) write(tx *bbolt.Tx, id uint64, r *boltRow) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if !r.Parked {
		if err := tx.Bucket(dueBucket).Put(dueKey(r.Due, id), []byte(r.Slip.To.Domain)); err != nil {
			return err
		}
	}
	return tx.Bucket(rowsBucket).Put(key(id), raw)
}

func (b *boltBox) read(tx *bbolt.Tx, id RowID) (*boltRow, error) {
	raw := tx.Bucket(rowsBucket).Get(key(uint64(id)))
	if raw == nil {
		return nil, ErrGone
	}
	r := &boltRow{}
	return r, json.Unmarshal(raw, r)
}

func (b *boltBox) Due(_ context.Context, now time.Time, limit int, skip func(Row) bool) (rows []Row, next time.Time, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(dueBucket).Cursor()
		for k, v := c.First(); k != nil && len(rows) < limit; k, v = c.Next() {
			row := Row{ID: RowID(binary.BigEndian.Uint64(k[8:])), Domain: string(v), Due: time.Unix(0, int64(binary.BigEndian.Uint64(k)))}
			if row.Due.After(now) {
				next = row.Due
				return nil
			}
			if !skip(row) {
				rows = append(rows, row)
			}
		}
		return nil
	})
	return rows, next, err
}

func (b *boltBox) Open(_ context.Context, id RowID) (l *Letter, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		r, err := b.read(tx, id)
		if err != nil {
			return err
		}
		l = &Letter{ID: id, History: r.History}
		if r.Body != 0 {
			l.Body = bytes.NewReader(bytes.Clone(tx.Bucket(bodyBucket).Get(key(r.Body))))
		}
		l.Outbound, err = r.Slip.Outbound(r.Demand)
		return err
	})
	return l, err
}

func (b *boltBox) Settle(_ context.Context, id RowID, s Settlement) error {
	err := b.db.Update(func(tx *bbolt.Tx) error {
		r, err := b.read(tx, id)
		if err != nil {
			return err
		}
		if err := tx.Bucket(dueBucket).Delete(dueKey(r.Due, uint64(id))); err != nil {
			return err
		}
		for _, o := range s.Reports {
			at := uint64(0)
			if o.Source == mail.FromBody {
				at = r.Body
			}
			if _, err := b.put(tx, o, at, b.now()); err != nil {
				return err
			}
		}
		if s.Fate.Ends() {
			return tx.Bucket(rowsBucket).Delete(key(uint64(id)))
		}
		r.History, r.Due, r.Parked = s.History, s.Due, s.Fate == Parked
		return b.write(tx, uint64(id), r)
	})
	if err == nil {
		b.mu.Lock()
		b.settled[id] = s
		b.mu.Unlock()
		b.fates <- s.Fate
	}
	return err
}

func (b *boltBox) Recall(_ context.Context, latest time.Time) error {
	err := b.db.Update(func(tx *bbolt.Tx) error {
		var ids []uint64
		c := tx.Bucket(dueBucket).Cursor()
		for k, _ := c.Seek(key(uint64(latest.UnixNano()))); k != nil; k, _ = c.Next() {
			ids = append(ids, binary.BigEndian.Uint64(k[8:]))
		}
		for _, id := range ids {
			r, err := b.read(tx, RowID(id))
			if err != nil {
				return err
			}
			if err := tx.Bucket(dueBucket).Delete(dueKey(r.Due, id)); err != nil {
				return err
			}
			r.Due = b.now()
			if err := b.write(tx, id, r); err != nil {
				return err
			}
		}
		return nil
	})
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return err
}

func (b *boltBox) Changed() <-chan struct{} { return b.changed }

// fate is the last settlement of a row.
func (b *boltBox) fate(id RowID) (Settlement, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.settled[id]
	return s, ok
}

// rows are those that have not ended.
func (b *boltBox) rows(t testing.TB) map[RowID]*boltRow {
	t.Helper()
	all := map[RowID]*boltRow{}
	err := b.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(rowsBucket).ForEach(func(k, _ []byte) error {
			id := RowID(binary.BigEndian.Uint64(k))
			r, err := b.read(tx, id)
			all[id] = r
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
