package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-sasl"

	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/internal/wire"
)

// client speaks SMTP over one connection. Its errors are [*reply.Error] where
// the server said something, and anything else where the connection is over.
type client struct {
	conn  net.Conn
	r     *wire.Reader
	w     *wire.Writer
	ext   map[string]string // EHLO keywords in upper case, and their parameters
	esmtp bool              // EHLO was understood
	state *tls.ConnectionState
	name  string // what the server calls itself
}

// Patience of RFC 5321 §4.5.3.2.
const (
	waitGreeting = 5 * time.Minute
	waitCommand  = 5 * time.Minute
	waitData     = 2 * time.Minute
	waitBlock    = 3 * time.Minute
	waitEnd      = 10 * time.Minute
	waitTLS      = time.Minute
	waitQuit     = 5 * time.Second
)

// Bounds on what a server may say.
const (
	maxAnswerLine  = 4096 // octets; RFC 5321 §4.5.3.1.5 allows 512, some say more
	maxAnswerLines = 100
)

func newClient(c net.Conn) *client {
	return &client{conn: c, r: wire.NewReader(c, waitCommand), w: wire.NewWriter(c, waitBlock), ext: map[string]string{}}
}

// answer is one reply of the server (RFC 5321 §4.2).
type answer struct {
	code  int
	lines []string // without code; the enhanced code stands in each
}

// errProtocol: what came is no SMTP.
var errProtocol = errors.New("not an SMTP reply")

func (c *client) answer(wait time.Duration) (a answer, err error) {
	c.r.SetIdle(wait)
	for {
		line, err := c.r.Line(maxAnswerLine)
		if err != nil {
			return a, err
		}
		if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return a, fmt.Errorf("%w: %.80q", errProtocol, line)
		}
		code, err := strconv.Atoi(string(line[:3]))
		if err != nil || code < 200 || code > 599 || a.code != 0 && code != a.code || len(a.lines) == maxAnswerLines {
			return a, fmt.Errorf("%w: %.80q", errProtocol, line)
		}
		a.code = code
		if len(line) <= 4 {
			a.lines = append(a.lines, "")
		} else {
			a.lines = append(a.lines, string(line[4:]))
		}
		if len(line) == 3 || line[3] == ' ' {
			return a, nil
		}
	}
}

// refusal is an answer that is not the one hoped for, as an error. A code that
// makes no sense here is temporary.
func (a answer) refusal() *reply.Error {
	text, detail := make([]string, len(a.lines)), ""
	for i, line := range a.lines {
		word, rest, _ := strings.Cut(line, " ")
		if class, d, ok := strings.Cut(word, "."); ok && class == strconv.Itoa(a.code/100) && isDetail(d) {
			detail, line = d, rest
		}
		text[i] = line
	}
	e := reply.Error{Class: reply.Temporary, Basic: uint8(a.code % 100), Detail: detail, Text: clip(strings.Join(text, " "), 600)}
	switch {
	case a.code >= 500:
		e.Class = reply.Permanent
	case a.code < 400:
		e = *reply.Temp(51, "5.0", fmt.Sprintf("unexpected reply %d %s", a.code, e.Text))
	}
	return &e
}

// isDetail says whether s can be the last two numbers of an enhanced code (RFC
// 3463 §2).
func isDetail(s string) bool {
	subject, detail, ok := strings.Cut(s, ".")
	return ok && isShortNumber(subject) && isShortNumber(detail)
}

