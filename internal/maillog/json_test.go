package maillog_test

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/maillog"
)

// sameLines says a record in both ways: to package slog's handler, and to ours.
func sameLines(t *testing.T, derive func(slog.Handler) slog.Handler, r slog.Record) {
	t.Helper()
	var got, want bytes.Buffer
	for _, h := range []slog.Handler{maillog.NewJSONHandler(&got), slog.NewJSONHandler(&want, nil)} {
		if err := derive(h).Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if got.String() != want.String() {
		t.Errorf("got  %swant %s", &got, &want)
	}
}

func asItIs(h slog.Handler) slog.Handler { return h }

// Who reads the log with a program reads the lines of package slog.
func TestLinesInJSONAreThoseOfPackageSlog(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 5000, time.FixedZone("", 3600))
	for name, attr := range map[string]slog.Attr{
		"word":                slog.String("id", "k3fa1"),
		"address":             slog.String("to", "<ann&bob@example.org>"),
		"quotes":              slog.String("user", `ann" msg="login failed`),
		"backslash":           slog.String("user", `ann\`),
		"line break":          slog.String("user", "ann\r\nbob\t"),
		"delete":              slog.String("user", "ann\x7f"),
		"control":             slog.String("user", "ann\x00\x1b[m"),
		"UTF-8":               slog.String("to", "<jörg@example.org>"),
		"not UTF-8":           slog.String("user", "j\xf6rg"),
		"line separator":      slog.String("user", "ann\u2028bob"),
		"number":              slog.Int64("size", -9),
		"big number":          slog.Uint64("account", 1<<63),
		"fraction":            slog.Float64("share", 1e21),
		"yes or no":           slog.Bool("smarthost", true),
		"time":                slog.Time("due", noon),
		"far time":            slog.Time("due", time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)),
		"no time":             slog.Time("due", time.Time{}),
		"duration":            slog.Duration("took", time.Second),
		"list":                slog.Any("mailboxes", []string{"INBOX", "Lists/go nuts"}),
		"list of odd ones":    slog.Any("mailboxes", []string{"INBOX", "Entwürfe", `"`, "<&>"}),
		"empty list":          slog.Any("mailboxes", []string{}),
		"no list":             slog.Any("mailboxes", []string(nil)),
		"error":               slog.Any("err", errors.New("disk on fire")),
		"nothing":             slog.Any("err", nil),
		"thing":               slog.Any("thing", map[string]int{"a": 1}),
		"group":               slog.Group("g", slog.Int("a", 1), slog.String("b", "c")),
		"empty group":         slog.Group("g"),
		"asks to be resolved": slog.Any("v", slog.AnyValue(resolved{})),
		"no key":              slog.String("", "x"),
		"no attribute":        {},
		"odd key":             slog.String(`a"b`, "x"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, level := range []slog.Level{slog.LevelInfo, slog.LevelError + 2} {
				r := slog.NewRecord(noon, level, "login failed", 0)
				r.AddAttrs(slog.String("before", "x"), attr, slog.String("after", "y"))
				sameLines(t, asItIs, r)
			}
		})
	}
	bare := slog.NewRecord(time.Time{}, slog.LevelInfo, "without a time", 0)
	sameLines(t, asItIs, bare)
	r := slog.NewRecord(noon, slog.LevelInfo, "said \"so\"", 0)
	sameLines(t, asItIs, r)
	r.AddAttrs(slog.String("a", "b"))
	sameLines(t, func(h slog.Handler) slog.Handler { return h.WithAttrs([]slog.Attr{slog.Int("conn", 7)}) }, r)
	sameLines(t, func(h slog.Handler) slog.Handler { return h.WithGroup("g") }, r)
}

type resolved struct{}

func (resolved) LogValue() slog.Value { return slog.StringValue("resolved") }

func FuzzLinesInJSON(f *testing.F) {
	f.Add("filed", "to", "<ann@example.org>", "INBOX", int64(1))
	f.Add("filed", "", "jörg\xff\u2029\"\\", "\x7f", int64(-1<<62))
	f.Fuzz(func(t *testing.T, msg, key, text, box string, n int64) {
		r := slog.NewRecord(time.Unix(n>>8, n&0xff).UTC(), slog.LevelInfo, msg, 0)
		r.AddAttrs(slog.String(key, text), slog.Any("mailboxes", []string{box, text}), slog.Int64("size", n))
		sameLines(t, asItIs, r)
	})
}

// However many sessions say something at once, each line stays whole.
func TestLinesOfManySessionsStayWhole(t *testing.T) {
	var b bytes.Buffer // not for concurrent use: whoever writes to it takes turns
	h := slog.New(maillog.NewJSONHandler(&b))
	l := maillog.New(h)
	debug := h.With("conn", 7)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				l.Dropped(t.Context(), &mail.Envelope{ID: "k3fa1"}, mail.Address{Local: "ann"}, "discard")
				debug.Info("oddity", "what", "ä")
			}
		})
	}
	all.Wait()
	h.Info("stopped", "what", "all")
	lines := bytes.Split(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\n"))
	whole := func(line []byte) bool {
		return bytes.HasPrefix(line, []byte(`{"time":`)) && bytes.HasSuffix(line, []byte(`"}`))
	}
	if len(lines) != 801 || slices.ContainsFunc(lines, func(line []byte) bool { return !whole(line) }) {
		t.Errorf("%d lines, some cut; want 801 whole ones:\n%s", len(lines), &b)
	}
}
