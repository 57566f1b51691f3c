package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// shard is one part of the index, and the applier that brings the log's
// records into it.
//
// Whoever was acknowledged is queued here before he hears of it, so that a
// reader who comes later can wait for exactly what he must see.
type shard struct {
	store  *Store
	number int

	scriptTurn atomic.Uint64 // of changes of scripts

	mu        sync.Mutex // guards all below
	queue     []item
	queued    uint64               // items ever queued
	applied   uint64               // of these, in the index
	soon      bool                 // something that leaves, or was appended, was queued, and a kick is on its way
	held      map[AccountID]Usage  // of quotas, by what is not in the index yet
	pending   map[AccountID]uint64 // the last item of an account that is not applied
	moved     chan struct{}        // closed and made anew when applied grows or failing changes
	failing   error                // why the last try to apply failed
	stopped   map[AccountID]error  // accounts for which nothing is applied, and why
	postponed map[uint64]postponed // items of theirs that the mark has passed
	mark      segment.Mark         // as of the index
	opened    segment.Mark         // as of Open; never changes
	restored  origin               // never changes
	grafted   map[AccountID]graft  // its accounts that were begun again; never changes
	tip       segment.Mark         // as of the queue
	sight     foresight
	closing   bool

	wake chan struct{} // room for one: something is queued
	full chan struct{} // room for one: enough for one transaction is queued
	kick chan struct{} // room for one: somebody waits
	done chan struct{}

	turn bool // the applier's own: it has [Store.applying]
}

// When the applier moves, and how much one transaction may hold.
const (
	gatherTime  = 500 * time.Millisecond // nobody looks, and the log has it
	gatherSoon  = 25 * time.Millisecond  // something leaves, or was appended
	gatherItems = 1024
	// gatherPromised is how many letters are gathered that clients were told the UIDs
	// of: who opens the mailbox waits for so many.
	gatherPromised = 64
	maxQueued      = 8192 // items: beyond that the log waits
	maxWrites      = kv.MaxTxWrites - 96
	maxBytes       = kv.MaxTxBytes / 2
	maxMarkLag     = 16 << 20 // octets of log behind which an idle shard's mark follows
	retryApplies   = 200 * time.Millisecond
)

func (s *Store) startShards() error {
	for i := range s.index.Shards() {
		sh := &shard{
			store: s, number: i, restored: s.opt.restored.shards[i], grafted: make(map[AccountID]graft), pending: make(map[AccountID]uint64), held: make(map[AccountID]Usage),
			moved: make(chan struct{}), done: make(chan struct{}), stopped: make(map[AccountID]error),
			sight: foresight{outlooks: make(map[AccountID]*outlook), changing: make(map[AccountID]int)},
			wake:  make(chan struct{}, 1), full: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		}
		err := s.index.View(context.Background(), i, func(r kv.Reader) (err error) {
			sh.postponed = loadPostponed(r)
			sh.mark, err = getMark(r)
			return err
		})
		if err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		sh.tip, sh.opened = sh.mark, sh.mark
		for a, g := range s.opt.restored.accounts {
			if s.placed(a) == i {
				sh.grafted[a] = g
			}
		}
		s.shards = append(s.shards, sh)
		go sh.run()
	}
	return nil
}

// shardOf places an account.
func (s *Store) shardOf(a AccountID) *shard { return s.shards[s.placed(a)] }

func (s *Store) placed(a AccountID) int { return placeAccount(a, s.index.Shards()) }

// placeAccount spreads accounts over shards; the system lies in the first. It
// never changes: rows would be lost.
func placeAccount(a AccountID, shards int) int {
	if a == systemAccount {
		return 0
	}
	return int(uint64(a) * 0x9e3779b97f4a7c15 >> 32 % uint64(shards))
}

// push queues items. It waits while the applier is far behind, and that slows
// the log down. While the index fails it does not: nothing more is taken then than
// what is on its way, and who waited could hurry nobody.
func (sh *shard) push(items ...item) {
	sh.mu.Lock()
	for len(sh.queue) >= maxQueued && !sh.closing && sh.failing == nil {
		moved := sh.moved
		sh.mu.Unlock()
		poke(sh.kick)
		<-moved
		sh.mu.Lock()
	}
	hurry := false
	for _, it := range items {
		sh.queued++
		sh.tip = it.after
		for _, p := range it.parts {
			a := AccountID(p.recipient().Account)
			sh.pending[a] = sh.queued
			hurry = hurry || sh.store.watch.watched(a)
		}
		if it.assured = sh.failing != nil; it.assured && it.filing != nil {
			sh.sight.owed[it.account()] = true
		}
		sh.foresee(&it, sh.queued)
		if !sh.soon && (it.leaves() || it.promised != (promise{})) {
			sh.soon = true
			time.AfterFunc(gatherSoon, sh.hurry)
		}
		sh.queue = append(sh.queue, it)
	}
	enough, tooMuch := sh.enough(), max(len(sh.queue), sh.sight.letters) >= 2*gatherItems
	sh.mu.Unlock()
	poke(sh.wake)
	if enough {
		poke(sh.full)
	}
	if hurry || tooMuch {
		poke(sh.kick)
	}
}

