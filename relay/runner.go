package relay

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Runner empties an outbox. Make it with [New].
type Runner struct {
	*router
	opt    Options
	known  *knowledge
	claims claims

	done  chan landing  // from workers that have ended
	again chan struct{} // from Retry
	asked chan chan Stats
	ended chan struct{} // closed when Run ends
	live  sync.WaitGroup

	flying map[RowID]string // rows on their way and their destinations; the loop's own, as all below
	since  map[RowID]time.Time
	places map[string]*place
	stale  bool      // the outbox may have more to do than the last walk found
	next   time.Time // when it will; zero: not before somebody says so
	rested time.Time // no walk before: a long queue is not walked all the time
}

// landing is a row whose worker has ended, and whether anybody answered.
type landing struct {
	id   RowID
	met  met
	with *held     // the credentials of the try; nil: it was none
	due  time.Time // when it is due again; zero where it has ended
	more bool      // it stays as it was, or made others: the outbox is to be asked
}

type met uint8

const (
	metNobody met = iota // the destination did not answer
	metHost
	metCrowd // the host takes no more connections of ours at once
	notTried
)

// place is what the loop remembers of a destination while it is busy or left
// alone.
type place struct {
	active atomic.Int32  // letters on their way there; the loop alone changes it
	most   int           // letters at once that its hosts have been found to take; 0: no fewer than we send
	taken  int           // letters since most was set
	filled time.Time     // when that was
	quiet  time.Duration // how long it is left alone after the next failure
	until  time.Time     // left alone until then
	failed bool          // the last word was no answer: one letter at a time
	ready  []Row         // due at the last walk, and not started for want of room
	beyond bool          // the walk met more of them than it kept
}

// hasRoom says whether another letter may go there.
func (r *Runner) hasRoom(p *place) bool {
	return p.busy() < r.mostAt(p) && !(p.failed && p.busy() > 0)
}

func (p *place) busy() int { return int(p.active.Load()) }

// mostAt is how many letters may be on their way there at once.
func (r *Runner) mostAt(p *place) int {
	if p.most > 0 {
		return min(p.most, r.opt.PerDomain)
	}
	return r.opt.PerDomain
}

// keep remembers a row for when there is room, so that a long queue to one
// destination is walked once for many letters and not for each.
func (p *place) keep(row Row) {
	if len(p.ready) < maxReady {
		p.ready = append(p.ready, row)
	} else {
		p.beyond = true
	}
}

const (
	firstQuiet = time.Minute
	mostQuiet  = 10 * time.Minute
	maxPlaces  = 4096 // destinations remembered
	maxReady   = 256  // rows of each that wait for room
	moreAfter  = 10   // letters over each connection until one connection more is tried
	restAfter  = 4    // times what a walk of the outbox took until the next
	houseEvery = 10 * time.Minute
	longTry    = time.Minute // a letter on its way for longer takes no room from others
	mostLong   = 9           // times Concurrency: letters on their way for longer
)

// New makes the way out.
func New(opt Options) *Runner {
	public := opt.Dial == nil
	opt = opt.filled()
	creds := newCredentials(opt)
	r := &router{
		opt: opt, public: public, pool: newPool(), creds: creds,
		book:  &stsBook{resolver: opt.Resolver, policies: opt.Policies, dial: opt.Dial, roots: creds.roots, now: opt.Now, log: opt.Log},
		tally: &tally{policies: opt.Policies, now: opt.Now, log: opt.Log},
	}
	return &Runner{router: r, opt: opt, known: newKnowledge(opt.Now), done: make(chan landing), again: make(chan struct{}, 1), asked: make(chan chan Stats), ended: make(chan struct{}), flying: map[RowID]string{}, since: map[RowID]time.Time{}, places: map[string]*place{}, stale: true}
}

// Run sends what is due, once in a Runner's life, until ctx ends. Letters on their way then have
// [Options].Grace to end; what is cut stays in the outbox. It returns nil at the end of
// ctx.
func (r *Runner) Run(ctx context.Context) error {
	working, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer r.pool.close()
	var house sync.WaitGroup
	house.Go(func() { r.keepHouse(ctx) })
	defer house.Wait()
	for ctx.Err() == nil {
		next := r.start(ctx, working)
		r.wait(ctx, next)
	}
	r.stop(cut)
	close(r.ended)
	return nil
}

// start gives workers to rows that are due, and says when to look again; zero
// where something else will say so.
func (r *Runner) start(ctx, working context.Context) (next time.Time) {
	now := r.opt.Now()
	free, until := r.free(now)
	rest := time.Until(r.rested)
	switch {
	case free <= 0:
		return until
	case !r.stale:
		r.startReady(ctx, working, free)
		return r.next
	case rest > 0:
		r.startReady(ctx, working, free)
		return now.Add(rest)
	}
	r.walk(ctx, working, now, free)
	return r.next
}

