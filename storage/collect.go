package storage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
	"letterlock/storage/segment"
)

// The collector gives back what dead messages hold. A sealed segment with
// enough of them is read from front to back, what lives in it is appended to
// the log again (compressed now, with its demand, its summary and the number
// its rows know it by), the appliers point the rows at the new place, and only
// then the segment goes. A crash at any moment leaves the message in at least
// one of the two places and its row pointing at one that is there.
//
// A segment may go, and so may the file of a big body, when nothing that can come
// back needs it: no row as any shard has committed it (those of the outbox and the
// search filters name a message by its number, and the outbox keeps its row), no
// record that a shard has still to apply, no mark that a replay may start at. An
// older index, of a checkpoint, is no exception: what lived when it was made and
// was moved since stands in the log behind its mark, and what was not moved died.
// All of it hangs on a log that is never cut short before a mark, and on serials
// that are given once: see [segment.Log.Replay].

const (
	collectEvery = time.Minute
	collectRate  = 32 << 20 // octets read per second: the budget
	collectDead  = 40       // percent of a segment that must be dead
	compactFrom  = 64 << 20 // octets of a file of the index worth the trouble
	movesAtOnce  = 32       // records that share a flush
	sparing      = 16       // the budget while letters come fast is this part of it,
	muchDead     = 1 << 30  // unless more octets than that, and most, are dead
)

// collector works when the reaper wakes it, and every minute.
type collector struct {
	store  *Store
	signal chan struct{}
	cancel context.CancelFunc
	done   chan struct{}

	checkpointed time.Time // or opened; run's own, until it is done
}

func startCollector(s *Store) *collector {
	ctx, cancel := context.WithCancel(context.Background())
	c := &collector{store: s, signal: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{}), checkpointed: time.Now()}
	if !s.hasCheckpoint() { // then the first is made soon
		c.checkpointed = time.Now().Add(checkpointYoung - checkpointEvery)
	}
	go c.run(ctx)
	return c
}

// The checkpoint of a clean stop is made unless the last one is this young, and
// may take so long.
const (
	checkpointYoung = time.Minute
	checkpointTime  = 10 * time.Second
)

func (c *collector) worthACheckpoint() bool {
	return time.Since(c.store.opened) > checkpointYoung && time.Since(c.checkpointed) > checkpointYoung
}

// last is the checkpoint of a clean stop: the index does not change any more.
func (c *collector) last() {
	ctx, cancel := context.WithTimeout(context.Background(), checkpointTime)
	defer cancel()
	if err := c.store.copyIndex(ctx, filepath.Join(c.store.dir, checkpointDir)); err != nil {
		c.store.opt.Log.Warn("no checkpoint of the index; the last one stays", "err", err)
	}
}

func (c *collector) stop() {
	c.cancel()
	<-c.done
}

func (c *collector) run(ctx context.Context) {
	defer close(c.done)
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.signal:
		}
		if err := c.store.collect(ctx, collectDead, collectRate); err != nil && ctx.Err() == nil {
			c.store.opt.Log.Error("segments were not collected", "err", err)
		}
		if err := c.store.compactSome(ctx); err != nil && ctx.Err() == nil {
			c.store.opt.Log.Error("the index was not compacted", "err", err)
		}
		if time.Since(c.checkpointed) < checkpointEvery {
			continue
		}
		c.checkpointed = time.Now()
		if err := c.store.Checkpoint(ctx); err != nil && ctx.Err() == nil {
			c.store.opt.Log.Error("no checkpoint of the index", "err", err)
		}
	}
}

// compactSome rewrites the file of every shard of which more than half is free,
// when letters are not coming fast.
func (s *Store) compactSome(ctx context.Context) error {
	for _, sh := range s.shards {
		free, size := s.files.Room(sh.number)
		if size < compactFrom || 2*free < size || s.load.busy() {
			continue
		}
		if err := s.takeTurn(ctx); err != nil { // whoever copies a file copies one that stays
			return err
		}
		err := s.files.Compact(ctx, sh.number, collectRate)
		s.endTurn()
		if err != nil && !errors.Is(err, bolt.ErrOverrun) && !errors.Is(err, bolt.ErrBusy) {
			return err
		}
	}
	return nil
}

