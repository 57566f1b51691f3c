package syntax

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// URL is an IMAP URL that names a message or a part of one (RFC 5092), as
// CATENATE takes it (RFC 4469 §3).
type URL struct {
	Server      string // user, host and port as written where the URL has them; CATENATE takes none
	Mailbox     string // UTF-8, form C
	Selected    bool   // it is of the mailbox selected, whatever name that has by now
	UIDValidity uint32 // 0: not given
	UID         uint32
	Section     Section  // zero: the whole message
	Partial     *Partial // nil: whole; a Count of 0 is all from Offset on (RFC 5550 §5.7.1)
}

var (
	errURLForm     = errors.New("not the URL of a message or of a part of one")
	errURLMailbox  = errors.New("no mailbox in the URL and none selected")
	errURLEscape   = errors.New("bad % in the URL")
	errURLAuth     = errors.New("URLAUTH is not offered")
	errURLScheme   = errors.New("not an IMAP URL")
	errURLNotFirst = errors.New("the parts of the URL are not in their order")
)

// ParseURL reads a URL. A relative one is of the mailbox selected, "" without
// one (RFC 4469 §3).
func ParseURL(text, selected string) (*URL, error) {
	u := &URL{}
	path, err := u.authority(text)
	if err != nil {
		return nil, err
	}
	mailbox, params, _ := strings.Cut(path, ";")
	if err := u.params(params); err != nil {
		return nil, err
	}
	if u.UID == 0 {
		return nil, errURLForm
	}
	return u, u.mailbox(mailbox, selected)
}

// authority takes scheme and server off the front, and gives what follows.
func (u *URL) authority(text string) (path string, err error) {
	rest := text
	const scheme = "imap:"
	if len(rest) >= len(scheme) && strings.EqualFold(rest[:len(scheme)], scheme) {
		if rest = rest[len(scheme):]; !strings.HasPrefix(rest, "//") {
			return "", errURLForm
		}
	} else if before, _, found := strings.Cut(rest, ":"); found && !strings.ContainsAny(before, "/;") && before != "" {
		return "", errURLScheme
	}
	rest, found := strings.CutPrefix(rest, "//")
	if !found {
		return rest, nil
	}
	slash := strings.IndexByte(rest, '/')
	if slash <= 0 {
		return "", errURLForm
	}
	u.Server = rest[:slash]
	_, err = unescape(strings.ReplaceAll(u.Server, ";", "")) // of ;AUTH=
	return rest[slash:], err
}

// params reads ;UIDVALIDITY=… /;UID=… /;SECTION=… /;PARTIAL=…, each at most
// once and in this order. Between them stands a slash, which the mailbox's
// validity does without.
func (u *URL) params(text string) error {
	order := 0
	for text != "" {
		one, rest, more := strings.Cut(text, ";")
		if more {
			one = strings.TrimSuffix(one, "/")
		}
		text = rest
		name, value, _ := strings.Cut(one, "=")
		at, err := u.param(strings.ToUpper(name), value)
		if err != nil {
			return err
		}
		if at <= order {
			return errURLNotFirst
		}
		order = at
	}
	return nil
}

// param reads one parameter and gives its place in the order.
func (u *URL) param(name, value string) (place int, err error) {
	switch name {
	case "UIDVALIDITY":
		u.UIDValidity, err = urlNumber(value)
		return 1, err
	case "UID":
		u.UID, err = urlNumber(value)
		return 2, err
	case "SECTION":
		return 3, u.section(value)
	case "PARTIAL":
		return 4, u.partial(value)
	case "EXPIRE", "URLAUTH":
		return 0, errURLAuth
	}
	return 0, errURLForm
}

// urlNumber reads an nz-number.
func urlNumber(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 || text[0] == '0' || text[0] == '+' {
		return 0, errURLForm
	}
	return uint32(n), nil
}

// section reads a section-spec as FETCH takes it.
func (u *URL) section(value string) error {
	spec, err := unescape(value)
	if err != nil {
		return err
	}
	d := NewDecoder(nowhere{}, func() error { return errNoLiterals })
	d.line = []byte("[" + spec + "]")
	u.Section = d.section()
	if d.end(); !d.ok() || spec == "" {
		return errURLForm
	}
	return nil
}

// partial reads RFC 5092 §11, partial-range.
func (u *URL) partial(value string) error {
	offset, count, counted := strings.Cut(value, ".")
	p := &Partial{}
	var err error
	if p.Offset, err = strconv.ParseInt(offset, 10, 64); err != nil || !isDigit(offset[0]) {
		return errURLForm
	}
	if counted {
		if p.Count, err = strconv.ParseInt(count, 10, 64); err != nil || p.Count == 0 || !isDigit(count[0]) {
			return errURLForm
		}
	}
	u.Partial = p
	return nil
}

// mailbox resolves the path (RFC 5092 §7.2): one with a slash in front is a
// mailbox's name, one without is beside the selected mailbox, an empty one is it.
func (u *URL) mailbox(path, selected string) error {
	name, err := unescape(strings.TrimSuffix(path, "/"))
	switch {
	case err != nil:
		return err
	case name == "/":
		return errURLForm
	case !utf8.ValidString(name) || strings.IndexFunc(name, isForbidden) >= 0:
		return errURLForm
	case name == "" && (path != "" || selected == ""), path != "" && path[0] != '/' && selected == "":
		return errURLMailbox
	case name == "":
		u.Mailbox, u.Selected = selected, true
		return nil
	case name[0] == '/':
		name = name[1:]
	default:
		name = selected[:strings.LastIndexByte(selected, '/')+1] + name
	}
	u.Mailbox = foldInbox(norm.NFC.String(name))
	return nil
}

// unescape decodes %XX; all else that RFC 5092 §11 has encoded must be.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%':
			if i+2 >= len(s) {
				return "", errURLEscape
			}
			octet, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil || octet == 0 {
				return "", errURLEscape
			}
			c = byte(octet)
			i += 2
		case !isLetter(c) && !isDigit(c) && strings.IndexByte("-._~!$'()*+,&=:@/", c) < 0:
			return "", errURLForm
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// AppendBadURL writes "BADURL url", to stand in brackets (RFC 4469 §4.1). What
// may not be there is %-encoded.
func AppendBadURL(dst []byte, url string) []byte {
	dst = append(dst, "BADURL "...)
	for i := 0; i < len(url); i++ {
		if c := url[i]; c <= ' ' || c >= 0x7f || c == ']' {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
			continue
		}
		dst = append(dst, url[i])
	}
	return dst
}

const upperHex = "0123456789ABCDEF"
