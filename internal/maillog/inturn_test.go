package maillog_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/reply"
)

// pieces are what was written with one call each.
type pieces chan string

func (p pieces) Write(b []byte) (int, error) {
	p <- string(b)
	return len(b), nil
}

// An admin who follows the log sees each line, in order, and soon: also those that
// waited for others which never came.
func TestLinesThatWaitComeInOrderAndSoon(t *testing.T) {
	out := make(pieces, 400)
	l := maillog.New(slog.New(maillog.NewJSONHandler(out)))
	var want []string
	for range 100 {
		id := "k" + strings.Repeat("x", len(want)%7)
		l.Dropped(t.Context(), &mail.Envelope{ID: id}, mail.Address{Local: "ann"}, "discard")
		want = append(want, id)
	}
	for len(want) > 0 {
		for line := range strings.Lines(<-out) { // or the test never ends
			if !strings.Contains(line, `"id":"`+want[0]+`"`) || !strings.HasSuffix(line, "}\n") {
				t.Fatalf("got %q, want that of %s", line, want[0])
			}
			want = want[1:]
		}
	}
}

// What is said last, and what went wrong, is written before the call returns, and
// everything that was said before it.
func TestNothingWaitsBehindAWarning(t *testing.T) {
	for name, last := range map[string]func(*maillog.Log, *slog.Logger){
		"a warning": func(l *maillog.Log, _ *slog.Logger) {
			l.Refused(t.Context(), "k9", "local", mail.Address{}, mail.Address{Local: "ann"}, reply.From(errors.New("disk on fire")))
		},
		"another logger": func(_ *maillog.Log, log *slog.Logger) { log.Info("stopped") },
		"an odd line":    func(_ *maillog.Log, log *slog.Logger) { log.Info("said", "what", "schön") },
		"a derived one":  func(_ *maillog.Log, log *slog.Logger) { log.With("conn", 7).Info("said") },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			log := slog.New(maillog.NewJSONHandler(&b))
			l := maillog.New(log)
			for range 50 {
				l.Dropped(t.Context(), &mail.Envelope{ID: "k1"}, mail.Address{Local: "ann"}, "discard")
			}
			last(l, log)
			if got := bytes.Count(b.Bytes(), []byte("\n")); got != 51 {
				t.Errorf("%d lines are written, want 51:\n%s", got, &b)
			}
		})
	}
}

// However much is said in a moment, no more than a bounded part of it waits.
func TestLinesThatWaitAreBounded(t *testing.T) {
	most := 0
	log := slog.New(maillog.NewJSONHandler(sizes(func(n int) { most = max(most, n) })))
	l := maillog.New(log)
	long := strings.Repeat("x", 300)
	for range 1000 {
		l.Dropped(t.Context(), &mail.Envelope{ID: long}, mail.Address{Local: "ann"}, long)
	}
	log.Info("stopped")
	if most > 40<<10 {
		t.Errorf("%d octets were written at once, want 40 KiB at most", most)
	}
}

type sizes func(int)

func (s sizes) Write(b []byte) (int, error) {
	s(len(b))
	return io.Discard.Write(b)
}
