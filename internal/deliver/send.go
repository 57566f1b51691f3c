package deliver

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/reply"
	"letterlock/sieve"
)

// Preflight is what is known already of the way mail would leave by.
type Preflight interface {
	// Preflight says what would become of o: nil where nothing known speaks
	// against sending it, or a [*reply.Error] where it is known that it cannot
	// be sent as it demands (RFC 8689 §4.2.1, §5). It asks nobody and does not wait.
	Preflight(ctx context.Context, o *mail.Outbound) error
}

// redirectedFrom names the account that sent a message on; a message that comes
// back with it travels in circles (RFC 5228 §10).
const redirectedFrom = "X-Sieve-Redirected-From"

// blocked is a redirect that is known not to be sent as the sender demands.
type blocked struct {
	out    *mail.Outbound
	reason *reply.Error
	rule   string
}

// redirect sends the message on. What cannot be sent is kept, and said; so is what may
// be sent in a few words alone, since nobody can be told that it failed: a report, or
// an answer, that demands protection (RFC 8689 §5).
func (l *letter) redirect(ctx context.Context, f *fate, owner mail.Address, a *sieve.Redirect, rule string) error {
	to, err := mail.ParseAddress(a.To)
	key := digest("redirected", l.sum.MessageID, to.String())
	circle, remembered := l.cameBack(owner), error(nil)
	if !circle && l.passedHere() {
		circle, remembered = l.remembers(ctx, f.account, key, circlePeriod)
	}
	if remembered != nil {
		return remembered
	}
	why := ""
	switch {
	case err != nil || to.Domain == "":
		why = "The message was to be sent on to " + a.To + ", which is no address mail can go to. It was kept."
	case l.opt.Way == nil:
		why = "The message was to be sent on to " + a.To + ". This server sends no mail, so it was kept."
	case circle:
		why = "The message was to be sent on to " + a.To + " and had been sent on by you before: it travels in circles. It was kept."
	}
	if why != "" {
		f.note(noRedirect, rule, why)
		f.unsent = append(f.unsent, rule)
		return nil
	}
	e := f.edited(a.Rewrite, rule)
	r := mail.Redirect{To: to, DSN: dsn(a), Skip: e.skip}
	switch {
	case r.DSN.Notify != 0 || r.DSN.Return != 0:
		r.From = owner // RFC 6009 §6.1: MUST
	case l.opt.Sender != nil:
		r.From = l.opt.Sender(l.env.From, owner)
	}
	r.Prefix = append(r.Prefix, ownReceived(f.prefix)...)
	r.Prefix = append(r.Prefix, redirectedFrom+": "+words(owner.ALabels().String())+"\r\n"...)
	r.Prefix = append(r.Prefix, e.header...)
	o := l.env.Redirect(r)
	if a.Marks[markRequired] != "" {
		o.Raise()
	}
	if !f.fits(o) {
		f.note(noRedirect, rule, tooLong+" It was kept.")
		f.unsent = append(f.unsent, rule)
		return nil
	}
	if no, ok := errors.AsType[*reply.Error](l.opt.Way.Preflight(ctx, o)); ok && no.Class == reply.Permanent {
		f.blocked = append(f.blocked, blocked{o, no, rule})
		return nil
	}
	f.out = append(f.out, o)
	f.remember = append(f.remember, mail.Memory{Key: key, Until: l.now().Add(circlePeriod)})
	if o.From.IsNull() && o.Demand().IsRequired() {
		f.note(noRedirect, rule, "A message without a return path was sent on to "+a.To+". It demands protection (REQUIRETLS): where that is not to be had on its way, only a word of it arrives. It was kept.")
		f.unsent = append(f.unsent, rule)
	}
	return nil
}

// circlePeriod is how long a message that was sent on is known again.
const circlePeriod = 7 * 24 * time.Hour

// judgeBlocked decides about redirects that would not be sent as the message
// demands. Where it was to be sent on and nothing else, it is refused here: the
// sender's own server says so (RFC 8689 §4.2.1). Beside a copy that is kept, its
// owner is told. Beside others that are sent on, it waits in the outbox for its
// bounce.
func (f *fate) judgeBlocked() {
	switch {
	case len(f.blocked) == 0 || f.refusal != nil:
	case len(f.filed) > 0 || len(f.unsent) > 0:
		for _, b := range f.blocked {
			f.note(noRedirect, b.rule, "The message was to be sent on to "+b.out.To.String()+
				", and cannot be protected on its way there as its sender demands ("+b.reason.Line()+"). It was kept.")
		}
	case !slices.ContainsFunc(f.out, func(o *mail.Outbound) bool { return o.Kind == mail.Redirected }):
		f.refusal = &refusal{reason: f.blocked[0].reason, rule: f.blocked[0].rule, alone: true}
	default:
		for _, b := range f.blocked {
			f.out = append(f.out, b.out)
		}
	}
}

// passedHere says whether one of our own Received is in the header already.
func (l *letter) passedHere() bool {
	for v := range l.header().Values("Received") {
		if strings.Contains(v, "by "+l.opt.Hostname+" with ") {
			return true
		}
	}
	return false
}

// cameBack says whether the owner had sent the message on before.
func (l *letter) cameBack(owner mail.Address) bool {
	for v := range l.header().Values(redirectedFrom) {
		v = mime.DecodeHeader(v)
		if strings.EqualFold(v, owner.ALabels().String()) || strings.EqualFold(v, owner.String()) {
			return true
		}
	}
	return false
}

// ownReceived is the trace without what final delivery adds: the next hop counts
// our Received, and the message is not at its end (RFC 5321 §4.4).
func ownReceived(prefix []byte) []byte {
	if i := bytes.Index(prefix, []byte("Received: ")); i >= 0 {
		return prefix[i:]
	}
	return nil
}

// How NOTIFY and RET are said (RFC 3461 §4.1, §4.3).
var (
	notifyWords = []struct {
		event mail.Notify
		word  string
	}{{mail.NotifyNever, "NEVER"}, {mail.NotifySuccess, "SUCCESS"}, {mail.NotifyFailure, "FAILURE"}, {mail.NotifyDelay, "DELAY"}}
	returnWords = [...]string{mail.ReturnNotStated: "", mail.ReturnHeaders: "HDRS", mail.ReturnFull: "FULL"}
)

// dsn is what the script wants to be told (RFC 6009 §6).
func dsn(a *sieve.Redirect) (d mail.DSN) {
	for _, w := range notifyWords {
		if slices.Contains(strings.Split(a.Notify, ","), w.word) {
			d.Notify |= w.event
		}
	}
	d.Return = mail.Return(max(0, slices.Index(returnWords[:], a.Return)))
	return d
}

// asked is the reverse, for the envelope that a script reads (RFC 6009 §4).
func asked(d mail.DSN, e *sieve.Envelope) {
	for _, w := range notifyWords {
		if d.Notify&w.event != 0 {
			e.Notify = append(e.Notify, w.word)
		}
	}
	e.Ret, e.ID = returnWords[d.Return], d.EnvID
	if d.ORcptType != "" {
		e.ORcpt = d.ORcptType + ";" + d.ORcpt
	}
}
