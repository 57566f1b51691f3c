package lmtp

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
)

// mail opens a transaction (RFC 5321 §4.1.1.2). One that is open stays as it
// is: neither its sender nor its demand can be replaced.
func (c *session) mail(ctx context.Context, args string) {
	switch {
	case c.helo == "":
		c.blame(reply.BadSequence.Saying("say LHLO first"))
		return
	case c.tx != nil:
		c.blame(reply.BadSequence.Saying("a message is already being taken: finish it or say RSET"))
		return
	}
	from, rest, err := pathArgument(args, "FROM:")
	if err != nil {
		c.blame(reply.BadSender.Because(err))
		return
	}
	tx := &transaction{from: from}
	tx.arrival.OverTLS = c.overTLS()
	e := tx.takeParams(rest, dsnOffer(c.opt.DSN))
	if e != nil {
		c.blame(e)
		return
	}
	if e := c.mayBegin(tx); e != nil {
		c.refuse(e)
		c.opt.Mail.Refused(ctx, "", c.conn.Peer(), from, mail.Address{}, e)
		return
	}
	tx.id = c.ids.next(c.opt.Now())
	c.tx = tx
	c.say("250 2.1.0 sender ok")
}

// mayBegin refuses early what would be refused in the end. The declared size
// decides nothing else (RFC 1870 §6).
func (c *session) mayBegin(tx *transaction) *reply.Error {
	switch _, err := tx.arrival.Demand(); {
	case err != nil: // RFC 8689 §2: inside TLS alone
		return reply.From(err)
	case !tx.utf8 && !tx.from.ASCII():
		return reply.Perm(50, "6.7", reply.NeedsSMTPUTF8.Text) // RFC 6531 §3.5: 550 for MAIL, 553 for RCPT
	case tx.declared > uint64(c.opt.MaxSize):
		return c.tooBig
	}
	return nil
}

// takeParams takes what follows the path of MAIL.
func (tx *transaction) takeParams(s string, dsn dsnOffer) *reply.Error {
	params, e := parseParams(s)
	if e != nil {
		return e
	}
	for _, p := range params {
		switch p.key {
		case "SIZE":
			tx.declared, e = sizeParam(p)
		case "BODY":
			e = bodyParam(p)
		case "SMTPUTF8":
			tx.utf8, e = true, p.noValue()
		case "RET", "ENVID":
			e = dsn.ofMail(&tx.dsn, p)
		case "REQUIRETLS": // RFC 8689 §2: no value, and once
			tx.arrival.Param, e = true, p.noValue()
		default:
			e = p.unknown()
		}
		if e != nil {
			return e
		}
	}
	return nil
}

// sizeParam reads up to twenty digits (RFC 1870 §3); what no uint64 holds is
// too big for everybody.
func sizeParam(p param) (uint64, *reply.Error) {
	if len(p.value) > 20 || !isDigits(p.value) {
		return 0, reply.BadArguments.Saying("SIZE wants a number of octets")
	}
	n, err := strconv.ParseUint(p.value, 10, 64)
	if err != nil {
		return math.MaxUint64, nil
	}
	return n, nil
}

// bodyParam: RFC 6152 §2. Binary parts could not leave IMAP unencoded, so
// BINARYMIME (RFC 3030 §3) is not offered.
func bodyParam(p param) *reply.Error {
	switch strings.ToUpper(p.value) {
	case "7BIT", "8BITMIME":
		return nil
	case "BINARYMIME":
		return reply.UnknownParam.Saying("BODY=BINARYMIME is not offered")
	}
	return reply.BadArguments.Saying("BODY is 7BIT or 8BITMIME")
}

