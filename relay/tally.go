package relay

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

// tally counts how TLS to each domain went, for the report of its day (RFC
// 8460 §4.2). Between two flushes it is in memory.
type tally struct {
	policies Policies
	now      func() time.Time
	log      *slog.Logger
	local    string // our address where it is known; empty otherwise

	mu   sync.Mutex // guards days
	days map[string]*dayTally
}

// dayTally is what happened to one domain on one day.
type dayTally struct {
	Policies []*policyTally `json:"policies"`
}

// policyTally is what happened under one policy. Its JSON is that of RFC 8460
// §4.4.
type policyTally struct {
	Policy   policyText     `json:"policy"`
	Summary  summary        `json:"summary"`
	Failures []*failureText `json:"failure-details,omitempty"`
}

type policyText struct {
	Type   string   `json:"policy-type"`
	Text   []string `json:"policy-string,omitempty"`
	Domain string   `json:"policy-domain"`
	MX     []string `json:"mx-host,omitempty"`
}

type summary struct {
	Success int64 `json:"total-successful-session-count"`
	Failure int64 `json:"total-failure-session-count"`
}

type failureText struct {
	Result string `json:"result-type"`
	From   string `json:"sending-mta-ip,omitempty"`
	Host   string `json:"receiving-mx-hostname,omitempty"`
	Helo   string `json:"receiving-mx-helo,omitempty"`
	To     string `json:"receiving-ip,omitempty"`
	Count  int64  `json:"failed-session-count"`
	Reason string `json:"failure-reason-code,omitempty"`
}

// Bounds of what is counted. Beyond them only sums grow.
const (
	tallyKey    = "tlsrpt/"
	maxDomains  = 5000 // between two flushes
	maxKept     = 8000 // domains and days: the rest of what can be kept is for policies
	maxPolicies = 20   // of a domain
	maxFailures = 50   // of a policy
	dayFormat   = "2006-01-02"
)

// counted says whether a letter's sessions are counted. Reports about TLS say
// nothing of their own delivery, or two domains would write to each other for
// ever (RFC 8460 §3, §5.3).
func counted(l *Letter, t *target) bool {
	return l != nil && l.Kind != mail.Reported && t.smarthost == nil && t.policy != ""
}

// seen counts a session under the policy that applies to it.
func (t *tally) seen(l *Letter, w *route, host *target, s *session) {
	if !counted(l, host) {
		return
	}
	kind, err := sessionFailure(host, s)
	if kind == "" {
		t.add(w.domain, policyOf(w, host), nil)
		return
	}
	if kind == "transient" { // RFC 8460 §4.3.4: not reported
		return
	}
	t.failed(l, w, host, s, kind, err)
}

// sessionFailure is the word of RFC 8460 §4.3 for what a session lacks under
// the host's policy; "" where it lacks nothing.
func sessionFailure(host *target, s *session) (string, error) {
	switch {
	case s.tlsErr == errNoSTARTTLS:
		return "starttls-not-supported", s.tlsErr
	case s.hop.Encrypted == requiretls.Unknown:
		return "transient", s.tlsErr
	case s.hop.Encrypted != requiretls.Yes:
		return "validation-failure", s.tlsErr
	case s.proofErr == nil, host.dane == nil && !host.sts.published(), host.dane != nil && len(host.dane.Usable) == 0:
		return "", nil
	}
	return certFailure(s.proofErr), s.proofErr
}

// failed counts a failure; s is nil where it came before any session.
func (t *tally) failed(l *Letter, w *route, host *target, s *session, kind string, err error) {
	if !counted(l, host) {
		return
	}
	f := &failureText{Result: kind, From: t.local, Host: host.host, Count: 1}
	if err != nil {
		f.Reason = clip(err.Error(), 200)
	}
	if s != nil {
		f.To, f.Helo = s.addr.String(), clip(s.name, 100)
		if local, e := netip.ParseAddrPort(s.conn.LocalAddr().String()); e == nil {
			f.From = local.Addr().String()
		}
	}
	t.add(w.domain, policyOf(w, host), f)
}

// fetched counts a policy that could not be had.
func (t *tally) fetched(l *Letter, domain string, s *STS) {
	if s.Failure != "" && l.Kind != mail.Reported {
		f := &failureText{Result: s.Failure, From: t.local, Count: 1, Reason: clip(s.Err.Error(), 200)}
		t.add(domain, policyText{Type: "sts", Domain: domain}, f)
	}
}

