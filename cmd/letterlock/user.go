package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"letterlock/internal/admin"
)

var userAdd = verb{
	name:  "user add",
	args:  "ADDR [--password-stdin]",
	short: "make an account",
	setup: func(f *flag.FlagSet) action {
		conf, stdin := configFlag(f), passwordFlag(f)
		return func(ctx context.Context, c *call) error {
			return changeLogin(ctx, c, *conf, passwordSource(stdin), mayCreate, admin.Operations.AddUser)
		}
	},
}

var userPasswd = verb{
	name:  "user passwd",
	args:  "ADDR [--password-stdin]",
	short: "change an account's password",
	setup: func(f *flag.FlagSet) action {
		conf, stdin := configFlag(f), passwordFlag(f)
		return func(ctx context.Context, c *call) error {
			return changeLogin(ctx, c, *conf, passwordSource(stdin), mustExist, admin.Operations.SetPassword)
		}
	},
}

// changeLogin reads a password and hands it, derived, to one of the operations.
func changeLogin(ctx context.Context, c *call, conf string, from source, data folder, change func(admin.Operations, context.Context, admin.Login) (admin.User, error)) error {
	if len(c.args) != 1 {
		return errArguments
	}
	// First the question, then the desk: the store is not held while somebody types.
	credentials, err := newCredentials(c, c.args[0], from)
	if err != nil {
		return err
	}
	return atDesk(ctx, conf, data, func(o admin.Operations) error {
		_, err := change(o, ctx, admin.Login{Address: c.args[0], Credentials: credentials})
		return err
	})
}

var userList = verb{
	name:  "user list",
	args:  "[--json]",
	short: "list the accounts",
	setup: func(f *flag.FlagSet) action {
		return listing(f, admin.Operations.Users, func(w io.Writer, u admin.User) {
			fmt.Fprintf(w, "%s\t%d messages\t%s\tsince %s\n", u.Address, u.Messages, octets(u.Bytes), u.Created.Format("2006-01-02"))
		})
	},
}

var userRemove = verb{
	name:  "user remove",
	args:  "ADDR",
	short: "remove an account and all its mail",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 1 {
				return errArguments
			}
			if err := confirmRemoval(c); err != nil {
				return err
			}
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				_, err := o.RemoveUser(ctx, c.args[0])
				return err
			})
		}
	},
}

// confirmRemoval asks a person once; a script is taken at its word.
func confirmRemoval(c *call) error {
	tty, ok := terminal(c.in)
	if !ok {
		return nil
	}
	fmt.Fprintf(c.err, "This removes %s and all its mail for good. Type yes to go on: ", c.args[0])
	answer, err := bufio.NewReader(tty).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was removed")
	}
	return nil
}
