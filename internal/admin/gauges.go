package admin

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"letterlock/storage"
)

// Gauges collects what the data folder holds: users, aliases, room on its
// disk, whether it can be written, and how long the certificate lasts.
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
	Now     func() time.Time // nil: time.Now
}

// census is what counting the people gives.
type census struct{ users, aliases, messages, bytes float64 }

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
	freeGauge     = prometheus.NewDesc("letterlock_data_free_bytes", "Octets free on the disk of the data folder.", nil, nil)
	troubleGauge  = prometheus.NewDesc("letterlock_store_trouble", "1 while the store, in whole or in part, takes no changes; /healthz says why.", nil, nil)
	certGauge     = prometheus.NewDesc("letterlock_tls_certificate_expiry_seconds", "When the certificate ends, in seconds since 1970.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (g *Gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{usersGauge, aliasesGauge, messagesGauge, bytesGauge, freeGauge, troubleGauge, certGauge} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (g *Gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	if c, err := g.census(); err == nil {
		gauge(usersGauge, c.users)
		gauge(aliasesGauge, c.aliases)
		gauge(messagesGauge, c.messages)
		gauge(bytesGauge, c.bytes)
	}
	trouble := 0.0
	if g.opt.Store.Trouble() != nil {
		trouble = 1
	}
	gauge(troubleGauge, trouble)
	if free, err := FreeBytes(g.opt.Data); err == nil {
		gauge(freeGauge, float64(free))
	}
	if g.opt.Expires != nil {
		gauge(certGauge, float64(g.opt.Expires().Unix()))
	}
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
		if err != nil {
			return c, err
		}
		use, err := s.Account(p.ID).Usage(ctx)
		if err != nil {
			return c, err
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
