package maillog

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"time"
	"unicode/utf8"

	"letterlock/internal/mail"
	"letterlock/internal/reply"

	"github.com/prometheus/client_golang/prometheus"
)

// Log writes the lines about messages. A nil Log is silent. It is safe for
// concurrent use.
type Log struct {
	log *slog.Logger
	counters
}

// New writes to log, and counts in a registry of its own.
func New(log *slog.Logger) *Log {
	return &Log{log: log, counters: newCounters()}
}

// Registry has the counters, and those of the process: for the admin's
// /metrics. Others may register there.
func (l *Log) Registry() *prometheus.Registry { return l.registry }

// Accepted: a message of size octets came for rcpt, and is ours now.
func (l *Log) Accepted(ctx context.Context, env *mail.Envelope, rcpt mail.Address, size int64) {
	if l == nil {
		return
	}
	l.byDemand[env.Demand.Byte()&3].Inc()
	l.octets.Observe(float64(size))
	l.say(ctx, slog.LevelInfo, "accepted",
		slog.String("id", env.ID), slog.String("peer", env.Peer),
		slog.String("protocol", env.Protocol), slog.String("tls", tlsVersion(env)), slog.String("cipher", tlsCipher(env)),
		slog.String("demand", env.Demand.String()), slog.Int64("size", size), from(env.From), to(rcpt))
}

// Filed: the message lies in the mailboxes of d. rules name what put it there,
// one for each copy, where somebody's rules did.
func (l *Log) Filed(ctx context.Context, env *mail.Envelope, d *mail.Delivery, rules ...string) {
	if l == nil {
		return
	}
	l.filed.Add(float64(len(d.Copies)))
	mailboxes := make([]string, len(d.Copies))
	for i, c := range d.Copies {
		mailboxes[i] = clip(c.Mailbox)
	}
	attrs := []slog.Attr{slog.String("id", env.ID), slog.Uint64("account", d.Account), to(d.Rcpt), slog.Any("mailboxes", mailboxes)}
	if len(rules) > 0 {
		clipped := make([]string, len(rules))
		for i, r := range rules {
			clipped[i] = clip(r)
		}
		attrs = append(attrs, slog.Any("rules", clipped))
	}
	l.say(ctx, slog.LevelInfo, "filed", attrs...)
}

// Noted: something that the recipient's rules asked for was not done. what is
// one of a few fixed words, rule where it was asked for.
func (l *Log) Noted(ctx context.Context, env *mail.Envelope, account uint64, rcpt mail.Address, what, rule string) {
	if l == nil {
		return
	}
	l.noted.WithLabelValues(what).Inc()
	l.say(ctx, slog.LevelInfo, "noted",
		slog.String("id", env.ID), slog.Uint64("account", account), to(rcpt), slog.String("what", what), slog.String("rule", clip(rule)))
}

// Skipped: an answer or a notice that the recipient's rules asked for is not given,
// as it should not be. why is one of a few fixed sentences, or names the sender.
func (l *Log) Skipped(ctx context.Context, env *mail.Envelope, account uint64, rcpt mail.Address, what, rule, why string) {
	if l == nil {
		return
	}
	l.skipped.WithLabelValues(what).Inc()
	l.say(ctx, slog.LevelInfo, "skipped",
		slog.String("id", env.ID), slog.Uint64("account", account), to(rcpt), slog.String("what", what), slog.String("rule", clip(rule)), slog.String("why", clip(why)))
}

// Leaves: because of a rule, or of what the sender asked to be told, a letter of
// ours or the message itself goes into the outbox. Its tries have the same id.
func (l *Log) Leaves(ctx context.Context, env *mail.Envelope, account uint64, rcpt mail.Address, o *mail.Outbound) {
	if l == nil {
		return
	}
	l.leaves.WithLabelValues(o.Kind.String()).Inc()
	l.say(ctx, slog.LevelInfo, "leaves",
		slog.String("id", env.ID), slog.Uint64("account", account), slog.String("kind", o.Kind.String()), slog.String("demand", o.Demand().String()),
		slog.String("for", clip(rcpt.Path())), from(o.From), to(o.To))
}

// Dropped: the recipient's own rules threw the message away; why names the rule.
func (l *Log) Dropped(ctx context.Context, env *mail.Envelope, rcpt mail.Address, why string) {
	if l == nil {
		return
	}
	l.dropped.Inc()
	l.say(ctx, slog.LevelInfo, "dropped",
		slog.String("id", env.ID), slog.String("why", clip(why)), from(env.From), to(rcpt))
}

// Refused: rcpt was refused, at RCPT or after the message. id is the one the
// envelope has or would have had. Our own trouble is logged with its cause.
func (l *Log) Refused(ctx context.Context, id, peer string, sender, rcpt mail.Address, why *reply.Error) {
	if l == nil {
		return
	}
	code, level, cause := why.Line(), slog.LevelInfo, ""
	if len(code) > 3 {
		code = code[:3]
	}
	if why.Err != nil {
		level, cause = slog.LevelWarn, why.Err.Error()
	}
	if e := why.Enhanced(); e != "" {
		code += " " + e
	}
	l.refused.WithLabelValues(code).Inc()
	l.say(ctx, level, "refused",
		slog.String("id", id), slog.String("peer", peer), slog.String("code", code), slog.String("reason", clip(cmp.Or(why.Logged, why.Text))),
		slog.String("cause", clip(cause)), from(sender), to(rcpt))
}

// Mended: octets that IMAP may not send were replaced on arrival: bareLF line
// ends without CR became CRLF, nul NULs became 0x80 (RFC 9051 §4.3.1).
func (l *Log) Mended(ctx context.Context, env *mail.Envelope, bareLF, nul int64) {
	if l == nil || bareLF == 0 && nul == 0 {
		return
	}
	l.mended.Inc()
	l.say(ctx, slog.LevelInfo, "mended",
		slog.String("id", env.ID), slog.String("peer", env.Peer), slog.Int64("bare_lf", bareLF), slog.Int64("nul", nul), from(env.From))
}

// say writes one line. The record is made here, and without a program counter:
// nobody asks a closed set of lines where it comes from, and finding out costs
// more than the rest of the line.
func (l *Log) say(ctx context.Context, level slog.Level, what string, attrs ...slog.Attr) {
	h := l.log.Handler()
	if !h.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, what, 0)
	r.AddAttrs(attrs...)
	_ = h.Handle(ctx, r) // who writes the log says so itself: there is no other place to say it
}

func from(a mail.Address) slog.Attr { return slog.String("from", clip(a.Path())) }
func to(a mail.Address) slog.Attr   { return slog.String("to", clip(a.Path())) }

func tlsVersion(env *mail.Envelope) string {
	if env.TLSVersion == 0 {
		return "none"
	}
	return tls.VersionName(env.TLSVersion)
}

func tlsCipher(env *mail.Envelope) string {
	if env.TLSVersion == 0 {
		return "none"
	}
	return tls.CipherSuiteName(env.TLSCipher)
}

// clip bounds what a stranger can make us log.
func clip(s string) string {
	const most = 320 // octets: the longest address, with quotes
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