// enough says whether to gather no longer: for one transaction, or because people
// append letters, who are going to look at them. mu is held.
func (sh *shard) enough() bool {
	return len(sh.queue) >= gatherItems || sh.sight.letters >= gatherPromised
}

// hurry is for what leaves, and for what people append, who are going to look at it:
// whatever comes from now on has to call it again.
func (sh *shard) hurry() {
	sh.mu.Lock()
	sh.soon = false
	sh.mu.Unlock()
	poke(sh.kick)
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// seen waits until everything of account a that was acknowledged before the
// call is in the index, and hurries it.
func (sh *shard) seen(ctx context.Context, a AccountID) error {
	sh.mu.Lock()
	target := sh.pending[a]
	sh.mu.Unlock()
	return sh.reach(ctx, target)
}

// shown is [shard.seen] for who only looks: see [shard.unlessOwed].
func (sh *shard) shown(ctx context.Context, a AccountID) error {
	sh.mu.Lock()
	target := sh.pending[a]
	sh.mu.Unlock()
	return sh.reachOr(ctx, target, sh.unlessOwed(a))
}

// unlessOwed is for who only looks. While the index cannot follow the log, on a full
// disk for instance, he is shown what it has: new mail comes late then, but what was
// there can be read. Not where he was told UIDs that the index does not know: a client
// that misses a letter it has appended takes it for removed.
func (sh *shard) unlessOwed(a AccountID) func(failing error) error {
	return func(failing error) error {
		if sh.sight.owed[a] {
			return unavailable(failing)
		}
		return nil
	}
}

// drain waits for all that is queued.
func (sh *shard) drain(ctx context.Context) error {
	sh.mu.Lock()
	target := sh.queued
	sh.mu.Unlock()
	return sh.reach(ctx, target)
}

// reach waits until so many items are in the index.
func (sh *shard) reach(ctx context.Context, target uint64) error {
	return sh.reachOr(ctx, target, unavailable)
}

// reachOr is reach for who says himself what he is told while the index fails; mu is
// held when he is asked.
func (sh *shard) reachOr(ctx context.Context, target uint64, stuck func(failing error) error) error {
	for {
		sh.mu.Lock()
		reached, moved, failing := sh.applied >= target, sh.moved, sh.failing
		if !reached && failing != nil {
			defer sh.mu.Unlock()
			return stuck(failing)
		}
		sh.mu.Unlock()
		if reached {
			return nil
		}
		poke(sh.kick)
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-sh.done:
			return unavailable(kv.ErrClosed)
		}
	}
}

// trouble is why this shard cannot follow the log; nil when it can.
func (sh *shard) trouble() error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.failing
}

// past says whether a recipient of the log, if it is of this shard, is applied.
func (sh *shard) past(serial uint64) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.applied == sh.queued || serial < sh.mark.Serial
}

// run is the applier.
func (sh *shard) run() {
	defer close(sh.done)
	for range sh.wake {
		for sh.waitForMore() {
			sh.applySome()
			sh.endTurn()
		}
		if sh.ended() {
			return
		}
	}
}

// ended says whether nothing is left that can be applied, and nothing will come.
func (sh *shard) ended() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.closing && (len(sh.queue) == 0 || sh.failing != nil)
}