// free is how many letters may be started, or until when none may; zero is
// until one lands. Nobody looks through the outbox for what has to go through a
// smarthost that has no room.
func (r *Runner) free(now time.Time) (n int, until time.Time) {
	n, until = r.lanes(now)
	if n <= 0 || r.opt.Smarthost == nil {
		return n, until
	}
	p := r.places[r.destination("")]
	switch {
	case p == nil:
		return min(n, r.opt.PerDomain), time.Time{}
	case p.until.After(now):
		return 0, p.until
	case !r.hasRoom(p):
		return 0, time.Time{}
	case p.failed:
		return min(n, 1), time.Time{}
	}
	return min(n, r.mostAt(p)-p.busy()), time.Time{}
}

// lanes is how many letters may be on their way besides those that are, or until when
// none may. Hosts that answer drop by drop, or not at all, are no reason for all other
// mail to wait: what has been on its way for long has a room of its own.
func (r *Runner) lanes(now time.Time) (n int, until time.Time) {
	long := 0
	for _, since := range r.since {
		if at := since.Add(longTry); at.After(now) {
			until = earliest(until, at)
		} else {
			long++
		}
	}
	if long >= mostLong*r.opt.Concurrency {
		until = time.Time{}
	}
	return min(r.opt.Concurrency+long, (1+mostLong)*r.opt.Concurrency) - len(r.flying), until
}

// walk looks in the outbox for what is due, the longest due first.
func (r *Runner) walk(ctx, working context.Context, now time.Time, free int) {
	began := time.Now()
	for _, p := range r.places {
		p.ready, p.beyond = nil, false
	}
	r.claims.forget(r.flying)
	r.forget(now)
	wake := time.Time{}
	var chosen []RowID
	rows, next, err := r.opt.Outbox.Due(ctx, now, free, func(row Row) bool {
		at := r.destination(row.Domain)
		_, twice := r.flying[row.ID]
		p := r.places[at]
		switch {
		case twice:
			return true
		case p == nil:
			p = &place{}
			r.places[at] = p
		case p.until.After(now):
			wake = earliest(wake, p.until)
			return true
		case !r.hasRoom(p):
			p.keep(row)
			return true
		}
		p.active.Add(1)
		r.flying[row.ID] = at
		chosen = append(chosen, row.ID)
		return false
	})
	if err != nil {
		if ctx.Err() == nil {
			r.opt.Log.LogAttrs(ctx, slog.LevelError, "outbox cannot be read", slog.String("err", err.Error()))
		}
		next = now.Add(10 * time.Second)
	}
	r.next, r.rested = earliest(next, wake), time.Now().Add(restAfter*time.Since(began))
	started := map[RowID]bool{}
	for _, row := range rows {
		started[row.ID] = true
		r.fly(ctx, working, row, r.places[r.flying[row.ID]])
	}
	for _, id := range chosen { // chosen, but not handed out
		if !started[id] {
			r.landed(landing{id: id, met: notTried})
		}
	}
	r.stale = len(rows) >= free
}

// startReady starts what the last walk found and what had no room then.
func (r *Runner) startReady(ctx, working context.Context, free int) {
	now := r.opt.Now()
	for at, p := range r.places {
		for ; free > 0 && len(p.ready) > 0 && r.hasRoom(p) && !p.until.After(now); free-- {
			row := p.ready[0]
			p.ready = p.ready[1:]
			p.active.Add(1)
			r.flying[row.ID] = at
			r.fly(ctx, working, row, p)
		}
	}
}

func (r *Runner) fly(ctx, working context.Context, row Row, to *place) {
	r.since[row.ID] = r.opt.Now()
	r.live.Go(func() { r.work(ctx, working, row, to) })
}

// destination is what rows share connections and limits by.
func (r *Runner) destination(domain string) string {
	if r.opt.Smarthost != nil {
		return ""
	}
	return domain
}

