package mime

import (
	"strconv"
	"strings"

	"letterlock/internal/mail"
)

const (
	costParam  = 32 // octets of a mail.Param
	costString = 16
)

// isToken says whether c may stand in a token (RFC 2045 §5.1), read kindly: all
// that does not end one.
func isToken(c byte) bool {
	return c > ' ' && c != ';' && c != '=' && c != '"' && c != '(' && c != '/' && c != ','
}

// token takes the first token of s; comments before it go.
func token(s string) (tok, rest string) {
	i := skipCFWS(s, 0)
	end := i
	for end < len(s) && isToken(s[end]) {
		end++
	}
	return s[i:end], s[end:]
}

// parseMedia reads "type/subtype". Without both, the field says nothing (RFC
// 2045 §5.2) and sub is empty.
func parseMedia(s string) (m media, rest string) {
	kind, rest := token(s)
	i := skipCFWS(rest, 0)
	if kind == "" || i == len(rest) || rest[i] != '/' {
		return media{}, s
	}
	sub, rest := token(rest[i+1:])
	return media{kind, sub}, rest
}

// parseParams reads "; name=value" again and again, and survives what people
// send: no semicolon, two of them, spaces in values that nobody quoted.
func parseParams(s string, room *int) (params []mail.Param) {
	for i := 0; ; {
		for i < len(s) && (s[i] == ';' || s[i] == ',' || isSpace(s[i]) || s[i] == '(') {
			if i = skipCFWS(s, i); i < len(s) && (s[i] == ';' || s[i] == ',') {
				i++
			}
		}
		start := i
		for i < len(s) && isToken(s[i]) {
			i++
		}
		name := s[start:i]
		i = skipCFWS(s, i)
		if i == len(s) {
			return params
		}
		if s[i] != '=' || name == "" {
			i = nextParam(s, i)
			continue
		}
		var value string
		value, i = paramValue(s, i+1)
		if *room -= costParam; *room < 0 {
			return params
		}
		if params == nil {
			params = make([]mail.Param, 0, 1+min(strings.Count(s[i:], ";"), 16))
		}
		params = append(params, mail.Param{Name: name, Value: value})
	}
}

// nextParam passes over something that is no parameter.
func nextParam(s string, i int) int {
	if s[i] == '"' {
		end, _ := skipQuoted(s, i)
		return end
	}
	if j := strings.IndexByte(s[i:], ';'); j >= 0 {
		return i + j
	}
	return len(s)
}

func paramValue(s string, i int) (value string, next int) {
	i = skipCFWS(s, i)
	if i < len(s) && s[i] == '"' {
		end, _ := skipQuoted(s, i)
		return unquote(s[i:end]), end
	}
	end := i
	for end < len(s) && s[end] != ';' {
		if isSpace(s[end]) || s[end] == '(' {
			if j := skipCFWS(s, end); j == len(s) || s[j] == ';' || startsParam(s[j:]) {
				return s[i:end], j
			}
		}
		end++
	}
	return s[i:end], end
}

// startsParam says whether s reads "name=": a parameter whose semicolon is
// missing.
func startsParam(s string) bool {
	for i := 0; i < len(s) && i < 32; i++ {
		if s[i] == '=' {
			return i > 0
		}
		if !isToken(s[i]) {
			return false
		}
	}
	return false
}

// parseLanguages reads the tags of a Content-Language field (RFC 3282).
func parseLanguages(s string, room *int) (tags []string) {
	for s != "" {
		var tag string
		if tag, s = token(s); tag != "" {
			if *room -= costString; *room < 0 {
				return tags
			}
			tags = append(tags, tag)
		}
		if i := strings.IndexByte(s, ','); i >= 0 {
			s = s[i+1:]
		} else {
			return tags
		}
	}
	return tags
}

// Param is the value of a parameter, its name compared without case, in UTF-8:
// the forms of RFC 2231 are put together and decoded, encoded words (which RFC
// 2047 §5 forbids here and many send) too. The forms of RFC 2231 beat a plain
// one, which is there for those who do not know them; of duplicates the first
// counts.
func Param(params []mail.Param, name string) (value string, ok bool) {
	for _, p := range params {
		if len(p.Name) > len(name) && p.Name[len(name)] == '*' && is(p.Name[:len(name)], name) {
			if value, ok = extendedParam(params, name); ok {
				return value, true
			}
			break
		}
	}
	value, ok = exactParam(params, name)
	return DecodeHeader(value), ok
}

// extendedParam joins name*, or name*0, name*1*, and so on (RFC 2231 §3, §4).
func extendedParam(params []mail.Param, name string) (string, bool) {
	if v, ok := exactParam(params, name+"*"); ok {
		charset, octets := extendedValue(v)
		return toUTF8(charset, octets), true
	}
	var charset string
	var joined []byte
	for n := 0; n <= len(params); n++ {
		section := name + "*" + strconv.Itoa(n)
		if v, ok := exactParam(params, section); ok {
			joined = append(joined, v...)
			continue
		}
		v, ok := exactParam(params, section+"*")
		if !ok {
			return toUTF8(charset, joined), n > 0
		}
		if n == 0 {
			charset, joined = extendedValue(v)
		} else {
			joined = append(joined, percentDecoded(v)...)
		}
	}
	return toUTF8(charset, joined), true
}

func exactParam(params []mail.Param, name string) (string, bool) {
	for _, p := range params {
		if is(p.Name, name) {
			return p.Value, true
		}
	}
	return "", false
}

// extendedValue splits charset'language'text; without the quotes all is text.
func extendedValue(v string) (charset string, octets []byte) {
	if c, rest, ok := strings.Cut(v, "'"); ok {
		if _, text, ok := strings.Cut(rest, "'"); ok {
			return c, percentDecoded(text)
		}
	}
	return "", percentDecoded(v)
}

func percentDecoded(s string) []byte {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := hexDigit[s[i+1]], hexDigit[s[i+2]]; hi < 16 && lo < 16 {
				b = append(b, hi<<4|lo)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return b
}
