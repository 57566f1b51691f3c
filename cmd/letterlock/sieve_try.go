package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"letterlock/internal/config"
	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/mime"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/sieve"
)

var sieveTry = verb{
	name:  "sieve try",
	args:  "FILE [--from ADDR] [--to ADDR] [--requiretls] [--json] < LETTER",
	short: "show what a Sieve script would do with a letter; nothing is delivered",
	setup: func(f *flag.FlagSet) action {
		conf, asJSON := configFlag(f), jsonFlag(f)
		from := f.String("from", "", "the envelope's sender `ADDR`; without it the letter's Return-Path or From")
		to := f.String("to", "", "the recipient `ADDR`; without it the letter's Delivered-To or To")
		sealed := f.Bool("requiretls", false, "as if the sender had asked REQUIRETLS")
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 1 {
				return errArguments
			}
			if c.args[0] == "-" {
				return &usageError{"standard input is the letter", "name a file with the script; scripts that it includes are looked for beside it"}
			}
			cfg, err := config.Load(*conf)
			if err != nil {
				return err
			}
			script, err := c.scriptText(c.args[0])
			if err != nil {
				return err
			}
			t := &trial{cfg: cfg, name: filepath.Base(c.args[0]), dir: filepath.Dir(c.args[0]), script: script, demand: requiretls.Usual()}
			if *sealed {
				t.demand = requiretls.Required()
			}
			if err := t.read(c.in, *from, *to); err != nil {
				return err
			}
			p, said, err := t.run(ctx)
			if mistakes, ok := errors.AsType[sieve.Errors](err); ok {
				printRemarks(c.err, c.args[0], remarks(mistakes))
				return errSaid
			}
			if err != nil {
				return err
			}
			printRemarks(c.err, c.args[0], remarks(said))
			if *asJSON {
				return printJSON(c.out, p)
			}
			return p.print(c.out)
		}
	},
}

// trial is a letter sorted by a script in a house where nothing is kept.
type trial struct {
	cfg    *config.Config
	name   string
	dir    string // where scripts to be included are
	script []byte
	demand requiretls.Demand

	letter   []byte
	from, to mail.Address
}

// plan is what would become of the letter.
type plan struct {
	From   string    `json:"from"`
	To     string    `json:"to"`
	Spam   string    `json:"spam,omitempty"`  // what spamtest reads, where a filter tells: "0" is not tested
	Virus  string    `json:"virus,omitempty"` // and virustest
	File   []filing  `json:"file"`
	Send   []leaving `json:"send"`
	Refuse string    `json:"refuse,omitempty"` // the reply its sender would hear
	Drop   string    `json:"drop,omitempty"`   // the rule that throws it away
	Notes  []string  `json:"notes"`            // what the script asked for that would not be done, and why
}

// filing is one copy.
type filing struct {
	Mailbox string   `json:"mailbox"`
	Create  bool     `json:"create"` // made where it is missing; else INBOX takes its place
	Flags   []string `json:"flags"`
	Rule    string   `json:"rule"`
}

// leaving is one message that goes out.
type leaving struct {
	Kind   string `json:"kind"` // "redirect" or "answer"
	From   string `json:"from"`
	To     string `json:"to"`
	Demand string `json:"demand"`
}

// maxTried is the biggest letter that can be tried.
const maxTried = 100 << 20

