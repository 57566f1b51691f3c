package syntax

import (
	"github.com/emersion/go-imap/v2"
)

// BadError answers a command that is wrong.
type BadError struct {
	Tag    string                  // of the command, "*" where none could be read
	Status imap.StatusResponseType // BAD, or NO where the grammar is right and a limit or a charset is not
	Code   string                  // response code without brackets: "TOOBIG"; usually empty
	Text   string                  // for a human: one line of ASCII
	Unsave bool                    // "$" is empty now: a SEARCH that was to save its result ended in NO (RFC 9051 §6.4.4.4)
	Close  bool                    // after the answer say BYE and close: where the next command starts is not known, or not worth reading to
}

// Error is the line that answers the command.
func (e *BadError) Error() string {
	line := AppendBad(nil, e)
	return string(line[:len(line)-2])
}

// AppendBad writes the answer to a bad command: "a1 BAD text" CRLF.
func AppendBad(dst []byte, e *BadError) []byte {
	dst = append(dst, e.Tag...)
	dst = append(dst, ' ')
	dst = append(dst, e.Status...)
	dst = append(dst, ' ')
	if e.Code != "" {
		dst = append(dst, '[')
		dst = append(dst, e.Code...)
		dst = append(dst, "] "...)
	}
	dst = AppendText(dst, e.Text, 0)
	return append(dst, "\r\n"...)
}

// fail notes what is wrong with the command; the first fault counts. Every
// reading method does nothing after it.
func (d *Decoder) fail(text string) {
	d.failWith(BadError{Status: imap.StatusResponseTypeBad, Text: text})
}

// failClose is fail where the place of the next command is not known.
func (d *Decoder) failClose(text string) {
	d.failWith(BadError{Status: imap.StatusResponseTypeBad, Text: text, Close: true})
}

// refuse is fail for what is right by the grammar.
func (d *Decoder) refuse(code imap.ResponseCode, text string) {
	d.failWith(BadError{Status: imap.StatusResponseTypeNo, Code: string(code), Text: text})
}

// exceeds is refuse for more than we take (RFC 9051 §7.1, LIMIT).
func (d *Decoder) exceeds(text string) { d.refuse(imap.ResponseCodeLimit, text) }

func (d *Decoder) failWith(bad BadError) {
	if d.ok() {
		bad.Tag = d.tag
		bad.Unsave = d.saving && bad.Status == imap.StatusResponseTypeNo
		d.bad = &bad
	}
}

// ok says that nothing is wrong yet, neither with the command nor with the
// connection.
func (d *Decoder) ok() bool { return d.bad == nil && d.broken == nil }
