package relay

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
)

// trial is one try of one letter: all hosts of its domain, in order.
type trial struct {
	*router
	letter *Letter
	level  Level // what usual mail wants of a smarthost
	tagged Level // what required mail wants of the way
	last   bool  // there will be no other try
	want   Freshness
	until  time.Time // no host is asked any more after that

	way    *route
	result outcome
}

// outcome is how a try ended. A nil err is a host that has taken the letter.
type outcome struct {
	err     *reply.Error
	host    string     // that said so; empty where none was asked
	addr    netip.Addr // of that host
	seen    *Seen      // the facts of the last connection; nil where there was none
	permit  requiretls.Clearance
	said    string // the host's own words on success
	reports bool   // the host was told what to report (RFC 3461 §5.2.1)
	judged  bool   // the error is our own judgement, not a host's word on the message
	reached bool   // somebody answered: the domain is not to be left alone
	crowded bool   // somebody takes no further connection just now
	room    bool   // and an idle one of ours has left for this

	taken *session // the connection that a host took the letter over; its end waits until that is written down
}

// try offers the letter to each host in turn (RFC 8689 §4.2.1: steps 2 to 5
// with each host).
func (r *router) try(ctx context.Context, l *Letter, last bool) outcome {
	t := r.trial(l)
	if t.last = last; last {
		t.want = Fresh
	}
	t.run(ctx)
	if t.finalByPolicy() {
		t.want = Fresh // RFC 8461 §5: not for good before the newest policy was looked for
		t.run(ctx)
	}
	return t.result
}

// trial is a try of a letter, under the levels of where it goes.
func (r *router) trial(l *Letter) *trial {
	t := &trial{router: r, letter: l, tagged: r.opt.taggedLevel(l.To.Domain), until: time.Now().Add(maxTry)}
	if s := r.opt.Smarthost; s != nil {
		t.level = s.levelFor(l.To.Domain)
	}
	return t
}

// finalByPolicy says that we would give the letter up for facts that an older
// policy has a part in.
func (t *trial) finalByPolicy() bool {
	e := t.result.err
	return e != nil && e.Class == reply.Permanent && t.result.judged &&
		t.way != nil && t.way.sts.Policy != nil && !t.way.sts.Checked && t.want == Cached
}

// busyHost is what a host says to a connection that it has no room for (RFC 5321
// §3.8, §4.2.4).
const busyHost = 421

// asking is for all that comes before the letter itself.
func (t *trial) asking(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, t.until)
}

func (t *trial) run(ctx context.Context) {
	asking, cancel := t.asking(ctx)
	defer cancel()
	t.result = outcome{}
	way, err := t.find(asking, t.letter.To.Domain, t.want)
	if t.way = way; err != nil {
		t.result = outcome{err: err, judged: true}
		return
	}
	if t.opt.Smarthost == nil {
		t.tally.fetched(t.letter, way.domain, way.sts)
	}
	for _, host := range way.targets {
		if t.offer(ctx, host) {
			return
		}
		if asking.Err() != nil {
			break
		}
	}
	if t.result.err == nil { // no host had the time to say anything
		t.result.err = noAnswer.Because(asking.Err())
	}
}

// offer tries the addresses of one host. done says that the fate is sealed.
func (t *trial) offer(ctx context.Context, host *target) (done bool) {
	asking, cancel := t.asking(ctx)
	defer cancel()
	t.resolve(asking, t.way, host)
	if host.daneErr != nil {
		t.tally.failed(t.letter, t.way, host, nil, "dnssec-invalid", host.daneErr)
	}
	if host.outside != nil {
		t.tally.failed(t.letter, t.way, host, nil, "validation-failure", host.outside)
	}
	if err := host.usableBy(t.letter.Demand(), t.tagged); err != nil {
		t.note(outcome{err: err, host: host.host, judged: true})
		return false
	}
	for _, ip := range host.addrs {
		o, next := t.at(ctx, host, ip)
		for next == again && asking.Err() == nil { // ends with the connections that are kept
			o, next = t.at(ctx, host, ip)
		}
		if o.err == nil || next == noNext {
			t.result = o
			return true
		}
		t.note(o)
		if next == nextHost || asking.Err() != nil {
			return false
		}
	}
	return false
}

