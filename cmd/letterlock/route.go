package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"letterlock/internal/admin"
)

var routeVerb = verb{
	name:  "route",
	args:  "DOMAIN [--require-tls] [--json]",
	short: "show how a letter would leave for a domain, and send none",
	setup: func(f *flag.FlagSet) action {
		sealed := f.Bool("require-tls", false, "as if its sender had asked REQUIRETLS")
		conf, asJSON := configFlag(f), jsonFlag(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 1 {
				return errArguments
			}
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				way, err := o.Route(ctx, admin.RouteQuery{Domain: c.args[0], RequireTLS: *sealed})
				if err != nil {
					return err
				}
				if *asJSON {
					err = printJSON(c.out, way)
				} else {
					_, err = io.WriteString(c.out, way.Text)
				}
				if err == nil && !way.Goes {
					return errSaid
				}
				return err
			})
		}
	},
}

var (
	stsShow = verb{
		name:  "mta-sts show",
		args:  "DOMAIN [--json]",
		short: "show what is known of a domain's MTA-STS policy",
		setup: func(f *flag.FlagSet) action { return askSTS(f, false) },
	}
	stsRefresh = verb{
		name:  "mta-sts refresh",
		args:  "DOMAIN [--json]",
		short: "ask a domain for its MTA-STS policy",
		setup: func(f *flag.FlagSet) action { return askSTS(f, true) },
	}
)

func askSTS(f *flag.FlagSet, refresh bool) action {
	return asking(f, 1, 1, func(ctx context.Context, o admin.Operations, args []string) (admin.STS, error) {
		return o.MTASTS(ctx, admin.STSQuery{Domain: args[0], Refresh: refresh})
	}, func(w io.Writer, s admin.STS) error {
		var b strings.Builder
		if s.Mode == "" {
			fmt.Fprintf(&b, "%s: no policy is known\n", s.Domain)
		} else {
			fmt.Fprintf(&b, "%s: %s\n  mx       %s\n  id       %s\n  expires  %s\n", s.Domain, s.Mode, strings.Join(s.MX, ", "), s.ID, stamp(s.Expires))
		}
		if s.Error != "" {
			fmt.Fprintf(&b, "  trouble  %s\n", s.Error)
		}
		_, err := io.WriteString(w, b.String())
		if err == nil && s.Error != "" {
			return errSaid
		}
		return err
	})
}
