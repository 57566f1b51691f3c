package main

import (
	"context"
	"flag"
	"fmt"

	"letterlock/internal/admin"
)

var userRelease = verb{
	name:  "user release",
	args:  "ADDR [tls|bound|inherit] [--json]",
	short: "show or set which sessions may read an account's REQUIRETLS mail",
	setup: func(f *flag.FlagSet) action {
		conf, asJSON := configFlag(f), jsonFlag(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) < 1 || len(c.args) > 2 {
				return errArguments
			}
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				if len(c.args) == 2 {
					_, err := o.SetRelease(ctx, admin.Release{Address: c.args[0], Policy: c.args[1]})
					return err
				}
				r, err := o.Release(ctx, c.args[0])
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(c.out, r)
				}
				_, err = fmt.Fprintln(c.out, r.Policy)
				return err
			})
		}
	},
}