// note keeps the outcome that says most: what may change beats what is for
// good, since another try may help; of two of a kind the later one.
func (t *trial) note(o outcome) {
	old := t.result
	o.reached, o.crowded, o.room = o.reached || old.reached, o.crowded || old.crowded, o.room || old.room
	if old.err != nil && old.err.Class == reply.Temporary && o.err.Class == reply.Permanent {
		t.result.reached, t.result.crowded, t.result.room = o.reached, o.crowded, o.room
		return
	}
	t.result = o
}

// next is where to go after a no.
type next uint8

const (
	nextAddr next = iota
	nextHost
	noNext
	again // the same address, over a connection of the letter's own
)

// at tries one address: connect, gather, judge, send.
func (t *trial) at(ctx context.Context, host *target, ip netip.Addr) (outcome, next) {
	o := outcome{host: host.host, addr: ip}
	asking, cancel := t.asking(ctx)
	s, permit, err := t.cleared(asking, host, ip)
	cancel()
	if s != nil {
		o.seen, o.reached = s.snapshot(permit, err), true
	}
	switch {
	case err != nil && s == nil:
		o.err, o.crowded = err, err.Code() == busyHost
		o.room = o.crowded && t.pool.leave(ip)
		return o, nextAddr
	case err != nil:
		o.err, o.judged = err, true
		return o, nextHost
	}
	o.permit = permit
	form := mail.FullForm
	if permit.Redacted() {
		form = mail.RedactedForm
	}
	t.sign(ctx, t.letter, form)
	m, readErr := measure(t.letter, form)
	if readErr != nil {
		s.quit()
		o.err = reply.LocalError.Because(readErr)
		return o, noNext
	}
	ctx, cancel = context.WithTimeout(ctx, maxSending(m.size))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer stop()
	c, err := s.transaction(t.letter, m)
	if err != nil {
		t.keep(s)
		o.err, o.judged = err, true
		return o, nextHost
	}
	return t.transfer(s, c, o)
}

// maxSending bounds how long a letter may take on its way to a host. It is the
// patience with each command that counts (RFC 5321 §4.5.3.2), not this, for
// whoever takes a few KiB in a second.
func maxSending(size int64) time.Duration {
	return maxTry + time.Duration(size/slowest)*time.Second
}

// transfer sends, and reads what the host's answer means: a refusal of the
// message for good is the end, one for now is asked of the next host.
func (t *trial) transfer(s *session, c command, o outcome) (outcome, next) {
	said, came, err := s.send(t.letter, c, o.permit)
	if err == nil {
		o.said, o.reports, o.taken = said, c.reportsLater, s
		return o, noNext
	}
	e, mine := refused(err), (*unreadable)(nil)
	if errors.As(err, &mine) {
		o.err, o.judged = reply.LocalError.Because(err), true
		return o, noNext
	}
	if e != nil && t.opt.Smarthost != nil && wantsLogin(e) && !t.letter.Demand().IsWaived() { // RFC 8689 §4.2.2 wants an answer now
		e = noLogin.Because(e)
		err = e
	}
	o.err, o.judged = hostError(err), e == nil
	switch {
	case e == nil, came == partly:
		s.conn.Close()
	case e.Code() == busyHost:
		s.quit()
	default:
		t.keep(s)
	}
	switch {
	case came == wholly && e == nil, e != nil && e.Class == reply.Permanent:
		return o, noNext // a host that may have the message, or does not want it
	case came == unasked && s.reused && (e == nil || e.Code() == busyHost):
		return o, again // it has enough of this connection
	}
	return o, nextHost
}

// wantsLogin says whether a refusal is about how we came, not about the letter:
// the admin has to mend that, and no letter bounces for it (RFC 4954 §6).
func wantsLogin(e *reply.Error) bool {
	switch e.Code() {
	case 530, 534, 535, 538:
		return true
	}
	return false
}

// keep leaves a connection to the next letter of its kind. One that went
// without TLS is nobody's: the next letter tries TLS first.
func (r *router) keep(s *session) {
	if s.key == "" {
		s.quit()
		return
	}
	r.pool.put(s.key, s)
}

