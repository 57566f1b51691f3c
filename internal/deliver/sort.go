package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/reply"
	"letterlock/sieve"
)

// letter is one message on the sorting table, for all its recipients: parsed
// once.
type letter struct {
	*Sorter
	env    *mail.Envelope
	body   mail.Body
	sum    *mail.Summary
	start  []byte       // of body, its header at least; ends with [letter.end]
	parsed *mime.Header // of start; nil: nobody has asked yet

	judged      bool // for what follows
	spam, virus sieve.Verdict

	asked         bool // for what follows
	before, after *compiled
	globalErr     error

	planned map[memory]bool // to be remembered once all is committed
}

// memory is what an account remembers.
type memory struct {
	account uint64
	key     [32]byte
}

// recall makes what was planned for one recipient known to the others: an
// account that the letter comes to by two addresses answers it once, and sees
// that the second is a duplicate.
func (l *letter) recall(fates []*fate) {
	for _, f := range fates {
		if f.refusal != nil {
			continue
		}
		for _, m := range f.remember {
			if l.planned == nil {
				l.planned = make(map[memory]bool)
			}
			l.planned[memory{f.account, m.Key}] = true
		}
	}
}

// remembered says whether an account remembers, or will by the time that this
// letter has come to all.
func (l *letter) remembered(ctx context.Context, account uint64, key [32]byte, most time.Duration) (bool, error) {
	if l.planned[memory{account, key}] {
		return true, nil
	}
	return l.remembers(ctx, account, key, most)
}

// remembers says whether an account remembers already. Nothing of a kind is
// remembered for longer than most: what still holds for longer was written while the
// clock was ahead, and would keep people waiting until then.
func (l *letter) remembers(ctx context.Context, account uint64, key [32]byte, most time.Duration) (bool, error) {
	until, found, err := l.opt.Rules.Remembered(ctx, account, key)
	return found && until.Before(l.now().Add(most+overtaken)), err
}

// overtaken is by how much one letter may have come later than another that is
// sorted behind it.
const overtaken = 24 * time.Hour

// limits are those of the language.
func (l *letter) limits() sieve.Limits { return l.shelf.engine.Config().Limits }

// fate is what becomes of the message for one account.
type fate struct {
	account  uint64
	rcpt     mail.Address
	prefix   []byte
	filed    []filed
	remember []mail.Memory
	out      []*mail.Outbound
	own      []ownCopy // of answers that leave
	dropped  string    // the rule that threw it away
	unsent   []string  // the rules that wanted to send it on, and could not
	blocked  []blocked // what is known not to be sent as it demands
	refusal  *refusal
	notes    []note
	skipped  []skipped
	err      error // why it could not be committed
}

// filed is a copy, in the form that a rule put it there.
type filed struct {
	mail.Copy
	edit edit
	rule string
}

// refusal is a message that its recipient refuses (RFC 5429), or that was only
// to be sent on, where nobody can do so as its sender demands.
type refusal struct {
	reason    *reply.Error
	rule      string
	otherwise func() bool // says no in another way; nil: there is none
	alone     bool        // nothing else becomes of the message: nobody answers it, nothing of it is remembered
}

// implicit is the rule that keeps what no other decided about (RFC 5228
// §2.10.2).
const implicit = "implicit keep"

// header is that of the message.
func (l *letter) header() *mime.Header {
	if l.parsed == nil {
		l.parsed = mime.ParseHeader(l.start)
	}
	return l.parsed
}

// verdicts are the filter's. They are those of the letter as it came: no script
// changes them for the next one.
func (l *letter) verdicts() (spam, virus sieve.Verdict) {
	if !l.judged && l.opt.Filter.tells() {
		l.judged = true
		l.spam, l.virus = l.opt.Filter.Verdicts(l.header())
	}
	return l.spam, l.virus
}

