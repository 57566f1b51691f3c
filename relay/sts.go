package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// stsBook knows the MTA-STS policies of domains (RFC 8461 §3, §5.1).
type stsBook struct {
	resolver Resolver
	policies Policies
	dial     DialFunc
	roots    func() *x509.CertPool
	now      func() time.Time
	log      *slog.Logger

	mu   sync.Mutex // guards busy
	busy map[string]chan struct{}
}

// STS is what is known of a domain's policy.
type STS struct {
	Policy  *Policy   // nil: none that is valid
	ID      string    // the version of the policy, or of the record without one
	Fetched time.Time // when Policy was fetched
	Checked bool      // DNS was asked for a newer one just now
	Err     error     // why it could not be found out whether there is one, or a newer one
	Failure string    // the word of RFC 8460 §4.3.2.2 for Err
}

// enforced says whether the policy binds us.
func (s *STS) enforced() bool { return s.Policy != nil && s.Policy.Mode == ModeEnforce }

// published says whether there is a policy to report about.
func (s *STS) published() bool { return s.Policy != nil && s.Policy.Mode != ModeNone }

// Expires is when Policy ends to hold; zero without one.
func (s *STS) Expires() time.Time {
	if s.Policy == nil {
		return time.Time{}
	}
	return s.Fetched.Add(s.Policy.MaxAge)
}

// String is for people.
func (s *STS) String() string {
	switch {
	case s.Policy != nil:
		return fmt.Sprintf("%s, id %s, fetched %s, for %s", s.Policy.Mode, s.ID, s.Fetched.UTC().Format(time.RFC3339), s.Policy.MaxAge)
	case s.Err != nil:
		return "not known: " + s.Err.Error()
	}
	return "none"
}

// Freshness is how old an answer may be.
type Freshness uint8

const (
	Cached Freshness = iota // DNS is asked again after an hour
	Fresh                   // DNS is asked now (RFC 8461 §5: before a failure for good)
	Anew                    // the policy is fetched again, whatever DNS says of its version: on the admin's word
)

const (
	stsKey        = "sts/"
	checkEvery    = time.Hour       // how long a valid policy is used without asking DNS, at most
	refreshEvery  = 24 * time.Hour  // RFC 8461 §3.3: proactively, at most
	fetchAgain    = 5 * time.Minute // §3.3: after a failure, per version
	fetchTimeout  = time.Minute     // §3.3
	maxPolicySize = 64 << 10        // §3.3
)

// stsEntry is what is kept of a domain.
type stsEntry struct {
	ID       string    `json:"id"`
	Text     string    `json:"text"`
	Fetched  time.Time `json:"fetched"`
	Checked  time.Time `json:"checked"`
	FailedID string    `json:"failed_id,omitempty"` // the version that could not be fetched
	Failed   time.Time `json:"failed,omitzero"`
	Failure  string    `json:"failure,omitempty"`
	FailText string    `json:"fail_text,omitempty"`
}

// lookup finds the policy of a domain. One that is cached and valid is applied
// whatever happens; where there is none, an Err says that there might be.
func (b *stsBook) lookup(ctx context.Context, domain string, want Freshness) *STS {
	release, err := b.alone(ctx, domain)
	if err != nil {
		return &STS{Err: err}
	}
	defer release()
	e := b.load(ctx, domain)
	now := b.now()
	s := e.valid(now)
	if s.Policy != nil && want == Cached && within(now, e.Checked, s.Policy.before(checkEvery)) {
		return s
	}
	b.check(ctx, domain, e, s, want)
	return s
}

// kept is what is stored of a domain, without asking anybody.
func (b *stsBook) kept(ctx context.Context, domain string) STS {
	e := b.load(ctx, domain)
	s := e.valid(b.now())
	if e.FailText != "" {
		s.Err, s.Failure = errors.New(e.FailText), e.Failure
	}
	return *s
}

