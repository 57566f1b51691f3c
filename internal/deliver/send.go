package deliver

import (
	"bytes"
	"context"
	"strings"

	"letterlock/internal/mail"
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

// redirect sends the message on. What cannot be sent is kept, and said.
func (l *letter) redirect(f *fate, owner mail.Address, a *sieve.Redirect, rule string) {
	to, err := mail.ParseAddress(a.To)
	why := ""
	switch {
	case err != nil || to.Domain == "":
		why = "The message was to be sent on to " + a.To + ", which is no address mail can go to. It was kept."
	case l.opt.Way == nil:
		why = "The message was to be sent on to " + a.To + ". This server sends no mail, so it was kept."
	case l.cameBack(owner):
		why = "The message was to be sent on to " + a.To + " and had been sent on by you before: it travels in circles. It was kept."
	}
	if why != "" {
		f.note(noRedirect, rule, why)
		f.unsent = append(f.unsent, rule)
		return
	}
	e := f.edited(a.Rewrite, rule)
	r := mail.Redirect{To: to, DSN: dsn(a), Skip: e.skip}
	r.Prefix = append(r.Prefix, ownReceived(f.prefix)...)
	r.Prefix = append(r.Prefix, redirectedFrom+": "+owner.String()+"\r\n"...)
	r.Prefix = append(r.Prefix, e.header...)
	o := l.env.Redirect(r)
	if a.Marks[markRequired] != "" {
		o.Raise()
	}
	f.out = append(f.out, o)
}

// cameBack says whether the owner had sent the message on before.
func (l *letter) cameBack(owner mail.Address) bool {
	for v := range l.header.Values(redirectedFrom) {
		if strings.EqualFold(v, owner.String()) {
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

var notifyWord = map[string]mail.Notify{
	"NEVER": mail.NotifyNever, "SUCCESS": mail.NotifySuccess, "FAILURE": mail.NotifyFailure, "DELAY": mail.NotifyDelay,
}

// dsn is what the script wants to be told (RFC 6009 §6).
func dsn(a *sieve.Redirect) (d mail.DSN) {
	for word := range strings.SplitSeq(a.Notify, ",") {
		d.Notify |= notifyWord[word]
	}
	switch a.Return {
	case "FULL":
		d.Return = mail.ReturnFull
	case "HDRS":
		d.Return = mail.ReturnHeaders
	}
	return d
}