// cleared opens a connection and has it judged. The session comes back also
// where it was refused, for its facts.
func (t *trial) cleared(ctx context.Context, host *target, ip netip.Addr) (*session, requiretls.Clearance, *reply.Error) {
	d := t.letter.Demand()
	count := forLetters
	if t.bounces() {
		count = forReports
	}
	key := host.sessionKey(t.way, ip, t.level, d, count, t.creds.now.Load().version)
	s := t.pool.take(ctx, key)
	if s == nil {
		var err error
		if s, err = t.open(ctx, t.way, host, ip, withTLS); err != nil {
			return nil, requiretls.Clearance{}, hostError(err)
		}
		t.tally.seen(t.letter, t.way, host, s)
		s.key = key
	}
	s.hop.MXProven = host.mxProven
	permit, refusal := t.permit(s, host)
	if refusal != nil {
		s.leave()
		return s, permit, refusal
	}
	if !s.dead {
		return s, permit, nil
	}
	return t.inClear(ctx, host, ip, s)
}

// inClear tries once more without TLS, where the facts and the policies let
// the letter go like that (RFC 7672 §2.2, RFC 8689 §4.2.2).
func (t *trial) inClear(ctx context.Context, host *target, ip netip.Addr, failed *session) (*session, requiretls.Clearance, *reply.Error) {
	s, err := t.open(ctx, t.way, host, ip, inClear)
	if err != nil {
		return nil, requiretls.Clearance{}, hostError(err)
	}
	s.tlsErr = failed.tlsErr
	permit, refusal := t.permit(s, host)
	if refusal != nil {
		s.leave()
		return s, permit, refusal
	}
	return s, permit, nil
}

// permit asks the judge (RFC 8689 §4.2, §5) and then the published policies.
func (t *trial) permit(s *session, host *target) (requiretls.Clearance, *reply.Error) {
	l := t.letter
	judge := func(h *requiretls.Hop) (requiretls.Clearance, error) { return l.Demand().ClearAt(t.tagged, h) }
	if t.bounces() {
		judge = l.Demand().ClearBounce
		s.asBounce(host, t.last)
	}
	permit, err := judge(&s.hop)
	if err != nil {
		return permit, reply.From(err)
	}
	if err := s.allowed(host, t.level, l.Demand()); err != nil {
		return permit, err
	}
	return permit, nil
}

// bounces says whether the letter is a report that must not be lost for want
// of REQUIRETLS (RFC 8689 §5). Answers are not: they are skipped instead.
func (t *trial) bounces() bool { return t.letter.From.IsNull() && len(t.letter.Redacted) > 0 }

// asBounce states the facts as they count for a report about a required
// message. A smarthost's offer counts for nothing: Postfix takes a tagged
// message from <> and drops it without a word where it cannot go on, so that
// one goes redacted. And what could not be found out in days of trying is not
// there.
func (s *session) asBounce(host *target, last bool) {
	if host.smarthost != nil {
		s.hop.Offered = requiretls.No
	}
	if last {
		for _, f := range []*requiretls.Fact{&s.hop.Encrypted, &s.hop.CertProven, &s.hop.MXProven, &s.hop.Offered} {
			if *f == requiretls.Unknown {
				*f = requiretls.No
			}
		}
	}
}

// leave ends a connection that no letter came over.
func (s *session) leave() {
	if !s.dead {
		s.quit()
	}
}

// Seen is what was learnt of a host on a connection, and what it was judged to
// be.
type Seen struct {
	Hop       requiretls.Hop
	TLS       string // "TLS1.3", or "none"
	Proof     string // "pin", "dane", "chain", or "": not proven
	Trouble   string // why there is no TLS, or why it proves nothing
	Judgement string // "cleared", "cleared, REQUIRETLS", "cleared, redacted", "refused"; below Enforce "lowered", "lowered, REQUIRETLS"
}

// snapshot copies the facts: the connection itself may serve the next letter
// already.
func (s *session) snapshot(permit requiretls.Clearance, refusal *reply.Error) *Seen {
	seen := &Seen{Hop: s.hop, TLS: s.protection(), Proof: s.proof}
	for _, err := range []error{s.tlsErr, s.proofErr} {
		if err != nil && seen.Trouble == "" {
			seen.Trouble = clip(err.Error(), 400)
		}
	}
	switch {
	case refusal != nil || !permit.For(&s.hop):
		seen.Judgement = "refused"
	case permit.Redacted():
		seen.Judgement = "cleared, redacted"
	case permit.Lowered() && permit.RequireTLS():
		seen.Judgement = "lowered, REQUIRETLS"
	case permit.Lowered():
		seen.Judgement = "lowered"
	case permit.RequireTLS():
		seen.Judgement = "cleared, REQUIRETLS"
	default:
		seen.Judgement = "cleared"
	}
	return seen
}
