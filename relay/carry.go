package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
)

// work carries one row to its next state.
func (r *Runner) work(ctx, working context.Context, row Row, to *place) {
	l := landing{id: row.ID, more: true}
	defer func() { r.done <- l }()
	var err error
	l, err = r.carry(working, row.ID, to)
	if err != nil && !errors.Is(err, ErrGone) {
		l.more = true
		r.opt.Log.LogAttrs(working, slog.LevelError, "letter in the outbox cannot be handled", slog.Uint64("row", uint64(row.ID)), slog.String("err", err.Error()))
		r.pause(ctx, time.Minute) // whatever it is, it is not tried in a circle
	}
}

func (r *Runner) carry(ctx context.Context, id RowID, to *place) (landing, error) {
	left := landing{id: id, met: notTried, more: true}
	mine, err := r.claims.take(ctx, id)
	if err != nil {
		return left, nil // our own end
	}
	defer r.claims.release(id, mine)
	if r.claims.wasAside(id) {
		return left, nil // it may not be due any more
	}
	left.more = false
	l, err := r.opt.Outbox.Open(ctx, id)
	if l != nil && l.Close != nil {
		defer l.Close()
	}
	switch {
	case errors.Is(err, mail.ErrParked):
		return left, r.park(ctx, id, l, err)
	case err != nil:
		due, err := r.putOff(ctx, id, l, fmt.Errorf("open: %w", err))
		left.due = due
		return left, err
	case !l.Demand().Stated():
		return left, r.park(ctx, id, l, mail.ErrParked)
	}
	if l.Kind == mail.Redirected && l.From.IsNull() && l.Demand().IsRequired() {
		l.Redacted = standIn(r.opt, l)
	}
	last := r.opt.Now().Add(r.opt.FirstRetry).After(r.giveUp(l))
	began, others := r.creds.now.Load(), to.busy() > 1
	o := r.try(mine.trying, l, last)
	if r.opt.taggedLevel(l.To.Domain) == Enforce && began == r.creds.now.Load() {
		r.known.learn(l, r.destination(l.To.Domain), o)
	}
	if mine.trying.Err() != nil && o.err != nil {
		left.more = true
		return left, nil // cut short by our own end, or by the admin: as if it had not been tried
	}
	if o.crowded && !o.reached && (others || to.busy() > 1 || o.room) {
		left.met, left.more = metCrowd, true
		return left, nil // as if it had not been tried: it is for our others that the host has no room
	}
	if o.taken != nil {
		defer r.keep(o.taken)
	}
	left.met, left.with = metNobody, began
	if o.err == nil || o.reached || isFinal(o.err) {
		left.met = metHost
	}
	s := r.judge(l, o, last)
	left.due, left.more = s.Due, len(s.Reports) > 0
	err = r.settle(ctx, id, s)
	if err == nil || errors.Is(err, ErrGone) && o.err == nil { // whoever has ended it meanwhile: it left all the same
		r.tell(ctx, l, o, s)
	}
	return left, err
}

// putOff is for a row that cannot be read just now: others take its place until it is
// tried again. Nobody gives it up, for nobody knows whose it is. The error is one where
// not even that can be written.
func (r *Runner) putOff(ctx context.Context, id RowID, l *Letter, why error) (due time.Time, err error) {
	if l == nil || errors.Is(why, ErrGone) || ctx.Err() != nil {
		return due, why
	}
	h := l.History
	h.Tries++
	h.Last, h.Host, h.Error = r.opt.Now(), "", clip(why.Error(), 1000)
	due = h.Last.Add(jitter(r.backoff(h.Tries)))
	if err := r.opt.Outbox.Settle(ctx, id, Settlement{Fate: Deferred, Due: due, History: h}); err != nil {
		return time.Time{}, errors.Join(why, err)
	}
	r.opt.Log.LogAttrs(ctx, slog.LevelError, "letter in the outbox cannot be read", slog.Uint64("row", uint64(id)), slog.Time("due", due), slog.String("err", why.Error()))
	return due, nil
}

// park sets a row aside whose demand cannot be read.
func (r *Runner) park(ctx context.Context, id RowID, l *Letter, why error) error {
	s := Settlement{Fate: Parked, History: History{Last: r.opt.Now(), Error: clip(why.Error(), 1000)}}
	if err := r.settle(ctx, id, s); err != nil {
		return err
	}
	if l == nil {
		l = &Letter{Outbound: &mail.Outbound{}}
	}
	r.tell(ctx, &Letter{ID: id, Outbound: l.Outbound}, outcome{err: reply.LocalError.Because(why)}, s)
	return nil
}

// settle writes until it is written: what a host has taken is not sent twice
// for a store that is busy, nor for an end that comes in between. Nobody else
// touches the row meanwhile.
func (r *Runner) settle(ctx context.Context, id RowID, s Settlement) error {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		last := ctx.Err() != nil
		err := r.opt.Outbox.Settle(context.WithoutCancel(ctx), id, s)
		if err == nil || errors.Is(err, ErrGone) || last {
			return err
		}
		r.opt.Log.LogAttrs(ctx, slog.LevelError, "the fate of a letter cannot be written", slog.Uint64("row", uint64(id)), slog.String("fate", s.Fate.String()), slog.String("err", err.Error()))
		r.pause(ctx, wait)
	}
}

func (r *Runner) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (r *Runner) giveUp(l *Letter) time.Time { return r.began(l).Add(r.opt.Lifetime) }

// began is since when a letter waits. One that came while the clock was ahead is as old
// as its tries make it: it is not to be tried until its day has come, years away.
func (r *Runner) began(l *Letter) time.Time {
	now := r.opt.Now()
	if !l.Created.After(now) {
		return l.Created
	}
	waited := time.Duration(0)
	for n := 1; n <= l.History.Tries && waited < r.opt.Lifetime; n++ {
		waited += r.backoff(n)
	}
	return now.Add(-waited)
}

// Aside does what an admin wants done with a row in the outbox, such as to hold it. A
// letter that is on its way is cut first, if it is not there already, and one that was
// found due before is not sent on the strength of that.
func (r *Runner) Aside(ctx context.Context, id RowID, do func() error) error {
	mine, err := r.claims.seize(ctx, id)
	if err != nil {
		return err
	}
	defer r.claims.release(id, mine)
	defer r.claims.aside(id) // when it is done: a walk in between finds the row due
	return do()
}

// Bounce gives a letter up on the admin's word: its sender is told. One that is
// on its way is cut first: nobody hears that a letter failed which then arrives.
// [ErrGone] says that it has ended.
func (r *Runner) Bounce(ctx context.Context, id RowID) error {
	return r.Aside(ctx, id, func() error { return r.giveBack(ctx, id) })
}

func (r *Runner) giveBack(ctx context.Context, id RowID) error {
	l, err := r.opt.Outbox.Open(ctx, id)
	if err != nil {
		return err
	}
	if l.Close != nil {
		defer l.Close()
	}
	o := outcome{err: byAdmin}
	s := r.judge(l, o, true)
	if err := r.opt.Outbox.Settle(ctx, id, s); err != nil {
		return err
	}
	r.tell(ctx, l, o, s)
	return nil
}

// isFinal says whether another try cannot help.
func isFinal(e *reply.Error) bool { return e != nil && e.Class == reply.Permanent }
