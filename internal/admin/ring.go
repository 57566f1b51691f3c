package admin

import (
	"context"
	"log/slog"
	"slices"
	"sync"
)

// Ring remembers the last lines of a log. It is safe for concurrent use.
type Ring struct {
	mu    sync.Mutex    // guards all below
	lines []line        // the oldest at next % cap, once it is full
	size  int           // how many it keeps
	next  uint64        // how many there ever were
	moved chan struct{} // closed by the next line; nil: nobody waits for it
}

// line is one as it was written, formed only where somebody asks.
type line struct {
	record slog.Record
	before []slog.Attr // of the logger
	group  string      // that the record's own attributes lie in: "a.b."
}

// NewRing makes one that keeps size lines, at least one.
func NewRing(size int) *Ring {
	return &Ring{size: max(1, size)}
}

// Handler passes lines on to next, and remembers those of level info and above.
func (r *Ring) Handler(next slog.Handler) slog.Handler { return ringHandler{ring: r, next: next} }

func (r *Ring) add(l line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) < r.size {
		r.lines = append(r.lines, l)
	} else {
		r.lines[r.next%uint64(r.size)] = l
	}
	r.next++
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// since answers the lines from number at on that are still kept, the number to
// ask for next, and what is closed when there is more.
func (r *Ring) since(at uint64) (all []TraceRecord, next uint64, moved <-chan struct{}) {
	r.mu.Lock()
	var lines []line
	for i := max(at, r.next-uint64(len(r.lines))); i < r.next; i++ {
		lines = append(lines, r.lines[i%uint64(r.size)])
	}
	if r.moved == nil {
		r.moved = make(chan struct{})
	}
	next, moved = r.next, r.moved
	r.mu.Unlock()
	for _, l := range lines {
		all = append(all, l.formed())
	}
	return all, next, moved
}

// formed is the line for people and machines.
func (l *line) formed() TraceRecord {
	t := TraceRecord{Time: l.record.Time, Level: l.record.Level.String(), Event: l.record.Message}
	for _, a := range l.before {
		t.Facts = append(t.Facts, Fact{a.Key, a.Value.Resolve().String()})
	}
	l.record.Attrs(func(a slog.Attr) bool {
		t.Facts = append(t.Facts, Fact{l.group + a.Key, a.Value.Resolve().String()})
		return true
	})
	return t
}

// ringHandler is a [slog.Handler].
type ringHandler struct {
	ring   *Ring
	next   slog.Handler
	before []slog.Attr
	group  string
}

func (h ringHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.next.Enabled(ctx, level)
}

func (h ringHandler) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= slog.LevelInfo {
		h.ring.add(line{record.Clone(), h.before, h.group})
	}
	if !h.next.Enabled(ctx, record.Level) {
		return nil
	}
	return h.next.Handle(ctx, record)
}

func (h ringHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	named := slices.Clone(attrs)
	for i := range named {
		named[i].Key = h.group + named[i].Key
	}
	h.before = append(slices.Clip(h.before), named...)
	h.next = h.next.WithAttrs(attrs)
	return h
}

func (h ringHandler) WithGroup(name string) slog.Handler {
	h.group += name + "."
	h.next = h.next.WithGroup(name)
	return h
}
