package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"letterlock/internal/admin"
)

var vacationSet = verb{
	name:  "vacation set",
	args:  "ADDR [--from DATE] [--until DATE] [--subject TEXT] [--days N] [--also ADDR,…] < TEXT",
	short: "answer somebody's mail, once to each sender",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		from := f.String("from", "", "the first `DATE`, such as 2026-12-24; without it at once")
		until := f.String("until", "", "the last `DATE`; without it until letterlock vacation off")
		subject := f.String("subject", "", "the answer's `SUBJECT`; without it made of the message's")
		days := f.Int("days", 7, "`N` days between two answers to one sender")
		also := f.String("also", "", "further `ADDRESSES` of the person, with commas between")
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 1 {
				return errArguments
			}
			if *days < 1 {
				return &usageError{fmt.Sprintf("--days %d: there is at least a day between two answers to one sender", *days), "write a number from 1 on"}
			}
			text, err := c.answerText()
			if err != nil {
				return err
			}
			in := admin.Vacation{Address: c.args[0], Subject: *subject, Text: text, From: *from, Until: *until, Days: *days}
			for a := range strings.SplitSeq(*also, ",") {
				if a = strings.TrimSpace(a); a != "" {
					in.Addresses = append(in.Addresses, a)
				}
			}
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				m, err := o.SetVacation(ctx, in)
				return c.warn(m, err)
			})
		}
	},
}

// maxAnswer is how long an answer may be, in octets.
const maxAnswer = 64 << 10

// answerText reads the answer from standard input.
func (c *call) answerText() (string, error) {
	if _, tty := terminal(c.in); tty {
		fmt.Fprintln(c.err, "the answer, then Ctrl-D:")
	}
	text, err := io.ReadAll(io.LimitReader(c.in, maxAnswer+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the answer: %w", err)
	case len(text) > maxAnswer:
		return "", errors.New("the answer is longer than 64 KiB")
	case strings.TrimSpace(string(text)) == "":
		return "", withHint(errors.New("the answer is empty"), "it is read from standard input: letterlock vacation set ADDR < answer.txt")
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

var vacationShow = verb{
	name:  "vacation show",
	args:  "ADDR [--json]",
	short: "show how somebody's mail is answered",
	setup: func(f *flag.FlagSet) action {
		return asking(f, 1, 1, managedOf, func(w io.Writer, m admin.Managed) error {
			v := m.Vacation
			if v == nil {
				_, err := fmt.Fprintln(w, "off")
				return err
			}
			var b strings.Builder
			for _, line := range [][2]string{
				{"from", v.From}, {"until", v.Until}, {"subject", v.Subject}, {"also", strings.Join(v.Addresses, ", ")}, {"note", m.Note},
			} {
				if line[1] != "" {
					fmt.Fprintf(&b, "%s: %s\n", line[0], line[1])
				}
			}
			fmt.Fprintf(&b, "days: %d\n\n%s\n", v.Days, v.Text)
			_, err := io.WriteString(w, b.String())
			return err
		})
	},
}

var vacationOff = verb{
	name:  "vacation off",
	args:  "ADDR",
	short: "answer somebody's mail no more",
	setup: func(f *flag.FlagSet) action {
		return changing(f, 1, 1, func(ctx context.Context, o admin.Operations, args []string) error {
			_, err := o.RemoveVacation(ctx, args[0])
			return err
		})
	},
}
