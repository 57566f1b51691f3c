package maillog

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"letterlock/internal/requiretls"
)

// counters behind the lines. Labels have few values, none of them a stranger's.
type counters struct {
	registry *prometheus.Registry
	accepted *prometheus.CounterVec // demand
	byDemand [4]prometheus.Counter  // of accepted, by the octet of the demand
	octets   prometheus.Histogram
	filed    prometheus.Counter
	dropped  prometheus.Counter
	noted    *prometheus.CounterVec // what
	skipped  *prometheus.CounterVec // what
	refused  *prometheus.CounterVec // code
	mended   prometheus.Counter
	leaves   *prometheus.CounterVec // kind
	leaving  *prometheus.CounterVec // fate, kind, demand
	logins   *prometheus.CounterVec // protocol, protection, result
	withheld *prometheus.CounterVec // protocol
}

func newCounters() counters {
	c := counters{
		registry: prometheus.NewRegistry(),
		accepted: counterVec("accepted_total", "Recipients whose message was accepted, by the sender's demand (RFC 8689).", "demand"),
		octets: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "message_octets", Help: "Sizes of accepted messages, counted for each recipient.",
			Buckets: prometheus.ExponentialBuckets(1<<10, 4, 9), // 1 KiB to 64 MiB
		}),
		filed:    counter("filed_total", "Copies filed into mailboxes."),
		dropped:  counter("dropped_total", "Messages thrown away by their recipient's rules."),
		noted:    counterVec("noted_total", "What people's rules asked for and was not done.", "what"),
		skipped:  counterVec("skipped_total", "Answers and notices that people's rules asked for and that should not be given.", "what"),
		refused:  counterVec("refused_total", "Recipients refused, by reply code.", "code"),
		mended:   counter("mended_total", "Messages in which a bare LF or a NUL was replaced."),
		leaves:   counterVec("leaves_total", "Letters put into the outbox, by why they leave.", "kind"),
		leaving:  counterVec("leaving_total", "Tries of letters on their way out, by what became of them: sent, deferred, bounced, unsent, parked.", "fate", "kind", "demand"),
		logins:   counterVec("logins_total", "Attempts to log in, by result: ok, refused (the client's fault), impossible (ours, or no TLS).", "protocol", "protection", "result"),
		withheld: counterVec("withheld_total", "REQUIRETLS messages asked for by sessions that may not read them.", "protocol"),
	}
	c.registry.MustRegister(c.accepted, c.octets, c.filed, c.dropped, c.noted, c.skipped, c.refused, c.mended, c.leaves, c.leaving, c.logins, c.withheld,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for b := range c.byDemand {
		d, _ := requiretls.DemandFromByte(byte(b)) // 0 is not stated
		c.byDemand[b] = c.accepted.WithLabelValues(d.String())
	}
	return c
}

const namespace = "letterlock"

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}