// policyOf is the policy that a host is reported under (RFC 8460 §4.5).
func policyOf(w *route, host *target) policyText {
	p := policyText{Type: "no-policy-found", Domain: w.domain}
	switch {
	case host.dane != nil:
		p.Type, p.MX = "tlsa", []string{host.host}
		for _, r := range host.dane.All {
			p.Text = append(p.Text, r.String())
		}
	case host.sts.published():
		p.Type, p.Text, p.MX = "sts", host.sts.Policy.Lines, host.sts.Policy.MX
	}
	return p
}

func (t *tally) add(domain string, p policyText, f *failureText) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := tallyKey + t.now().UTC().Format(dayFormat) + "/" + domain
	day := t.days[key]
	if day == nil {
		if len(t.days) >= maxDomains {
			return
		}
		if t.days == nil {
			t.days = map[string]*dayTally{}
		}
		day = &dayTally{}
		t.days[key] = day
	}
	one := &policyTally{Policy: p}
	if f == nil {
		one.Summary.Success = 1
	} else {
		one.Summary.Failure, one.Failures = 1, []*failureText{f}
	}
	day.merge(&dayTally{Policies: []*policyTally{one}})
}

// merge adds what other counted.
func (d *dayTally) merge(other *dayTally) {
	for _, p := range other.Policies {
		i := slices.IndexFunc(d.Policies, func(q *policyTally) bool { return q.Policy.equal(p.Policy) })
		if i < 0 {
			if len(d.Policies) < maxPolicies {
				d.Policies = append(d.Policies, p)
			}
			continue
		}
		d.Policies[i].merge(p)
	}
}

func (p policyText) equal(q policyText) bool {
	return p.Type == q.Type && p.Domain == q.Domain && slices.Equal(p.Text, q.Text) && slices.Equal(p.MX, q.MX)
}

func (p *policyTally) merge(q *policyTally) {
	p.Summary.Success += q.Summary.Success
	p.Summary.Failure += q.Summary.Failure
	for _, f := range q.Failures {
		i := slices.IndexFunc(p.Failures, func(g *failureText) bool {
			a, b := *f, *g
			a.Count, b.Count = 0, 0
			return a == b
		})
		if i >= 0 {
			p.Failures[i].Count += f.Count
		} else if len(p.Failures) < maxFailures {
			p.Failures = append(p.Failures, f)
		}
	}
}

// flush adds what was counted to what is kept. Domains beyond what may be kept
// hear nothing of their day: whoever makes us write to thousands of them does
// not keep us from remembering policies.
func (t *tally) flush(ctx context.Context) {
	t.mu.Lock()
	days := t.days
	t.days = nil
	t.mu.Unlock()
	if len(days) == 0 {
		return
	}
	keys, err := t.policies.Keys(ctx, tallyKey, "", maxKept)
	room, left := maxKept-len(keys), 0
	for key, day := range days {
		_, kept := slices.BinarySearch(keys, key)
		if err != nil || !kept && room == 0 {
			left++
			continue
		}
		if !kept {
			room--
		}
		if err := t.store(ctx, key, day); err != nil {
			t.log.LogAttrs(ctx, slog.LevelWarn, "counts for a TLS report are lost", slog.String("key", key), slog.String("err", err.Error()))
		}
	}
	if left > 0 {
		t.log.LogAttrs(ctx, slog.LevelWarn, "counts for TLS reports are lost", slog.Int("domains", left), slog.Int("kept", len(keys)), slog.Any("err", err))
	}
}

func (t *tally) store(ctx context.Context, key string, day *dayTally) error {
	kept, err := t.load(ctx, key)
	if err != nil {
		return err
	}
	kept.merge(day)
	raw, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return t.policies.Put(ctx, key, raw)
}

func (t *tally) load(ctx context.Context, key string) (*dayTally, error) {
	day := &dayTally{}
	raw, err := t.policies.Get(ctx, key)
	if err != nil || raw == nil {
		return day, err
	}
	return day, json.Unmarshal(raw, day)
}

// past lists the keys of days that are over.
func (t *tally) past(ctx context.Context) ([]string, error) {
	today := tallyKey + t.now().UTC().Format(dayFormat)
	var over []string
	for after := ""; ; {
		keys, err := t.policies.Keys(ctx, tallyKey, after, 100)
		if err != nil || len(keys) == 0 {
			return over, err
		}
		for _, k := range keys {
			if after = k; strings.Compare(k, today) >= 0 || len(over) == maxDomains {
				return over, nil
			}
			over = append(over, k)
		}
	}
}
