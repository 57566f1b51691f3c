package deliver

import (
	"context"
	"fmt"
	"mime"
	"strings"

	"letterlock/internal/mail"
	"letterlock/sieve"
)

// ownCopy is a copy of a message of ours for its sender (RFC 8580).
type ownCopy struct {
	text []byte
	copy mail.Copy
}

// answer plans a reply (RFC 5230): once to each sender within the period, asking
// of the way out what the message asked of the way here (RFC 8689 §6).
func (l *letter) answer(ctx context.Context, f *fate, h *host, owner mail.Address, a *sieve.Vacation, rule string) error {
	if a.Skip != "" {
		return nil
	}
	key := digest("vacation", a.Handle, strings.ToLower(a.To))
	if a.Period > 0 {
		if had, err := l.opt.Rules.Remembered(ctx, f.account, key); had || err != nil {
			return err
		}
	}
	to, err := mail.ParseAddress(a.To)
	if err != nil || l.opt.Way == nil {
		f.note(noAnswer, rule, "An answer to "+a.To+" was asked for. This server sends no mail to there, so nothing was sent.")
		return nil
	}
	o := l.env.Answer(mail.Answer{Kind: mail.Answered, To: to, Text: l.reply(f, owner, to, a)})
	f.out = append(f.out, o)
	if a.Period > 0 {
		f.remember = append(f.remember, mail.Memory{Key: key, Until: l.now().Add(a.Period)})
	}
	if a.Fcc != nil {
		name, err := h.name(ctx, a.Fcc.Target)
		if err != nil {
			return err
		}
		f.own = append(f.own, ownCopy{o.Prefix, mail.Copy{Mailbox: name, Create: a.Fcc.Create, Flags: storable(a.Fcc.Flags)}})
	}
	return nil
}

// reply is the text of an answer (RFC 5230 §5, RFC 3834 §3.1).
func (l *letter) reply(f *fate, owner, to mail.Address, a *sieve.Vacation) []byte {
	from := a.From
	switch {
	case from != "":
	case a.Own != "":
		from = a.Own
	default:
		from = owner.String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: %s\r\n", plainLine(from), to.Path(), mime.BEncoding.Encode("utf-8", plainLine(l.subject(a))))
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: <%s.%d.answer@%s>\r\n", l.now().Format(traceDate), l.env.ID, f.account, l.opt.Hostname)
	if id := plainLine(l.sum.MessageID); id != "" { // RFC 5230 §5.8
		fmt.Fprintf(&b, "In-Reply-To: %s\r\nReferences: %s\r\n", id, strings.Join(append(lastOf(l.sum.References), id), "\r\n "))
	}
	b.WriteString("Auto-Submitted: auto-replied (vacation)\r\nPrecedence: bulk\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n")
	if !a.MIME {
		b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	}
	b.WriteString(crlf(a.Reason))
	return []byte(b.String())
}

// subject is what the script says, or "Auto: " and the original's (RFC 5230
// §5.3). That of a required message stays where it is protected.
func (l *letter) subject(a *sieve.Vacation) string {
	switch original, ok := l.header.Text("Subject"); {
	case a.Subject != "":
		return a.Subject
	case l.env.Demand.IsRequired() || !ok:
		return "Automated reply"
	default:
		return "Auto: " + string([]rune(original)[:min(256, len([]rune(original)))])
	}
}

// lastOf keeps References within reason (RFC 5322 §2.1.1).
func lastOf(ids []string) []string {
	const most = 10
	var out []string
	for _, id := range ids[max(0, len(ids)-most):] {
		out = append(out, plainLine(id))
	}
	return out
}

// crlf ends every line as mail does.
func crlf(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	return strings.ReplaceAll(strings.TrimSuffix(s, "\n")+"\n", "\n", "\r\n")
}

// fileOwn files copies of what was sent for a recipient, as wanted by :fcc.
func (l *letter) fileOwn(ctx context.Context, f *fate) {
	for _, c := range f.own {
		if err := l.fileOurs(ctx, f.account, f.rcpt, string(c.text), c.copy, nil); err != nil {
			l.opt.Log.Noted(ctx, l.env, f.account, f.rcpt, "copy of an answer not filed", "")
		}
	}
}
