package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"letterlock/internal/config"
)

// helpVerb is a function since it shows the list of verbs it stands in.
func helpVerb() verb {
	return verb{
		name:  "help",
		args:  "[VERB|config]",
		short: "show this, how a verb is used, or every key of the config",
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
	for _, v := range verbs() {
		fmt.Fprintf(&b, "  %-14s %s\n", v.name, v.short)
	}
	b.WriteString("\nFirst steps: letterlock demo, then letterlock serve.\n")
	b.WriteString("letterlock help VERB shows how a verb is used, letterlock help config every key of\nthe config (./letterlock.toml, then /etc/letterlock/letterlock.toml). Every verb works\nbeside a running server, but for restore and fsck --repair.\n")
	_, err := fmt.Fprint(c.out, b.String())
	return err
}
