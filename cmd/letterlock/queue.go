package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"letterlock/internal/admin"
)

// selectionFlags choose letters of the outbox by what they have in common.
func selectionFlags(f *flag.FlagSet) *admin.Selection {
	s := &admin.Selection{}
	f.StringVar(&s.Account, "account", "", "those that the rules of `ADDR` send")
	f.StringVar(&s.Domain, "domain", "", "those to `DOMAIN`")
	f.StringVar(&s.State, "state", "", "those in `STATE`: queued, held, parked, or any")
	return s
}

var queueList = verb{
	name:  "queue",
	args:  "[--account ADDR] [--domain DOMAIN] [--state STATE] [--json]",
	short: "list what waits to leave",
	setup: func(f *flag.FlagSet) action {
		conf, asJSON, which := configFlag(f), jsonFlag(f), selectionFlags(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 0 {
				return errArguments
			}
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				if *asJSON {
					return o.Queue(ctx, *which, jsonLines[admin.QueueRow](c.out))
				}
				w := columns(c.out)
				err := o.Queue(ctx, *which, func(r admin.QueueRow) { writeRow(w, r) })
				if e := w.Flush(); err == nil {
					err = e
				}
				if err != nil {
					return err
				}
				return c.tellWaiting(ctx, o)
			})
		}
	},
}

// tellWaiting names the destinations that are left alone for a while, whatever
// letters for them are due.
func (c *call) tellWaiting(ctx context.Context, o admin.Operations) error {
	state, err := o.RelayState(ctx)
	if err != nil {
		return err
	}
	for _, d := range state.Waiting {
		name, which := d.Name, "--domain "+d.Name
		if name == "" {
			name, which = "the smarthost", "--state "+admin.Queued
		}
		fmt.Fprintf(c.err, "note: %s did not answer and is left alone until %s; letterlock queue retry %s asks it now\n", printable(name), stamp(d.Until), printable(which))
	}
	return nil
}

// jsonLines writes each thing as a line of JSON: what is long is not held in
// memory on either side.
func jsonLines[T any](w io.Writer) func(T) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(one T) { _ = enc.Encode(one) } // whoever closed the pipe has seen enough
}

func writeRow(w io.Writer, r admin.QueueRow) {
	demand := r.Demand
	if demand == "usual" {
		demand = ""
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s → %s\t%s\t%s\n", r.ID, r.State, r.Kind, printable(r.From), printable(r.To), demand, printable(whyWaiting(r)))
}

// whyWaiting is when a letter is tried next, and what was said last.
func whyWaiting(r admin.QueueRow) string {
	var parts []string
	if r.State == "queued" {
		parts = append(parts, dueIn(time.Until(r.Due)))
	}
	if r.Tries > 0 {
		parts = append(parts, fmt.Sprintf("tried %d times", r.Tries))
	}
	if r.Error != "" {
		parts = append(parts, r.Error)
	}
	return strings.Join(parts, "; ")
}

func dueIn(d time.Duration) string {
	if d <= 0 {
		return "due now"
	}
	return "due in " + d.Round(time.Second).String()
}

var queueShow = verb{
	name:  "queue show",
	args:  "ID [--json]",
	short: "show a letter that waits to leave",
	setup: func(f *flag.FlagSet) action {
		return asking(f, 1, 1, func(ctx context.Context, o admin.Operations, args []string) (admin.QueueLetter, error) {
			return o.QueueLetter(ctx, args[0])
		}, showLetter)
	},
}

func showLetter(out io.Writer, l admin.QueueLetter) error {
	w := columns(out)
	for _, line := range [][2]string{
		{"id", l.ID}, {"message", l.Message}, {"account", l.Account}, {"kind", l.Kind}, {"from", l.From}, {"to", l.To},
		{"demand", l.Demand}, {"state", l.State}, {"size", octets(uint64(l.Size))}, {"since", stamp(l.Created)}, {"due", stamp(l.Due)},
		{"tries", fmt.Sprint(l.Tries)}, {"last", stamp(l.Last)}, {"host", l.Host}, {"said", l.Error}, {"trouble", l.Trouble},
	} {
		if line[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", line[0], printable(line[1]))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case l.Withheld:
		fmt.Fprint(out, "\nIts sender demands REQUIRETLS: the header is shown to nobody here (RFC 8689).\n")
	case l.Header != "":
		fmt.Fprintln(out)
		for line := range strings.SplitSeq(strings.TrimRight(l.Header, "\r\n"), "\n") {
			fmt.Fprintln(out, printable(strings.TrimRight(line, "\r")))
		}
	}
	return nil
}

// stamp is a time for people; "" where there is none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}

var (
	queueRetry  = queueOrder("queue retry", admin.QueueRetry, "try letters now, held and parked ones too")
	queueHold   = queueOrder("queue hold", admin.QueueHold, "keep letters from leaving until they are retried")
	queueBounce = queueOrder("queue bounce", admin.QueueBounce, "give letters up and tell their senders")
	queueDelete = queueOrder("queue delete", admin.QueueDelete, "throw letters away and tell nobody")
)

// queueOrder is a verb that does something with letters: those whose IDs are
// given, or that have something in common.
func queueOrder(name, do, short string) verb {
	return verb{
		name:  name,
		args:  "ID… | --account ADDR | --domain DOMAIN | --state STATE [--json]",
		short: short,
		setup: func(f *flag.FlagSet) action {
			conf, asJSON, which := configFlag(f), jsonFlag(f), selectionFlags(f)
			return func(ctx context.Context, c *call) error {
				given := *which
				given.IDs = c.args
				if len(c.args) == 0 && given.Account == "" && given.Domain == "" && given.State == "" {
					return errArguments
				}
				return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
					told := func(admin.QueueRow) {}
					if *asJSON {
						told = jsonLines[admin.QueueRow](c.out)
					}
					return o.HandleQueue(ctx, admin.QueueOrder{Selection: given, Do: do}, told)
				})
			}
		},
	}
}