// rcpt adds one recipient (RFC 5321 §4.1.1.3). Its parameters are those of DSN
// (RFC 3461 §4.1, §4.2), where it is offered.
func (c *session) rcpt(ctx context.Context, args string) {
	switch {
	case c.tx == nil:
		c.blame(reply.BadSequence.Saying("say MAIL first"))
		return
	case c.tx.body != nil:
		c.blame(reply.BadSequence.Saying("the message has already begun"))
		return
	}
	to, rest, err := pathArgument(args, "TO:")
	if err == nil && to.IsNull() {
		err = errNullRecipient
	}
	if err != nil {
		c.blame(reply.BadRecipient.Because(err))
		return
	}
	dsn, e := c.mayReceive(ctx, to, rest)
	if e == nil {
		e = c.accept(to, dsn)
	}
	if e != nil {
		c.refuse(e)
		c.opt.Mail.Refused(ctx, c.tx.id, c.conn.Peer(), c.tx.from, to, e)
		return
	}
	c.say("250 2.1.5 %s ok", shown(to))
}

var errNullRecipient = errors.New("a recipient cannot be empty")

func (c *session) mayReceive(ctx context.Context, to mail.Address, params string) (mail.DSN, *reply.Error) {
	dsn := c.tx.dsn
	given, e := parseParams(params)
	for _, p := range given {
		if e == nil {
			e = dsnOffer(c.opt.DSN).ofRcpt(&dsn, p, c.tx.utf8)
		}
	}
	switch {
	case e != nil:
		return dsn, e
	case !c.tx.utf8 && !to.ASCII():
		return dsn, reply.NeedsSMTPUTF8
	case len(c.tx.rcpts) >= maxRecipients:
		return dsn, reply.TooManyRcpts
	}
	return dsn, reply.From(c.ask(ctx, to))
}

// accept writes a recipient down, where there is memory for it.
func (c *session) accept(to mail.Address, dsn mail.DSN) *reply.Error {
	const overhead = 128 // of the entry in the list and in the map of fates
	weight := len(to.Local) + len(to.Domain) + overhead
	if dsn != (mail.DSN{}) {
		weight += len(dsn.ORcptType) + len(dsn.ORcpt) + overhead
	}
	if !c.names.take(weight) {
		return reply.TooManyRcpts
	}
	c.tx.weight += weight
	c.tx.rcpts = append(c.tx.rcpts, to)
	c.tx.ask(to, dsn)
	return nil
}

// pathArgument reads "FROM:<path>" and what follows the path. A space after the
// colon is a common mistake that harms nobody.
func pathArgument(args, keyword string) (a mail.Address, rest string, err error) {
	if len(args) < len(keyword) || !strings.EqualFold(args[:len(keyword)], keyword) {
		return mail.Address{}, "", errors.New("want " + keyword)
	}
	a, rest, err = mail.ParsePath(strings.TrimLeft(args[len(keyword):], " "))
	// a copy, so that a short address does not hold on to a long line
	return mail.Address{Local: strings.Clone(a.Local), Domain: strings.Clone(a.Domain)}, rest, err
}

// param is one ESMTP parameter of MAIL or RCPT (RFC 5321 §4.1.2).
type param struct {
	key   string // upper case
	value string
	given bool // there was a "="
}

// unknown refuses a parameter that is not offered (RFC 5321 §4.1.1.11).
func (p param) unknown() *reply.Error {
	return reply.UnknownParam.Saying("parameter %s not known", p.key)
}

// noValue refuses a value.
func (p param) noValue() *reply.Error {
	if p.given {
		return reply.BadArguments.Saying("%s takes no value", p.key)
	}
	return nil
}

// parseParams reads " KEY KEY=value ...". No key may come twice.
func parseParams(s string) ([]param, *reply.Error) {
	if s != "" && s[0] != ' ' {
		return nil, reply.BadArguments.Saying("a space belongs behind the address")
	}
	var params []param
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' }) {
		key, value, given := strings.Cut(word, "=")
		p := param{strings.ToUpper(key), value, given}
		if strings.ContainsFunc(key, notKeyword) || key == "" || strings.ContainsFunc(value, notValue) {
			return nil, reply.BadArguments
		}
		if slices.ContainsFunc(params, func(q param) bool { return q.key == p.key }) {
			return nil, reply.BadArguments.Saying("%s comes twice", p.key)
		}
		params = append(params, p)
	}
	return params, nil
}

func notKeyword(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
}

func notValue(r rune) bool { return r <= ' ' || r == '=' || r == 0x7f }

func isDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}
