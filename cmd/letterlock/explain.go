package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"letterlock/internal/admin"
)

var explainVerb = verb{
	name:  "explain",
	args:  "ADDR MAILBOX UID [--to DOMAIN] [--json]",
	short: "tell how a letter came, who may read it and where it may go",
	setup: func(f *flag.FlagSet) action {
		to := f.String("to", "", "could it be sent on to `DOMAIN`? its hosts are asked")
		return asking(f, 3, 3, func(ctx context.Context, o admin.Operations, args []string) (admin.Explanation, error) {
			uid, err := parseUID(args[2])
			if err != nil {
				return admin.Explanation{}, err
			}
			return o.Explain(ctx, admin.ExplainQuery{Address: args[0], Mailbox: args[1], UID: uid, Domain: *to})
		}, explain)
	},
}

func explain(w io.Writer, e admin.Explanation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, UID %d: %s, came %s\n", e.Address, e.Mailbox, e.UID, octets(uint64(e.Size)), stamp(e.Received))
	fmt.Fprintf(&b, "  demand   %s\n  tls      %s %s\n", e.Demand, e.TLS, e.Cipher)
	if e.Peer != "" {
		fmt.Fprintf(&b, "  from     %s\n", printable(e.Peer))
	}
	fmt.Fprintf(&b, "  policy   %s (server %s, account %s)\n  readers\n", e.Policy, e.ServerPolicy, e.AccountPolicy)
	for _, r := range e.Readers {
		fmt.Fprintf(&b, "    %-4s %-8s %s\n", yesNo[r.May], r.Class, r.Session)
	}
	fmt.Fprintf(&b, "  sending  %s\n", e.Sending)
	if e.Way != nil {
		b.WriteByte('\n')
		b.WriteString(e.Way.Text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var yesNo = map[bool]string{true: "yes", false: "no"}

func parseUID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, &usageError{fmt.Sprintf("%q is no UID", s), "an IMAP client and letterlock fsck name messages by UID, from 1"}
	}
	return uint32(n), nil
}
