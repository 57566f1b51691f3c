package maillog

import (
	"context"
	"log/slog"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
)

// Try is one try of a letter on its way out: the facts of the last hop that was
// asked, what they were judged to be, and what was said in the end.
type Try struct {
	Letter    *mail.Outbound
	Row       uint64          // of the outbox
	Host      string          // empty where none was found
	IP        string          // empty where none was reached
	Hop       *requiretls.Hop // nil where nobody was reached
	TLS       string          // "TLS1.3", or "none"
	Proof     string          // how the host is proven: "pin", "dane", "chain", or ""
	Judgement string          // of package requiretls
	Reply     *reply.Error    // nil: it was taken
	Said      string          // the host's words when it took it
	Tries     int             // this one included
	Due       time.Time       // of the next try, where there is one
}

// Sent: a host has taken the letter, and answers for it from now on.
func (l *Log) Sent(ctx context.Context, t *Try) { l.left(ctx, slog.LevelInfo, "sent", t) }

// Deferred: it will be tried again.
func (l *Log) Deferred(ctx context.Context, t *Try) { l.left(ctx, slog.LevelInfo, "deferred", t) }

// Bounced: it ended, and its sender is told.
func (l *Log) Bounced(ctx context.Context, t *Try) { l.left(ctx, slog.LevelInfo, "bounced", t) }

// Unsent: it ended, and nobody is told: a report, an answer, or a sender who
// did not want to know.
func (l *Log) Unsent(ctx context.Context, t *Try) { l.left(ctx, slog.LevelInfo, "unsent", t) }

// Parked: what its sender demanded cannot be read, so it stays where it is
// until the admin decides.
func (l *Log) Parked(ctx context.Context, t *Try) { l.left(ctx, slog.LevelError, "parked", t) }

func (l *Log) left(ctx context.Context, level slog.Level, what string, t *Try) {
	if l == nil {
		return
	}
	l.leaving.WithLabelValues(what, t.Letter.Kind.String(), t.Letter.Demand().String()).Inc()
	attrs := make([]slog.Attr, 0, 24)
	attrs = append(attrs,
		slog.String("id", t.Letter.Origin), slog.Uint64("row", t.Row), slog.String("kind", t.Letter.Kind.String()),
		slog.String("demand", t.Letter.Demand().String()), slog.String("host", clip(t.Host)))
	attrs = append(attrs, t.facts()...)
	if t.Reply != nil {
		attrs = append(attrs, slog.String("reply", clip(t.Reply.Line())))
		if t.Reply.Err != nil {
			attrs = append(attrs, slog.String("cause", clip(t.Reply.Err.Error())))
		}
	} else {
		attrs = append(attrs, slog.String("reply", clip(t.Said)))
	}
	if !t.Due.IsZero() {
		attrs = append(attrs, slog.Int("tries", t.Tries), slog.Time("due", t.Due))
	}
	l.say(ctx, level, what, append(attrs, from(t.Letter.From), to(t.Letter.To))...)
}

func (t *Try) facts() []slog.Attr {
	if t.Hop == nil {
		return []slog.Attr{slog.String("judgement", "not asked")}
	}
	return []slog.Attr{
		slog.String("ip", t.IP), slog.String("tls", t.TLS), slog.String("encrypted", t.Hop.Encrypted.String()),
		slog.String("cert_proven", t.Hop.CertProven.String()), slog.String("proof", t.Proof), slog.String("mx_proven", t.Hop.MXProven.String()),
		slog.String("offered", t.Hop.Offered.String()), slog.Bool("smarthost", t.Hop.Smarthost), slog.String("judgement", t.Judgement),
	}
}
