package lmtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/internal/serve"
	"letterlock/internal/wire"
)

// session is one connection's dialogue.
type session struct {
	*Server
	conn *serve.Conn
	in   *wire.Reader
	out  *wire.Writer
	log  *slog.Logger

	helo     string       // what the peer called itself; empty before LHLO
	tx       *transaction // nil outside a mail transaction
	taken    []*taken     // the last messages, until the peer has heard our answers
	hasty    bool         // the command came before the peer could hear the last answer
	patience patience     // with the deliverer
	errors   int          // broken commands since the last message
	over     bool         // the connection is to be closed
	quitted  bool         // because the peer said QUIT
	reply    []byte       // the last one said; its room is used again
}

// transaction is one message coming in: from MAIL to its last octet.
type transaction struct {
	id       string
	from     mail.Address
	utf8     bool                      // MAIL carried SMTPUTF8
	declared uint64                    // SIZE, in octets
	dsn      mail.DSN                  // RET and ENVID
	arrival  requiretls.Arrival        // what is seen of it
	rcpts    []mail.Address            // the accepted ones, duplicates included, in order
	asked    map[mail.Address]mail.DSN // what is to be told of them; nil: nothing was asked
	weight   int                       // octets of memory they were given
	body     *incoming                 // nil before DATA and BDAT
}

func (c *session) run(ctx context.Context) {
	c.say("220 %s LMTP Letterlock ready", c.opt.Hostname)
	for !c.over {
		c.hasty = c.in.Buffered() > 0
		line, err := c.command()
		switch {
		case err == nil:
			c.obey(ctx, line)
		case errors.Is(err, wire.ErrLineTooLong):
			c.blame(reply.LineTooLong)
		case errors.Is(err, wire.ErrBareLF): // RFC 5321 §2.3.8: only CRLF ends a line
			c.blame(reply.LineTooLong.Saying("a line ends with CRLF, not with LF alone"))
		default:
			c.hangUp(err)
		}
	}
}

// command waits for the next command line. Between messages the wait ends
// early when the server drains; inside one the message is finished first.
func (c *session) command() ([]byte, error) {
	if c.tx == nil || c.tx.body == nil {
		select {
		case <-c.conn.Draining():
			return nil, wire.ErrInterrupted
		default:
		}
	}
	for {
		err := c.in.Await()
		if errors.Is(err, wire.ErrInterrupted) && c.tx != nil && c.tx.body != nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		return c.in.Line(maxLine)
	}
}

// hangUp ends a connection that cannot be read on. Nobody gets a message that
// did not arrive whole, and no octet after it is read: it may be the message's.
func (c *session) hangUp(err error) {
	c.over = true
	switch {
	case errors.Is(err, wire.ErrInterrupted):
		c.refuse(reply.ShuttingDown)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errTooSlow):
		c.refuse(reply.TimedOut)
	case errors.Is(err, wire.ErrEndlessLine):
		c.refuse(reply.TooManyErrors)
	}
	if c.tx != nil {
		c.log.Info("connection lost inside a message", "id", c.tx.id, "err", err)
	}
}

// obey carries out one command. Replies to what a client may pipeline wait for
// the next read; all others go out at once (RFC 2920 §3.2 (5), (6)).
func (c *session) obey(ctx context.Context, line []byte) {
	text := strings.TrimRight(string(line), " \t") // RFC 5321 §4.1.1: trailing white space is tolerated
	verb, args, _ := strings.Cut(text, " ")
	verb = strings.ToUpper(verb)
	if !c.hasty && verb != "QUIT" {
		c.heard()
	}
	if c.conn.NeedsTLS() && isMail(verb) { // RFC 3207 §4
		c.refuse(reply.Perm(30, "7.0", "say STARTTLS first, and show your certificate"))
		c.out.Flush()
		return
	}
	switch verb {
	case "MAIL":
		c.mail(ctx, args)
		return
	case "RCPT":
		c.rcpt(ctx, args)
		return
	case "BDAT":
		c.bdat(ctx, args)
		return
	case "RSET":
		c.rset(args)
		return
	case "LHLO":
		c.lhlo(args)
	case "DATA":
		c.data(ctx, args)
	case "STARTTLS":
		c.starttls(ctx, args)
	case "NOOP":
		c.say("250 2.0.0 ok")
	case "VRFY":
		c.vrfy(args)
	case "HELP":
		c.say("214 2.0.0 LHLO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT")
	case "QUIT":
		c.quit(args)
	case "HELO", "EHLO":
		c.blame(reply.NotLMTP) // RFC 2033 §4.1
	case "EXPN":
		c.blame(reply.Perm(2, "5.1", "there are no lists to expand here")) // RFC 5321 §4.2.4: 502 for a command that is known
	default:
		c.blame(reply.UnknownCommand)
	}
	c.out.Flush()
}

// isMail says whether a command is about mail. BDAT is left out: whatever is
// wrong with it, its octets have to be read, and without MAIL it gets nowhere.
func isMail(verb string) bool {
	switch verb {
	case "MAIL", "RCPT", "DATA", "VRFY":
		return true
	}
	return false
}

