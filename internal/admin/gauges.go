package admin

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"letterlock/relay"
	"letterlock/storage"
)

// Gauges collects what the data folder holds: users, aliases, scripts, what
// waits to leave, room on its disk, whether it can be written, and how long the
// certificate lasts.
type Gauges struct {
	opt GaugeOptions

	mu      sync.Mutex // guards counted and when
	counted census
	when    time.Time
}

// GaugeOptions of [NewGauges].
type GaugeOptions struct {
	Store   *storage.Store
	Data    string           // the data folder
	Expires func() time.Time // when the certificate being served ends; may be nil
	Relay   *relay.Runner    // nil: the relay is off
	Now     func() time.Time // nil: time.Now
}

// census is what counting the people and what waits to leave gives.
type census struct {
	users, aliases, messages, bytes float64
	scripts, active                 float64
	waiting                         map[string]float64 // letters of the outbox by state
	oldest                          time.Time          // when the oldest letter that is not held was made
}

// NewGauges makes the collector; register it beside the counters of the mail log.
func NewGauges(opt GaugeOptions) *Gauges {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Gauges{opt: opt}
}

var (
	usersGauge    = prometheus.NewDesc("letterlock_users", "Accounts in the store.", nil, nil)
	aliasesGauge  = prometheus.NewDesc("letterlock_aliases", "Aliases in the store.", nil, nil)
	messagesGauge = prometheus.NewDesc("letterlock_messages", "Messages in all mailboxes.", nil, nil)
	bytesGauge    = prometheus.NewDesc("letterlock_messages_bytes", "Octets of all messages.", nil, nil)
	scriptsGauge  = prometheus.NewDesc("letterlock_scripts", "Sieve scripts of all accounts.", nil, nil)
	activeGauge   = prometheus.NewDesc("letterlock_scripts_active", "Accounts with an active script.", nil, nil)
	outboxGauge   = prometheus.NewDesc("letterlock_outbox_letters", "Letters that wait to leave.", []string{"state"}, nil)
	oldestGauge   = prometheus.NewDesc("letterlock_outbox_oldest_age_seconds", "Age of the oldest letter that waits to leave and is not held.", nil, nil)
	flyingGauge   = prometheus.NewDesc("letterlock_relay_in_flight", "Letters that are being sent.", nil, nil)
	awayGauge     = prometheus.NewDesc("letterlock_relay_destinations_waiting", "Destinations left alone for a while for not answering.", nil, nil)
	freeGauge     = prometheus.NewDesc("letterlock_data_free_bytes", "Octets free on the disk of the data folder.", nil, nil)
	troubleGauge  = prometheus.NewDesc("letterlock_store_trouble", "1 while the store, in whole or in part, takes no changes; /healthz says why.", nil, nil)
	stoppedGauge  = prometheus.NewDesc("letterlock_store_stopped_accounts", "Accounts that take no changes since the index is damaged there; letterlock fsck names them.", nil, nil)
	certGauge     = prometheus.NewDesc("letterlock_tls_certificate_expiry_seconds", "When the certificate ends, in seconds since 1970.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (g *Gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		usersGauge, aliasesGauge, messagesGauge, bytesGauge, scriptsGauge, activeGauge, outboxGauge, oldestGauge,
		flyingGauge, awayGauge, freeGauge, troubleGauge, stoppedGauge, certGauge,
	} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (g *Gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if c, err := g.census(); err == nil {
		gauge(usersGauge, c.users)
		gauge(aliasesGauge, c.aliases)
		gauge(messagesGauge, c.messages)
		gauge(bytesGauge, c.bytes)
		gauge(scriptsGauge, c.scripts)
		gauge(activeGauge, c.active)
		for _, state := range []string{Queued, Held, Parked} {
			gauge(outboxGauge, c.waiting[state], state)
		}
		age := 0.0
		if !c.oldest.IsZero() {
			age = max(0, g.opt.Now().Sub(c.oldest).Seconds())
		}
		gauge(oldestGauge, age)
	}
	if s, ok := g.relayStats(); ok {
		gauge(flyingGauge, float64(s.InFlight))
		gauge(awayGauge, float64(len(s.Waiting)))
	}
	trouble := 0.0
	if g.opt.Store.Trouble() != nil {
		trouble = 1
	}
	gauge(troubleGauge, trouble)
	gauge(stoppedGauge, float64(len(g.opt.Store.Stopped())))
	if free, err := FreeBytes(g.opt.Data); err == nil {
		gauge(freeGauge, float64(free))
	}
	if g.opt.Expires != nil {
		gauge(certGauge, float64(g.opt.Expires().Unix()))
	}
}

// relayStats asks the relay, which answers at once while it runs.
func (g *Gauges) relayStats() (relay.Stats, bool) {
	if g.opt.Relay == nil {
		return relay.Stats{}, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), relayAnswers)
	defer cancel()
	return g.opt.Relay.Stats(ctx)
}

// countEvery bounds how often the people are walked, however often somebody
// looks; countFor is how long one walk may take.
const (
	countEvery = time.Minute
	countFor   = 10 * time.Second
)

func (g *Gauges) census() (census, error) {
	now := g.opt.Now()
	if c, ok := g.recent(now); ok {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), countFor)
	defer cancel()
	c, err := count(ctx, g.opt.Store)
	if err != nil {
		return c, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counted, g.when = c, now
	return c, nil
}

func (g *Gauges) recent(now time.Time) (census, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counted, !g.when.IsZero() && now.Sub(g.when) < countEvery
}

func count(ctx context.Context, s *storage.Store) (c census, err error) {
	for p, err := range s.People(ctx) {
		var use storage.Usage
		var scripts []storage.Script
		if err == nil {
			use, err = s.Account(p.ID).Usage(ctx)
		}
		if err == nil {
			scripts, err = s.Account(p.ID).Scripts(ctx)
		}
		if ctx.Err() != nil {
			return c, ctx.Err()
		}
		if err != nil { // one that is damaged, or has just gone, does not hide the others
			continue
		}
		c.scripts += float64(len(scripts))
		if slices.ContainsFunc(scripts, func(s storage.Script) bool { return s.Active }) {
			c.active++
		}
		c.users++
		c.messages += float64(use.Messages)
		c.bytes += float64(use.Bytes)
	}
	for _, err := range s.Aliases(ctx) {
		if err != nil {
			return c, err
		}
		c.aliases++
	}
	c.waiting = map[string]float64{}
	for q, err := range s.Outbox(ctx) {
		if err != nil {
			return c, err
		}
		state := stateOf(q)
		c.waiting[state]++
		if state == Queued && (c.oldest.IsZero() || q.Created.Before(c.oldest)) {
			c.oldest = q.Created
		}
	}
	return c, nil
}

// FreeBytes is how many octets an ordinary user may still write to the disk of dir.
func FreeBytes(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}
