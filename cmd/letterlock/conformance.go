package main

import (
	"context"
	"flag"
	"strings"

	"letterlock/internal/conformance"
)

var conformanceVerb = verb{
	name:  "conformance rfc8689",
	args:  "--lmtp ADDR|--smtp ADDR --to RCPT[,RCPT…] [--ca FILE|--any-certificate] [--name NAME] [--from ADDR] [--imap ADDR --user USER --password-stdin] [--json]",
	short: "judge how any server keeps RFC 8689 (REQUIRETLS); exit 1 where it fails",
	setup: func(f *flag.FlagSet) action {
		var q examinee
		f.StringVar(&q.lmtp, "lmtp", "", "the server, over LMTP: `HOST:PORT`, tls:HOST:PORT or unix:PATH")
		f.StringVar(&q.smtp, "smtp", "", "the server, over SMTP: `HOST:PORT` or tls:HOST:PORT")
		f.StringVar(&q.to, "to", "", "`RECIPIENTS` it takes mail for, with commas between; test letters go there")
		f.StringVar(&q.target.Sender, "from", "", "the test letters' sender `ADDR`; without it the first recipient")
		f.StringVar(&q.target.CAFile, "ca", "", "`FILE` with the CA of its certificate; without it the system's")
		f.BoolVar(&q.any, "any-certificate", false, "take any certificate; whether it proves the server is not judged")
		f.StringVar(&q.target.ServerName, "name", "", "the `NAME` its certificate must have; without it the host asked")
		f.StringVar(&q.target.IMAP, "imap", "", "where the first recipient's mail is read: `HOST:PORT` or tls:HOST:PORT")
		f.StringVar(&q.target.User, "user", "", "the `USER` who logs in there")
		f.BoolVar(&q.stdin, "password-stdin", false, "read the password of --user from standard input")
		asJSON := jsonFlag(f)
		return func(ctx context.Context, c *call) error {
			target, err := q.complete(c)
			if err != nil {
				return err
			}
			ctx, stop := interruptible(ctx)
			defer stop()
			report, err := conformance.Run(ctx, target)
			if err != nil {
				return withHint(err, "does a server listen there, and speak what --lmtp or --smtp says?")
			}
			if *asJSON {
				err = report.WriteJSON(c.out)
			} else {
				err = report.WriteTable(c.out)
			}
			if err == nil && report.Count(conformance.Fail) > 0 {
				return errSaid
			}
			return err
		}
	},
}

// examinee is the server to be judged, as the flags name it.
type examinee struct {
	target     conformance.Target
	lmtp, smtp string
	to         string
	any, stdin bool
}

// complete is what the flags say, or what they lack.
func (q *examinee) complete(c *call) (t conformance.Target, err error) {
	t = q.target
	switch {
	case len(c.args) > 0:
		return t, errArguments
	case (q.lmtp == "") == (q.smtp == ""):
		return t, &usageError{"whom to judge is not clear", "name one server: --lmtp HOST:PORT or --smtp HOST:PORT"}
	case q.to == "":
		return t, &usageError{"there is no recipient", "--to names an address that the server takes mail for; test letters go there"}
	case q.any && t.CAFile != "":
		return t, &usageError{"--ca does not go with --any-certificate", "leave out the one or the other"}
	case (t.IMAP == "") != (t.User == "") || (t.User == "") == q.stdin:
		return t, &usageError{"a mailbox needs --imap, --user and --password-stdin", "without all three only the receiving side is judged"}
	}
	t.Protocol, t.Address = conformance.LMTP, q.lmtp
	if q.smtp != "" {
		t.Protocol, t.Address = conformance.SMTP, q.smtp
	}
	for a := range strings.SplitSeq(q.to, ",") {
		t.Recipients = append(t.Recipients, strings.TrimSpace(a))
	}
	if q.any {
		t.Trust = conformance.AnyCertificate
	}
	if q.stdin {
		t.Password, err = lineOf(c.in)
	}
	return t, err
}
