package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"letterlock/internal/admin"
)

var traceVerb = verb{
	name:  "trace",
	args:  "[ADDR] [--last N] [--follow] [--json]",
	short: "tell what became of mail lately, somebody's or all",
	setup: func(f *flag.FlagSet) action {
		conf, asJSON := configFlag(f), jsonFlag(f)
		last := f.Int("last", 0, "the last `N` lines alone")
		follow := f.Bool("follow", false, "go on with what comes, until Ctrl-C")
		return func(ctx context.Context, c *call) error {
			if len(c.args) > 1 {
				return errArguments
			}
			if *last < 0 {
				return &usageError{fmt.Sprintf("--last %d is no number of lines", *last), "leave it out for all that are kept"}
			}
			in := admin.TraceQuery{Last: *last, Follow: *follow, Address: strings.Join(c.args, "")}
			told := func(r admin.TraceRecord) { writeTrace(c.out, r) }
			if *asJSON {
				told = jsonLines[admin.TraceRecord](c.out)
			}
			ctx, stop := interruptible(ctx)
			defer stop()
			err := atDesk(ctx, *conf, mustExist, func(o admin.Operations) error { return o.Trace(ctx, in, told) })
			if *follow && errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
	},
}

// writeTrace is a line of the mail log for people. What a word could be
// mistaken in is in quotes.
func writeTrace(w io.Writer, r admin.TraceRecord) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-8s", r.Time.Local().Format(time.DateTime), r.Event)
	for _, fact := range r.Facts {
		v := fact.Value
		if v == "" || strings.ContainsFunc(v, func(c rune) bool { return !unicode.IsPrint(c) || c == ' ' || c == '"' || c == '=' }) {
			v = fmt.Sprintf("%q", v)
		}
		fmt.Fprintf(&b, " %s=%s", fact.Key, v)
	}
	fmt.Fprintln(w, b.String())
}
