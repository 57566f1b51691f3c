package maillog

import (
	"context"
	"errors"
	"log/slog"

	"letterlock/internal/requiretls"
)

// Readers writes the lines about people who come to read, over one protocol. A
// nil Readers is silent.
type Readers struct {
	l        *Log
	protocol string
}

// Readers is for the people who come over a protocol: "imap", "managesieve".
func (l *Log) Readers(protocol string) *Readers {
	if l == nil {
		return nil
	}
	return &Readers{l, protocol}
}

// Login is one attempt to log in; err is nil when it succeeded. One that failed
// because of what the client sent, which the error says by a method Refused()
// bool, is "login failed": the line to ban by. Any other is "login impossible":
// there nobody is to be banned.
func (r *Readers) Login(peer, login string, class requiretls.Class, err error) {
	if r == nil {
		return
	}
	attrs := []slog.Attr{slog.String("protocol", r.protocol), slog.String("peer", peer), slog.String("protection", class.String())}
	user := slog.String("user", clip(login))
	var refusal interface{ Refused() bool }
	level, what, result := slog.LevelInfo, "login", "ok"
	switch {
	case err == nil:
		attrs = append(attrs, user)
	case errors.As(err, &refusal) && refusal.Refused():
		what, result = "login failed", "refused"
		attrs = append(attrs, slog.String("reason", clip(err.Error())), user)
	default:
		level, what, result = slog.LevelWarn, "login impossible", "impossible"
		attrs = append(attrs, slog.String("reason", clip(err.Error())), user)
	}
	r.l.logins.WithLabelValues(r.protocol, class.String(), result).Inc()
	r.l.say(context.Background(), level, what, attrs...)
}

// Withheld is a command that asked for n REQUIRETLS messages in a session that
// may not read them (RFC 8689 §4.4).
func (r *Readers) Withheld(peer, login, mailbox, command string, n int) {
	if r == nil {
		return
	}
	r.l.withheld.WithLabelValues(r.protocol).Add(float64(n))
	r.l.say(context.Background(), slog.LevelInfo, "withheld",
		slog.String("protocol", r.protocol), slog.String("peer", peer), slog.Int("messages", n), slog.String("command", clip(command)),
		slog.String("user", clip(login)), slog.String("mailbox", clip(mailbox)))
}