// forget drops what is no longer worth remembering.
func (r *Runner) forget(now time.Time) {
	for at, p := range r.places {
		wanted := p.failed && now.Sub(p.until) <= mostQuiet || p.most > 0 && now.Sub(p.filled) <= mostQuiet
		if p.busy() == 0 && !p.until.After(now) && (!wanted || len(r.places) > maxPlaces) {
			delete(r.places, at)
		}
	}
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// wait until there may be something to do.
func (r *Runner) wait(ctx context.Context, next time.Time) {
	var timer <-chan time.Time
	if !next.IsZero() {
		t := time.NewTimer(max(time.Millisecond, min(time.Hour, next.Sub(r.opt.Now()))))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
	case <-timer:
		r.stale = true
	case <-r.opt.Outbox.Changed():
		r.stale = true
	case <-r.again:
		r.stale = true
		for _, p := range r.places {
			p.until = time.Time{}
		}
	case l := <-r.done:
		r.landed(l)
	case answer := <-r.asked:
		answer <- r.stats()
	}
}

// Stats is what the relay is doing.
type Stats struct {
	InFlight int                  // letters on their way
	Waiting  map[string]time.Time // destinations left alone for not answering, and until when; "" is the smarthost
}

// Stats says what a running relay is doing; ok is false where it does not run,
// or does not say before ctx ends.
func (r *Runner) Stats(ctx context.Context) (s Stats, ok bool) {
	answer := make(chan Stats, 1)
	select {
	case r.asked <- answer:
		return <-answer, true
	case <-r.ended:
	case <-ctx.Done():
	}
	return Stats{}, false
}

func (r *Runner) stats() Stats {
	s := Stats{InFlight: len(r.flying), Waiting: map[string]time.Time{}}
	now := r.opt.Now()
	for at, p := range r.places {
		if p.until.After(now) {
			s.Waiting[at] = p.until
		}
	}
	return s
}

// Retry forgets which destinations are left alone for not answering: for an
// admin who has mended something and made rows due.
func (r *Runner) Retry() {
	select {
	case r.again <- struct{}{}:
	default: // it is on its way already
	}
}

// landed frees the row's place. A destination where nobody answered is left
// alone for a while, twice as long each time.
func (r *Runner) landed(l landing) {
	p := r.places[r.flying[l.id]]
	delete(r.flying, l.id)
	delete(r.since, l.id)
	r.stale = r.stale || l.more
	if !l.due.IsZero() {
		r.next = earliest(r.next, l.due)
	}
	if p == nil {
		return
	}
	p.active.Add(-1)
	r.stale = r.stale || p.beyond && len(p.ready) == 0
	switch l.met {
	case metHost:
		p.failed, p.quiet, p.until = false, 0, time.Time{}
		if p.taken++; p.most > 0 && p.taken >= moreAfter*p.most {
			p.most, p.taken = p.most+1, 0
		}
	case metCrowd:
		p.most, p.taken, p.filled = max(1, p.busy()), 0, r.opt.Now()
	case metNobody:
		now := r.opt.Now()
		if len(r.places) > maxPlaces || p.until.After(now) || l.with != r.creds.now.Load() {
			return // the rows' own times spread them; or several failed together; or it may do with other credentials
		}
		p.failed = true
		p.quiet = min(mostQuiet, max(firstQuiet, 2*p.quiet))
		p.until = now.Add(jitter(p.quiet))
		r.next = earliest(r.next, p.until)
	}
}

// stop waits for the workers, and cuts those that take too long.
func (r *Runner) stop(cut context.CancelFunc) {
	grace := time.AfterFunc(r.opt.Grace, cut)
	defer grace.Stop()
	for len(r.flying) > 0 {
		r.landed(<-r.done)
	}
	r.live.Wait()
}

// keepHouse recalls letters, refreshes policies, and sends the TLS reports of days
// that are over.
func (r *Runner) keepHouse(ctx context.Context) {
	delay := reportDelay()
	refreshed := time.Time{}
	for ctx.Err() == nil {
		now := r.opt.Now()
		if now.Sub(refreshed) > time.Hour {
			r.recall(ctx, now)
			r.book.refresh(ctx)
			refreshed = now
		}
		r.tally.flush(ctx)
		if now.Sub(now.UTC().Truncate(24*time.Hour)) > delay {
			r.reportDays(ctx)
		}
		r.pause(ctx, houseEvery)
	}
	r.tally.flush(context.WithoutCancel(ctx))
}

// recall looks for letters that a clock ahead of time has put off until a day that
// may be years away. None waits longer than LastRetry, jitter and all.
func (r *Runner) recall(ctx context.Context, now time.Time) {
	if err := r.opt.Outbox.Recall(ctx, now.Add(2*r.opt.LastRetry)); err != nil && ctx.Err() == nil {
		r.opt.Log.LogAttrs(ctx, slog.LevelError, "outbox cannot be looked through for letters put off too long", slog.String("err", err.Error()))
	}
}

// reportDelay spreads the reports of many senders (RFC 8460 §4.1).
func reportDelay() time.Duration { return jitter(2*time.Hour) * 9 / 10 }
