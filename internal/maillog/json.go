package maillog

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// NewJSONHandler writes to w what [slog.NewJSONHandler] would, octet for octet,
// for half of its work: every letter has two lines. Those of plain words and
// numbers, as nearly all of this package's are, it forms itself; all others are
// left to package slog. What went well may reach w 5 ms late, in order, and not at
// all where the process is killed meanwhile; a line of any other logger, or a
// warning, is written at once and brings it along.
func NewJSONHandler(w io.Writer) slog.Handler {
	out := &inTurn{w: w}
	return &jsonHandler{Handler: slog.NewJSONHandler(out, nil), out: out}
}

type jsonHandler struct {
	slog.Handler // of package slog: whatever is not simple, and all loggers made of this one
	out          *inTurn
}

// lineBuffers are used again: most lines fit.
var lineBuffers = sync.Pool{New: func() any { return new([1 << 10]byte) }}

func (h *jsonHandler) Handle(ctx context.Context, r slog.Record) error {
	buf := lineBuffers.Get().(*[1 << 10]byte)
	defer lineBuffers.Put(buf)
	l := jsonLine{b: buf[:0]}
	if l.record(r); l.odd {
		return h.Handler.Handle(ctx, r)
	}
	if r.Level <= slog.LevelInfo && r.PC == 0 { // as [Log.say] makes them
		return h.out.soon(l.b, r.Time)
	}
	_, err := h.out.Write(l.b)
	return err
}

// jsonLine is a line being formed.
type jsonLine struct {
	b   []byte
	odd bool // it is not simple: what was formed is of no use
}

func (l *jsonLine) record(r slog.Record) {
	l.b = append(l.b, `{"time":`...)
	l.time(r.Time)
	l.b = append(l.b, `,"level":`...)
	l.text(r.Level.String())
	l.b = append(l.b, `,"msg":`...)
	l.text(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		l.attr(a)
		return !l.odd
	})
	l.b = append(l.b, "}\n"...)
}

func (l *jsonLine) attr(a slog.Attr) {
	l.odd = l.odd || a.Key == ""
	l.b = append(l.b, ',')
	l.text(a.Key)
	l.b = append(l.b, ':')
	switch v := a.Value; v.Kind() {
	case slog.KindString:
		l.text(v.String())
	case slog.KindInt64:
		l.b = strconv.AppendInt(l.b, v.Int64(), 10)
	case slog.KindUint64:
		l.b = strconv.AppendUint(l.b, v.Uint64(), 10)
	case slog.KindBool:
		l.b = strconv.AppendBool(l.b, v.Bool())
	case slog.KindTime:
		l.time(v.Time())
	case slog.KindAny:
		list, ok := v.Any().([]string)
		l.odd = l.odd || !ok
		l.list(list)
	default:
		l.odd = true
	}
}

// list is one of strings; that of none is null, or empty.
func (l *jsonLine) list(all []string) {
	l.odd = l.odd || len(all) == 0
	l.b = append(l.b, '[')
	for i, s := range all {
		if i > 0 {
			l.b = append(l.b, ',')
		}
		l.text(s)
	}
	l.b = append(l.b, ']')
}

// time is RFC 3339's, which has four digits for a year.
func (l *jsonLine) time(t time.Time) {
	l.odd = l.odd || t.IsZero() || t.Year() < 0 || t.Year() > 9999
	l.b = append(l.b, '"')
	l.b = t.AppendFormat(l.b, time.RFC3339Nano)
	l.b = append(l.b, '"')
}

// text is simple where no octet of it has to be escaped.
func (l *jsonLine) text(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			l.odd = true
			return
		}
	}
	l.b = append(l.b, '"')
	l.b = append(l.b, s...)
	l.b = append(l.b, '"')
}
