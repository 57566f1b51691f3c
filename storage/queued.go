package storage

import (
	"context"
	"fmt"
	"iter"
	"time"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
)

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
