package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"letterlock/internal/admin"
)

// everybody stands where an address does, for the scripts that are nobody's
// own: those named before and after run round everybody's, others can be
// included.
const everybody = "global"

const whoseScripts = "ADDR|" + everybody

// ownerOf is whose scripts an argument means, in the desk's words.
func ownerOf(arg string) string {
	if arg == everybody {
		return ""
	}
	return arg
}

var sievePut = verb{
	name:  "sieve put",
	args:  whoseScripts + " NAME FILE [--activate]",
	short: "keep a script, if it compiles (- is standard input)",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		activate := f.Bool("activate", false, "sort mail by it from now on")
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 3 {
				return errArguments
			}
			text, err := c.scriptText(c.args[2])
			if err != nil {
				return err
			}
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				s, err := o.PutScript(ctx, admin.ScriptPut{Address: ownerOf(c.args[0]), Name: c.args[1], Text: text, Activate: *activate})
				if refusal, ok := errors.AsType[*admin.Refusal](err); ok && len(refusal.Diagnostics) > 0 {
					printRemarks(c.err, c.args[2], deskRemarks(refusal.Diagnostics))
					return withHint(fmt.Errorf("script %q does not compile, nothing has changed", c.args[1]), "mend it and try again")
				}
				printRemarks(c.err, c.args[2], deskRemarks(s.Remarks))
				return err
			})
		}
	},
}

func deskRemarks(list []admin.Diagnostic) (said []remark) {
	for _, d := range list {
		said = append(said, remark(d))
	}
	return said
}

var sieveGet = verb{
	name:  "sieve get",
	args:  whoseScripts + " [NAME] [--json]",
	short: "write a script to standard output; without NAME the active one",
	setup: func(f *flag.FlagSet) action {
		return asking(f, 1, 2, func(ctx context.Context, o admin.Operations, args []string) (admin.Script, error) {
			name := admin.ScriptName{Address: ownerOf(args[0])}
			if len(args) == 2 {
				name.Name = args[1]
			}
			return o.Script(ctx, name)
		}, func(w io.Writer, s admin.Script) error {
			_, err := w.Write(s.Text)
			return err
		})
	},
}

var sieveList = verb{
	name:  "sieve list",
	args:  whoseScripts + " [--json]",
	short: "list somebody's scripts, or everybody's",
	setup: func(f *flag.FlagSet) action {
		return asking(f, 1, 1, func(ctx context.Context, o admin.Operations, args []string) ([]admin.Script, error) {
			list, err := o.Scripts(ctx, ownerOf(args[0]))
			return append([]admin.Script{}, list...), err
		}, func(out io.Writer, list []admin.Script) error {
			w := columns(out)
			for _, s := range list {
				mark := ""
				switch {
				case s.Managed:
					mark = "managed: letterlock forward, letterlock vacation"
				case s.Active:
					mark = "active"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, octets(uint64(s.Size)), mark)
			}
			return w.Flush()
		})
	},
}

var sieveActivate = verb{
	name:  "sieve activate",
	args:  "ADDR NAME",
	short: "sort somebody's mail by a script, in place of any other",
	setup: func(f *flag.FlagSet) action {
		return changing(f, 2, 2, func(ctx context.Context, o admin.Operations, args []string) error {
			_, err := o.ActivateScript(ctx, admin.ScriptName{Address: ownerOf(args[0]), Name: args[1]})
			return err
		})
	},
}

var sieveDeactivate = verb{
	name:  "sieve deactivate",
	args:  "ADDR",
	short: "sort somebody's mail by no script",
	setup: func(f *flag.FlagSet) action {
		return changing(f, 1, 1, func(ctx context.Context, o admin.Operations, args []string) error {
			_, err := o.ActivateScript(ctx, admin.ScriptName{Address: ownerOf(args[0])})
			return err
		})
	},
}

var sieveRemove = verb{
	name:  "sieve remove",
	args:  whoseScripts + " NAME",
	short: "remove a script that is not active",
	setup: func(f *flag.FlagSet) action {
		return changing(f, 2, 2, func(ctx context.Context, o admin.Operations, args []string) error {
			_, err := o.RemoveScript(ctx, admin.ScriptName{Address: ownerOf(args[0]), Name: args[1]})
			return err
		})
	},
}

var sieveLog = verb{
	name:  "sieve log",
	args:  "ADDR [--json]",
	short: "show what somebody's rules could not do",
	setup: func(f *flag.FlagSet) action {
		return asking(f, 1, 1, func(ctx context.Context, o admin.Operations, args []string) (admin.RulesLog, error) {
			return o.RulesLog(ctx, args[0])
		}, func(w io.Writer, l admin.RulesLog) (err error) {
			for _, line := range l.Lines {
				if _, e := fmt.Fprintln(w, line); err == nil {
					err = e
				}
			}
			return err
		})
	},
}
