package deliver

import (
	"fmt"
	"mime"
	"strings"

	"letterlock/internal/mail"
)

// draft is a message of ours about the one that came.
type draft struct {
	word     string // ends its Message-ID: what it is
	from, to string
	subject  string
	auto     string   // Auto-Submitted (RFC 3834 §5)
	more     []string // further lines of the header
	typed    bool     // body starts with the fields that say what it is
	nameless bool     // it names nothing of what it is about
	body     string
}

// compose writes it, as an answer to what it is about (RFC 5230 §5, RFC 3834
// §3.1).
func (l *letter) compose(f *fate, d draft) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: %s\r\n", plainLine(d.from), plainLine(d.to), mime.BEncoding.Encode("utf-8", plainLine(d.subject)))
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: <%s.%d.%s@%s>\r\n", l.now().Format(traceDate), l.env.ID, f.account, d.word, l.opt.Hostname)
	if id := plainLine(l.sum.MessageID); id != "" && !d.nameless { // RFC 5230 §5.8
		fmt.Fprintf(&b, "In-Reply-To: %s\r\nReferences: %s\r\n", id, strings.Join(append(lastOf(l.sum.References), id), "\r\n "))
	}
	fmt.Fprintf(&b, "Auto-Submitted: %s\r\n", d.auto)
	for _, line := range d.more {
		b.WriteString(plainLine(line) + "\r\n")
	}
	b.WriteString("MIME-Version: 1.0\r\n")
	if !d.typed {
		b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	}
	b.WriteString(crlf(d.body))
	return []byte(b.String())
}

// about is the subject of a message of ours: lead and the original's. That of a
// required message stays where it is protected.
func (l *letter) about(lead, otherwise string) string {
	original, ok := l.header.Text("Subject")
	if l.env.Demand.IsRequired() || !ok {
		return otherwise
	}
	return lead + string([]rune(original)[:min(256, len([]rune(original)))])
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

// plainLine keeps a line from being more than one, or longer than RFC 5322
// §2.1.1 lets it be.
func plainLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	const most = 900
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// sender is from, where it is the owner's to say, or the owner.
func sender(from string, owner mail.Address) mail.Address {
	if a, err := mail.ParseAddress(from); err == nil && a.Domain != "" {
		return a
	}
	return owner
}
