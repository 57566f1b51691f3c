package mime

import "strings"

// BaseSubject is the base subject of a Subject field's raw value (RFC 5256
// §2.1), by which mail is sorted and threaded: decoded, without "Re:", "[list]"
// and "(fwd)". again says that it was a reply or a forward (§3): that something
// else than white space and a [blob] was removed.
func BaseSubject(subject string) (base string, again bool) {
	s := DecodeHeader(subject)
	if strings.Contains(s, "  ") || strings.IndexByte(s, '\t') >= 0 {
		s = strings.Join(strings.FieldsFunc(s, isWSP), " ")
	}
	for {
		var trailer, leader bool
		s, trailer = withoutTrailers(s)
		s, leader = withoutLeaders(s)
		again = again || trailer || leader
		if !hasFold(s, "[fwd:") || s[len(s)-1] != ']' {
			return s, again
		}
		s = s[len("[fwd:") : len(s)-1]
		again = true
	}
}

func isWSP(r rune) bool { return r == ' ' || r == '\t' }

func hasFold(s, prefix string) bool { return len(s) >= len(prefix) && is(s[:len(prefix)], prefix) }

// withoutTrailers removes *subj-trailer.
func withoutTrailers(s string) (rest string, removed bool) {
	const fwd = "(fwd)"
	for {
		s = strings.TrimRightFunc(s, isWSP)
		if n := len(s) - len(fwd); n >= 0 && is(s[n:], fwd) {
			s, removed = s[:n], true
			continue
		}
		return s, removed
	}
}

// withoutLeaders removes *subj-leader and every subj-blob that is followed by
// something. Blobs that no subj-refwd follows are removed at once: their rest
// would give the same answer again.
func withoutLeaders(s string) (rest string, removed bool) {
	for {
		s = strings.TrimLeftFunc(s, isWSP)
		last, end := blobs(s)
		if n := refwd(s[end:]); n > 0 {
			s, removed = s[end+n:], true
			continue
		}
		if end < len(s) {
			return s[end:], removed
		}
		return s[last:], removed
	}
}

// blobs gives where *subj-blob ends at the start of s, and where its last one starts.
func blobs(s string) (last, end int) {
	for {
		n := blob(s[end:])
		if n == 0 {
			return last, end
		}
		last = end
		end += n
	}
}

// blob is the length of the subj-blob that s starts with, white space included.
func blob(s string) int {
	if s == "" || s[0] != '[' {
		return 0
	}
	n := strings.IndexAny(s[1:], "[]")
	if n < 0 || s[1+n] != ']' {
		return 0
	}
	n += 2
	for n < len(s) && (s[n] == ' ' || s[n] == '\t') {
		n++
	}
	return n
}

// refwd is the length of the subj-refwd that s starts with.
func refwd(s string) int {
	n := 0
	for _, word := range []string{"re", "fwd", "fw"} {
		if hasFold(s, word) {
			n = len(word)
			break
		}
	}
	if n == 0 {
		return 0
	}
	for n < len(s) && (s[n] == ' ' || s[n] == '\t') {
		n++
	}
	n += blob(s[n:])
	if n < len(s) && s[n] == ':' {
		return n + 1
	}
	return 0
}
