package mime

import "strings"

const space = " \t\r\n"

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func trim(s string) string {
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func trimEnd(b []byte) []byte {
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// skipComment gives the position after the comment that starts at s[i]; one
// that never closes reaches to the end (RFC 5322 §3.2.2; comments nest).
func skipComment(s string, i int) (end int, closed bool) {
	for depth := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(s), false
}

// skipQuoted gives the position after the quoted string that starts at s[i].
func skipQuoted(s string, i int) (end int, closed bool) {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1, true
		}
	}
	return len(s), false
}

// skipCFWS gives the position after white space and comments.
func skipCFWS(s string, i int) int {
	for i < len(s) {
		switch {
		case isSpace(s[i]):
			i++
		case s[i] == '(':
			i, _ = skipComment(s, i)
		default:
			return i
		}
	}
	return i
}

// unquote is the content of a quoted string or a comment, delimiters included
// in s where they are there.
func unquote(s string) string {
	closing := byte('"')
	if s[0] == '(' {
		closing = ')'
	}
	s = s[1:]
	if !strings.Contains(s, `\`) {
		if n := len(s); n > 0 && s[n-1] == closing {
			s = s[:n-1]
		}
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		} else if s[i] == closing && i == len(s)-1 {
			break
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
