package syntax

import (
	"io"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Append is APPEND (RFC 9051 §6.3.12). When [Decoder.Next] hands it out, its
// literal is announced and neither asked for nor read: the caller may look at
// mailbox, quota and flags, and then calls [Append.Open] and [Append.Close], or
// [Append.Refuse].
type Append struct {
	Mailbox string
	Flags   []imap.Flag
	Date    time.Time // zero: not given
	Size    int64     // octets of the message, at most Limits.Append
	Form    LiteralForm

	d      *Decoder
	asked  bool  // the client sends the message or has sent it
	unread int64 // octets of it still to come
}

// LiteralForm says in what form a message is appended.
type LiteralForm uint8

const (
	PlainLiteral  LiteralForm = iota // {n}
	BinaryLiteral                    // ~{n}: may hold NUL (RFC 3516 §4.4)
	UTF8Literal                      // UTF8 (~{n}) (RFC 6855 §4)
)

// append reads up to the message.
func (d *Decoder) append() Args {
	a := &Append{d: d}
	d.sp()
	a.Mailbox = d.mailbox()
	d.sp()
	if d.peek() == '(' {
		a.Flags = d.flagList()
		d.sp()
	}
	if d.peek() == '"' {
		a.Date = d.dateTime()
		d.sp()
	}
	lit := d.message(a)
	switch {
	case !d.ok():
	case d.limits.Append == 0:
		d.fail("no message is taken before login")
	case lit.size > d.limits.Append:
		d.refuse(imap.ResponseCodeTooBig, "message too big")
	}
	a.Size, a.unread, a.asked = lit.size, lit.size, lit.nonSync
	return a
}

// message reads the announcement of the message in one of its forms.
func (d *Decoder) message(a *Append) literal {
	switch c := d.peek(); c {
	case '{':
	case '~':
		a.Form = BinaryLiteral
	case 'U', 'u':
		if d.keyword() != "UTF8" {
			d.fail("expected a message")
		}
		a.Form = UTF8Literal
		d.sp()
		d.expect('(')
		if d.peek() != '~' {
			d.fail("UTF8 takes a binary literal")
		}
	default:
		d.fail("expected a message as a literal")
	}
	return d.announcement()
}

// Open lets the client send the message: where it waits for leave, leave is
// given. The reader yields exactly Size octets or an error, io.ErrUnexpectedEOF
// where the client left in between.
func (a *Append) Open() (io.Reader, error) {
	if !a.asked {
		if a.d.broken = a.d.ask(); a.d.broken != nil {
			return nil, a.d.broken
		}
		a.asked = true
	}
	return (*messageReader)(a), nil
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

// Close reads the command to its end, with what is left of an opened message.
// A *BadError (text after the message, a second message) means that nothing is
// to be stored. Closing again does nothing.
func (a *Append) Close() error {
	d := a.d
	if d.open != a {
		return nil
	}
	d.open = nil
	if !a.asked { // the message will not be sent, nor anything after it
		return d.settle()
	}
	if d.swallow(a.unread); d.broken == nil {
		a.unread = 0
		d.nextLine()
	}
	if a.Form == UTF8Literal {
		d.expect(')')
	}
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
