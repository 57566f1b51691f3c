package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"letterlock/imapd"
	"letterlock/internal/config"
)

// helpVerb is a function since it shows the list of verbs it stands in.
func helpVerb() verb {
	return verb{
		name:  "help",
		args:  "[VERB|config|imap]",
		short: "show this, how a verb is used, every key of the config, or what IMAP can do",
		setup: func(*flag.FlagSet) action { return help },
	}
}

func help(ctx context.Context, c *call) error {
	switch {
	case len(c.args) == 0:
		return overview(c)
	case c.args[0] == "config":
		_, err := io.WriteString(c.out, config.Reference())
		return err
	case c.args[0] == "imap":
		return helpIMAP(c)
	}
	v, _, err := find(c.args)
	if err != nil {
		return err
	}
	return v.run(ctx, []string{"--help"}, c.streams)
}

func overview(c *call) error {
	var b strings.Builder
	b.WriteString("Letterlock is the last stop of a letter: LMTP in, IMAP out, REQUIRETLS kept.\n\nusage: letterlock VERB …\n\n")
	for _, part := range chapters() {
		for _, v := range part {
			fmt.Fprintf(&b, "  %-20s %s\n", v.name, v.short)
		}
		b.WriteByte('\n')
	}
	b.WriteString("First steps: letterlock demo, then letterlock serve.\n")
	b.WriteString("letterlock help VERB shows how a verb is used, letterlock help config every key of\nthe config (./letterlock.toml, then /etc/letterlock/letterlock.toml). Every verb works\nbeside a running server, but for restore and fsck --repair.\n")
	_, err := fmt.Fprint(c.out, b.String())
	return err
}

// helpIMAP lists the extensions that the server offers, from its own list, and
// what a person should know of each.
func helpIMAP(c *call) error {
	var table strings.Builder
	w := columns(&table)
	for _, x := range imapd.Capabilities {
		fmt.Fprintf(w, "%s\tRFC %s\t%s\n", x.Name, x.RFC, x.Limits)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(table.String()) {
		if _, err := fmt.Fprintln(c.out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}