// collect rewrites every sealed segment of which at least percent is dead,
// reading rate octets a second, each in a turn of its own: whoever wants to copy the
// store waits for one. One that is damaged is kept, and no other is because of it.
func (s *Store) collect(ctx context.Context, percent uint64, rate int64) error {
	var damaged []error
	for after := uint64(0); ; {
		number, err := s.collectNext(ctx, after, percent, rate)
		switch {
		case err == nil && number == 0:
			return errors.Join(damaged...)
		case err != nil:
			err = fmt.Errorf("segment %d: %w", number, err)
			if !isDamaged(err) || number == 0 {
				return err
			}
			damaged = append(damaged, err)
		}
		after = number
	}
}

// collectNext rewrites the first segment behind a number that is worth it; 0: there is
// none.
func (s *Store) collectNext(ctx context.Context, after, percent uint64, rate int64) (number uint64, err error) {
	if err := s.takeTurn(ctx); err != nil {
		return 0, err
	}
	defer s.endTurn()
	for _, sh := range s.shards { // what waits there keeps segments from being settled
		if err := sh.drain(ctx); err != nil {
			return 0, err
		}
	}
	dead, err := s.deadBytes(ctx)
	if isDamaged(err) { // sealed
		for _, sh := range s.shards {
			sh.mendShared(ctx)
		}
		dead, err = s.deadBytes(ctx)
	}
	if err != nil {
		return 0, err
	}
	sealed, spare := s.log.Sealed(), int64(sparing)
	if s.outgrows(sealed, dead) {
		spare = 1
	}
	for _, seg := range sealed {
		if seg.Number > after && dead[seg.Number]*100 >= s.log.Used(seg)*percent && s.settled(seg.Number) {
			return seg.Number, s.collectSegment(ctx, seg, rate, spare)
		}
	}
	return 0, nil
}

// outgrows says whether so much of the log is dead that nothing is spared any more: with
// letters that come fast for hours, and go as fast, it would take the disk.
func (s *Store) outgrows(sealed []segment.Segment, dead map[uint64]uint64) bool {
	gone, used := uint64(0), uint64(0)
	for _, seg := range sealed {
		gone += dead[seg.Number]
		used += s.log.Used(seg)
	}
	return gone > muchDead && 2*gone > used
}

// takeTurn waits until no segment can go under the feet of whoever walks them.
func (s *Store) takeTurn(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) endTurn() { <-s.turn }