func isShortNumber(s string) bool {
	return 0 < len(s) && len(s) <= 3 && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// say sends a command and expects a code that starts with want: where the server
// may answer with a code of its own, that is the first digit alone (RFC 5321 §4.2).
func (c *client) say(want string, wait time.Duration, format string, args ...any) (answer, error) {
	if err := c.put(fmt.Sprintf(format, args...)); err != nil {
		return answer{}, err
	}
	return c.hear(want, wait)
}

// put writes a command, which leaves with the next flush.
func (c *client) put(line string) error {
	if strings.ContainsAny(line, "\r\n") {
		panic("relay: a command with a line break: " + line)
	}
	_, err := c.w.WriteString(line + "\r\n")
	return err
}

// hear sends what was put, and waits for the answer.
func (c *client) hear(want string, wait time.Duration) (answer, error) {
	if err := c.w.Flush(); err != nil {
		return answer{}, err
	}
	return c.expect(want, wait)
}

func (c *client) expect(want string, wait time.Duration) (answer, error) {
	a, err := c.answer(wait)
	if err != nil {
		return a, err
	}
	if !strings.HasPrefix(strconv.Itoa(a.code), want) {
		return a, a.refusal()
	}
	return a, nil
}

// hello greets with EHLO, and with HELO where EHLO is not known (RFC 5321
// §3.2).
func (c *client) hello(name string) error {
	c.ext, c.esmtp = map[string]string{}, true
	a, err := c.say("2", waitCommand, "EHLO %s", name)
	if e := refused(err); e != nil && e.Class == reply.Permanent {
		c.esmtp = false
		a, err = c.say("2", waitCommand, "HELO %s", name)
	}
	if err != nil {
		return err
	}
	c.name, _, _ = strings.Cut(a.lines[0], " ")
	if !c.esmtp {
		return nil
	}
	for _, line := range a.lines[1:] {
		keyword, params, _ := strings.Cut(line, " ")
		if before, after, ok := strings.Cut(keyword, "="); ok && strings.EqualFold(before, "AUTH") { // as servers wrote it before RFC 4954
			keyword, params = before, after+" "+params
		}
		c.ext[strings.ToUpper(keyword)] = params
	}
	return nil
}

// refused is the server's own no, or nil where the trouble is another.
func refused(err error) *reply.Error {
	var e *reply.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

func (c *client) offers(keyword string) bool {
	_, ok := c.ext[keyword]
	return ok
}

// startTLS asks for TLS and shakes hands. What was buffered in clear counts for
// nothing afterwards (RFC 3207 §4.2); a server that spoke out of turn is not
// trusted with a handshake.
func (c *client) startTLS(ctx context.Context, cfg *tls.Config) error {
	if _, err := c.say("220", waitCommand, "STARTTLS"); err != nil {
		return err
	}
	if c.r.Buffered() > 0 {
		return fmt.Errorf("%w: octets between STARTTLS and the handshake", errProtocol)
	}
	return c.handshake(ctx, cfg)
}

func (c *client) handshake(ctx context.Context, cfg *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, waitTLS)
	defer cancel()
	t := tls.Client(c.conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return &handshakeError{err}
	}
	state := t.ConnectionState()
	c.conn, c.state = t, &state
	c.r, c.w = wire.NewReader(t, waitCommand), wire.NewWriter(t, waitBlock)
	c.ext = map[string]string{} // RFC 3207 §4.2: what was learnt in clear is forgotten
	return nil
}

// handshakeError is a handshake that failed.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// auth logs in (RFC 4954). Nobody calls it on a connection that is not proven.
func (c *client) auth(user, password string) error {
	offered := strings.Fields(strings.ToUpper(c.ext["AUTH"]))
	var mech sasl.Client
	for _, m := range offered {
		switch m {
		case "PLAIN":
			mech = sasl.NewPlainClient("", user, password)
		case "LOGIN":
			if mech == nil {
				mech = sasl.NewLoginClient(user, password)
			}
		}
	}
	if mech == nil {
		return reply.Temp(54, "7.0", "the host offers no way to log in that we know")
	}
	name, first, err := mech.Start()
	if err != nil {
		return err
	}
	line := "AUTH " + name
	if name == "PLAIN" {
		line += " " + base64.StdEncoding.EncodeToString(first)
	}
	a, err := c.say("", waitCommand, "%s", line)
	for err == nil && a.code == 334 {
		var challenge, response []byte
		if challenge, err = base64.StdEncoding.DecodeString(a.lines[0]); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		if response, err = mech.Next(challenge); err != nil {
			return err
		}
		a, err = c.say("", waitCommand, "%s", base64.StdEncoding.EncodeToString(response))
	}
	if err == nil && a.code != 235 {
		e := a.refusal()
		e.Class = reply.Temporary // the password is ours to mend: no letter bounces for it
		return e
	}
	return err
}

// begin says MAIL, RCPT and DATA: in one write where the server offers
// PIPELINING, so that a letter costs one round trip instead of three (RFC 2920
// §3.1).
func (c *client) begin(permit requiretls.Clearance, hop *requiretls.Hop, cmd command) error {
	steps := []struct {
		put  func() error
		want string
		wait time.Duration
	}{
		{func() error { return c.mail(permit, hop, cmd.from, cmd.mail) }, "2", waitCommand},
		{func() error { return c.put(withParams("RCPT TO:"+cmd.to, cmd.rcpt)) }, "2", waitCommand},
		{func() error { return c.put("DATA") }, "3", waitData},
	}
	if !c.offers("PIPELINING") {
		for _, s := range steps {
			if err := s.put(); err != nil {
				return err
			}
			if _, err := c.hear(s.want, s.wait); err != nil {
				return err
			}
		}
		return nil
	}
	for _, s := range steps {
		if err := s.put(); err != nil {
			return err
		}
	}
	var no *reply.Error // the first; every answer is read, or the next command would take it for its own
	for _, s := range steps {
		_, err := c.hear(s.want, s.wait)
		e := refused(err)
		switch {
		case no != nil && err != nil && e == nil: // it said no, and left
			return no
		case err != nil && e == nil:
			return err
		case no == nil && e != nil:
			no = e
		case no != nil && e == nil && s.want == "3":
			return c.endNothing(no)
		}
	}
	if no != nil {
		return no
	}
	return nil
}

// endNothing ends a message that nobody will get: the server wants one though it
// has refused sender or recipient (RFC 2920 §3.1). What it says to that, or that it
// leaves, changes nothing.
func (c *client) endNothing(no *reply.Error) *reply.Error {
	if _, err := c.say("", waitEnd, "."); err != nil {
		c.conn.Close() // an answer that comes late is not to be taken for the next one
	}
	return no
}

// mail opens the transaction. It is the one place that writes MAIL FROM, and
// wants the permit for the very hop that the connection is (RFC 8689 §4.2).
func (c *client) mail(permit requiretls.Clearance, hop *requiretls.Hop, path string, params []string) error {
	if !permit.For(hop) {
		panic("relay: MAIL FROM without a clearance for " + hop.Name)
	}
	line := withParams("MAIL FROM:"+path, params)
	if permit.RequireTLS() {
		line += " REQUIRETLS"
	}
	return c.put(line)
}

func withParams(line string, params []string) string {
	return strings.Join(append([]string{line}, params...), " ")
}

// progress is how far a letter came at a host.
type progress uint8

const (
	unasked progress = iota // none of its octets was asked for
	partly                  // some are there, but not its end: nobody can take it for whole
	wholly                  // its end was sent. Where nothing is heard then, the host may have taken it
)

// body sends the message and returns what the server said at its end, or in the
// midst of it.
func (c *client) body(message io.Reader) (answer, progress, error) {
	d, src := &dotWriter{w: c.w, start: true}, &source{r: message}
	if _, err := io.Copy(d, src); err != nil {
		if src.err == nil {
			err = cmp.Or(c.lastWord(), err)
		}
		c.conn.Close() // never a message that looks complete and is not
		return answer{}, partly, err
	}
	if err := d.end(); err != nil {
		return answer{}, wholly, err
	}
	a, err := c.expect("2", waitEnd)
	return a, wholly, err
}

// source is a message of ours.
type source struct {
	r   io.Reader
	err error // why it cannot be read to its end
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = &unreadable{err}
		err = s.err
	}
	return n, err
}

