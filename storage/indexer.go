package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"letterlock/internal/mail"
	"letterlock/internal/search"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// When filters of an account's newest messages are made: the others, fewer and
// smaller, are read by whoever looks for something in them. A group ends when
// its value is full.
const (
	filterMessages = 64
	filterOctets   = 512 << 10
	maxFilters     = 56 << 10 // octets of filters in one group
	groupsInOne    = 8        // made between two looks at the load, and written in one transaction
	rowsAtOnce     = groupsInOne * search.MaxGroup / 2
)

// indexer makes the filters of messages. It works when there are enough new
// ones, and lets letters that come go first.
type indexer struct {
	store  *Store
	signal chan struct{}
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex // guards all below
	fresh map[AccountID]freshMail
	ready map[AccountID]bool   // to be looked at
	from  map[AccountID]uint64 // what was made from this number on is to be made again
	dead  map[AccountID]int    // messages that were forgotten since groups were looked through
	idle  chan struct{}        // closed while nothing is to be done
	quiet bool                 // idle is closed
}

// freshMail is what came for an account since it was looked at.
type freshMail struct {
	messages int
	octets   uint64
}

func (f freshMail) enough() bool { return f.messages >= filterMessages || f.octets >= filterOctets }

// newIndexer makes an indexer that is told of mail and does not work yet.
func newIndexer(s *Store) *indexer {
	return &indexer{
		store: s, signal: make(chan struct{}, 1), cancel: func() {}, done: make(chan struct{}),
		fresh: make(map[AccountID]freshMail), ready: make(map[AccountID]bool), from: make(map[AccountID]uint64), dead: make(map[AccountID]int),
		idle: make(chan struct{}),
	}
}

