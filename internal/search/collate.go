package search

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// notText starts the keys of what is no UTF-8: they come after all others (RFC
// 5255 §4.6).
const notText = 0xff

// AppendSortKey appends what s is ordered by, octet by octet, to dst: exactly
// the form that RFC 5051 §2 compares (each character in title case, then
// decomposed), while a [Finder] folds a little more. The key of the empty string
// is empty.
func AppendSortKey(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		return append(append(dst, notText), s...)
	}
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		dst = norm.NFKD.AppendString(dst, string(unicode.ToTitle(r)))
		i += size
	}
	return dst
}
