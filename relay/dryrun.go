package relay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
)

// Way is every fact about the way to a domain, gathered without sending
// anything: for the admin.
type Way struct {
	Domain    string
	Demand    requiretls.Demand
	Smarthost bool
	MXSecure  bool         // DNSSEC proves the MX records, or that there are none
	STS       string       // the policy in a line
	Hosts     []WayHost    // in the order in which they would be tried
	Err       *reply.Error // nil: a letter would go, over the first host that has no Err
}

// WayHost is what is known of one host.
type WayHost struct {
	Name     string
	Addrs    []string
	MXProven requiretls.Fact
	Need     string   // "may", "encrypt" or "verify": what usual mail needs
	TLSA     []string // as published; empty without DANE
	Seen     *Seen    // from a connection; nil where there was none
	Err      *reply.Error
}

// maxDryRun is how long an admin waits for [Runner.Route], all hosts together.
const maxDryRun = 2 * time.Minute

// Route gathers what a letter of that demand to that domain would meet: DNS,
// policies, and a connection to each host up to the EHLO after TLS. Nothing is
// sent. The error in the result is what the letter's sender would hear.
func (r *Runner) Route(ctx context.Context, domain string, d requiretls.Demand) *Way {
	ctx, cancel := context.WithTimeout(ctx, maxDryRun)
	defer cancel()
	env := &mail.Envelope{ID: "route", From: r.opt.Postmaster, Demand: d, Received: r.opt.Now()}
	l := &Letter{Outbound: env.Redirect(mail.Redirect{To: mail.Address{Local: "postmaster", Domain: domain}})}
	l.Kind = mail.Reported // not counted
	way := &Way{Domain: domain, Demand: d, Smarthost: r.opt.Smarthost != nil}
	t := r.trial(l)
	t.want = Fresh
	found, err := t.find(ctx, domain, Fresh)
	if err != nil {
		way.Err = err
		return way
	}
	t.way = found
	way.MXSecure, way.STS = found.mx.Secure, found.sts.String()
	for _, host := range found.targets {
		w := t.look(ctx, host)
		way.Hosts = append(way.Hosts, w)
		if w.Err == nil {
			t.result.err = nil
			break
		}
		t.note(outcome{err: w.Err, judged: true, seen: w.Seen})
	}
	way.Err = t.result.err
	if t.tagged == Enforce {
		r.known.learn(l, r.destination(domain), t.result)
	}
	return way
}

// Policy is what is known of a domain's MTA-STS policy: what is kept of it
// ([Cached]), or what DNS and the domain's web server say now ([Fresh], [Anew]),
// which is then kept. It needs no runner that runs. The error says that there
// is no such domain name; what could not be fetched stands in the STS.
func (r *Runner) Policy(ctx context.Context, domain string, want Freshness) (STS, error) {
	ascii, err := aLabels(domain)
	if err != nil {
		return STS{}, badDomain.Because(err)
	}
	if want == Cached {
		return r.book.kept(ctx, ascii), nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxDryRun)
	defer cancel()
	return *r.book.lookup(ctx, ascii, want), nil
}

// look is one host of a dry run.
func (t *trial) look(ctx context.Context, host *target) WayHost {
	t.resolve(ctx, t.way, host)
	w := WayHost{Name: host.host, MXProven: host.mxProven, Need: host.needs(t.level).String()}
	for _, a := range host.addrs {
		w.Addrs = append(w.Addrs, a.String())
	}
	if host.dane != nil {
		for _, record := range host.dane.All {
			w.TLSA = append(w.TLSA, record.String())
		}
	}
	if w.Err = host.usableBy(t.letter.Demand(), t.tagged); w.Err != nil {
		return w
	}
	for _, ip := range host.addrs {
		s, permit, err := t.cleared(ctx, host, ip)
		w.Err = err
		if s == nil {
			continue
		}
		w.Seen = s.snapshot(permit, err)
		if err == nil {
			s.quit()
		}
		return w
	}
	return w
}