// lhlo greets (RFC 2033 §4.1) and says what we can. REQUIRETLS is listed inside
// TLS alone (RFC 8689 §2), STARTTLS outside alone (RFC 3207 §4.2).
func (c *session) lhlo(args string) {
	name := strings.TrimSpace(args)
	if !isHostish(name) {
		c.blame(reply.BadArguments.Saying("LHLO wants your host's name"))
		return
	}
	c.reset() // RFC 5321 §4.1.4: as if RSET had been said
	c.helo = strings.Clone(name)
	lines := []string{
		c.opt.Hostname,
		"PIPELINING",
		"ENHANCEDSTATUSCODES",
		"8BITMIME",
		"SMTPUTF8",
		"CHUNKING",
		fmt.Sprintf("SIZE %d", c.opt.MaxSize),
		fmt.Sprintf("LIMITS RCPTMAX=%d", maxRecipients),
	}
	if c.opt.DSN {
		lines = append(lines, "DSN")
	}
	if c.conn.CanStartTLS() {
		lines = append(lines, "STARTTLS")
	}
	if c.overTLS() {
		lines = append(lines, "REQUIRETLS")
	}
	last := len(lines) - 1
	for _, l := range lines[:last] {
		c.say("250-%s", l)
	}
	c.say("250 %s", lines[last])
}

// overTLS says whether the peer came over TLS, ours or that of a proxy we trust.
func (c *session) overTLS() bool {
	r := c.conn.Reader()
	return r.TLS || r.ProxiedTLS
}

// isHostish says whether a name can stand in a Received field: a host name or
// an address literal, or what a sloppy host takes for one.
func isHostish(s string) bool {
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;\"`, r) }
	return s != "" && len(s) <= mail.MaxDomain && !strings.ContainsFunc(s, odd)
}

func (c *session) rset(args string) {
	if args != "" {
		c.blame(reply.BadArguments)
		return
	}
	c.reset()
	c.say("250 2.0.0 ok")
}

// reset forgets the transaction, if there is one.
func (c *session) reset() {
	if c.tx == nil {
		return
	}
	if c.tx.body != nil {
		c.tx.body.close()
	}
	c.names.give(c.tx.weight)
	c.tx = nil
}

// vrfy never says who is here (RFC 5321 §3.5.3, §7.3).
func (c *session) vrfy(args string) {
	if args == "" {
		c.blame(reply.BadArguments)
		return
	}
	c.say("252 2.0.0 send the mail and you will see")
}

func (c *session) quit(args string) {
	if args != "" {
		c.blame(reply.BadArguments)
		return
	}
	c.say("221 2.0.0 %s good bye", c.opt.Hostname)
	c.over, c.quitted = true, true
}

// starttls turns the connection into a TLS one (RFC 3207). Nothing from before
// survives: no octet, no name, no transaction. A handshake that goes wrong ends
// the connection: the peer asked for protection, so nothing goes on in clear.
func (c *session) starttls(ctx context.Context, args string) {
	switch {
	case args != "":
		c.blame(reply.BadArguments.Saying("STARTTLS takes no arguments"))
		return
	case c.overTLS():
		c.blame(reply.BadSequence.Saying("TLS is already on"))
		return
	case !c.conn.CanStartTLS():
		c.refuse(reply.TLSNotNow)
		return
	}
	c.say("220 2.0.0 go ahead")
	c.reset()
	c.helo = ""
	if err := c.out.Flush(); err != nil {
		c.over = true
		return
	}
	c.in.Discard()
	if err := c.conn.StartTLS(ctx); err != nil {
		c.log.Info("TLS handshake", "err", err)
		c.over = true
	}
}

// say writes one reply line. Replies are ASCII (RFC 6531 §3.7.4.2) and at most
// 512 octets long (RFC 5321 §4.5.3.1.5).
func (c *session) say(format string, args ...any) {
	c.reply = fmt.Appendf(c.reply[:0], format, args...)
	line := c.reply
	if !printable(line) {
		line = bytes.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return '?'
			}
			return r
		}, line)
	}
	c.out.Write(line[:min(len(line), 510)])
	c.out.WriteString("\r\n")
}

func printable(line []byte) bool {
	for _, c := range line {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// shown is an address in a reply: RFC 6531 §3.7.4.2 forbids any other than an
// ASCII one there.
func shown(a mail.Address) string {
	if !a.ASCII() {
		return "recipient"
	}
	return a.Path()
}

// refuse says no.
func (c *session) refuse(e *reply.Error) {
	for _, line := range e.Lines() {
		c.say("%s", line)
	}
}

// blame says no to a broken command. Whoever sends too many is sent away.
func (c *session) blame(e *reply.Error) {
	if c.errors++; c.errors >= maxErrors {
		c.over = true
		e = reply.TooManyErrors
	}
	c.refuse(e)
}