// unreadable is trouble of ours, not of the connection.
type unreadable struct{ err error }

func (e *unreadable) Error() string { return "read the message: " + e.err.Error() }
func (e *unreadable) Unwrap() error { return e.err }

// lastWord is what a server has said that wants no further octet and left; nil where
// that is no refusal.
func (c *client) lastWord() error {
	a, err := c.answer(waitQuit)
	if err != nil || a.code < 400 {
		return nil
	}
	return a.refusal()
}

// quit says goodbye and does not care for the answer (RFC 8689 §4.2.1: QUIT
// before the next host), nor wait for one that comes drop by drop.
func (c *client) quit() {
	late := time.AfterFunc(waitQuit, func() { c.conn.Close() })
	defer late.Stop()
	_, _ = c.say("221", waitQuit, "QUIT") // the connection ends either way
	c.conn.Close()
}

// dotWriter adds the dots that transparency needs (RFC 5321 §4.5.2).
type dotWriter struct {
	w     *wire.Writer
	start bool // at the start of a line
	cr    bool // the octet before was CR
}

func (d *dotWriter) Write(p []byte) (n int, err error) {
	from := 0
	for i, b := range p {
		if d.start && b == '.' {
			if _, err := d.w.Write(p[from:i]); err != nil {
				return from, err
			}
			if _, err := d.w.WriteString("."); err != nil {
				return from, err
			}
			from = i
		}
		d.start = d.cr && b == '\n'
		d.cr = b == '\r'
	}
	n, err = d.w.Write(p[from:])
	return from + n, err
}

// end closes the last line where it is open, and the body.
func (d *dotWriter) end() error {
	last := "\r\n.\r\n"
	if d.start {
		last = ".\r\n"
	}
	if _, err := d.w.WriteString(last); err != nil {
		return err
	}
	return d.w.Flush()
}

// clip bounds what a stranger can make us keep, and keeps it on one line.
func clip(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '�' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 {
		most--
	}
	return s[:most] + "…"
}
