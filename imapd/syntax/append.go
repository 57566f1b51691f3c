package syntax

import (
	"io"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Append is APPEND (RFC 9051 §6.3.12), with one message or more (RFC 3502),
// each sent as it is or put together of parts (RFC 4469).
//
// When [Decoder.Next] hands it out, the first message is announced and neither
// asked for nor read: the caller may look at mailbox, quota and flags, and then
// reads it with [Append.Open], or part by part with [Append.Part] where its Form
// is Catenated. [Append.Next] goes to the next message; when it says that there
// is none, all of the command was right, and only then anything may be stored.
// [Append.Refuse] is the way out at any time.
type Append struct {
	Mailbox string
	Written string // the name as the client wrote it; "": as it is

	// Of the message at hand.
	Flags []imap.Flag
	Date  time.Time // zero: not given
	Size  int64     // octets of the message, at most Limits.Append; 0 where it is Catenated
	Form  LiteralForm

	d       *Decoder
	number  int   // of the message at hand, from 1
	single  bool  // the command takes one message
	pending bool  // a literal is announced; the line after it is not read yet
	asked   bool  // the client sends it or has sent it
	unread  int64 // octets of it still to come
	inUTF8  bool  // it stands in the parentheses of UTF8
	inParts bool  // the list of a Catenated message is not at its end
	parts   int   // of the list so far
	texts   int64 // octets of its literals so far
}

// LiteralForm says in what form a message is appended.
type LiteralForm uint8

const (
	PlainLiteral  LiteralForm = iota // {n}
	BinaryLiteral                    // ~{n}: may hold NUL (RFC 3516 §4.4)
	UTF8Literal                      // UTF8 (~{n}) (RFC 6855 §4)
	Catenated                        // CATENATE (…) (RFC 4469): see [Append.Part]
)

// Part is a part of a Catenated message: the octets that a URL names, or a text
// that the client sends.
type Part struct {
	URL  string // "" for a text; see [ParseURL]
	Size int64  // octets of the text, to be read with [Append.Open]
	Form LiteralForm
}

// Replace is REPLACE or UID REPLACE (RFC 8508): an APPEND of one message, and
// the message that goes for it.
type Replace struct {
	UID bool   // Num is a UID
	Num uint32 // Star: "*", the last message
	*Append
}

// How much one APPEND may have: far above what clients send.
const (
	maxMessages = 1000
	maxParts    = 1000
)

// append reads up to the first message.
func (d *Decoder) append() Args {
	a := &Append{d: d}
	d.appendTo(a)
	return a
}

func (d *Decoder) appendTo(a *Append) {
	d.sp()
	a.Mailbox, a.Written = d.mailboxAsWritten()
	d.sp()
	if d.ok() && d.limits.Append == 0 {
		d.fail("no message is taken before login")
	}
	a.message()
}

// replace reads RFC 8508 §5.
func (d *Decoder) replace() Args {
	r := &Replace{UID: d.byUID, Append: &Append{d: d, single: true}}
	d.sp()
	r.Num = d.setNumber()
	d.appendTo(r.Append)
	return r
}

// appending is the APPEND in the arguments of a command; nil for all others.
func appending(args Args) *Append {
	switch a := args.(type) {
	case *Append:
		return a
	case *Replace:
		return a.Append
	}
	return nil
}

// message reads flags and date of a message, and its announcement.
func (a *Append) message() {
	d := a.d
	a.Flags, a.Date, a.Size, a.Form = nil, time.Time{}, 0, PlainLiteral
	if a.number++; a.number > maxMessages {
		d.exceeds("too many messages in one APPEND")
	}
	if d.peek() == '(' {
		a.Flags = d.flagList()
		d.sp()
	}
	if d.peek() == '"' {
		a.Date = d.dateTime()
		d.sp()
	}
	if c := d.peek(); c == 'C' || c == 'c' {
		a.catenation()
		return
	}
	a.Form = a.literal("expected a message as a literal")
	a.Size = a.unread
}

// catenation reads the start of RFC 4469 §5, append-data. No part is read yet:
// a URL may be a literal, to be asked for.
func (a *Append) catenation() {
	d := a.d
	if d.keyword() != "CATENATE" {
		d.fail("expected a message as a literal")
	}
	d.sp()
	d.expect('(')
	a.Form, a.inParts, a.parts, a.texts = Catenated, d.ok(), 0, 0
}

// literal reads the announcement of octets in one of their forms.
func (a *Append) literal(otherwise string) LiteralForm {
	d := a.d
	form := PlainLiteral
	switch c := d.peek(); c {
	case '{':
	case '~':
		form = BinaryLiteral
	case 'U', 'u':
		if d.keyword() != "UTF8" {
			d.fail(otherwise)
		}
		form = UTF8Literal
		d.sp()
		d.expect('(')
		if d.peek() != '~' {
			d.fail("UTF8 takes a binary literal")
		}
	default:
		d.fail(otherwise)
	}
	lit := d.announcement()
	if d.ok() && lit.size > d.limits.Append {
		d.refuse(imap.ResponseCodeTooBig, "message too big")
	}
	a.pending, a.asked, a.unread, a.inUTF8 = d.ok(), lit.nonSync, lit.size, form == UTF8Literal
	return form
}

// Open lets the client send the message or part that is announced: where it
// waits for leave, leave is given. The reader yields exactly Size octets or an
// error, io.ErrUnexpectedEOF where the client left in between.
func (a *Append) Open() (io.Reader, error) {
	if err := a.ask(); err != nil {
		return nil, err
	}
	return (*messageReader)(a), nil
}

func (a *Append) ask() error {
	if a.pending && !a.asked {
		if a.d.broken = a.d.ask(); a.d.broken != nil {
			return a.d.broken
		}
		a.asked = true
	}
	return nil
}

type messageReader Append

func (r *messageReader) Read(p []byte) (int, error) {
	switch {
	case r.d.broken != nil:
		return 0, r.d.broken
	case r.unread == 0:
		return 0, io.EOF
	}
	if int64(len(p)) > r.unread {
		p = p[:r.unread]
	}
	n, err := r.d.src.Read(p)
	r.unread -= int64(n)
	if n == 0 && err != nil {
		r.d.broken = cut(err)
		return 0, r.d.broken
	}
	return n, nil
}

// Part goes to the next part of a Catenated message; nil is behind the last. A
// text that was not opened is asked for and thrown away. A *BadError means that
// the command is wrong and read to its end.
func (a *Append) Part() (*Part, error) {
	if a.d.open != a || !a.inParts {
		return nil, nil
	}
	p := a.part()
	if err := a.checked(); err != nil {
		return nil, err
	}
	return p, nil
}

// part reads up to the next part and its announcement (RFC 4469 §5, cat-part;
// RFC 6855 §4).
func (a *Append) part() *Part {
	d := a.d
	a.finishLiteral()
	if a.parts > 0 && d.take(')') {
		a.inParts = false
		return nil
	}
	if a.parts++; a.parts > maxParts {
		d.exceeds("too many parts in a message")
	}
	if a.parts > 1 {
		d.sp()
	}
	switch word := d.keyword(); word {
	case "URL":
		d.sp()
		return &Part{URL: d.astring()}
	case "TEXT":
		d.sp()
		if d.word() != "" {
			d.fail("TEXT takes a literal")
		}
	case "UTF8":
		d.pos -= len(word)
	default:
		d.fail("expected TEXT or URL")
	}
	p := &Part{Form: a.literal("expected TEXT or URL"), Size: a.unread}
	if a.texts += p.Size; d.ok() && a.texts > d.limits.Append {
		d.refuse(imap.ResponseCodeTooBig, "message too big")
	}
	return p
}

// Next goes to the next message, with what is left of this one. more is false
// behind the last. A *BadError means that the command is wrong and read to its
// end: nothing is to be stored, of the messages before neither (RFC 3502).
func (a *Append) Next() (more bool, err error) {
	d := a.d
	if d.open != a {
		return false, nil
	}
	a.finishLiteral()
	for a.inParts && d.ok() {
		a.part()
		a.finishLiteral()
	}
	if more = d.more() && !a.single; more {
		d.sp()
		a.message()
	} else {
		d.end()
	}
	if err := a.checked(); err != nil {
		return false, err
	}
	if !more {
		d.open = nil
	}
	return more, nil
}

// finishLiteral reads what is left of a literal, and the line after it.
func (a *Append) finishLiteral() {
	d := a.d
	if !a.pending || !d.ok() || a.ask() != nil {
		return
	}
	a.pending = false
	if d.swallow(a.unread); d.broken == nil {
		a.unread = 0
		d.nextLine()
	}
	if d.lines > d.limits.Command {
		d.fail("command too long")
	}
	if a.inUTF8 {
		d.expect(')')
	}
}

// checked ends the command where it is wrong.
func (a *Append) checked() error {
	if a.d.ok() {
		return nil
	}
	a.d.open = nil
	return a.d.settle()
}

// Close reads the command to its end, with what is left of an opened message.
// A *BadError (text after the message, a message or part that was not gone to)
// means that nothing is to be stored. Closing again does nothing.
func (a *Append) Close() error {
	d := a.d
	if d.open != a {
		return nil
	}
	d.open = nil
	if a.pending && !a.asked { // the literal will not be sent, nor anything after it
		return d.settle()
	}
	a.finishLiteral()
	d.end()
	return d.settle()
}

// Refuse is for a message that is not wanted: its octets are swallowed where
// the client does not wait for leave, and never asked for where it does. It is
// called before the tagged NO is written. An error is to be answered in its
// place: the connection's, or a *BadError with Close set.
func (a *Append) Refuse() error {
	err := a.Close()
	if bad, ok := err.(*BadError); ok && !bad.Close {
		return nil // whatever else was wrong, it has been answered
	}
	return err
}
