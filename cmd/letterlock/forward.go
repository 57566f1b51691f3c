package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"letterlock/internal/admin"
)

var forwardAdd = verb{
	name:  "forward add",
	args:  "ADDR TO [--keep] [--requiretls]",
	short: "send somebody's mail on to another address",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		keep := f.Bool("keep", false, "keep a copy here of all that is sent on")
		sealed := f.Bool("requiretls", false, "ask REQUIRETLS for it, whatever its sender did")
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 2 {
				return errArguments
			}
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				m, err := o.AddForward(ctx, admin.Forward{Address: c.args[0], To: c.args[1], Keep: *keep, RequireTLS: *sealed})
				return c.warn(m, err)
			})
		}
	},
}

// warn passes on why something that was set does not work now.
func (c *call) warn(m admin.Managed, err error) error {
	if err == nil && m.Note != "" {
		fmt.Fprintf(c.err, "note: %s\n", m.Note)
	}
	return err
}

var forwardList = verb{
	name:  "forward list",
	args:  "ADDR [--json]",
	short: "show where somebody's mail is sent on to",
	setup: func(f *flag.FlagSet) action {
		return asking(f, 1, 1, managedOf, func(out io.Writer, m admin.Managed) error {
			w := columns(out)
			for _, fwd := range m.Forwards {
				marks := ""
				if m.Keep {
					marks += " kept here too"
				}
				if fwd.RequireTLS {
					marks += " REQUIRETLS"
				}
				fmt.Fprintf(w, "%s\t→ %s\t%s\n", m.Address, fwd.To, marks)
			}
			if m.Note != "" && len(m.Forwards) > 0 {
				fmt.Fprintf(w, "note: %s\n", m.Note)
			}
			return w.Flush()
		})
	},
}

func managedOf(ctx context.Context, o admin.Operations, args []string) (admin.Managed, error) {
	return o.Managed(ctx, args[0])
}

var forwardRemove = verb{
	name:  "forward remove",
	args:  "ADDR [TO]",
	short: "send somebody's mail on no more, or not to one address",
	setup: func(f *flag.FlagSet) action {
		return changing(f, 1, 2, func(ctx context.Context, o admin.Operations, args []string) error {
			in := admin.Forward{Address: args[0]}
			if len(args) == 2 {
				in.To = args[1]
			}
			_, err := o.RemoveForward(ctx, in)
			return err
		})
	},
}
