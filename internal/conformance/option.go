package conformance

import (
	"crypto/tls"
	"fmt"
	"strings"
)

func listedInTLS(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	line, ok := s.has("REQUIRETLS")
	if !ok {
		return finding{verdict: Fail, note: "listed at first, and not this time"}
	}
	return finding{verdict: Pass, sent: p.target.Protocol.hello(), answered: line}
}

// notListedInClear: what is listed there invites clients to break the rule that
// the session itself employs TLS.
func notListedInClear(p *probe) finding {
	s, err := p.inClear()
	if err != nil {
		return lost(err)
	}
	if line, ok := s.has("REQUIRETLS"); ok {
		return finding{verdict: Fail, sent: p.target.Protocol.hello(), answered: line}
	}
	return finding{verdict: Pass, sent: p.target.Protocol.hello(), answered: "no such keyword"}
}

func keywordIsBare(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	line, _ := s.has("REQUIRETLS")
	f := finding{verdict: Pass, sent: p.target.Protocol.hello(), answered: line}
	if strings.ContainsAny(strings.TrimSpace(line), " =") {
		f.verdict = Fail
	}
	return f
}

func refusedInClear(p *probe) finding {
	s, err := p.inClear()
	if err != nil {
		return lost(err)
	}
	return s.refused(p.from(" REQUIRETLS"))
}

// refused asks for what must not be taken, and takes it back if it is.
func (s *session) refused(command string) finding {
	a := s.ask(command)
	if a.taken() {
		s.ask("RSET")
	}
	return wantRefused(command, a)
}

// taken asks for what must be taken, and takes it back.
func (s *session) taken(command string) finding {
	a := s.ask(command)
	if a.taken() {
		s.ask("RSET")
	}
	return wantTaken(command, a)
}

// valueRefused tries a value and an empty one: neither is requiretls-param.
func valueRefused(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	if f := s.refused(p.from(" REQUIRETLS=")); f.verdict != Pass {
		return f
	}
	return s.refused(p.from(" REQUIRETLS=yes"))
}

func repeatRefused(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	return s.refused(p.from(" REQUIRETLS REQUIRETLS"))
}

func anyCase(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	return s.taken(p.from(" requiretls"))
}

// lineGrows fills the line up with trailing white space, which is tolerated
// (RFC 5321 §4.1.1): no path that may be sent is long enough (§4.5.3.1.3).
func lineGrows(p *probe) finding {
	const usual, grown = 512, 512 + len(" REQUIRETLS") // RFC 5321 §4.5.3.1.4, CRLF included
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	if f := s.taken(padded(p.from(""), usual)); f.verdict != Pass {
		f.verdict, f.note = Unseen, "a line of 512 octets without the option, filled up with spaces, is not taken either"
		return f
	}
	f := s.taken(padded(p.from(" REQUIRETLS"), grown))
	f.sent = fmt.Sprintf("%s and spaces, %d octets", p.from(" REQUIRETLS"), grown)
	return f
}

func padded(command string, octets int) string {
	return command + strings.Repeat(" ", max(0, octets-len("\r\n")-len(command)))
}

func certificate(p *probe) finding {
	switch {
	case p.target.Trust == AnyCertificate:
		return unseen("any certificate was to be taken")
	case p.untrusted != nil:
		return finding{verdict: Fail, note: p.untrusted.Error()}
	}
	return finding{verdict: Pass, answered: "names " + p.at.name}
}

// oldTLS offers TLS 1.1 at most (RFC 8996).
func oldTLS(p *probe) finding {
	const sent = "a handshake for TLS 1.0 and 1.1"
	conn, err := p.beforeHandshake()
	if err != nil {
		return lost(err)
	}
	conn.begin()
	_, err = p.at.handshake(conn.conn, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	conn.spoil()
	if err == nil {
		return finding{verdict: Fail, sent: sent, answered: "(negotiated)"}
	}
	return finding{verdict: Pass, sent: sent, answered: "(" + err.Error() + ")"}
}