// deadBytes sums what the shards say of each segment.
func (s *Store) deadBytes(ctx context.Context) (map[uint64]uint64, error) {
	dead := make(map[uint64]uint64)
	lo := key(systemAccount, keyDeadBytes)
	for _, sh := range s.shards {
		err := s.index.View(ctx, sh.number, func(r kv.Reader) error {
			for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
				v, err := open(v)
				if err != nil { // it begins again when more die
					continue
				}
				dead[tailUint64(k)] += segment.ReadFields(v).Uint()
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return dead, nil
}

// settled says whether no replay can start in a segment any more.
func (s *Store) settled(number uint64) bool {
	for _, sh := range s.shards {
		sh.mu.Lock()
		behind := sh.mark.At.Segment <= number
		for _, p := range sh.postponed {
			behind = behind || p.before.At.Segment <= number
		}
		sh.mu.Unlock()
		if behind {
			return false
		}
	}
	return true
}

func (s *Store) collectSegment(ctx context.Context, seg segment.Segment, rate, spare int64) error {
	m := mover{store: s, ctx: ctx, spare: spare, pace: kv.Pace{Rate: rate}, slots: make(chan struct{}, movesAtOnce)}
	damage, err := s.log.Scan(seg, m.record)
	m.all.Wait()
	if err = errors.Join(err, m.err); err != nil {
		return err
	}
	if len(damage) > 0 {
		return fmt.Errorf("kept: %v: %w", damage, segment.ErrDamaged)
	}
	for _, sh := range s.shards {
		if err := sh.drain(ctx); err != nil {
			return err
		}
	}
	for _, big := range m.bodies {
		if err := s.log.RemoveBig(big); err != nil {
			return err
		}
	}
	if err := s.log.Remove(seg.Number); err != nil {
		return err
	}
	s.opt.Log.Debug("segment collected", "segment", seg.Number, "moved", m.moved, "dropped", m.dropped)
	return s.forgetSegment(ctx, seg.Number)
}

// forgetSegment deletes what the shards count of a segment.
func (s *Store) forgetSegment(ctx context.Context, number uint64) error {
	for _, sh := range s.shards {
		err := s.index.Update(ctx, sh.number, func(tx kv.Tx) error {
			tx.Delete(deadBytesKey(number))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// mover carries the living out of one segment.
type mover struct {
	store *Store
	ctx   context.Context // of one collection; it ends with it
	spare int64           // the budget while letters come fast is this part of it
	pace  kv.Pace
	slots chan struct{}
	all   sync.WaitGroup

	moved, dropped int

	mu     sync.Mutex // guards all below
	bodies []uint64   // big bodies nobody has any more
	err    error
}

func (m *mover) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = errors.Join(m.err, err)
}

func (m *mover) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *mover) record(r *segment.Record) error {
	if err := errors.Join(m.failed(), m.spend(r.Size), m.store.allTake(r)); err != nil {
		return err
	}
	alive, err := m.store.lives(m.ctx, r)
	if err != nil {
		return err
	}
	if len(alive) == 0 {
		m.dropped++
		return m.noteBody(r)
	}
	m.moved++
	m.slots <- struct{}{}
	m.all.Go(func() {
		defer func() { <-m.slots }()
		big, err := m.store.moveRecord(m.ctx, r, alive)
		if err != nil {
			m.fail(err)
		} else if big != r.Big { // it was in clear, and is sealed now
			m.drop(r.Big)
		}
	})
	return nil
}

// noteBody remembers the file of a body nobody has any more. Its rows may have
// moved on in a collection that was cut short: then it stays.
func (m *mover) noteBody(r *segment.Record) error {
	if r.Big == 0 {
		return nil
	}
	wanted, err := m.store.bodyWanted(m.ctx, r)
	if err == nil && !wanted {
		m.drop(r.Big)
	}
	return err
}

func (m *mover) drop(big uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bodies = append(m.bodies, big)
}

// spend keeps to the budget.
func (m *mover) spend(octets int64) error {
	if m.store.load.busy() {
		octets *= m.spare
	}
	return m.pace.Spend(m.ctx, octets)
}

// moveRecord appends a record again, for those of its recipients who live, and
// answers the file of its body.
func (s *Store) moveRecord(ctx context.Context, r *segment.Record, alive []int) (big uint64, err error) {
	stored, err := s.log.Open(r.At)
	if errors.Is(err, segment.ErrGone) { // the file of its body: it may have died since the look
		if alive, lerr := s.lives(ctx, r); lerr != nil || len(alive) == 0 {
			return r.Big, lerr
		}
	}
	if err != nil {
		return 0, err
	}
	defer stored.Close()
	next := &segment.Record{Kind: segment.Moved, Envelope: r.Envelope, Summary: r.Summary, Big: r.Big}
	if r.Big != 0 {
		next.Table = r.Table
	} else {
		next.Codec = segment.Zstd
	}
	for _, i := range alive {
		rc := r.Recipients[i]
		rc.Number = r.Number(i)
		if wanted, err := s.wantedOutside(ctx, AccountID(rc.Account), rc.Number); err != nil {
			return 0, err
		} else if !wanted {
			rc.More = nil // it was done: a repair must not do it again
		}
		next.Recipients = append(next.Recipients, rc)
	}
	err = s.log.Append(ctx, segment.Letter{Record: next, Body: stored})
	s.trouble.log(err)
	return next.Big, unavailable(err)
}
