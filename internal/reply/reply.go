// Package reply is how Letterlock refuses: a status class, a basic code, an
// enhanced code and a text, as one error value.
//
// Whoever refuses mail returns an [*Error]; whoever speaks to the stranger
// prints its [Error.Lines]. Anything that is not an *Error is our own bug and
// becomes a temporary failure, so that it never bounces mail. The stranger
// never sees a cause, a path or an address: those stay in [Error.Err] for the
// log. The package does not know who is refusing.
//
// RFC 5321 §4.2 (reply codes), RFC 3463 (enhanced codes), RFC 2034. The whole
// list of what we say stands in codes.go.
package reply

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Class says whether trying again can help: the first digit of a reply.
type Class uint8

const (
	Temporary Class = 4 // the sender may try again
	Permanent Class = 5 // the sender must not try again as it is
)

// Error is one refusal.
type Error struct {
	Class  Class  // Temporary or Permanent: said once
	Basic  uint8  // 0 to 99: 50 is 450 or 550
	Detail string // "7.30" is 4.7.30 or 5.7.30 (RFC 3463); empty where none fits
	Text   string // fit for a stranger; LF ends each of several lines but the last
	Logged string // what our log has instead of Text, which may quote a message; empty: Text
	Err    error  // the cause, for our log only
}

// Temp makes a refusal that invites another try. basic is the last two digits
// of the reply code, detail the last two numbers of the enhanced code.
func Temp(basic uint8, detail, text string) *Error {
	return &Error{Class: Temporary, Basic: basic, Detail: detail, Text: text}
}

// Perm makes a refusal that is final.
func Perm(basic uint8, detail, text string) *Error {
	return &Error{Class: Permanent, Basic: basic, Detail: detail, Text: text}
}

// Because returns a copy of e that carries cause for the log. errors.Is still
// finds e.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Err = cause
	return &c
}

// Saying returns a copy of e with another text. errors.Is still finds e.
func (e *Error) Saying(format string, args ...any) *Error {
	c := *e
	c.Text = fmt.Sprintf(format, args...)
	return &c
}

// Code is the three-digit reply code (RFC 5321 §4.2.1).
func (e *Error) Code() int { return int(e.Class)*100 + int(e.Basic) }

// Enhanced is the enhanced status code (RFC 3463 §2), or "" where there is none.
func (e *Error) Enhanced() string {
	if e.Detail == "" {
		return ""
	}
	return strconv.Itoa(int(e.Class)) + "." + e.Detail
}

// maxLines is how many lines one reply has: what is behind them stands in the last.
const maxLines = 32

// Lines is what the stranger reads, each without CRLF: a reply of several lines
// (RFC 5321 §4.2.1) where the text has several.
func (e *Error) Lines() []string {
	texts := strings.SplitN(e.Text, "\n", maxLines)
	lines := make([]string, len(texts))
	for i, text := range texts {
		one := *e
		one.Text = strings.TrimSuffix(text, "\r")
		if lines[i] = one.Line(); i < len(texts)-1 {
			lines[i] = lines[i][:3] + "-" + lines[i][4:]
		}
	}
	return lines
}

// Line is the same on one line.
func (e *Error) Line() string {
	words := []string{strconv.Itoa(e.Code()), e.Enhanced(), oneLine(e.Text)}
	if e.Detail == "" {
		words = []string{words[0], words[2]}
	}
	return strings.Join(words, " ")
}

// Error reads as the line and, for the log, its cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Line()
	}
	return e.Line() + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is says whether target is the same refusal, whatever the cause or the text.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Class == e.Class && t.Basic == e.Basic && t.Detail == e.Detail
}

// From turns any error into what may be said to a stranger. nil stays nil;
// what is not an *Error becomes [LocalError].
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return LocalError.Because(err)
}

// oneLine keeps a text from breaking the protocol: RFC 5321 §4.2 allows
// printable octets and HT in a reply.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