// sort decides what becomes of the message for an account. An error is the
// store's, and nothing was decided.
func (l *letter) sort(ctx context.Context, account uint64, rcpt mail.Address) (*fate, error) {
	f := &fate{account: account, rcpt: rcpt, prefix: trace(l.env, l.opt.Hostname, rcpt)}
	if l.opt.Rules == nil {
		f.file(mail.Copy{Mailbox: inbox}, edit{}, "")
		return f, nil
	}
	scripts, notes, err := l.chain(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("rules of account %d: %w", account, err)
	}
	f.notes = notes
	if len(scripts) == 0 {
		f.file(mail.Copy{Mailbox: inbox}, edit{}, implicit)
		return f, nil
	}
	return f, l.run(ctx, f, scripts)
}

// run runs the scripts over the message as this account would have it.
func (l *letter) run(ctx context.Context, f *fate, scripts []*sieve.Script) error {
	owner, err := l.opt.Rules.Owner(ctx, f.account)
	if err != nil {
		return fmt.Errorf("owner of account %d: %w", f.account, err)
	}
	h := &host{letter: l, rules: l.opt.Rules, account: f.account}
	rcpt := f.rcpt
	if rcpt.Domain == "" {
		rcpt.Domain = strings.ToLower(l.opt.Addresses.Domain)
	}
	base, _, _ := rcpt.Detail(l.opt.Addresses.Delimiter)
	spam, virus := l.verdicts()
	rt := sieve.NewRuntime(ctx, l.shelf.engine, join(f.prefix, join(l.start, l.body, int64(len(l.start))), 0), &sieve.Input{
		Envelope:    l.envelope(f.rcpt, rcpt),
		Owner:       owner.String(),
		Own:         []string{owner.ALabels().String(), owner.ULabels().String(), base.ALabels().String(), base.ULabels().String()},
		Host:        h,
		Load:        l.loader(f.account),
		Now:         l.now(),
		Environment: environment(l.env),
		Spam:        spam,
		Virus:       virus,
	})
	for i, s := range scripts {
		if i > 0 && !kept(rt.Result()) {
			break
		}
		if err := rt.Run(s); err != nil {
			if ctx.Err() != nil || unanswered(err) {
				return err // we have no time or no answer: that is not the script's fault
			}
			f.notes = append(f.notes, brokenNote("", err))
		}
	}
	return l.carryOut(ctx, f, h, owner, rt.Result())
}

// unanswered says whether a script broke since the vault, or the letter itself,
// could not be read: it would have decided something else.
func unanswered(err error) bool {
	_, ok := errors.AsType[*sieve.HostError](err)
	return ok
}

// kept says whether keep is in effect, the implicit one or one that was asked
// for.
func kept(r *sieve.Result) bool {
	return r.Kept || slices.ContainsFunc(r.Actions, func(a sieve.Action) bool { _, ok := a.(*sieve.Keep); return ok })
}

// envelope is what a script can know of how the message came: to a recipient as
// the MTA named him, and with his domain.
func (l *letter) envelope(named, rcpt mail.Address) sieve.Envelope {
	e := sieve.Envelope{From: l.env.From.String(), To: rcpt.String(), RemoteIP: remoteIP(l.env.Peer)}
	asked(l.env.DSN[named], &e)
	return e
}

func remoteIP(peer string) string {
	if peer == "local" {
		return ""
	}
	return peer
}

// file adds a copy. There is one of the message in a mailbox, in whatever form
// (RFC 5228 §2.10.3); whoever comes later says which flags it has (RFC 5232 §3).
func (f *fate) file(c mail.Copy, e edit, rule string) {
	c.Flags = storable(c.Flags)
	for i := range f.filed {
		if there := &f.filed[i].Copy; sameBox(there.Mailbox, c.Mailbox) {
			there.Flags, there.Create = c.Flags, there.Create || c.Create
			return
		}
	}
	f.filed = append(f.filed, filed{c, e, rule})
}

// maxKeyword is how many octets of a keyword the store takes.
const maxKeyword = 128

// storable leaves out what would keep the store from filing the copy: no letter
// is lost to a flag.
func storable(flags []string) []string {
	var out []string
	for _, name := range flags {
		if len(name) <= maxKeyword {
			out = append(out, name)
		}
	}
	return out
}

// keep makes sure that the account has the message.
func (f *fate) keep(rule string) {
	if len(f.filed) == 0 {
		f.file(mail.Copy{Mailbox: inbox}, edit{}, rule)
	}
}
