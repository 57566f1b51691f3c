package conformance

import (
	"fmt"
	"strings"
	"time"
)

// bodyText is what tells a body that was shown from one that was withheld.
const bodyText = "Nothing secret: a test of how this server keeps RFC 8689."

// letter is one letter on its way, and what it came to.
type letter struct {
	id     string // its Message-ID
	sent   string // the command that decided
	answer answer
}

func (l letter) finding() finding { return wantTaken(l.sent, l.answer) }

// mail sends one letter; fields are header fields of its own, without CRLF.
func (s *session) mail(command string, to []string, fields ...string) letter {
	l := letter{sent: command, answer: s.ask(command)}
	if !l.answer.taken() {
		return l
	}
	return s.body(l, to, fields...)
}

// body goes on after MAIL.
func (s *session) body(l letter, to []string, fields ...string) letter {
	p := s.p
	p.letters++
	l.id = fmt.Sprintf("<%s.%s.%d@%s>", p.id, p.name, p.letters, ourName)
	for _, rcpt := range to {
		if a := s.ask("RCPT TO:<" + rcpt + ">"); !a.taken() {
			return letter{l.id, "RCPT TO:<" + rcpt + ">", a}
		}
	}
	if a := s.ask("DATA"); !a.goOn() {
		return letter{l.id, "DATA", a}
	}
	s.send(s.p.text(l.id, fields) + ".\r\n")
	answers := 1
	if p.target.Protocol == LMTP { // RFC 2033 §4.2: one for each recipient
		answers = len(to)
	}
	for range answers {
		if a := s.reply(); l.answer.taken() { // the first no stays
			l.answer = a
		}
	}
	return l
}

// text is the letter itself. Auto-Submitted keeps vacation notices away
// (RFC 3834 §2).
func (p *probe) text(id string, fields []string) string {
	head := []string{
		"From: <" + p.target.Sender + ">",
		"To: <" + p.target.Recipients[0] + ">",
		"Subject: RFC 8689: " + p.name,
		"Date: " + time.Now().Format(time.RFC1123Z),
		"Message-ID: " + id,
		"Auto-Submitted: auto-generated",
	}
	return strings.Join(append(head, fields...), "\r\n") + "\r\n\r\n" + bodyText + "\r\n"
}

// best is a session in TLS, or in clear where there is none to be had.
func (p *probe) best() (*session, error) {
	if p.tls {
		return p.inTLS()
	}
	return p.inClear()
}

func (p *probe) first() []string { return p.target.Recipients[:1] }

const waived = "TLS-Required: No"

func optionTaken(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	return s.mail(p.from(" REQUIRETLS"), p.first()).finding()
}

func headerTaken(p *probe) finding {
	s, err := p.best()
	if err != nil {
		return lost(err)
	}
	return withFields(s.mail(p.from(""), p.first(), waived), "TLS-Required: No")
}

func headerBesideOption(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	return withFields(s.mail(p.from(" REQUIRETLS"), p.first(), waived), "TLS-Required: No")
}

func twoHeaders(p *probe) finding {
	s, err := p.best()
	if err != nil {
		return lost(err)
	}
	return withFields(s.mail(p.from(""), p.first(), waived, waived), "TLS-Required: No, twice")
}

func withFields(l letter, what string) finding {
	f := l.finding()
	f.sent += " (" + what + ")"
	return f
}

func recipientsTaken(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	f := s.mail(p.from(" REQUIRETLS"), p.target.Recipients).finding()
	f.sent += fmt.Sprintf(" (%d recipients)", len(p.target.Recipients))
	return f
}

// bounceTaken: a bounce of a tagged letter carries the option too.
func bounceTaken(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	return s.mail("MAIL FROM:<> REQUIRETLS", p.first()).finding()
}

func retFull(p *probe) finding {
	if !p.dsn {
		return finding{verdict: NotOffered, note: "DSN is not listed"}
	}
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	return s.taken(p.from(" RET=FULL REQUIRETLS"))
}

// secondMail tries to put an untagged transaction in the place of a tagged one.
func secondMail(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	if f := wantTaken(p.from(" REQUIRETLS"), s.ask(p.from(" REQUIRETLS"))); f.verdict != Pass {
		return f
	}
	f := s.refused(p.from(""))
	f.sent += " (behind one with the option)"
	return f
}

func resetDropsAll(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	for _, command := range []string{p.from(" REQUIRETLS"), "RCPT TO:<" + p.target.Recipients[0] + ">", "RSET"} {
		if f := wantTaken(command, s.ask(command)); f.verdict != Pass {
			return f
		}
	}
	const command = "DATA"
	a := s.ask(command)
	if a.goOn() {
		s.spoil() // hang up: nothing was sent
	}
	return wantRefused(command+" (MAIL REQUIRETLS, RCPT and RSET before it)", a)
}
