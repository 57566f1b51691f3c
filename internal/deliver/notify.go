package deliver

import (
	"context"
	"fmt"
	"strings"

	"letterlock/internal/mail"
	"letterlock/sieve"
)

// notify plans a notification by mail (RFC 5436): one message for all whom it
// names, a copy on its way to each. It asks of the way out what the message
// asked of the way here (RFC 8689 §6), and has nothing of it but what the script
// put in; its subject only where it was not sent as required.
func (l *letter) notify(ctx context.Context, f *fate, h *host, owner mail.Address, n *sieve.Notify, rule string) error {
	if n.Skip != "" {
		f.skip("notice", rule, n.Skip)
	}
	if n.Skip != "" || n.Mailto == nil {
		return nil
	}
	if l.opt.Way == nil {
		f.note(noNotice, rule, "A notification was asked for. This server sends none, so nothing was sent.")
		return nil
	}
	owner = l.self(f, owner)
	from := sender(n.From, owner)
	text := l.notification(f, from, owner, n)
	var path mail.Address // <> where what it is about has it (RFC 5436 §2.7)
	if !l.env.From.IsNull() {
		path = from
	}
	left := false
	for _, addr := range n.Mailto.Recipients() {
		to, err := mail.ParseAddress(addr)
		if err != nil || to.Domain == "" {
			f.note(noNotice, rule, "A notification was to be sent to "+addr+", which is no address mail can go to.")
			continue
		}
		left = l.send(ctx, f, l.env.Answer(mail.Answer{Kind: mail.Answered, From: path, To: to, Text: text}), noNotice, rule) || left
	}
	if n.Fcc == nil || !left {
		return nil
	}
	return l.fileCopy(ctx, f, h, n.Fcc, text, rule)
}

// maxCopyIn is how many recipients a notification names in To and in Cc.
const maxCopyIn = 20

func (l *letter) notification(f *fate, from, owner mail.Address, n *sieve.Notify) []byte {
	m := n.Mailto
	d := draft{
		word: fmt.Sprintf("notice%d", len(f.out)), from: from.String(), to: strings.Join(m.To[:min(len(m.To), maxCopyIn)], ", "),
		auto: "auto-notified; owner-email=\"" + owner.ALabels().String() + "\"", // §2.7.1
		text: m.Body,
	}
	switch {
	case n.Message != "": // §2.6: overrides all others
		d.subject = n.Message
	case m.Subject != "":
		d.subject = m.Subject
	default:
		d.subject = l.about(n.Rewrite, "", "New mail")
	}
	d.cc = strings.Join(m.Cc[:min(len(m.Cc), maxCopyIn)], ", ")
	d.more = append(d.more, [...]string{"Importance: high", "Importance: normal", "Importance: low"}[min(max(n.Importance, 1), 3)-1])
	for _, field := range m.Header {
		d.more = append(d.more, field.Name+": "+field.Value)
	}
	if d.to == "" {
		d.to = owner.String()
	}
	return l.compose(f, d)
}
