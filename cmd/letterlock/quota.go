package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"

	"letterlock/internal/admin"
	"letterlock/internal/config"
)

var userQuota = verb{
	name:  "user quota",
	args:  "ADDR [--bytes SIZE] [--messages N] [--json]",
	short: "show or set what an account may hold",
	setup: func(f *flag.FlagSet) action {
		conf, asJSON := configFlag(f), jsonFlag(f)
		var limits admin.Limits
		f.Func("bytes", "all its messages together: octets, or a `SIZE` such as 5GB; none is no limit", limit(&limits.MaxBytes, config.ParseOctets))
		f.Func("messages", "how many messages: `N`, or none", limit(&limits.MaxMessages, parseCount))
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 1 {
				return errArguments
			}
			limits.Address = c.args[0]
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				if limits.MaxBytes != nil || limits.MaxMessages != nil {
					_, err := o.SetQuota(ctx, limits)
					return err
				}
				q, err := o.Quota(ctx, limits.Address)
				if err != nil {
					return err
				}
				return printQuota(c, q, *asJSON)
			})
		}
	},
}

func parseCount(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, errors.New("write a number, or none")
	}
	return n, nil
}

// limit reads the value of a flag; "none" is 0.
func limit(to **uint64, read func(string) (uint64, error)) func(string) error {
	return func(s string) error {
		var n uint64
		if s != "none" {
			var err error
			if n, err = read(s); err != nil {
				return err
			}
		}
		*to = &n
		return nil
	}
}

func printQuota(c *call, q admin.Quota, asJSON bool) error {
	if asJSON {
		return printJSON(c.out, q)
	}
	most := func(n uint64, text string) string {
		if n == 0 {
			return "no limit"
		}
		return text
	}
	_, err := fmt.Fprintf(c.out, "%s holds %s (%s) in %d messages (%s)\n", q.Address,
		octets(q.Bytes), most(q.MaxBytes, "of "+octets(q.MaxBytes)), q.Messages, most(q.MaxMessages, fmt.Sprintf("of %d", q.MaxMessages)))
	return err
}
