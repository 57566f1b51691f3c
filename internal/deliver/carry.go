package deliver

import (
	"context"
	"strings"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/sieve"
)

// carryOut makes one fate of what the scripts decided. Everything is evaluated,
// nothing has happened yet.
func (l *letter) carryOut(ctx context.Context, f *fate, h *host, owner mail.Address, res *sieve.Result) error {
	for _, a := range res.Actions {
		rule := sieve.At(a).String()
		var err error
		switch a := a.(type) {
		case *sieve.Keep:
			if a.Implicit {
				rule = implicit
			}
			f.file(mail.Copy{Mailbox: inbox, Flags: a.Flags}, f.edited(a.Rewrite, rule), rule)
		case *sieve.FileInto:
			err = l.fileInto(ctx, f, h, a, rule)
		case *sieve.Discard:
			f.dropped = rule
		case *sieve.Reject:
			l.reject(f, a, rule)
		case *sieve.Redirect:
			err = l.redirect(ctx, f, owner, a, rule)
		case *sieve.Vacation:
			err = l.answer(ctx, f, h, owner, a, rule)
		case *sieve.Notify:
			err = l.notify(ctx, f, h, owner, a, rule)
		}
		if err != nil {
			return err
		}
	}
	f.judgeBlocked()
	if len(f.unsent) > 0 && f.refusal == nil {
		f.keep(f.unsent[0])
	}
	if err := l.land(ctx, f); err != nil {
		return err
	}
	for _, t := range res.Tracks {
		if len(f.remember) >= maxRemembered {
			f.note(noTrack, "", "The script asks after more duplicates than are remembered for one message. The last ones were not remembered.")
			break
		}
		f.remember = append(f.remember, mail.Memory{Key: digest("duplicate", t.Handle, t.ID), Until: l.now().Add(t.Period)})
	}
	return nil
}

// What one message may make leave and be remembered for an account: less than a
// store takes, so that no letter waits outside for what a script wants beside it.
const (
	maxRemembered = 48
	maxLeaving    = 128
	maxOctetsOut  = 512 << 10
)

// fits says whether there is room for another letter that leaves.
func (f *fate) fits(o *mail.Outbound) bool {
	n, octets := 1, weight(o)
	for _, other := range f.out {
		n, octets = n+1, octets+weight(other)
	}
	for _, b := range f.blocked {
		n, octets = n+1, octets+weight(b.out)
	}
	return n <= maxLeaving && octets <= maxOctetsOut
}

// weight is the octets of a letter's own, beside the message that it came of.
func weight(o *mail.Outbound) int { return len(o.Prefix) + len(o.Suffix) + len(o.Redacted) }

func (l *letter) fileInto(ctx context.Context, f *fate, h *host, a *sieve.FileInto, rule string) error {
	name, err := h.name(ctx, a.Target)
	if err != nil {
		return err
	}
	f.file(mail.Copy{Mailbox: name, Create: a.Create, Flags: a.Flags}, f.edited(a.Rewrite, rule), rule)
	return nil
}

// land names what is filed, once all is known that is to be made, by where it will
// lie: a mailbox that is missing is INBOX for the letter, the log and its owner, who is
// told.
func (l *letter) land(ctx context.Context, f *fate) error {
	planned := f.filed
	f.filed = nil
	for _, c := range planned {
		if err := l.landOne(ctx, f, &c.Copy, c.rule, "The message"); err != nil {
			return err
		}
		f.file(c.Copy, c.edit, c.rule)
	}
	for i := range f.own {
		if err := l.landOne(ctx, f, &f.own[i].copy, f.own[i].rule, "A copy of what was sent"); err != nil {
			return err
		}
	}
	return nil
}

func (l *letter) landOne(ctx context.Context, f *fate, c *mail.Copy, rule, what string) error {
	if c.Mailbox == inbox { // as most do
		return nil
	}
	name, err := l.opt.Rules.Lands(ctx, f.account, *c)
	if err != nil {
		return err
	}
	if !sameBox(name, c.Mailbox) {
		f.note(noMailbox, rule, what+" was to be filed in "+c.Mailbox+", and there is "+missing(c)+". It was filed in "+name+".")
		c.Create = false
	}
	c.Mailbox = name
	return nil
}

// missing says what there is not, and what may have been meant: many rules have come
// from servers that part levels by a dot.
func missing(c *mail.Copy) string {
	switch {
	case c.Create:
		return "no such mailbox, nor can it be made"
	case strings.Contains(c.Mailbox, ".") && !strings.Contains(c.Mailbox, "/"):
		return "no such mailbox (levels are parted by / here: " + strings.ReplaceAll(c.Mailbox, ".", "/") + ")"
	}
	return "no such mailbox"
}

// edited is the message as a script changed it.
func (f *fate) edited(r *sieve.Rewrite, rule string) edit {
	if r == nil {
		return edit{}
	}
	e, ok := edited(r.Header, r.Skip, f.prefix)
	if !ok {
		f.note(noEdit, rule, "A change of the header could not be made.")
	}
	return e
}

// maxReason is how many octets of a reason are said: what fits into one line of a
// reply with its codes (RFC 5321 §4.5.3.1.5: 512 octets).
const maxReason = 480

// reject plans a refusal in the dialogue, which RFC 5429 §2.1.1 demands of
// ereject, and §2.2 allows for reject where its reason can be said there whole. A
// reason of several lines MUST be a reply of several (§2.5).
func (l *letter) reject(f *fate, a *sieve.Reject, rule string) {
	text := strings.Join(strings.FieldsFunc(a.Reason, func(r rune) bool { return r == '\r' || r == '\n' }), "\n")
	sayable := ascii(text) && len(text) <= maxReason
	switch {
	case sayable:
	case a.Protocol && ascii(text):
		text = text[:maxReason]
	case a.Protocol:
		text = "refused by the recipient's mail filter" // §2.1.1: MUST be replaced
	default:
		if !l.rejectByMail(f, a) {
			f.keep(rule)
			f.note(noReject, rule, "The message was to be rejected with a reason that can only be sent in a message of its own. None can be sent, so it was kept.")
		}
		return
	}
	if strings.TrimSpace(text) == "" {
		text = "refused by the recipient's mail filter"
	}
	no := reply.Perm(50, "7.1", text)                           // RFC 5429 §2.5
	no.Logged = "refused by a rule of the recipient's: " + rule // its reason may quote the message, which no log may
	f.refusal = &refusal{reason: no, rule: rule}
	f.refusal.otherwise = func() bool { return l.rejectByMail(f, a) }
}

// rejectByMail says no with a message of its own, where mail leaves and there
// is somebody to hear it.
func (l *letter) rejectByMail(f *fate, a *sieve.Reject) bool {
	if l.opt.Way == nil {
		return false
	}
	report, ok := l.rejection(f, a)
	if !ok || !f.fits(report) {
		return false
	}
	f.out = append(f.out, report)
	return true
}

// unrefuse is for what could not be refused in the dialogue, since others behind
// the same address take it: there is one answer for all.
func (f *fate) unrefuse() {
	r := f.refusal
	f.refusal = nil
	if r.otherwise != nil && r.otherwise() {
		return
	}
	f.keep(r.rule)
	f.note(noReject, r.rule, "The message was to be refused. Others behind the same address took it, so it was kept.")
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