// alone makes lookups of one domain wait for each other, so that a thousand
// letters to it fetch one policy.
func (b *stsBook) alone(ctx context.Context, domain string) (release func(), err error) {
	for {
		b.mu.Lock()
		wait := b.busy[domain]
		if wait == nil {
			if b.busy == nil {
				b.busy = map[string]chan struct{}{}
			}
			done := make(chan struct{})
			b.busy[domain] = done
			b.mu.Unlock()
			return func() {
				b.mu.Lock()
				delete(b.busy, domain)
				b.mu.Unlock()
				close(done)
			}, nil
		}
		b.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// check asks DNS for the version and fetches what is new or a day old.
func (b *stsBook) check(ctx context.Context, domain string, e *stsEntry, s *STS, want Freshness) {
	texts, err := b.resolver.TXT(ctx, "_mta-sts."+domain)
	if err != nil {
		s.Err = err
		return
	}
	s.Checked = true
	id, ok := parseSTSRecord(texts)
	now := b.now()
	switch {
	case !ok: // RFC 8461 §3.3: a cached policy that is valid stays
		if s.Policy != nil && s.Fetched.After(now) { // and its max_age is counted by a clock that is right
			e.Fetched = now
			b.save(ctx, domain, e)
		}
		return
	case want == Anew:
	case s.Policy != nil && id == s.ID && within(now, s.Fetched, s.Policy.before(refreshEvery)):
		e.Checked = now
		b.save(ctx, domain, e)
		return
	case id == e.FailedID && within(now, e.Failed, fetchAgain):
		s.Err, s.Failure = errors.New(e.FailText), e.Failure
		return
	}
	policy, text, err := b.fetch(ctx, domain)
	if err != nil {
		b.log.LogAttrs(ctx, slog.LevelWarn, "MTA-STS policy could not be fetched", slog.String("domain", domain), slog.Bool("older_one_holds", s.Policy != nil), slog.String("err", err.Error()))
		e.FailedID, e.Failed, e.Failure, e.FailText = id, now, fetchFailure(err), clip(err.Error(), 300)
		b.save(ctx, domain, e)
		s.Err, s.Failure = err, e.Failure
		return
	}
	*e = stsEntry{ID: id, Text: text, Fetched: now, Checked: now}
	b.save(ctx, domain, e)
	*s = STS{Policy: policy, ID: id, Fetched: now, Checked: true}
}

// before is d, or half of how long the policy holds: one that holds for a day, as the
// biggest domains' do, is young again before it ends. Whoever keeps us from the web
// server at that moment takes no protection away (RFC 8461 §3.3, §10.2).
func (p *Policy) before(d time.Duration) time.Duration { return min(d, p.MaxAge/2) }

// within says whether now is less than d after t. What was written under a clock
// that was ahead is old, not young until the clock gets there.
func within(now, t time.Time, d time.Duration) bool {
	age := now.Sub(t)
	return 0 <= age && age < d
}

// valid is what an entry says while it holds.
func (e *stsEntry) valid(now time.Time) *STS {
	p, err := ParsePolicy(e.Text)
	if e.Text == "" || err != nil || now.Sub(e.Fetched) >= p.MaxAge {
		return &STS{ID: e.ID}
	}
	return &STS{Policy: p, ID: e.ID, Fetched: e.Fetched}
}

func (b *stsBook) load(ctx context.Context, domain string) *stsEntry {
	e := &stsEntry{}
	raw, err := b.policies.Get(ctx, stsKey+domain)
	if err == nil && raw != nil {
		err = json.Unmarshal(raw, e)
	}
	if err != nil {
		b.log.LogAttrs(ctx, slog.LevelWarn, "cached MTA-STS policy cannot be read", slog.String("domain", domain), slog.String("err", err.Error()))
		return &stsEntry{}
	}
	return e
}

func (b *stsBook) save(ctx context.Context, domain string, e *stsEntry) {
	raw, err := json.Marshal(e)
	if err == nil {
		err = b.policies.Put(ctx, stsKey+domain, raw)
	}
	if err != nil {
		b.log.LogAttrs(ctx, slog.LevelWarn, "MTA-STS policy cannot be kept", slog.String("domain", domain), slog.String("err", err.Error()))
	}
}

// refresh renews the policies that are a day old, or half of what they hold, and forgets those that hold
// no more, so that an outage of DNS or of the web server meets a young policy
// (RFC 8461 §3.3, §10.2).
func (b *stsBook) refresh(ctx context.Context) {
	const page = 100
	for after := ""; ; {
		keys, err := b.policies.Keys(ctx, stsKey, after, page)
		if err != nil || len(keys) == 0 || ctx.Err() != nil {
			return
		}
		for _, key := range keys {
			after = key
			domain := strings.TrimPrefix(key, stsKey)
			e := b.load(ctx, domain)
			now := b.now()
			switch s := e.valid(now); {
			case s.Policy == nil && !within(now, e.Failed, refreshEvery):
				if err := b.policies.Put(ctx, key, nil); err != nil {
					b.log.LogAttrs(ctx, slog.LevelWarn, "old MTA-STS policy cannot be removed", slog.String("domain", domain), slog.String("err", err.Error()))
				}
			case s.Policy != nil && s.Policy.Mode != ModeNone && !within(now, e.Fetched, s.Policy.before(refreshEvery)):
				b.lookup(ctx, domain, Fresh)
			}
		}
	}
}

// The kinds of failing to fetch (RFC 8460 §4.3.2.2).
const (
	failFetch  = "sts-policy-fetch-error"
	failPolicy = "sts-policy-invalid"
	failWebPKI = "sts-webpki-invalid"
)

var errPolicy = errors.New("invalid MTA-STS policy")

func fetchFailure(err error) string {
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errPolicy):
		return failPolicy
	case errors.As(err, &cert):
		return failWebPKI
	}
	return failFetch
}

