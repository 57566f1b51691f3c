package syntax

import (
	"bytes"
	"io"
	"math"

	"github.com/emersion/go-imap/v2"
)

// Limits bounds what one command may cost. There is no useful zero: start from
// [Stranger] or [Known].
type Limits struct {
	Command  int   // octets of a command, literals not counted
	Literals int   // octets of all its literals, a message being appended not counted
	NonSync  int64 // octets of one non-synchronizing literal: 4096 where LITERAL- is offered (RFC 7888 §5)
	Append   int64 // octets of a message
	Swallow  int64 // octets read to get past the literals of a bad command; where they are more, the connection is given up
	Depth    int   // nesting of search keys
}

// Stranger is the limits before login: no message, and little of all else.
func Stranger() Limits {
	return Limits{Command: 16 << 10, Literals: 4 << 10, NonSync: math.MaxInt64, Swallow: 64 << 10, Depth: 8}
}

// Known is the limits behind login for messages up to message octets. A
// command may be 72 KiB long: clients write sets of 64 KiB.
func Known(message int64) Limits {
	return Limits{Command: 72 << 10, Literals: 64 << 10, NonSync: math.MaxInt64, Append: message, Swallow: 2*message + 1<<20, Depth: 500}
}

// literal is the announcement of a literal: {n}, {n+}, ~{n} or ~{n+} at the
// end of a line (RFC 7888 §8, RFC 4466 §6 literal8).
type literal struct {
	size    int64 // MaxInt64 where the number is greater
	nonSync bool  // the client does not wait for leave
	binary  bool
}

// announced finds the literal that a line announces at its end, and where the
// announcement starts. It is looked for in every line, also in one that makes no
// sense: the octets that follow are never a command (RFC 7888 §3).
func announced(line []byte) (lit literal, start int, ok bool) {
	if len(line) < 3 || line[len(line)-1] != '}' {
		return literal{}, 0, false
	}
	open := bytes.LastIndexByte(line, '{')
	if open < 0 {
		return literal{}, 0, false
	}
	digits, nonSync := bytes.CutSuffix(line[open+1:len(line)-1], []byte("+"))
	size, ok := literalSize(digits)
	if !ok {
		return literal{}, 0, false
	}
	lit = literal{size: size, nonSync: nonSync}
	if open > 0 && line[open-1] == '~' {
		lit.binary = true
		open--
	}
	return lit, open, true
}

func literalSize(digits []byte) (n int64, ok bool) {
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, len(digits) > 0
}

// announcement reads the literal that is announced here, without its octets.
func (d *Decoder) announcement() literal {
	lit, start, ok := announced(d.line)
	if !d.ok() {
		return literal{}
	}
	if !ok || start != d.pos {
		d.fail("a literal is announced at the end of a line")
		return literal{}
	}
	d.pos = len(d.line)
	if lit.nonSync && lit.size > d.limits.NonSync {
		d.failWith(BadError{Status: imap.StatusResponseTypeBad, Code: string(imap.ResponseCodeTooBig), Text: "non-synchronizing literal too big"})
	}
	return lit
}

// literalString reads a literal into memory, and the line that goes on after it.
func (d *Decoder) literalString() string {
	lit := d.announcement()
	if lit.binary {
		d.fail("no binary literal may be here")
	}
	octets := d.hold(lit)
	if bytes.IndexByte(octets, 0) >= 0 {
		d.fail("NUL in a literal")
	}
	return string(octets)
}

// literal8String is literalString for a literal that may hold NUL.
func (d *Decoder) literal8String() string { return string(d.hold(d.announcement())) }

// hold reads the octets of a literal, and the line after them.
func (d *Decoder) hold(lit literal) []byte {
	if d.ok() && lit.size > int64(d.limits.Literals-d.held) {
		d.exceeds("literal too long")
	}
	if !d.ok() {
		return nil
	}
	if !lit.nonSync {
		if d.broken = d.ask(); d.broken != nil {
			return nil
		}
	}
	octets := make([]byte, lit.size)
	if _, err := io.ReadFull(d.src, octets); err != nil {
		d.broken = cut(err)
		return nil
	}
	d.held += len(octets)
	d.nextLine()
	if d.lines > d.limits.Command {
		d.fail("command too long")
	}
	return octets
}

// swallowRest reads on to the end of a bad command: the literals that the
// client sends unasked, and the lines after them. One that it waits to be asked
// for ends the command, as it will not be sent.
func (d *Decoder) swallowRest() {
	for left := d.limits.Swallow; d.broken == nil; {
		lit, _, ok := announced(d.line)
		if !ok || !lit.nonSync {
			return
		}
		if left -= int64(len(d.line)); lit.size > left {
			d.bad.Close = true
			return
		}
		left -= lit.size
		d.swallow(lit.size)
		before := d.bad
		d.bad = nil
		d.nextLine()
		if d.bad != nil {
			before.Close = true
		}
		if d.bad = before; d.bad.Close {
			return
		}
	}
}

// swallow reads n octets and keeps none.
func (d *Decoder) swallow(n int64) {
	if d.broken != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, d.src, n); err != nil {
		d.broken = cut(err)
	}
}

// cut is err where octets were still to come.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
