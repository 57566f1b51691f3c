package syntax

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// class is a set of octets.
type class func(c byte) bool

// isAtomChar is ATOM-CHAR of RFC 9051 §9.
func isAtomChar(c byte) bool {
	return c > ' ' && c < 0x7f && atomSpecials[c>>6]&(1<<(c&63)) == 0
}

// atomSpecials has a bit for each of ( ) { % * " \ ]
var atomSpecials = [2]uint64{
	1<<'(' | 1<<')' | 1<<'%' | 1<<'*' | 1<<'"',
	1<<('{'-64) | 1<<('\\'-64) | 1<<(']'-64),
}

func isAstringChar(c byte) bool { return isAtomChar(c) || c == ']' }
func isTagChar(c byte) bool     { return isAstringChar(c) && c != '+' }
func isListChar(c byte) bool    { return isAstringChar(c) || c == '%' || c == '*' }
func isDigit(c byte) bool       { return c >= '0' && c <= '9' }
func isLabelChar(c byte) bool   { return isAtomChar(c) && c != '[' && c != '<' }

// more says that the line goes on.
func (d *Decoder) more() bool { return d.ok() && d.pos < len(d.line) }

// peek is the next octet, 0 at the end of the line.
func (d *Decoder) peek() byte {
	if !d.more() {
		return 0
	}
	return d.line[d.pos]
}

// take reads c where it is next.
func (d *Decoder) take(c byte) bool {
	if !d.more() || d.line[d.pos] != c {
		return false
	}
	d.pos++
	return true
}

// ahead says whether text is next, in any case.
func (d *Decoder) ahead(text string) bool {
	return d.ok() && len(d.line)-d.pos >= len(text) && strings.EqualFold(string(d.line[d.pos:d.pos+len(text)]), text)
}

func (d *Decoder) expect(c byte) {
	if !d.take(c) {
		d.fail("expected " + strconv.QuoteRune(rune(c)))
	}
}

// sp reads exactly one space (RFC 9051 §9, rule 2).
func (d *Decoder) sp() {
	switch {
	case !d.ok():
	case !d.more():
		d.fail("the command ends too early")
	case !d.take(' '):
		d.fail("expected a space")
	}
}

// end is the end of the command.
func (d *Decoder) end() {
	if d.more() {
		d.fail("text after the end of the command")
	}
}

// run reads the longest run of octets of a class.
func (d *Decoder) run(in class) string {
	if !d.ok() {
		return ""
	}
	start := d.pos
	for d.pos < len(d.line) && in(d.line[d.pos]) {
		d.pos++
	}
	return string(d.line[start:d.pos])
}

func (d *Decoder) atom() string {
	s := d.run(isAtomChar)
	if s == "" {
		d.fail("expected an atom")
	}
	return s
}

// keyword reads a word of the grammar and gives it in upper case.
func (d *Decoder) keyword() string {
	s := d.run(isLabelChar)
	if s == "" {
		d.fail("expected a word")
	}
	return strings.ToUpper(s)
}

// list reads "(" [item *(SP item)] ")" and says how many items there were. With
// more than most the grammar is still kept: NO [LIMIT] (RFC 9051 §7.1).
func (d *Decoder) list(most int, item func()) (n int) {
	d.expect('(')
	if d.take(')') {
		return 0
	}
	for d.ok() {
		if n++; n > most {
			d.exceeds("too many items in a list")
		}
		item()
		if d.take(')') {
			break
		}
		d.sp()
	}
	return n
}

// list1 is list where () is wrong.
func (d *Decoder) list1(most int, item func()) {
	if d.list(most, item) == 0 {
		d.fail("empty list")
	}
}

// astring reads an atom, a quoted string or a literal.
func (d *Decoder) astring() string {
	if s := d.run(isAstringChar); s != "" {
		return s
	}
	return d.str()
}

// str reads a quoted string or a literal.
func (d *Decoder) str() string {
	switch {
	case d.peek() == '"':
		return d.quoted()
	case d.peek() == '{', d.peek() == '~':
		return d.literalString()
	case d.ok() && !d.more():
		d.fail("the command ends too early")
	}
	d.fail("expected a string")
	return ""
}

// nstring reads a string or NIL, for which ok is false.
func (d *Decoder) nstring() (s string, ok bool) {
	if c := d.peek(); c == '"' || c == '{' {
		return d.str(), true
	}
	if d.keyword() != "NIL" {
		d.fail("expected a string or NIL")
	}
	return "", false
}

// quoted reads a quoted string. Octets above 127 are UTF-8 where the session
// has said so, and wrong elsewhere (RFC 9051 §4.3, RFC 3501 §9).
func (d *Decoder) quoted() string {
	d.expect('"')
	if !d.ok() {
		return ""
	}
	rest := d.line[d.pos:]
	if end := bytes.IndexAny(rest, "\"\\"); end >= 0 && rest[end] == '"' {
		d.pos += end + 1
		return d.quotedText(rest[:end])
	}
	var text []byte
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '"':
			d.pos += i + 1
			return d.quotedText(text)
		case '\\':
			i++
			if i == len(rest) || rest[i] != '"' && rest[i] != '\\' {
				d.fail(`a backslash in a quoted string stands before " or \`)
				return ""
			}
			text = append(text, rest[i])
		default:
			text = append(text, c)
		}
	}
	d.fail("a quoted string does not end")
	return ""
}

func (d *Decoder) quotedText(text []byte) string {
	ascii := true
	for _, c := range text {
		if c == 0 || c == '\r' || c == '\n' {
			d.fail("CR, LF or NUL in a quoted string")
			return ""
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && !d.mode.UTF8() {
		d.fail("8-bit octets in a quoted string: send a literal, or enable UTF8=ACCEPT")
		return ""
	}
	if !ascii && !utf8.Valid(text) {
		d.fail("a quoted string is not UTF-8")
		return ""
	}
	return string(text)
}

// number reads a number of 32 bits.
func (d *Decoder) number() uint32 { return uint32(d.numberUpTo(math.MaxUint32)) }

// number64 reads a number of 63 bits.
func (d *Decoder) number64() int64 { return int64(d.numberUpTo(math.MaxInt64)) }

// nzNumber reads a number of 32 bits that is not 0.
func (d *Decoder) nzNumber() uint32 {
	if d.peek() == '0' {
		d.fail("a number may not start with 0 here")
	}
	return d.number()
}

func (d *Decoder) numberUpTo(most uint64) uint64 {
	digits := d.run(isDigit)
	n, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case digits == "":
		d.fail("expected a number")
		return 0
	case err != nil || n > most:
		d.fail("number out of range")
		return 0
	}
	return n
}