// fetch gets a policy by the rules of RFC 8461 §3.3: HTTPS with a certificate
// for the policy host, 200 and nothing else, no redirects, no caches, plain
// text, at most 64 KiB, within a minute.
func (b *stsBook) fetch(ctx context.Context, domain string) (*Policy, string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	fail := func(err error) (*Policy, string, error) {
		return nil, "", fmt.Errorf("fetch MTA-STS policy of %s: %w", domain, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mta-sts."+domain+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return fail(err)
	}
	client := b.httpClient()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("HTTP status %d", resp.StatusCode))
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return fail(fmt.Errorf("media type %.60q is not text/plain", resp.Header.Get("Content-Type")))
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxPolicySize+1))
	switch {
	case err != nil:
		return fail(err)
	case len(text) > maxPolicySize:
		return fail(errors.New("the policy is larger than 64 KiB"))
	}
	p, err := ParsePolicy(string(text))
	if err != nil {
		return fail(fmt.Errorf("%w: %w", errPolicy, err))
	}
	return p, string(text), nil
}

// httpClient follows nothing, keeps nothing and finds hosts as the rest of the
// relay does.
func (b *stsBook) httpClient() *http.Client {
	return &http.Client{
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				return dialHost(ctx, b.resolver, b.dial, addr)
			},
			TLSClientConfig:        &tls.Config{RootCAs: b.roots(), MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxPolicySize,
		},
	}
}

// dialHost connects to "HOST:PORT", trying the host's addresses in turn.
func dialHost(ctx context.Context, r Resolver, dial DialFunc, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	a, err := r.Addrs(ctx, host)
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("%s has no address", host)
	for _, ip := range a.Addrs[:min(len(a.Addrs), maxAddrs)] {
		var c net.Conn
		if c, err = dial(ctx, "tcp", net.JoinHostPort(ip.String(), port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}