// waitForMore gathers for a moment, and for the shard's turn, unless somebody
// waits; false: nothing is queued, or it cannot be applied and the store closes.
func (sh *shard) waitForMore() bool {
	sh.mu.Lock()
	n, enough, closing, failing := len(sh.queue), sh.enough(), sh.closing, sh.failing
	sh.mu.Unlock()
	if n == 0 || closing {
		return n > 0 && failing == nil
	}
	wait := gatherTime
	switch {
	case failing != nil:
		wait = retryApplies
	case enough:
		wait = 0
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	full := sh.full
	if failing != nil {
		full = nil
	}
	select {
	case <-timer.C:
	case <-full:
	case <-sh.kick:
		return true
	}
	select {
	case sh.store.applying <- struct{}{}:
		sh.turn = true
	case <-sh.kick:
	}
	return true
}

// endTurn lets the next shard begin.
func (sh *shard) endTurn() {
	if sh.turn {
		sh.turn = false
		<-sh.store.applying
	}
}

// applySome brings the front of the queue into the index with one transaction.
func (sh *shard) applySome() {
	sh.mu.Lock()
	n, most := 0, gatherItems
	g := guess{counted: make(map[shared]bool)}
	if some := sh.store.opt.items; some > 0 {
		most = some
	}
	for n < len(sh.queue) && n < most {
		if g.add(&sh.queue[n]); n > 0 && (g.writes > maxWrites || g.bytes > maxBytes) {
			break
		}
		n++
	}
	batch := sh.queue[:n:n]
	sh.mu.Unlock()

	results, t, err := sh.apply(batch)
	for n > 1 && ofItem(err) { // more than was guessed, since mailboxes were made for many; or something is wrong with one
		n /= 2
		batch = batch[:n:n]
		results, t, err = sh.apply(batch)
	}
	if errors.Is(err, kv.ErrBounds) { // made for one
		if err = sh.makeBoxes(&batch[0]); err == nil {
			results, t, err = sh.apply(batch)
		}
	}
	if ofItem(err) && sh.mendShared(context.Background()) {
		results, t, err = sh.apply(batch)
	}
	if ofItem(err) && sh.stop(&batch[0], err) {
		results, t, err = sh.apply(batch)
	}

	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch {
	case err != nil && sh.failing == nil:
		sh.store.opt.Log.Error("the index cannot follow the log; mail is safe in the log", "shard", sh.number, "err", err)
		refuse(batch, results)
		sh.sight.end(sh.queue)
	case err == nil && sh.failing != nil:
		sh.store.opt.Log.Info("the index follows the log again", "shard", sh.number)
	}
	if sh.failing = err; err == nil {
		sh.settle(batch, results, t)
	}
	close(sh.moved)
	sh.moved = make(chan struct{})
}

// refuse notes which items of a batch that could not be written are filed nowhere. It
// stays so: who waits for them is told. results is nil where none was tried. mu is held.
func refuse(batch []item, results []applied) {
	for i := range results {
		if f := batch[i].filing; f != nil && !batch[i].stays() {
			f.refused = results[i].err
		}
	}
}

// settle takes what was applied off the queue. mu is held.
func (sh *shard) settle(batch []item, results []applied, t *txn) {
	for i := range batch {
		it := &batch[i]
		if results[i].slip != nil {
			sh.store.opt.Log.Error("UIDs are not what an APPEND was answered", "err", results[i].slip)
		}
		sh.settleAppend(it, results[i])
		sh.notePostponed(it, results[i])
		sh.noteMail(it)
		for _, p := range it.parts {
			if held, ok := p.Tag.(inFlight); ok {
				sh.give(AccountID(p.recipient().Account), held[p.recip])
			}
		}
	}
	sh.mark = batch[len(batch)-1].after
	sh.applied += uint64(len(batch))
	sh.queue = sh.queue[len(batch):]
	clear(batch) // the records may go
	for a, last := range sh.pending {
		if last <= sh.applied {
			delete(sh.pending, a)
		}
	}
	sh.learn(t)
}

// settleAppend answers who waits for an append, unless he was answered before, and
// gives back what it took of the quota. mu is held.
func (sh *shard) settleAppend(it *item, result applied) {
	if it.filing == nil {
		return
	}
	if it.promised == (promise{}) {
		it.filing.answer <- result
	} else {
		sh.sight.kept(it)
	}
	sh.give(it.account(), it.filing.held)
}

// pass moves the mark to where a segment begins to which nothing was written
// yet. Whatever was queued since is behind it, and then nothing need be done.
func (sh *shard) pass(to segment.Mark) {
	sh.mu.Lock()
	if sh.tip.At.Before(to.At) && to.Serial >= sh.tip.Serial {
		sh.queued++
		sh.tip = to
		sh.queue = append(sh.queue, item{after: to, writes: 1})
	}
	sh.mu.Unlock()
	poke(sh.wake)
	poke(sh.kick)
}

// noteMail tells the indexer what was filed.
func (sh *shard) noteMail(it *item) {
	octets := uint64(0)
	for _, p := range it.parts {
		octets += uint64(p.RawSize)
	}
	if len(it.parts) > 0 && it.parts[0].Kind != segment.Moved {
		sh.store.indexer.note(it.account(), len(it.parts), octets)
	}
}

// close lets the applier finish and writes the mark a last time.
func (sh *shard) close() error {
	sh.mu.Lock()
	sh.closing = true
	close(sh.moved)
	sh.moved = make(chan struct{})
	sh.mu.Unlock()
	poke(sh.wake)
	poke(sh.kick)
	<-sh.done
	if left := len(sh.queue); left > 0 {
		return fmt.Errorf("shard %d: %d acknowledged records wait in the log for the next open: %w", sh.number, left, sh.failing)
	}
	return nil
}