func (x *indexer) start() {
	if x.store.opt.Filter == nil {
		close(x.idle)
		close(x.done)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	x.cancel = cancel
	go x.run(ctx)
}

func (x *indexer) stop() {
	x.cancel()
	<-x.done
}

// note is told of what was filed.
func (x *indexer) note(a AccountID, messages int, octets uint64) {
	if x == nil || x.store.opt.Filter == nil { // while the store is opened all accounts are looked at anyway
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.fresh[a]
	f.messages, f.octets = f.messages+messages, f.octets+octets
	if x.fresh[a] = f; f.enough() {
		x.want(a)
	}
}

// again has the filters of an account made anew from a number on.
func (x *indexer) again(a AccountID, first uint64) {
	if x.store.opt.Filter == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if old, there := x.from[a]; !there || first < old {
		x.from[a] = first
	}
	x.want(a)
}

// buried is told of messages that nobody has any more.
func (x *indexer) buried(a AccountID, messages int) {
	if x == nil || x.store.opt.Filter == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dead[a] += messages; x.dead[a] >= tidyAfter {
		x.want(a)
	}
}

// thin says whether so many messages went that groups should be looked through.
func (x *indexer) thin(a AccountID) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dead[a] < tidyAfter {
		return false
	}
	delete(x.dead, a)
	return true
}

// want puts an account on the list; mu is held.
func (x *indexer) want(a AccountID) {
	delete(x.fresh, a)
	x.ready[a] = true
	if x.quiet {
		x.quiet, x.idle = false, make(chan struct{})
	}
	poke(x.signal)
}

// next takes an account off the list. first is where to begin anew.
func (x *indexer) next() (a AccountID, first uint64, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for a := range x.ready {
		first, again := x.from[a]
		if !again {
			first = math.MaxUint64
		}
		delete(x.ready, a)
		delete(x.from, a)
		return a, first, true
	}
	if !x.quiet {
		x.quiet = true
		close(x.idle)
	}
	return 0, 0, false
}

// IndexIdle waits until filters are made of all messages that are many or large
// enough for it.
func (s *Store) IndexIdle(ctx context.Context) error {
	for _, sh := range s.shards {
		if err := sh.drain(ctx); err != nil {
			return err
		}
	}
	s.indexer.mu.Lock()
	idle := s.indexer.idle
	s.indexer.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (x *indexer) run(ctx context.Context) {
	defer close(x.done)
	if err := x.all(ctx); err != nil && ctx.Err() == nil {
		x.store.opt.Log.Error("filters of messages were not looked for", "err", err)
	}
	for {
		for a, first, ok := x.next(); ok; a, first, ok = x.next() {
			if err := x.store.Account(a).filter(ctx, first); err != nil && ctx.Err() == nil {
				x.store.opt.Log.Error("filters of messages were not made", "account", a, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-x.signal:
		}
	}
}

// all puts every account on the list that there is, as an earlier process left
// them.
func (x *indexer) all(ctx context.Context) error {
	for _, sh := range x.store.shards {
		ids, err := x.store.accounts(ctx, sh)
		if err != nil {
			return err
		}
		x.mu.Lock()
		for _, a := range ids {
			x.want(a)
		}
		x.mu.Unlock()
	}
	return nil
}

// filter makes filters of the messages of an account until too few are left.
func (a *Account) filter(ctx context.Context, anew uint64) error {
	if anew != math.MaxUint64 {
		if err := a.forgetFilters(ctx, anew); err != nil {
			return err
		}
	}
	if a.store.indexer.thin(a.id) {
		if err := a.tidyFilters(ctx); err != nil {
			return err
		}
	}
	for {
		if err := a.store.load.wait(ctx); err != nil {
			return err
		}
		rows, err := a.unfiltered(ctx)
		if err != nil || rows == nil {
			return err
		}
		groups, last, err := a.makeFilters(ctx, rows)
		if err == nil {
			err = a.putFilters(ctx, groups, last)
		}
		if err != nil {
			return err
		}
	}
}

// numbered is a row and its number.
type numbered struct {
	number uint64
	row
}

// unfiltered is the rows of the oldest messages without a filter; nil where
// there are not enough.
func (a *Account) unfiltered(ctx context.Context) (rows []numbered, err error) {
	err = a.store.index.View(ctx, a.store.shardOf(a.id).number, func(r kv.Reader) error {
		rows = rows[:0]
		done, err := filtered(r, a.id)
		if err != nil {
			return err
		}
		fresh := freshMail{}
		for k, v := range r.Range(rowKey(a.id, done+1), kv.After(key(a.id, keyRow)), kv.Options{Limit: rowsAtOnce}) {
			w, err := decodeRow(v)
			if err != nil {
				return fmt.Errorf("key %x: %w", k, err)
			}
			rows = append(rows, numbered{tailUint64(k), w})
			fresh.messages, fresh.octets = fresh.messages+1, fresh.octets+w.size()
		}
		if !fresh.enough() {
			rows = nil
		}
		return nil
	})
	return rows, err
}

// filtered reads up to which number filters were made.
func filtered(r kv.Reader, a AccountID) (uint64, error) {
	f, err := fields(r, filteredKey(a))
	if f == nil || err != nil {
		return 0, err
	}
	return f.Uint(), f.Err()
}

// madeGroup is the filters of some messages, as one value has room for them.
type madeGroup struct {
	numbers []uint64
	filters []search.Filter
	octets  int
}

func (g *madeGroup) hasRoom(octets int) bool {
	return len(g.filters) == 0 || g.octets+octets <= maxFilters && len(g.filters) < search.MaxGroup
}

// makeFilters reads messages and says up to which number it came. One that
// cannot be read has no filter: whoever looks for something reads it himself.
// The last group waits for more, where more are there.
func (a *Account) makeFilters(ctx context.Context, rows []numbered) (groups []madeGroup, last uint64, err error) {
	g, before := madeGroup{}, uint64(0) // before: the number before the next row's
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		if encoded, err := a.filterOf(ctx, &rows[i]); err == nil {
			f, err := search.OpenFilter(encoded)
			if !g.hasRoom(len(encoded)) {
				groups, last, g = append(groups, g), before, madeGroup{}
				if len(groups) == groupsInOne {
					return groups, last, nil
				}
			}
			if err == nil {
				g.numbers, g.filters, g.octets = append(g.numbers, rows[i].number), append(g.filters, f), g.octets+len(encoded)
			}
		}
		before = rows[i].number
	}
	if len(rows) < rowsAtOnce || len(groups) == 0 {
		groups, last = append(groups, g), before
	}
	return groups, last, nil
}

// filterOf makes the filter of one message. It is the store's own eye on it, and
// no release is needed: who may ask is judged by whoever asks.
func (a *Account) filterOf(ctx context.Context, w *numbered) ([]byte, error) {
	stored, err := a.store.log.Open(w.at)
	if errors.Is(err, segment.ErrGone) { // collected since the look
		if err := a.lookAgain(ctx, w); err != nil {
			return nil, err
		}
		stored, err = a.store.log.Open(w.at)
	}
	if err != nil {
		return nil, err
	}
	l := located{row: w.row}
	m, err := l.message(stored)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	sum, err := a.summaryOf(ctx, w, stored)
	if err != nil {
		return nil, err
	}
	return a.store.opt.Filter(nil, sum, m)
}

func (a *Account) lookAgain(ctx context.Context, w *numbered) error {
	return a.store.index.View(ctx, a.store.shardOf(a.id).number, func(r kv.Reader) error {
		now, err := mustRow(r, a.id, w.number)
		if err == nil {
			w.row = *now
		}
		return err
	})
}

func (a *Account) summaryOf(ctx context.Context, w *numbered, stored *segment.Stored) (sum *mail.Summary, err error) {
	err = a.store.index.View(ctx, a.store.shardOf(a.id).number, func(r kv.Reader) error {
		v, err := get(r, summaryKey(a.id, w.number))
		if v != nil && err == nil {
			sum, _ = decodeSummary(string(v), wholeSummary, int64(w.prefixLen)) // the record has it, too
		}
		return nil
	})
	if err != nil || sum != nil {
		return sum, err
	}
	r, err := stored.Record()
	if err != nil {
		return nil, err
	}
	return decodeSummary(string(r.Summary), wholeSummary, int64(w.prefixLen))
}

// putFilters writes groups, and how far we are.
func (a *Account) putFilters(ctx context.Context, groups []madeGroup, last uint64) error {
	return a.store.index.Update(ctx, a.store.shardOf(a.id).number, func(tx kv.Tx) error {
		c, err := getAccount(tx, a.id)
		if err != nil || c == nil || c.removed { // its keys are going
			return err
		}
		for _, g := range groups {
			if len(g.numbers) > 0 {
				tx.Put(filterKey(a.id, g.numbers[0]), sealValue(appendFilters(newValue(), g.numbers, g.filters)))
			}
		}
		tx.Put(filteredKey(a.id), sealValue(segment.AppendUint(newValue(), last)))
		return nil
	})
}

// forgetFilters takes away what was made from a number on.
func (a *Account) forgetFilters(ctx context.Context, first uint64) error {
	return a.store.index.Update(ctx, a.store.shardOf(a.id).number, func(tx kv.Tx) error {
		done, err := filtered(tx, a.id)
		if isDamaged(err) {
			done, err = 0, nil
		}
		if err != nil {
			return err
		}
		tx.DeleteRange(filterKey(a.id, first), kv.After(filtersKey(a.id)))
		tx.Put(filteredKey(a.id), sealValue(segment.AppendUint(newValue(), min(done, max(first, 1)-1))))
		return nil
	})
}
