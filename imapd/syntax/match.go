package syntax

import "strings"

// Match says whether a mailbox name matches a pattern of LIST, reference and
// pattern joined (RFC 9051 §6.3.9): * matches anything, % anything but the
// delimiter. INBOX, itself and above others, is matched in any case. Its time is
// bounded by the square of the name's length, whatever the pattern.
func Match(pattern, name string, delim byte) bool {
	folded := 0 // so many octets of name are compared without case
	if name == "INBOX" || strings.HasPrefix(name, "INBOX"+string(rune(delim))) {
		folded = len("INBOX")
	}
	// reached[i] says that the pattern so far matches name[:i].
	reached := make([]bool, len(name)+1)
	reached[0] = true
	for alive := true; pattern != "" && alive; {
		wild, rest := cutWildcards(pattern)
		if wild != 0 {
			spread(reached, name, wild, delim)
			pattern = rest
			continue
		}
		c := pattern[0]
		alive = false
		for j := len(name); j > 0; j-- {
			reached[j] = reached[j-1] && (name[j-1] == c || j <= folded && name[j-1] == upper(c))
			alive = alive || reached[j]
		}
		reached[0] = false
		pattern = pattern[1:]
	}
	return reached[len(name)]
}

// cutWildcards takes a run of wildcards off the front: it is worth one *, if
// there is one in it, or one %. Without any, wild is 0.
func cutWildcards(pattern string) (wild byte, rest string) {
	rest = strings.TrimLeft(pattern, "*%")
	run := pattern[:len(pattern)-len(rest)]
	switch {
	case run == "":
		return 0, rest
	case strings.Contains(run, "*"):
		return '*', rest
	}
	return '%', rest
}

// spread lets a wildcard take octets of name.
func spread(reached []bool, name string, wild byte, delim byte) {
	for j := range len(name) {
		if reached[j] && (wild == '*' || name[j] != delim) {
			reached[j+1] = true
		}
	}
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}