// read takes the letter, and finds out who wrote to whom where nobody says so.
func (t *trial) read(in io.Reader, from, to string) (err error) {
	if t.letter, err = io.ReadAll(io.LimitReader(in, maxTried+1)); err != nil {
		return fmt.Errorf("read the letter: %w", err)
	}
	if len(t.letter) > maxTried {
		return withHint(errors.New("the letter is longer than 100 MiB"), "is it one letter?")
	}
	t.letter = bytes.ReplaceAll(bytes.ReplaceAll(t.letter, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	header := mime.ParseHeader(t.letter)
	if t.from, err = t.address(from, "--from", header, "Return-Path", "From"); err != nil {
		return err
	}
	if t.to, err = t.address(to, "--to", header, "Delivered-To", "X-Original-To", "To"); err != nil {
		return err
	}
	if t.to.IsNull() {
		t.to = mail.Address{Local: "me"}
	}
	t.to = addresses(t.cfg).Normal(t.to)
	return nil
}

// address is the one given, or the first that the letter has in one of the
// fields.
func (t *trial) address(given, name string, h *mime.Header, fields ...string) (mail.Address, error) {
	if given == "<>" {
		return mail.Address{}, nil
	}
	if given != "" {
		a, err := mail.ParseAddress(given)
		if err != nil {
			return a, &usageError{fmt.Sprintf("%s %q is not an address: %v", name, given, err), "an address reads ann@example.org; <> is the null sender"}
		}
		return a, nil
	}
	for _, field := range fields {
		for v := range h.Values(field) {
			for _, a := range mime.Addresses(v) {
				if got, err := mail.ParseAddress(a.Mailbox + "@" + a.Host); err == nil {
					return got, nil
				}
			}
		}
	}
	return mail.Address{}, nil
}

// run delivers the letter in a house of its own: the real sorting room, and a
// vault that only notes what it is given. What is to be said of a script that
// compiles comes with the plan.
func (t *trial) run(ctx context.Context) (*plan, []sieve.Diagnostic, error) {
	script, err := deliver.NewEngine(language(t.cfg)).Compile(t.name, t.script)
	if err != nil {
		return nil, nil, err
	}
	v := &emptyVault{trial: t, plan: plan{
		From: t.from.Path(), To: t.to.Path(), File: []filing{}, Send: []leaving{}, Notes: []string{},
	}}
	v.plan.Spam, v.plan.Virus = t.verdicts()
	opt := deliver.Options{
		Store: v, Rules: v, Hostname: t.cfg.Hostname, Addresses: addresses(t.cfg), Filter: filter(t.cfg),
		RuleLog: deliver.NewRuleLog(v), Log: maillog.New(slog.New(v)),
	}
	if t.cfg.Relay.Mode != config.RelayOff {
		opt.Way = openWay{}
	}
	env := &mail.Envelope{ID: "try", From: t.from, Demand: t.demand, Received: time.Now(), Protocol: "LMTP", Helo: t.cfg.Hostname, Peer: "local"}
	err = deliver.New(opt).Deliver(ctx, env, bytes.NewReader(t.letter), []mail.Address{t.to})[0]
	refusal := (*reply.Error)(nil)
	if errors.As(err, &refusal) && refusal.Class == reply.Permanent {
		v.plan.Refuse, err = refusal.Line(), nil
	}
	return &v.plan, script.Remarks(), err
}

// verdicts are what the filter in front of us found out about the letter; "" where
// none tells.
func (t *trial) verdicts() (spam, virus string) {
	f := filter(t.cfg)
	s, v := f.Verdicts(mime.ParseHeader(t.letter))
	if len(f.Spam) > 0 {
		spam = s.Spam()
	}
	if len(f.Virus) > 0 {
		virus = v.Virus()
	}
	return spam, virus
}

// openWay is a way out of which nothing bad is known.
type openWay struct{}

func (openWay) Preflight(context.Context, *mail.Outbound) error { return nil }

func (p *plan) print(out io.Writer) error {
	w := columns(out)
	if p.Spam != "" {
		fmt.Fprintf(w, "spam\t%s\n", score(p.Spam))
	}
	if p.Virus != "" {
		fmt.Fprintf(w, "virus\t%s\n", score(p.Virus))
	}
	for _, f := range p.File {
		where := f.Mailbox
		if f.Create {
			where += " (made where it is missing)"
		}
		fmt.Fprintf(w, "file\t%s\t%s\n", strings.Join(append([]string{where}, f.Flags...), " "), f.Rule)
	}
	for _, s := range p.Send {
		fmt.Fprintf(w, "%s\tto %s, from %s\t%s\n", s.Kind, s.To, s.From, demandWord(s.Demand))
	}
	if p.Refuse != "" {
		fmt.Fprintf(w, "refuse\t%s\n", p.Refuse)
	}
	if p.Drop != "" {
		fmt.Fprintf(w, "drop\t\t%s\n", p.Drop)
	}
	for _, note := range p.Notes {
		fmt.Fprintf(w, "note\t%s\n", note)
	}
	return w.Flush()
}

// score is what spamtest or virustest reads, in words.
func score(value string) string {
	if value == "0" {
		return "0, not tested"
	}
	return value
}

// demandWord is what people know a demand by.
func demandWord(demand string) string {
	if demand == requiretls.Required().String() {
		return "REQUIRETLS"
	}
	return ""
}

// emptyVault is a house with one account, whose only script is the one tried,
// and with the mailboxes of a new account. It is also the log.
type emptyVault struct {
	*trial
	plan plan
}

const triedAccount = 1

func (v *emptyVault) Account(context.Context, mail.Address) (uint64, bool, error) {
	return triedAccount, true, nil
}

func (v *emptyVault) Alias(context.Context, mail.Address) ([]mail.Address, bool, error) {
	return nil, false, nil
}

func (v *emptyVault) Eldest(context.Context) (uint64, bool, error) { return triedAccount, true, nil }

func (v *emptyVault) Room(context.Context, uint64) error { return nil }

// Commit notes what is committed of the letter. What the sorting room itself
// writes to the owner is in the notes.
func (v *emptyVault) Commit(_ context.Context, env *mail.Envelope, _ mail.Body, _ *mail.Summary, plans []mail.Delivery) []error {
	errs := make([]error, len(plans))
	if env.ID != "try" {
		return errs
	}
	for _, d := range plans {
		for _, c := range d.Copies {
			v.plan.File = append(v.plan.File, filing{Mailbox: c.Mailbox, Create: c.Create, Flags: append([]string{}, c.Flags...)})
		}
		for _, o := range d.Outbound {
			v.plan.Send = append(v.plan.Send, leaving{o.Kind.String(), o.From.Path(), o.To.Path(), o.Demand().String()})
		}
	}
	return errs
}

func (v *emptyVault) Turn(uint64) uint64 { return 0 }

func (v *emptyVault) Annotation(context.Context, uint64, string, string) (string, bool, error) {
	return "", false, nil
}

func (v *emptyVault) Active(context.Context, uint64, deliver.Known) (deliver.Script, bool, error) {
	return deliver.Script{Name: v.name, Version: [32]byte{1}, Text: v.script}, true, nil
}

// Script is one that is included: a file beside the one that is tried.
func (v *emptyVault) Script(_ context.Context, account uint64, name string, _ deliver.Known) (deliver.Script, bool, error) {
	if name == deliver.Managed || account == deliver.Everybody && (name == deliver.Before || name == deliver.After) {
		return deliver.Script{}, false, nil // these run by themselves
	}
	for _, file := range []string{name + ".sieve", name} {
		text, err := os.ReadFile(filepath.Join(v.dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return deliver.Script{Name: name, Version: sha256.Sum256(text), Text: text}, err == nil, err
	}
	return deliver.Script{}, false, nil
}

func (v *emptyVault) Owner(context.Context, uint64) (mail.Address, error) {
	base, _, _ := v.to.Detail(v.cfg.Address.Delimiter)
	return base, nil
}

func (v *emptyVault) Mailboxes(context.Context, uint64) ([]deliver.Mailbox, error) {
	return []deliver.Mailbox{
		{Name: "INBOX"}, {Name: "Drafts", Use: `\Drafts`}, {Name: "Sent", Use: `\Sent`},
		{Name: "Junk", Use: `\Junk`}, {Name: "Trash", Use: `\Trash`}, {Name: "Archive", Use: `\Archive`},
	}, nil
}

// Lands takes every mailbox that a script names for one that its owner has.
func (v *emptyVault) Lands(_ context.Context, _ uint64, c mail.Copy) (string, error) {
	return c.Mailbox, nil
}

func (v *emptyVault) Remembered(context.Context, uint64, [32]byte) (time.Time, bool, error) {
	return time.Time{}, false, nil
}

// Text and SetText keep the log of what the rules could not do: a line for
// each, with the time in front.
func (v *emptyVault) Text(context.Context, uint64) (string, error) { return "", nil }

func (v *emptyVault) SetText(_ context.Context, _ uint64, text string) error {
	for line := range strings.Lines(text) {
		v.plan.Notes = append(v.plan.Notes, strings.TrimSpace(line[min(len(line), len(time.DateTime)):]))
	}
	return nil
}

// The log tells by which rule something was done.

func (v *emptyVault) Enabled(context.Context, slog.Level) bool { return true }
func (v *emptyVault) WithAttrs([]slog.Attr) slog.Handler       { return v }
func (v *emptyVault) WithGroup(string) slog.Handler            { return v }

func (v *emptyVault) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "skipped" {
		said := map[string]string{}
		r.Attrs(func(a slog.Attr) bool { said[a.Key] = a.Value.String(); return true })
		v.plan.Notes = append(v.plan.Notes, fmt.Sprintf("%s: no %s: %s", said["rule"], said["what"], said["why"]))
	}
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case r.Message == "dropped" && a.Key == "why":
			v.plan.Drop = a.Value.String()
		case r.Message == "filed" && a.Key == "rules":
			rules, _ := a.Value.Any().([]string)
			for i := range v.plan.File {
				if len(rules) > 0 && v.plan.File[i].Rule == "" {
					v.plan.File[i].Rule, rules = rules[0], rules[1:]
				}
			}
		}
		return true
	})
	return nil
}
