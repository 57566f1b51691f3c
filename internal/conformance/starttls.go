package conformance

import (
	"errors"
	"fmt"
	"regexp"
)

var errSpoiled = errors.New("not to be used any more")

// spoil marks a connection on which no command makes sense any more.
func (s *session) spoil() { s.err = errSpoiled }

// beforeHandshake is a connection whose next octets are the handshake's.
func (p *probe) beforeHandshake() (*session, error) {
	if p.at.implicit {
		return p.raw()
	}
	s, err := p.inClear()
	if err != nil {
		return nil, err
	}
	if a := s.ask("STARTTLS"); a.code != 220 {
		return nil, fmt.Errorf("STARTTLS is answered %s", a)
	}
	return s, nil
}

// injection sends a command in the same packet as STARTTLS, as somebody on the
// wire would. If its answer comes first inside TLS, it was kept.
func injection(p *probe) finding {
	s, err := p.inClear()
	if err != nil {
		return lost(err)
	}
	const stowaway = "STARTTLS\r\nXSTOWAWAY\r\n"
	s.send(stowaway)
	f := finding{sent: "STARTTLS and XSTOWAWAY in one packet"}
	if a := s.reply(); a.code != 220 {
		f.verdict, f.answered = Pass, a.String()
		if a.silent() {
			f.verdict = Unseen
		}
		return f
	}
	if err := s.secure(); err != nil {
		f.verdict, f.answered = Pass, "("+err.Error()+")"
		return f
	}
	// not hello: what comes may be the stowaway's answer
	a := s.ask(p.target.Protocol.hello() + " " + ourName)
	f.answered = "inside TLS, to " + p.target.Protocol.hello() + ": " + a.String()
	switch {
	case a.taken(), a.err != nil && !a.silent():
		f.verdict = Pass
	case a.refused():
		f.verdict, f.note = Fail, "what was sent in clear was carried out inside TLS"
		s.spoil()
	}
	return f
}

// freshSession begins a transaction in clear and goes on with it inside TLS.
func freshSession(p *probe) finding {
	s, err := p.inClear()
	if err != nil {
		return lost(err)
	}
	for _, command := range []string{p.from(""), "RCPT TO:<" + p.target.Recipients[0] + ">"} {
		if a := s.ask(command); !a.taken() {
			return found(Pass, command, a, "no transaction begins in clear")
		}
	}
	if a := s.ask("STARTTLS"); a.code != 220 {
		return wantRefused("STARTTLS inside a transaction", a)
	}
	if err := s.secure(); err != nil {
		return lost(err)
	}
	// no DATA: were it taken, a letter would have to follow
	command := "RCPT TO:<" + p.target.Recipients[0] + ">"
	f := wantRefused(command, s.ask(command))
	f.sent += " inside TLS, MAIL before it"
	return f
}

// spoken is what an SMTP server says when it takes a command.
var spoken = regexp.MustCompile(`2\d\d[ -][ -~]*`)

// failedHandshake sends a ClientHello without contents, which no TLS stack
// takes, and then commands in clear.
func failedHandshake(p *probe) finding {
	s, err := p.beforeHandshake()
	if err != nil {
		return lost(err)
	}
	defer s.spoil()
	const empty = "\x16\x03\x01\x00\x04\x01\x00\x00\x00"
	s.begin()
	if _, err := s.conn.Write([]byte(empty)); err != nil {
		return lost(err)
	}
	p.note("C: (a broken ClientHello)")
	heard := make([]byte, 0, maxLine)
	n, _ := s.in.Read(heard[:cap(heard)]) // the alert, or the end; either way the handshake is over
	heard = heard[:n]
	s.send(p.target.Protocol.hello() + " " + ourName + "\r\n")
	for s.err == nil && len(heard) < cap(heard) && !spoken.Match(heard) {
		n, err := s.in.Read(heard[len(heard):cap(heard)])
		heard = heard[:len(heard)+n]
		s.err = err
	}
	f := finding{sent: p.target.Protocol.hello() + " in clear after a broken ClientHello"}
	if said := spoken.Find(heard); said != nil {
		f.verdict, f.answered, f.note = Fail, string(said), "the session went on in clear"
		p.note("S: " + string(said))
		return f
	}
	f.verdict, f.answered = Pass, answer{err: s.err}.String()
	p.note("S: " + f.answered)
	return f
}
