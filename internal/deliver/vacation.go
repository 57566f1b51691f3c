package deliver

import (
	"context"
	"strings"

	"letterlock/internal/mail"
	"letterlock/sieve"
)

// ownCopy is a copy of a message of ours for its sender (RFC 8580).
type ownCopy struct {
	text []byte
	copy mail.Copy
	rule string
}

// answer plans a reply (RFC 5230): once to each sender within the period, asking
// of the way out what the message asked of the way here (RFC 8689 §6).
func (l *letter) answer(ctx context.Context, f *fate, h *host, owner mail.Address, a *sieve.Vacation, rule string) error {
	if a.Skip != "" {
		f.skip("answer", rule, a.Skip)
		return nil
	}
	key := digest("vacation", a.Handle, strings.ToLower(a.To))
	if a.Period > 0 {
		had, err := l.remembered(ctx, f.account, key, l.limits().VacationMax)
		if had {
			f.skip("answer", rule, "the sender had it before, and has it once in "+a.Period.String())
		}
		if had || err != nil {
			return err
		}
	}
	to, err := mail.ParseAddress(a.To)
	if err != nil || l.opt.Way == nil {
		f.note(noAnswer, rule, "An answer to "+a.To+" was asked for. This server sends no mail to there, so nothing was sent.")
		return nil
	}
	text := l.reply(f, owner, to, a)
	if !l.send(ctx, f, l.env.Answer(mail.Answer{Kind: mail.Answered, To: to, Text: text}), noAnswer, rule) {
		return nil
	}
	if a.Period > 0 {
		f.remember = append(f.remember, mail.Memory{Key: key, Until: l.now().Add(a.Period)})
	}
	if a.Fcc == nil {
		return nil
	}
	return l.fileCopy(ctx, f, h, a.Fcc, text, rule)
}

const tooLong = "It is too long, with all else that was to leave because of the message."

// send lets a message of ours leave, unless it is known that it would not be
// sent as it demands: then that is logged, and nothing is lost (RFC 8689 §6).
func (l *letter) send(ctx context.Context, f *fate, o *mail.Outbound, what, rule string) bool {
	if err := l.opt.Way.Preflight(ctx, o); err != nil {
		f.note(what, rule, "")
		return false
	}
	if !f.fits(o) {
		f.note(what, rule, tooLong)
		return false
	}
	f.out = append(f.out, o)
	return true
}

// fileCopy plans the copy that its sender wants of a message of ours.
func (l *letter) fileCopy(ctx context.Context, f *fate, h *host, fcc *sieve.Fcc, text []byte, rule string) error {
	name, err := h.name(ctx, fcc.Target)
	if err != nil {
		return err
	}
	f.own = append(f.own, ownCopy{text, mail.Copy{Mailbox: name, Create: fcc.Create, Flags: storable(fcc.Flags)}, rule})
	return nil
}

// reply is the text of an answer (RFC 5230 §5).
func (l *letter) reply(f *fate, owner, to mail.Address, a *sieve.Vacation) []byte {
	from := a.From
	switch {
	case from != "":
	case a.Own != "":
		from = a.Own
	default:
		from = owner.String()
	}
	subject := a.Subject
	if subject == "" { // RFC 5230 §5.3
		subject = l.about(a.Rewrite, "Auto: ", "Automated reply")
	}
	d := draft{
		word: "answer", from: from, to: to.Path(), subject: subject,
		auto: "auto-replied (vacation)",
		more: []string{"Precedence: bulk", "X-Auto-Response-Suppress: All"},
		text: a.Reason,
	}
	if a.MIME {
		d.text, d.entity = "", a.Reason
	}
	return l.compose(f, d)
}