// String is the way for people, one fact a line.
func (w *Way) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "to %s, demand %s\n", w.Domain, w.Demand)
	if w.Smarthost {
		b.WriteString("  through the smarthost\n")
	} else {
		fmt.Fprintf(&b, "  MX records proven by DNSSEC: %s\n", yesNo(w.MXSecure))
	}
	if w.STS != "" {
		fmt.Fprintf(&b, "  MTA-STS policy: %s\n", w.STS)
	}
	for _, h := range w.Hosts {
		fmt.Fprintf(&b, "  host %s %v\n    MX proven: %s, usual mail needs: %s, TLSA: %v\n", h.Name, h.Addrs, h.MXProven, h.Need, h.TLSA)
		if s := h.Seen; s != nil {
			fmt.Fprintf(&b, "    TLS: %s, certificate proven: %s %s, REQUIRETLS offered inside TLS: %s\n    judgement: %s\n", s.TLS, s.Hop.CertProven, s.Proof, s.Hop.Offered, s.Judgement)
			if s.Trouble != "" {
				fmt.Fprintf(&b, "    because: %s\n", s.Trouble)
			}
		}
		if h.Err != nil {
			fmt.Fprintf(&b, "    %s\n", h.Err)
		}
	}
	if w.Err != nil {
		fmt.Fprintf(&b, "it would not go: %s\n", w.Err.Line())
	} else {
		b.WriteString("it would go\n")
	}
	return b.String()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// knowledge is what recent letters that demanded TLS have met.
type knowledge struct {
	now func() time.Time

	mu    sync.Mutex // guards known
	known map[string]known
}

type known struct {
	err   *reply.Error // nil: one went through
	until time.Time
}

const (
	knownFor = 10 * time.Minute
	maxKnown = 4096
)

func newKnowledge(now func() time.Time) *knowledge {
	return &knowledge{now: now, known: map[string]known{}}
}

// learn keeps what a letter met. Only facts about a host count: a timeout
// teaches nothing, nor does a letter that was too big for it, nor a report that
// went redacted.
func (k *knowledge) learn(l *Letter, destination string, o outcome) {
	switch {
	case !l.Demand().IsRequired() || l.Kind == mail.Bounced || o.permit.Redacted():
	case o.err == nil, o.judged && o.seen != nil && isFinal(o.err) && unprotected(o.err):
		k.keep(destination, o.err)
	}
}

// unprotected says whether a refusal is the judge's: about the way, whatever
// letter is to go it.
func unprotected(e *reply.Error) bool {
	return errors.Is(e, reply.NoRequireTLS) || errors.Is(e, reply.NoVerifiedTLS)
}

func (k *knowledge) keep(destination string, err *reply.Error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if len(k.known) >= maxKnown {
		for at, old := range k.known {
			if old.until.Before(now) || len(k.known) >= maxKnown {
				delete(k.known, at)
			}
		}
	}
	k.known[destination] = known{err, now.Add(knownFor)}
}

// forget forgets all: whatever proved too little may prove enough now.
func (k *knowledge) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.known)
}

// Preflight says what is known already of the next hop of o, without asking
// anybody and without waiting: nil where it would go, or where nothing is
// known; else the refusal that its upstream may hear, [reply.NoRequireTLS] or
// [reply.NoVerifiedTLS] (RFC 8689 §4.2.1). Reports go either way: redacted
// where they must be (§5).
func (r *Runner) Preflight(_ context.Context, o *mail.Outbound) error {
	if !o.Demand().IsRequired() || r.opt.taggedLevel(o.To.Domain) != Enforce || o.Kind == mail.Bounced || o.From.IsNull() && o.Kind == mail.Redirected {
		return nil
	}
	return r.known.of(r.destination(o.To.Domain))
}

// of is what is known of a destination.
func (k *knowledge) of(destination string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	known, ok := k.known[destination]
	if !ok || known.err == nil || !known.until.After(k.now()) {
		return nil
	}
	return known.err
}

// levelFor is the level of a recipient's domain.
func (s *Smarthost) levelFor(domain string) Level {
	if level, ok := levelOf(s.Levels, domain); ok {
		return level
	}
	return s.Level
}

// levelOf finds the level of a domain in whichever of its spellings it was set.
func levelOf(levels map[string]Level, domain string) (level Level, found bool) {
	own := mail.Address{Domain: domain}
	for _, spelling := range []mail.Address{own, own.ALabels(), own.ULabels()} {
		if level, found = levels[spelling.Domain]; found {
			return level, true
		}
	}
	return level, false
}

// taggedLevel is the level of a recipient's domain for required mail.
func (o *Options) taggedLevel(domain string) Level {
	if level, ok := levelOf(o.RequireTLS, domain); ok {
		return level
	}
	return o.RequireTLS[""]
}
