package relay

import (
	"context"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/reply"
)

// judge turns how a try ended into what is written of the row.
func (r *Runner) judge(l *Letter, o outcome, last bool) Settlement {
	now := r.opt.Now()
	switch {
	case o.err == nil:
		return r.sent(l, o, now)
	case isFinal(o.err):
		return r.failed(l, o, o.err, now)
	case last:
		return r.failed(l, o, expired.Saying("not delivered in %s; last: %s", r.opt.Lifetime, o.err.Line()).Because(o.err), now)
	}
	return r.deferred(l, o, now)
}

// sent ends the row. A success report is ours to make where the next host
// knows nothing of them (RFC 3461 §5.2.2).
func (r *Runner) sent(l *Letter, o outcome, now time.Time) Settlement {
	s := Settlement{Fate: Sent}
	if !o.reports && l.DSN.Notify.Wants(mail.NotifySuccess) {
		s.add(report(r.opt, l, notice{action: actionRelayed, status: "2.0.0", host: o.host, now: now}))
	}
	return s
}

// failed ends the row with a bounce, or without a word where nobody is to be
// told.
func (r *Runner) failed(l *Letter, o outcome, err *reply.Error, now time.Time) Settlement {
	s := Settlement{Fate: Failed}
	if l.DSN.Notify.Wants(mail.NotifyFailure) && !l.From.IsNull() {
		s.add(report(r.opt, l, notice{action: actionFailed, status: statusOf(err), err: err, host: o.host, remote: o.remote() && err == o.err, now: now}))
	}
	if len(s.Reports) == 0 {
		s.Fate = Dropped
	}
	return s
}

// remote says whether the error is the host's own word.
func (o *outcome) remote() bool { return o.host != "" && !o.judged && o.reached }

// statusOf is the enhanced code of a failure; one without is RFC 3463's
// "undefined".
func statusOf(e *reply.Error) string {
	if s := e.Enhanced(); s != "" {
		return s
	}
	if e.Class == reply.Permanent {
		return "5.0.0"
	}
	return "4.0.0"
}

// deferred keeps the row, and tells the sender of a long delay, once.
func (r *Runner) deferred(l *Letter, o outcome, now time.Time) Settlement {
	h := l.History
	h.Tries++
	h.Last, h.Host, h.Error = now, o.host, clip(o.err.Error(), 1000)
	s := Settlement{Fate: Deferred, Due: earliest(now.Add(jitter(r.backoff(h.Tries))), r.giveUp(l)), History: h}
	if s.Due.Before(now.Add(time.Second)) {
		s.Due = now.Add(time.Second)
	}
	late := r.opt.DelayNotice > 0 && now.Sub(r.began(l)) >= r.opt.DelayNotice && !h.Delayed
	if late && l.DSN.Notify.Wants(mail.NotifyDelay) && l.Kind == mail.Redirected {
		s.add(report(r.opt, l, notice{action: actionDelayed, status: statusOf(o.err), err: o.err, host: o.host, remote: o.remote(), until: r.giveUp(l), now: now}))
		s.History.Delayed = true
	}
	return s
}

// backoff is the wait before the next try: it doubles.
func (r *Runner) backoff(tries int) time.Duration {
	d := r.opt.FirstRetry
	for range min(tries-1, 30) {
		if d = 2 * d; d >= r.opt.LastRetry {
			return r.opt.LastRetry
		}
	}
	return d
}

func (s *Settlement) add(o *mail.Outbound) {
	if o != nil {
		s.Reports = append(s.Reports, o)
	}
}

// tell writes the one line about a try: the facts of the hop, and what they
// were judged to be.
func (r *Runner) tell(ctx context.Context, l *Letter, o outcome, s Settlement) {
	t := &maillog.Try{Letter: l.Outbound, Row: uint64(l.ID), Host: o.host, Reply: o.err, Said: o.said}
	if o.seen != nil {
		t.Hop, t.IP, t.TLS, t.Proof, t.Judgement = &o.seen.Hop, o.addr.String(), o.seen.TLS, o.seen.Proof, o.seen.Judgement
	}
	switch s.Fate {
	case Sent:
		r.opt.Mail.Sent(ctx, t)
	case Deferred:
		t.Tries, t.Due = s.History.Tries, s.Due
		r.opt.Mail.Deferred(ctx, t)
	case Failed:
		r.opt.Mail.Bounced(ctx, t)
	case Dropped:
		r.opt.Mail.Unsent(ctx, t)
	case Parked:
		r.opt.Mail.Parked(ctx, t)
	}
}
