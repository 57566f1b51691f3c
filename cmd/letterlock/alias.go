package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"letterlock/internal/admin"
)

var aliasAdd = verb{
	name:  "alias add",
	args:  "ADDR|@DOMAIN TARGET…",
	short: "send an address, or what a domain has no user for, to others",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) < 2 {
				return errArguments
			}
			return atDesk(ctx, *conf, mayCreate, func(o admin.Operations) error {
				_, err := o.AddAlias(ctx, admin.Alias{From: c.args[0], To: c.args[1:]})
				return err
			})
		}
	},
}

var aliasRemove = verb{
	name:  "alias remove",
	args:  "ADDR|@DOMAIN [TARGET…]",
	short: "remove an alias, or some of its targets",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) < 1 {
				return errArguments
			}
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				_, err := o.RemoveAlias(ctx, admin.Alias{From: c.args[0], To: c.args[1:]})
				return err
			})
		}
	},
}

var aliasList = verb{
	name:  "alias list",
	args:  "[--json]",
	short: "list the aliases",
	setup: func(f *flag.FlagSet) action {
		return listing(f, admin.Operations.Aliases, func(w io.Writer, a admin.Alias) {
			fmt.Fprintf(w, "%s\t→ %s\n", a.From, strings.Join(a.To, ", "))
		})
	},
}
