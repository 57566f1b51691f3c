package deliver

import (
	"fmt"
	"strings"

	"letterlock/internal/mail"
	"letterlock/sieve"
)

// maxReturned is how many octets of the header a rejection returns.
const maxReturned = 64 << 10

// rejection is what a refusal becomes where the LMTP dialogue cannot say it: an MDN
// of reject (RFC 5429 §2.2.1, RFC 8098), a DSN of ereject (§2.1.2, RFC 3464), for who
// wants one. It has never the message, its header alone. It is a bounce: for a required message there is a form without its header and its
// names, which may go where REQUIRETLS is not offered (RFC 8689 §5). It is from
// whom the sender wrote to: who is behind an alias is not told. There is none for a
// null sender.
func (l *letter) rejection(f *fate, a *sieve.Reject) (*mail.Outbound, bool) {
	if a.Protocol && !l.env.DSN[f.rcpt].Notify.Wants(mail.NotifyFailure) {
		return nil, false
	}
	from, text := l.cameTo(f), l.disposition
	if a.Protocol {
		text = l.failure
	}
	report := mail.Report{Text: text(f, from, a.Reason, l.ownHeader()), Now: l.now()}
	if l.env.Demand.IsRequired() {
		report.Redacted = text(f, from, "(It may quote the message, and can be said over a protected connection alone.)", "")
	}
	return l.env.Redirect(mail.Redirect{To: from}).Bounce(report)
}

// disposition is an MDN; without the original's header it names nothing of it.
func (l *letter) disposition(f *fate, from mail.Address, reason, header string) []byte {
	about := "Reporting-UA: " + l.opt.Hostname + "; Letterlock\nFinal-Recipient: " + typed(from.ALabels()) + "\n"
	if id := l.ids(l.sum.MessageID); id != nil && header != "" { // RFC 8098 §3.2.5
		about += "Original-Message-ID: " + id[0] + "\n"
	}
	about += "Disposition: automatic-action/MDN-sent-automatically; deleted\n"
	return l.refusalText(f, from, reason, header, "disposition-notification", about)
}

// failure is a DSN; without the original's header it names nothing of it.
func (l *letter) failure(f *fate, from mail.Address, reason, header string) []byte {
	asked, about := l.env.DSN[f.rcpt], "Reporting-MTA: dns; "+l.opt.Hostname+"\n"
	if asked.EnvID != "" && ascii(asked.EnvID) {
		about += "Original-Envelope-Id: " + plainLine(asked.EnvID) + "\n"
	}
	about += "\n"
	if asked.ORcptType != "" && ascii(asked.ORcpt) {
		about += "Original-Recipient: " + plainLine(asked.ORcptType+"; "+asked.ORcpt) + "\n"
	}
	about += "Final-Recipient: " + typed(from.ALabels()) + "\nAction: failed\nStatus: 5.7.1\n"
	return l.refusalText(f, from, reason, header, "delivery-status", about)
}

// refusalText is a report for people and, as about, for programs.
func (l *letter) refusalText(f *fate, from mail.Address, reason, header, report, about string) []byte {
	parts := []part{
		{"text/plain", "The message was refused by the recipient's mail filtering program.\nThe reason given was as follows:\n\n" + strings.TrimRight(reason, "\r\n") + "\n"},
		{"message/" + report, about},
	}
	if header != "" {
		parts = append(parts, part{"text/rfc822-headers", header})
	}
	return l.compose(f, draft{
		word: "rejected", from: from.String(), to: l.env.From.String(), subject: "Message rejected",
		auto: "auto-replied (rejected)", nameless: header == "", report: report, parts: parts,
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
