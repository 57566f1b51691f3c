package storage

import (
	"context"
	"fmt"

	"letterlock/storage/segment"
)

// replay is what an earlier process acknowledged.
type replay struct {
	store *Store
	next  uint64 // serial: smaller than that of the next group only where records between were lost
	lost  uint64 // the serial behind those that were lost last
	fresh uint64 // the first serial that a shard has not: what was passed over lies before it

	unsure uncertain // what nobody may have heard of
}

// replayed is durable for a replay. It ends where the index cannot follow: a log may
// be longer than what finds room in memory.
func (r *replay) replayed(group []*segment.Record) error {
	for _, sh := range r.store.shards {
		if err := sh.trouble(); err != nil {
			return unavailable(err)
		}
	}
	first, last := group[0], group[len(group)-1]
	if err := r.missing(first.Serial); err != nil {
		return err
	}
	r.next = last.Serial + uint64(len(last.Recipients))
	if r.next > r.fresh {
		for _, rec := range group {
			r.unsure.add(rec)
		}
	}
	return r.store.queue(group, func(sh *shard, it *item) bool {
		it.again = true
		it.late, it.left = sh.isLate(it)
		known := sh.opened.Serial
		if it.late { // of what was lost before it, its account may have missed some as well
			known = 0
		}
		it.doubtful = first.Kind == segment.Appended && r.lost > known
		return it.parts[0].serial() < sh.opened.Serial && !it.late
	})
}

// missing is told of the serial behind what was replayed: what there was between
// cannot be read any more. Its letters may have been answered with UIDs, each
// mailbox's next ones then: nobody gets those again (RFC 9051 §2.3.1.1).
func (r *replay) missing(behind uint64) error {
	if behind <= r.next {
		return nil
	}
	for _, sh := range r.store.shards {
		from := max(r.next, sh.opened.Serial)
		if sh.restored != whole || from >= behind { // all its UIDs are said to be new, or it has them
			continue
		}
		if err := sh.passOver(behind - from); err != nil {
			return fmt.Errorf("shard %d, UIDs of lost records: %w", sh.number, err)
		}
	}
	r.lost, r.next = behind, behind
	return nil
}

// passOver leaves the next n UIDs of every mailbox to nobody, when all is applied
// that was queued before.
func (sh *shard) passOver(n uint64) error {
	ctx := context.Background()
	if err := sh.drain(ctx); err != nil {
		return err
	}
	boxes, err := sh.allBoxes(ctx)
	if err != nil {
		return err
	}
	return sh.rewrite(ctx, boxes, func(b *openBox) { b.UIDNext = UID(min(uint64(b.UIDNext)+n, uint64(^UID(0)))) })
}
