package mail

import "strings"

// ParsePath reads a reverse-path or forward-path of MAIL and RCPT off the
// front of s: "<local@domain>", "<>", or "<@relay:local@domain>" whose source
// route is dropped (RFC 5321 §4.1.1.3, appendix C). rest is what follows the
// closing bracket.
//
// Dots may stand anywhere in the local part: people have addresses like
// ann..lee.@docomo.ne.jp, not every MTA puts them into quotes as it should, and to
// refuse one would bounce a letter.
func ParsePath(s string) (a Address, rest string, err error) {
	if !strings.HasPrefix(s, "<") {
		return Address{}, "", errSyntax
	}
	end := pathEnd(s)
	if end < 0 {
		return Address{}, "", errSyntax
	}
	inner, rest := s[1:end], s[end+1:]
	if inner == "" {
		return Address{}, rest, nil
	}
	if inner[0] == '@' {
		_, mailbox, ok := strings.Cut(inner, ":")
		if !ok {
			return Address{}, "", errSyntax
		}
		inner = mailbox
	}
	a, err = parseAddress(inner, isDotted)
	return a, rest, err
}

func isDotted(s string) bool {
	for i := range len(s) {
		if notAtext(s[i]) {
			return false
		}
	}
	return true
}

// pathEnd finds the > that ends the path: one inside quotes does not.
func pathEnd(s string) int {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if quoted {
				i++
			}
		case '"':
			quoted = !quoted
		case '>':
			if !quoted {
				return i
			}
		}
	}
	return -1
}
