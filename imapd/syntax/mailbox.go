package syntax

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"
)

// mailbox reads a mailbox name and gives it in UTF-8, form C. INBOX is folded
// (RFC 9051 §5.1), also where it is the first level of a name.
func (d *Decoder) mailbox() string {
	name, _ := d.mailboxAsWritten()
	return name
}

// mailboxAsWritten is mailbox, with the name in UTF-8 as the client wrote it where
// that is another, "" where it is not.
func (d *Decoder) mailboxAsWritten() (name, written string) {
	written = d.mailboxText(d.astring())
	if name = foldInbox(norm.NFC.String(written)); name == written {
		written = ""
	}
	return name, written
}

// foldInbox gives INBOX in upper case where it is a name or its first level: what
// lies below it has one name, too.
func foldInbox(name string) string {
	if first, _, _ := strings.Cut(name, "/"); strings.EqualFold(first, "INBOX") {
		return "INBOX" + name[len(first):]
	}
	return name
}

// pattern reads a name of LIST, which may have wildcards (RFC 9051 §9,
// list-mailbox).
func (d *Decoder) pattern() string {
	s := d.run(isListChar)
	if s == "" {
		s = d.str()
	}
	return norm.NFC.String(d.mailboxText(s))
}

// mailboxText takes a name out of the form that the session uses.
func (d *Decoder) mailboxText(s string) string {
	if !d.mode.UTF8() {
		decoded, err := DecodeUTF7(s)
		if err != nil {
			d.refuse(imap.ResponseCodeCannot, "mailbox name is not modified UTF-7")
			return ""
		}
		s = decoded
	}
	if !utf8.ValidString(s) {
		d.refuse(imap.ResponseCodeCannot, "mailbox name is not UTF-8")
	}
	if strings.IndexFunc(s, isForbidden) >= 0 {
		d.refuse(imap.ResponseCodeCannot, "control characters in a mailbox name")
	}
	return s
}

// isForbidden is what no mailbox name has (RFC 9051 §5.1): controls, and the
// line and paragraph separators.
func isForbidden(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

// AppendMailbox writes a mailbox name, given in UTF-8, in the form that the
// session uses.
func AppendMailbox(dst []byte, name string, m Mode) []byte {
	if !m.UTF8() {
		name = EncodeUTF7(name)
	}
	return AppendAstring(dst, name, m)
}

// utf7Base64 is the alphabet of modified UTF-7 (RFC 3501 §5.1.3).
var utf7Base64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// EncodeUTF7 writes UTF-8 as modified UTF-7 (RFC 3501 §5.1.3).
func EncodeUTF7(s string) string {
	if strings.IndexFunc(s, needsUTF7) < 0 {
		return s
	}
	var b strings.Builder
	for s != "" {
		n := strings.IndexFunc(s, isPrintable)
		switch {
		case n < 0:
			n = len(s)
			fallthrough
		case n > 0:
			b.WriteByte('&')
			b.WriteString(utf7Base64.EncodeToString(utf16Octets(s[:n])))
			b.WriteByte('-')
		case s[0] == '&':
			b.WriteString("&-")
			n = 1
		default:
			b.WriteByte(s[0])
			n = 1
		}
		s = s[n:]
	}
	return b.String()
}

func isPrintable(r rune) bool { return r >= ' ' && r < 0x7f }
func needsUTF7(r rune) bool   { return !isPrintable(r) || r == '&' }

func utf16Octets(s string) []byte {
	var octets []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		octets = append(octets, byte(unit>>8), byte(unit))
	}
	return octets
}

var errUTF7 = errors.New("not modified UTF-7")

// DecodeUTF7 reads modified UTF-7 (RFC 3501 §5.1.3). There is but one right
// way to write a name; any other is an error, so that two spellings never name
// one mailbox.
func DecodeUTF7(s string) (string, error) {
	if strings.IndexFunc(s, needsUTF7) < 0 {
		return s, nil
	}
	var b strings.Builder
	for rest := s; rest != ""; {
		plain, shifted, found := strings.Cut(rest, "&")
		b.WriteString(plain)
		if !found {
			break
		}
		text, after, ended := strings.Cut(shifted, "-")
		if !ended {
			return "", errUTF7
		}
		if err := decodeShift(&b, text); err != nil {
			return "", err
		}
		rest = after
	}
	if EncodeUTF7(b.String()) != s {
		return "", errUTF7
	}
	return b.String(), nil
}

// decodeShift reads what stands between & and -.
func decodeShift(b *strings.Builder, text string) error {
	if text == "" {
		b.WriteByte('&')
		return nil
	}
	octets, err := utf7Base64.DecodeString(text)
	if err != nil || len(octets)%2 != 0 {
		return errUTF7
	}
	units := make([]uint16, len(octets)/2)
	for i := range units {
		units[i] = uint16(octets[2*i])<<8 | uint16(octets[2*i+1])
	}
	for _, r := range utf16.Decode(units) {
		b.WriteRune(r)
	}
	return nil
}
