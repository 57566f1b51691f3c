package mail

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Address is a mailbox as SMTP knows it (RFC 5321 §4.1.2). Its zero value is
// the null reverse-path <>. Two equal addresses compare equal with == only
// after folding, which is the admin's choice and not made here.
type Address struct {
	Local  string // without quotes; Unicode in normal form C (RFC 6531 §3.1 via RFC 5198)
	Domain string // lower case, without the trailing dot; "[192.0.2.1]" for a literal; empty for <postmaster>
}

// Limits of RFC 5321 §4.5.3.1, in octets: what everybody takes. Senders made for
// each message (VERP, SRS, BATV) have longer local parts, and MTAs pass them on:
// to refuse one would bounce a letter. The longest address that is taken here fits
// a line of RFC 5322 §2.1.1, and a key of the index.
const (
	MaxLocal  = 64
	MaxDomain = 255

	maxAddress = 480
)

var (
	errEmptyLocal = errors.New("empty local part")
	errSyntax     = errors.New("not an address")
	errTooLong    = errors.New("address too long")
	errUTF8       = errors.New("address is not UTF-8")
)

// ParseAddress reads "local@domain", or "local" alone. The local part may be
// quoted; the domain may be a literal in brackets. It is split at the @ that
// ends the local part, so `"a b@x"@y` has the local part `a b@x`.
func ParseAddress(s string) (Address, error) { return parseAddress(s, isDotString) }

// parseAddress takes a local part without quotes where unquoted says that it is one.
func parseAddress(s string, unquoted func(string) bool) (Address, error) {
	if !utf8.ValidString(s) {
		return Address{}, errUTF8
	}
	if len(s) > maxAddress {
		return Address{}, errTooLong
	}
	local, rest, err := parseLocal(s, unquoted)
	if err != nil {
		return Address{}, err
	}
	a := Address{Local: norm.NFC.String(local)}
	switch {
	case rest == "":
		return a, nil
	case rest[0] != '@':
		return Address{}, errSyntax
	}
	a.Domain, err = parseDomain(rest[1:])
	return a, err
}

// parseLocal takes an unquoted local part or a Quoted-string off the front of s.
func parseLocal(s string, unquoted func(string) bool) (local, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		return parseQuoted(s[1:])
	}
	end := strings.IndexByte(s, '@')
	if end < 0 {
		end = len(s)
	}
	if end == 0 {
		return "", "", errEmptyLocal
	}
	if !unquoted(s[:end]) {
		return "", "", errSyntax
	}
	return s[:end], s[end:], nil
}

// isDotString says whether s is atoms with single dots between them (RFC 5321
// §4.1.2, RFC 6531 §3.3).
func isDotString(s string) bool {
	inAtom := false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.' && !inAtom, notAtext(c):
			return false
		default:
			inAtom = c != '.'
		}
	}
	return inAtom
}

func parseQuoted(s string) (local, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' && b.Len() == 0:
			return "", "", errEmptyLocal
		case c == '"':
			return b.String(), s[i+1:], nil
		case c == '\\' && i+1 < len(s):
			i++
			c = s[i]
			fallthrough
		default:
			if c < ' ' || c == 0x7f {
				return "", "", errSyntax
			}
			b.WriteByte(c)
		}
	}
	return "", "", errSyntax
}

// parseDomain takes a Domain or an address literal (RFC 5321 §4.1.2, RFC 6531 §3.3).
func parseDomain(s string) (string, error) {
	s = strings.TrimSuffix(s, ".")
	switch {
	case s == "":
		return "", errSyntax
	case len(s) > MaxDomain:
		return "", errTooLong
	case s[0] == '[':
		if len(s) < 3 || s[len(s)-1] != ']' || strings.ContainsFunc(s[1:len(s)-1], notLiteral) {
			return "", errSyntax
		}
		return strings.ToLower(s), nil
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63*utf8.UTFMax || strings.ContainsFunc(label, notLDH) || label[0] == '-' || label[len(label)-1] == '-' {
			return "", errSyntax
		}
	}
	return norm.NFC.String(strings.ToLower(s)), nil
}

func notAtext(c byte) bool {
	switch c {
	case '(', ')', '<', '>', '[', ']', ':', ';', '@', '\\', ',', '"', 0x7f:
		return true
	}
	return c <= ' '
}

func notLiteral(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`[]\<>`, r) }

func notLDH(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !(letter || r == '-' || r == '_' || r >= utf8.RuneSelf)
}

// IsNull says whether this is the null reverse-path.
func (a Address) IsNull() bool { return a == Address{} }

// ASCII says whether the address can travel without SMTPUTF8 (RFC 6531).
func (a Address) ASCII() bool {
	return ascii(a.Local) && ascii(a.Domain)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// String is the address with its local part quoted where it must be, without
// angle brackets. The null path reads as "".
func (a Address) String() string {
	if a.Domain == "" {
		return a.localPart()
	}
	return a.localPart() + "@" + a.Domain
}

// localPart is the local part as addresses have it: quoted where it must be.
func (a Address) localPart() string {
	if a.Local == "" || isDotString(a.Local) {
		return a.Local
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.Local) + `"`
}

// Path is the address in angle brackets, as RFC 5321 and Return-Path write it.
func (a Address) Path() string {
	if a.Domain == "" {
		return "<" + a.localPart() + ">"
	}
	return "<" + a.localPart() + "@" + a.Domain + ">"
}

// Fold is the address with the case of its local part folded (the domain
// always is).
func (a Address) Fold() Address {
	a.Local = norm.NFC.String(strings.ToLower(a.Local))
	return a
}

// ALabels is the address with its domain as DNS has it. Both spellings of an
// internationalized domain name are the same one (RFC 5890 §2.3.2.1), and SMTP has
// either (RFC 6531 §3.2). What is no such name stays as it is.
func (a Address) ALabels() Address {
	if ascii(a.Domain) {
		return a
	}
	if name, err := idna.Lookup.ToASCII(a.Domain); err == nil {
		a.Domain = name
	}
	return a
}

// ULabels is the other spelling: as people write the domain.
func (a Address) ULabels() Address {
	if !strings.Contains(a.Domain, "xn--") {
		return a
	}
	if name, err := idna.Lookup.ToUnicode(a.Domain); err == nil {
		a.Domain = norm.NFC.String(name)
	}
	return a
}

// Detail splits a local part at the first of the delimiter's characters that
// is not its first character: "user+detail" (RFC 5233). Without one, detail is
// empty and ok false.
func (a Address) Detail(delimiter string) (base Address, detail string, ok bool) {
	if delimiter == "" || len(a.Local) < 2 {
		return a, "", false
	}
	i := strings.IndexAny(a.Local[1:], delimiter)
	if i < 0 {
		return a, "", false
	}
	i++
	_, size := utf8.DecodeRuneInString(a.Local[i:])
	base = Address{Local: a.Local[:i], Domain: a.Domain}
	return base, a.Local[i+size:], true
}
