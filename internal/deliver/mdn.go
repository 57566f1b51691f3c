package deliver

import (
	"fmt"
	"strings"

	"letterlock/internal/mail"
)

// maxReturned is how many octets of the header a rejection returns.
const maxReturned = 64 << 10

// rejection is the MDN that a reject becomes where the LMTP dialogue cannot say
// it (RFC 5429 §2.2.1, RFC 8098): never the message, its header alone. It is a
// bounce: for a required message there is a form without its header and its
// names, which may go where REQUIRETLS is not offered (RFC 8689 §5). It is from
// whom the sender wrote to: who is behind an alias is not told. There is none for a
// null sender.
func (l *letter) rejection(f *fate, reason string) (*mail.Outbound, bool) {
	from := l.cameTo(f)
	report := mail.Report{Text: l.refusalText(f, from, reason, l.ownHeader()), Now: l.now()}
	if l.env.Demand.IsRequired() {
		report.Redacted = l.refusalText(f, from, "(It may quote the message, and can be said over a protected connection alone.)", "")
	}
	return l.env.Redirect(mail.Redirect{To: from}).Bounce(report)
}

// refusalText is the message; without the original's header it names nothing of
// it.
func (l *letter) refusalText(f *fate, from mail.Address, reason, header string) []byte {
	about := "Reporting-UA: " + l.opt.Hostname + "; Letterlock\nFinal-Recipient: " + typed(from.ALabels()) + "\n"
	if id := l.ids(l.sum.MessageID); id != nil && header != "" { // RFC 8098 §3.2.5
		about += "Original-Message-ID: " + id[0] + "\n"
	}
	parts := []part{
		{"text/plain", "The message was refused by the recipient's mail filtering program.\nThe reason given was as follows:\n\n" + strings.TrimRight(reason, "\r\n") + "\n"},
		{"message/disposition-notification", about + "Disposition: automatic-action/MDN-sent-automatically; deleted\n"},
	}
	if header != "" {
		parts = append(parts, part{"text/rfc822-headers", header})
	}
	return l.compose(f, draft{
		word: "rejected", from: from.String(), to: l.env.From.String(), subject: "Message rejected",
		auto: "auto-replied (rejected)", nameless: header == "", report: "disposition-notification", parts: parts,
	})
}

// typed is an address with its type: what is beyond ASCII in one has another
// type, and in a report for every host stands encoded (RFC 6533 §3).
func typed(a mail.Address) string {
	if a.ASCII() {
		return "rfc822; " + a.String()
	}
	var b strings.Builder
	for _, r := range a.String() {
		if r < '!' || r == '+' || r == '=' || r == '\\' || r > '~' {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return "utf-8; " + b.String()
}

// ownHeader is the header of the message, as much of it as is returned.
func (l *letter) ownHeader() string {
	block := make([]byte, min(l.sum.Root.Body, maxReturned))
	n, _ := l.body.ReadAt(block, 0)
	text := string(block[:n])
	if int64(n) < l.sum.Root.Body {
		text = text[:strings.LastIndexByte(text, '\n')+1]
	}
	return strings.TrimRight(text, "\r\n") + "\r\n"
}
