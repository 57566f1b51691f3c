package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/internal/wire"
)

// shape is what a host must be able to take.
type shape struct {
	size       int64
	eightBit   bool // octets above 127 anywhere
	utf8Header bool // octets above 127 in the header; where SMTPUTF8 was said, in that of any part
}

// measure reads the message once. What is said of it in MAIL is then true (RFC
// 6152 §3), whatever was said of it on its way to us.
func measure(l *Letter, form mail.Form) (shape, error) {
	r, size := l.signed(form)
	s := shape{size: size}
	buf := make([]byte, 32<<10)
	tail := [3]byte{0, '\r', '\n'} // the end of the block before; a message may start with its empty line
	header := true
	for !s.eightBit || header {
		n, err := r.Read(buf)
		b := buf[:n]
		if header {
			end := headerEnd(tail, b)
			head := b
			if end >= 0 {
				head, header = b[:end], false
			}
			s.utf8Header = s.utf8Header || hasEightBit(head)
		}
		s.eightBit = s.eightBit || hasEightBit(b)
		for _, c := range b[max(0, n-3):] {
			tail = [3]byte{tail[1], tail[2], c}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s, fmt.Errorf("read the message: %w", err)
		}
	}
	if l.SMTPUTF8 && s.eightBit && !s.utf8Header && l.Kind == mail.Redirected && form == mail.FullForm && l.Body != nil {
		var err error
		if s.utf8Header, err = utf8Inside(l.Body); err != nil {
			return s, fmt.Errorf("read the message: %w", err)
		}
	}
	return s, nil
}

// utf8Inside says whether a header below that of the message is internationalized:
// such a message is one, too (RFC 6531 §3.2: "at any level within its MIME
// structure").
func utf8Inside(b mail.Body) (bool, error) {
	sum, err := mime.Summarize(b)
	if err != nil {
		return false, err
	}
	return utf8Below(b, &sum.Root)
}

func utf8Below(b mail.Body, p *mail.Part) (found bool, err error) {
	inner := p.Parts
	if p.Message != nil {
		inner = []mail.Part{p.Message.Root}
	}
	for i := range inner {
		found, err = wire.EightBit(io.NewSectionReader(b, inner[i].Header, inner[i].Body-inner[i].Header))
		if !found && err == nil {
			found, err = utf8Below(b, &inner[i])
		}
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// headerEnd is where in b the empty line ends, or -1.
func headerEnd(tail [3]byte, b []byte) int {
	joined := append(tail[:], b[:min(3, len(b))]...)
	if i := bytes.Index(joined, []byte("\r\n\r\n")); i >= 0 {
		return max(0, i+4-3)
	}
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return -1
}

func hasEightBit(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

// command is a transaction as this host understands it.
type command struct {
	from, to     string // paths
	mail, rcpt   []string
	reportsLater bool // the host was told what to report (RFC 3461 §5.2.1)
}

// transaction says MAIL and RCPT in the host's words, or why it cannot take
// the message.
func (s *session) transaction(l *Letter, m shape) (command, *reply.Error) {
	var c command
	utf8 := l.SMTPUTF8 && m.utf8Header
	var ok1, ok2 bool
	if c.from, ok1 = path(l.From); !ok1 {
		utf8, c.from = true, l.From.Path()
	}
	if c.to, ok2 = path(l.To); !ok2 {
		utf8, c.to = true, l.To.Path()
	}
	switch {
	case utf8 && !s.offers("SMTPUTF8"):
		return c, needsUTF8
	case m.eightBit && !s.offers("8BITMIME"):
		return c, needs8Bit
	}
	if limit, err := strconv.ParseInt(strings.TrimSpace(s.ext["SIZE"]), 10, 64); err == nil && limit > 0 && m.size > limit {
		return c, tooBig
	}
	if s.offers("SIZE") {
		c.mail = append(c.mail, "SIZE="+strconv.FormatInt(m.size, 10))
	}
	if m.eightBit {
		c.mail = append(c.mail, "BODY=8BITMIME")
	}
	if utf8 {
		c.mail = append(c.mail, "SMTPUTF8")
	}
	if s.offers("DSN") {
		c.notify(l, utf8)
	}
	return c, nil
}

// path is an address without SMTPUTF8, its domain as A-labels where it needs
// them; not ok where the local part does.
func path(a mail.Address) (string, bool) {
	if a.ASCII() {
		return a.Path(), true
	}
	domain, err := aLabels(a.Domain)
	if err != nil {
		return "", false
	}
	a.Domain = domain
	return a.Path(), a.ASCII()
}

// notify passes on what the sender asked to be told (RFC 3461 §5.2.1). Mail
// that demands TLS is returned without its body, whatever was asked (RFC 8689
// §5).
func (c *command) notify(l *Letter, utf8 bool) {
	c.reportsLater = true
	switch {
	case l.From.IsNull(): // RFC 3461 §6.1: MUST NOT be said of a report
	case l.Demand().IsRequired() && l.Kind == mail.Redirected, l.DSN.Return == mail.ReturnHeaders:
		c.mail = append(c.mail, "RET=HDRS")
	case l.DSN.Return == mail.ReturnFull:
		c.mail = append(c.mail, "RET=FULL")
	}
	if l.DSN.EnvID != "" {
		c.mail = append(c.mail, "ENVID="+xtext(l.DSN.EnvID))
	}
	if n := notifyWord(l.DSN.Notify); n != "" {
		c.rcpt = append(c.rcpt, "NOTIFY="+n)
	}
	if kind := l.DSN.ORcptType; kind != "" {
		c.rcpt = append(c.rcpt, "ORCPT="+kind+";"+originalRecipient(l.DSN, utf8))
	}
}

func notifyWord(n mail.Notify) string {
	if n&mail.NotifyNever != 0 {
		return "NEVER"
	}
	var words []string
	for _, w := range []struct {
		event mail.Notify
		word  string
	}{{mail.NotifySuccess, "SUCCESS"}, {mail.NotifyFailure, "FAILURE"}, {mail.NotifyDelay, "DELAY"}} {
		if n&w.event != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

// originalRecipient is ORCPT's address in the encoding of its type.
func originalRecipient(d mail.DSN, utf8 bool) string {
	switch {
	case !isUTF8Type(d.ORcptType):
		return xtext(d.ORcpt)
	case utf8:
		return unitext(d.ORcpt, eightBits)
	}
	return unitext(d.ORcpt, sevenBits)
}

func isUTF8Type(addrType string) bool { return strings.EqualFold(addrType, "utf-8") }

// xtext is RFC 3461 §4.
func xtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < '!' || c == '+' || c == '=' || c >= 0x7f {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// bits says whether characters beyond ASCII may stand for themselves.
type bits uint8

const (
	sevenBits bits = iota
	eightBits
)

// unitext is the address type utf-8 (RFC 6533 §3).
func unitext(s string, n bits) string {
	var b strings.Builder
	for _, r := range s {
		if r < '!' || r == '+' || r == '=' || r == '\\' || r == 0x7f || r > 0x7f && n == sevenBits {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// send offers the message on this connection: the words, the permit, the
// octets. It says how far these came.
func (s *session) send(l *Letter, c command, permit requiretls.Clearance) (said string, came progress, err error) {
	form := mail.FullForm
	if permit.Redacted() {
		form = mail.RedactedForm
	}
	if err := s.begin(permit, &s.hop, c); err != nil {
		return "", unasked, err
	}
	r, _ := l.signed(form)
	a, came, err := s.body(r)
	if err != nil {
		return "", came, err
	}
	s.letters++
	return clip(strings.Join(a.lines, " "), 300), came, nil
}
