package syntax

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

// AppendString writes s as a quoted string where its octets and the mode allow
// it and as a literal where not (RFC 9051 §4.3). A NUL, which no string may
// hold (§4.3.1), becomes 0x80.
func AppendString(dst []byte, s string, m Mode) []byte {
	f := look(s)
	switch {
	case f&hasNUL != 0:
		return AppendString(dst, strings.ReplaceAll(s, "\x00", "\x80"), m)
	case f&hasLineEnd != 0, f&has8Bit != 0 && !(m.UTF8() && utf8.ValidString(s)):
		dst = AppendLiteralHeader(dst, int64(len(s)))
		return append(dst, s...)
	}
	dst = append(dst, '"')
	if f&hasSpecial == 0 {
		dst = append(dst, s...)
	} else {
		dst = appendEscaped(dst, s)
	}
	return append(dst, '"')
}

func appendEscaped(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

// features is what a string has that decides how it can be written.
type features uint8

const (
	hasNUL     features = 1 << iota
	hasLineEnd          // CR or LF
	has8Bit
	hasSpecial // " or \
	notAtom    // what no astring atom may have
)

// octetFeatures has the features of each octet.
var octetFeatures = func() (table [256]features) {
	for c := range table {
		if c >= utf8.RuneSelf {
			table[c] = has8Bit
		}
		if !isAstringChar(byte(c)) {
			table[c] |= notAtom
		}
	}
	table[0] |= hasNUL
	table['\r'] |= hasLineEnd
	table['\n'] |= hasLineEnd
	table['"'] |= hasSpecial
	table['\\'] |= hasSpecial
	return table
}()

func look(s string) (f features) {
	for i := 0; i < len(s); i++ {
		f |= octetFeatures[s[i]]
	}
	return f
}

// AppendAstring writes s as an atom where it can be one, else as AppendString.
func AppendAstring(dst []byte, s string, m Mode) []byte {
	if s == "" || look(s)&notAtom != 0 || strings.EqualFold(s, "NIL") {
		return AppendString(dst, s, m)
	}
	return append(dst, s...)
}

// AppendNstring is AppendString, and NIL for "".
func AppendNstring(dst []byte, s string, m Mode) []byte {
	if s == "" {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, s, m)
}

// AppendLiteralHeader writes {n} CRLF: n octets without NUL are to follow.
func AppendLiteralHeader(dst []byte, n int64) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "}\r\n"...)
}

// AppendLiteral8Header writes ~{n} CRLF: n octets, NUL included, are to follow
// (RFC 9051 §4.3.1).
func AppendLiteral8Header(dst []byte, n int64) []byte {
	return AppendLiteralHeader(append(dst, '~'), n)
}

// AppendFlags writes (\Seen $Junk). What is no flag by the grammar is left out.
func AppendFlags(dst []byte, flags []imap.Flag) []byte {
	dst = append(dst, '(')
	first := true
	for _, f := range flags {
		if !IsFlag(f) && f != imap.FlagWildcard {
			continue
		}
		if !first {
			dst = append(dst, ' ')
		}
		first = false
		dst = append(dst, f...)
	}
	return append(dst, ')')
}

// IsFlag says whether f is a flag or a keyword by the grammar (RFC 9051 §9).
func IsFlag(f imap.Flag) bool {
	name := strings.TrimPrefix(string(f), `\`)
	for i := 0; i < len(name); i++ {
		if !isAtomChar(name[i]) {
			return false
		}
	}
	return name != ""
}

// AppendText writes human text for a response line. CR, LF and NUL become
// spaces, and "?" stands for what is not ASCII where the session has not
// enabled UTF-8 (RFC 9051 §9, text).
func AppendText(dst []byte, text string, m Mode) []byte {
	if look(text)&(hasNUL|hasLineEnd|has8Bit) == 0 {
		return append(dst, text...)
	}
	for _, r := range text {
		switch {
		case r == 0 || r == '\r' || r == '\n':
			r = ' '
		case r >= utf8.RuneSelf && !m.UTF8():
			r = '?'
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// AppendAppendUID writes "APPENDUID validity uids", to stand in brackets (RFC
// 9051 §7.1).
func AppendAppendUID[N ~uint32](dst []byte, validity uint32, uids []N) []byte {
	dst = append(dst, "APPENDUID "...)
	dst = strconv.AppendUint(dst, uint64(validity), 10)
	dst = append(dst, ' ')
	return AppendNums(dst, uids)
}

// AppendCopyUID writes "COPYUID validity from to", to stand in brackets (RFC
// 9051 §7.1). from[i] became to[i].
func AppendCopyUID[N ~uint32](dst []byte, validity uint32, from, to []N) []byte {
	dst = append(dst, "COPYUID "...)
	dst = strconv.AppendUint(dst, uint64(validity), 10)
	dst = append(dst, ' ')
	dst = AppendNums(dst, from)
	dst = append(dst, ' ')
	return AppendNums(dst, to)
}

// AppendFetchItem writes the name of an item as a response has it: FLAGS,
// BODY[HEADER.FIELDS (Subject)]<0>, BINARY.SIZE[2].
func AppendFetchItem(dst []byte, item *FetchItem, m Mode) []byte {
	switch item.Kind {
	case FetchBodySection:
		dst = append(dst, "BODY"...)
	case FetchBinary:
		dst = append(dst, "BINARY"...)
	case FetchBinarySize:
		dst = append(dst, "BINARY.SIZE"...)
	default:
		return append(dst, fetchNames[item.Kind]...)
	}
	dst = appendSection(dst, &item.Section, m)
	if item.Partial != nil {
		dst = append(dst, '<')
		dst = strconv.AppendInt(dst, item.Partial.Offset, 10)
		dst = append(dst, '>')
	}
	return dst
}

func appendSection(dst []byte, s *Section, m Mode) []byte {
	dst = append(dst, '[')
	for i, n := range s.Part {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = strconv.AppendUint(dst, uint64(n), 10)
	}
	if len(s.Part) > 0 && s.Text != WholePart {
		dst = append(dst, '.')
	}
	dst = append(dst, sectionNames[s.Text]...)
	if s.Text == HeaderFields || s.Text == HeaderFieldsNot {
		dst = append(dst, ' ')
		dst = appendList(dst, s.Fields, func(dst []byte, field string) []byte { return AppendAstring(dst, field, m) })
	}
	return append(dst, ']')
}

// appendList writes "(" items ")" with spaces in between.
func appendList[T any](dst []byte, items []T, item func([]byte, T) []byte) []byte {
	dst = append(dst, '(')
	for i, it := range items {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = item(dst, it)
	}
	return append(dst, ')')
}
