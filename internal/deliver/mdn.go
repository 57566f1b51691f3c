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
// names, which may go where REQUIRETLS is not offered (RFC 8689 §5). There is
// none for a null sender.
func (l *letter) rejection(f *fate, owner mail.Address, reason string) (*mail.Outbound, bool) {
	report := mail.Report{Text: l.refusalText(f, owner, reason, l.ownHeader()), Now: l.now()}
	if l.env.Demand.IsRequired() {
		report.Redacted = l.refusalText(f, owner, "(It may quote the message, and can be said over a protected connection alone.)", "")
	}
	return l.env.Redirect(mail.Redirect{To: owner}).Bounce(report)
}

// refusalText is the message; without the original's header it names nothing of
// it.
func (l *letter) refusalText(f *fate, owner mail.Address, reason, header string) []byte {
	edge := "=_" + l.env.ID + "_rejected"
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Type: multipart/report; report-type=disposition-notification;\n\tboundary=\"%s\"\n\n", edge)
	fmt.Fprintf(&b, "--%s\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n", edge)
	fmt.Fprintf(&b, "The message was refused by the recipient's mail filtering program. The reason\ngiven was as follows:\n\n%s\n", strings.TrimRight(reason, "\r\n"))
	fmt.Fprintf(&b, "\n--%s\nContent-Type: message/disposition-notification\n\n", edge)
	fmt.Fprintf(&b, "Reporting-UA: %s; Letterlock\nFinal-Recipient: rfc822; %s\n", l.opt.Hostname, owner)
	if id := plainLine(l.sum.MessageID); id != "" && header != "" { // RFC 8098 §3.2.5
		fmt.Fprintf(&b, "Original-Message-ID: %s\n", id)
	}
	b.WriteString("Disposition: automatic-action/MDN-sent-automatically; deleted\n")
	if header != "" {
		fmt.Fprintf(&b, "\n--%s\nContent-Type: text/rfc822-headers; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n%s", edge, header)
	}
	fmt.Fprintf(&b, "\n--%s--\n", edge)
	return l.compose(f, draft{
		word: "rejected", from: owner.String(), to: l.env.From.String(), subject: "Message rejected",
		auto: "auto-replied (rejected)", typed: true, nameless: header == "", body: b.String(),
	})
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
