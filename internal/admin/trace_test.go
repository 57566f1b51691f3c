package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/requiretls"
)

// post is a mail log whose lines a ring of size remembers.
func post(ring *Ring) *maillog.Log {
	return maillog.New(slog.New(ring.Handler(slog.DiscardHandler)))
}

func address(local string) mail.Address { return mail.Address{Local: local, Domain: "example.org"} }

func envelope(id, from string) *mail.Envelope {
	return &mail.Envelope{ID: id, From: address(from), Demand: requiretls.Usual(), Peer: "192.0.2.1"}
}

// traced are the lines about an address, in short.
func traced(t *testing.T, o Operations, in TraceQuery) (lines []string) {
	t.Helper()
	if err := o.Trace(t.Context(), in, func(r TraceRecord) { lines = append(lines, brief(r)) }); err != nil {
		t.Fatal(err)
	}
	return lines
}

func brief(r TraceRecord) string {
	return strings.Join(strings.Fields(r.Event+" "+r.fact("id")+" "+r.fact("to")+" "+r.fact("user")), " ")
}

func tracingOffice(t *testing.T, size int) (*office, *maillog.Log) {
	ring := NewRing(size)
	return newOffice(t, func(o *Options) { o.Ring = ring }), post(ring)
}

func TestTraceTellsWhatBecameOfOnePersonsMail(t *testing.T) {
	of, log := tracingOffice(t, 100)
	ctx := t.Context()
	ann, err := of.person(ctx, "ann")
	if err != nil {
		t.Fatal(err)
	}
	e1, e2, e3 := envelope("e1", "carl"), envelope("e2", "carl"), envelope("e3", "ann")
	log.Accepted(ctx, e1, address("Ann+lists"), 100)
	log.Accepted(ctx, e1, address("bob"), 100)
	log.Accepted(ctx, e2, address("bob"), 100)
	log.Mended(ctx, e1, 1, 0)
	log.Filed(ctx, e1, &mail.Delivery{Account: uint64(ann.ID), Rcpt: address("info"), Copies: []mail.Copy{{Mailbox: "Lists"}}}, "rules:3")
	log.Filed(ctx, e1, &mail.Delivery{Account: uint64(ann.ID) + 1, Rcpt: address("bob")})
	log.Sent(ctx, &maillog.Try{Letter: e1.Redirect(mail.Redirect{To: mail.Address{Local: "x", Domain: "far.example"}}), Row: 7, Host: "mx.far.example"})
	log.Sent(ctx, &maillog.Try{Letter: e2.Redirect(mail.Redirect{To: mail.Address{Local: "x", Domain: "far.example"}}), Row: 8, Host: "mx.far.example"})
	log.Accepted(ctx, e3, address("bob"), 100)
	log.Readers("imap").Login("192.0.2.1", "ann", requiretls.ClassTLS, nil)
	log.Readers("imap").Login("192.0.2.1", "bob", requiretls.ClassTLS, nil)
	want := []string{"accepted e1 <Ann+lists@example.org>", "mended e1", "filed e1 <info@example.org>", "sent e1 <x@far.example>", "accepted e3 <bob@example.org>", "login ann"}
	for _, o := range []Operations{of.Desk, of.over(t)} {
		if got := traced(t, o, TraceQuery{Address: "ann"}); !slices.Equal(got, want) {
			t.Errorf("about ann:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := traced(t, o, TraceQuery{Address: "ann", Last: 2}); !slices.Equal(got, want[4:]) {
			t.Errorf("the last two are %q", got)
		}
		if got := traced(t, o, TraceQuery{Address: "ann", Message: "e3"}); !slices.Equal(got, want[4:5]) {
			t.Errorf("about ann's own letter: %q", got)
		}
		if got := traced(t, o, TraceQuery{Message: "e2"}); !slices.Equal(got, []string{"accepted e2 <bob@example.org>", "sent e2 <x@far.example>"}) {
			t.Errorf("about one message: %q", got)
		}
		if got := traced(t, o, TraceQuery{}); len(got) != 11 {
			t.Errorf("about everybody %d lines: %q", len(got), got)
		}
	}
}

func TestTraceShowsTheRuleAndTheFactsInTheirOrder(t *testing.T) {
	of, log := tracingOffice(t, 4)
	log.Filed(t.Context(), envelope("e1", "carl"), &mail.Delivery{Account: 9, Rcpt: address("bob"), Copies: []mail.Copy{{Mailbox: "Lists"}}}, "rules:3")
	var got []TraceRecord
	if err := of.Trace(t.Context(), TraceQuery{}, func(r TraceRecord) { got = append(got, r) }); err != nil || len(got) != 1 {
		t.Fatalf("%d lines, %v", len(got), err)
	}
	want := "[{id e1} {account 9} {to <bob@example.org>} {mailboxes [Lists]} {rules [rules:3]}]"
	if r := got[0]; fmt.Sprint(r.Facts) != want || r.Level != "INFO" || r.Time.IsZero() {
		t.Errorf("the line is %+v, want the facts %s", r, want)
	}
}

func TestRingKeepsTheLastLines(t *testing.T) {
	of, log := tracingOffice(t, 3)
	for i := range 8 {
		log.Mended(t.Context(), envelope(fmt.Sprint("e", i), "carl"), 1, 0)
	}
	if got, want := traced(t, of, TraceQuery{}), []string{"mended e5", "mended e6", "mended e7"}; !slices.Equal(got, want) {
		t.Errorf("kept are %q, want %q", got, want)
	}
}

func TestTraceFollowsAndSaysWhatItMissed(t *testing.T) {
	of, log := tracingOffice(t, 2)
	over := of.over(t)
	log.Mended(t.Context(), envelope("e0", "carl"), 1, 0)
	for name, o := range map[string]Operations{"desk": of.Desk, "socket": over} {
		ctx, hangUp := context.WithCancel(t.Context())
		said, missed := 0, 0
		err := o.Trace(ctx, TraceQuery{Follow: true}, func(r TraceRecord) {
			if r.Event == "missed" {
				missed++
			}
			switch said++; said {
			case 1:
				for i := range 5 { // more than are kept, while nobody looks
					log.Mended(ctx, envelope(fmt.Sprint("e", i+1), "carl"), 1, 0)
				}
			case 4:
				hangUp()
			}
		})
		if !errors.Is(err, context.Canceled) || said < 4 {
			t.Errorf("%s: %d lines, then %v", name, said, err)
		}
		if name == "desk" && missed != 1 {
			t.Errorf("%s: told %d times that lines were missed, want once", name, missed)
		}
		hangUp()
	}
}

func TestTraceIsRefusedWhereNothingIsRemembered(t *testing.T) {
	err := newDesk(t, folder(t)).Trace(t.Context(), TraceQuery{}, func(TraceRecord) {})
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Hint() == "" {
		t.Errorf("%v, want a refusal with a way out", err)
	}
}

func TestRingPassesLinesOnAsTheyAre(t *testing.T) {
	var direct, through strings.Builder
	plain := func(w io.Writer) slog.Handler {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
	}
	ring := NewRing(10)
	for _, log := range []*slog.Logger{slog.New(plain(&direct)), slog.New(ring.Handler(plain(&through)))} {
		log = log.With("room", "x").WithGroup("g").With("a", 1)
		log.Debug("unheard")
		log.Info("remembered")
		log.Warn("both", "b", 2)
	}
	if direct.String() != through.String() {
		t.Errorf("passed on:\n%s\nwithout a ring:\n%s", &through, &direct)
	}
	records, _, _ := ring.since(0)
	if len(records) != 2 || fmt.Sprint(records[1].Facts) != "[{room x} {g.a 1} {g.b 2}]" {
		t.Errorf("remembered are %+v", records)
	}
}
