package sieve

import (
	"math"
	"strings"
)

// Pos is a place in a script: the octet it starts at. [Script.Position] makes
// line and column of it.
type Pos int32

type tokenKind uint8

const (
	tokenEOF tokenKind = iota
	tokenIdentifier
	tokenTag
	tokenNumber
	tokenString
	tokenPunctuation // text is the one character
	tokenBad         // already reported
)

// token is one lexical token (RFC 5228 §8.1). Identifiers and tags are in lower
// case; a tag comes without its colon.
type token struct {
	kind   tokenKind
	pos    Pos
	text   string
	number uint64
}

// lexer cuts a script into tokens. It accepts a bare LF where the RFC wants
// CRLF: scripts are edited on machines that write it.
type lexer struct {
	src    string
	at     int
	report func(pos Pos, format string, args ...any)
}

const byteOrderMark = "\uFEFF"

func newLexer(src string, report func(Pos, string, ...any)) *lexer {
	l := &lexer{src: src, report: report}
	if strings.HasPrefix(src, byteOrderMark) {
		l.at = len(byteOrderMark)
	}
	return l
}

func (l *lexer) next() token {
	if bad := l.space(); bad {
		return token{kind: tokenBad, pos: Pos(l.at)}
	}
	pos := Pos(l.at)
	if l.at >= len(l.src) {
		return token{kind: tokenEOF, pos: pos}
	}
	switch c := l.src[l.at]; {
	case isLetter(c):
		return l.identifier()
	case isDigit(c):
		return l.number()
	case c == '"':
		return l.quoted()
	case c == ':':
		return l.tag()
	case strings.IndexByte("[](){},;", c) >= 0:
		l.at++
		return token{kind: tokenPunctuation, pos: pos, text: l.src[pos:l.at]}
	case c == 0:
		l.report(pos, "a script cannot contain NUL characters")
	default:
		l.report(pos, "%s has no meaning here", quoteRune(l.src[l.at:]))
	}
	l.at++
	for l.at < len(l.src) && l.src[l.at] >= 0x80 {
		l.at++
	}
	return token{kind: tokenBad, pos: pos}
}

// space skips whitespace and comments; bad says that one never ends.
func (l *lexer) space() (bad bool) {
	for l.at < len(l.src) {
		switch c := l.src[l.at]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			l.at++
		case c == '#':
			l.line()
		case c == '/' && strings.HasPrefix(l.src[l.at:], "/*"):
			end := strings.Index(l.src[l.at+2:], "*/")
			if end < 0 {
				l.report(Pos(l.at), "this comment never ends: */ is missing")
				l.at = len(l.src)
				return true
			}
			l.at += 2 + end + 2
		default:
			return false
		}
	}
	return false
}

// line skips the rest of a line with its end.
func (l *lexer) line() {
	if n := strings.IndexByte(l.src[l.at:], '\n'); n >= 0 {
		l.at += n + 1
		return
	}
	l.at = len(l.src)
}

func (l *lexer) word() string {
	start := l.at
	for l.at < len(l.src) && (isLetter(l.src[l.at]) || isDigit(l.src[l.at])) {
		l.at++
	}
	return foldASCII(l.src[start:l.at])
}

func (l *lexer) identifier() token {
	pos := Pos(l.at)
	name := l.word()
	if name == "text" && l.at < len(l.src) && l.src[l.at] == ':' {
		l.at++
		return l.multiline(pos)
	}
	return token{kind: tokenIdentifier, pos: pos, text: name}
}

func (l *lexer) tag() token {
	pos := Pos(l.at)
	l.at++
	if l.at >= len(l.src) || !isLetter(l.src[l.at]) {
		l.report(pos, "a colon starts a tag such as :contains; no name follows this one")
		return token{kind: tokenBad, pos: pos}
	}
	return token{kind: tokenTag, pos: pos, text: l.word()}
}

// number reads digits and a unit of K, M or G (RFC 5228 §2.4.1).
func (l *lexer) number() token {
	pos := Pos(l.at)
	var n uint64
	overflow := false
	for l.at < len(l.src) && isDigit(l.src[l.at]) {
		d := uint64(l.src[l.at] - '0')
		overflow = overflow || n > (math.MaxUint64-d)/10
		n = n*10 + d
		l.at++
	}
	unit := l.at
	shift := 0
	switch l.word() {
	case "":
	case "k":
		shift = 10
	case "m":
		shift = 20
	case "g":
		shift = 30
	default:
		l.report(pos, "%s is not a number: only K, M and G may follow the digits", quote(l.src[pos:l.at]))
		return token{kind: tokenBad, pos: pos}
	}
	if overflow || n > math.MaxUint64>>shift {
		l.report(pos, "the number %s is too large", quote(l.src[pos:max(unit, l.at)]))
		return token{kind: tokenBad, pos: pos}
	}
	return token{kind: tokenNumber, pos: pos, number: n << shift}
}

// quoted reads a quoted string. A backslash before any other character than
// backslash and quote is dropped (RFC 5228 §2.4.2).
func (l *lexer) quoted() token {
	pos := Pos(l.at)
	l.at++
	start := l.at
	plain := true
	for l.at < len(l.src) {
		switch l.src[l.at] {
		case '"':
			text := l.src[start:l.at]
			l.at++
			if !plain {
				text = unescape(text)
			}
			return token{kind: tokenString, pos: pos, text: crlf(text)}
		case '\\':
			plain = false
			l.at++
		case 0:
			l.report(Pos(l.at), "a script cannot contain NUL characters; write ${hex:00} with encoded-character")
		}
		l.at++
	}
	l.at = len(l.src)
	l.report(pos, "this string never ends: its closing quote is missing")
	return token{kind: tokenBad, pos: pos}
}

func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// multiline reads what follows "text:" up to the line with a single dot.
func (l *lexer) multiline(pos Pos) token {
	for l.at < len(l.src) && (l.src[l.at] == ' ' || l.src[l.at] == '\t') {
		l.at++
	}
	rest := l.src[l.at:]
	if !strings.HasPrefix(rest, "#") && !strings.HasPrefix(rest, "\n") && !strings.HasPrefix(rest, "\r\n") {
		l.report(pos, "the text must start in the line after text:")
		l.line()
		return token{kind: tokenBad, pos: pos}
	}
	l.line()
	start := l.at
	stuffed := false
	for l.at < len(l.src) {
		begin := l.at
		l.line()
		line := strings.TrimRight(l.src[begin:l.at], "\r\n")
		if line == "." {
			text := l.src[start:begin]
			if stuffed {
				text = unstuff(text)
			}
			return token{kind: tokenString, pos: pos, text: crlf(text)}
		}
		stuffed = stuffed || strings.HasPrefix(line, "..")
	}
	l.report(pos, "this text never ends: a line with a single dot is missing")
	return token{kind: tokenBad, pos: pos}
}

func unstuff(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, "..") {
			line = line[1:]
		}
		b.WriteString(line)
	}
	return b.String()
}

// crlf makes every bare LF a CRLF: what a string holds does not depend on the
// editor the script was written with, and a message's lines end in CRLF.
func crlf(s string) string {
	if strings.IndexByte(s, '\n') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for line := range strings.Lines(s) {
		bare, ended := strings.CutSuffix(line, "\n")
		b.WriteString(strings.TrimSuffix(bare, "\r"))
		if ended {
			b.WriteString("\r\n")
		} else if strings.HasSuffix(bare, "\r") {
			b.WriteByte('\r')
		}
	}
	return b.String()
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
