package lmtp_test

import "strings"

// modelMend is the rule of mending, said as plainly as can be.
func modelMend(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch {
		case s[i] == 0:
			b.WriteByte(0x80)
		case s[i] == '\n' && (i == 0 || s[i-1] != '\r'):
			b.WriteString("\r\n")
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// modelData is what arrives of a stream that follows DATA; ok says that it has
// an end.
func modelData(stream string) (text string, ok bool) {
	var b strings.Builder
	for {
		line, rest, found := strings.Cut(stream, "\r\n")
		if !found {
			return "", false
		}
		if line == "." {
			return modelMend(b.String()), true
		}
		b.WriteString(strings.TrimPrefix(line, "."))
		b.WriteString("\r\n")
		stream = rest
	}
}
