package sieve

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Comparator compares strings (RFC 4790, RFC 5228 §2.7.3).
type Comparator struct {
	Name string
	// Fold makes the form whose octets are compared; nil: the string itself.
	// Two strings are equal if their forms are.
	Fold func(string) string
	// FoldChar says that ? matches a character of UTF-8, not an octet, and
	// appends the form of one; nil: octets.
	FoldChar func(dst []byte, char string) []byte
	// Order compares where the order of the form's octets is not what counts;
	// without Fold it decides what is equal, too.
	Order func(a, b string) int
	// Whole says that there are no substrings: no :contains and no :matches.
	Whole bool
}

func (c *Comparator) equal(a, b string) bool {
	if c.Fold == nil && c.Order != nil {
		return c.Order(a, b) == 0
	}
	return c.fold(a) == c.fold(b)
}

// compare orders two strings.
func (c *Comparator) compare(a, b string) int {
	if c.Order != nil {
		return c.Order(a, b)
	}
	if c.Fold != nil {
		a, b = c.Fold(a), c.Fold(b)
	}
	return strings.Compare(a, b)
}

func (c *Comparator) fold(s string) string {
	if c.Fold == nil {
		return s
	}
	return c.Fold(s)
}

var (
	octet        = Comparator{Name: "i;octet"}
	asciiCasemap = Comparator{Name: "i;ascii-casemap", Fold: foldASCII, Order: orderASCII}
	asciiNumeric = Comparator{Name: "i;ascii-numeric", Order: orderNumbers, Whole: true}
	unicodeFold  = Comparator{Name: "i;unicode-casemap", Fold: foldUnicode, FoldChar: foldUnicodeChar}
)

var (
	octetExt        = Extension{Name: "comparator-i;octet", Comparator: &octet}
	asciiCasemapExt = Extension{Name: "comparator-i;ascii-casemap", Comparator: &asciiCasemap}
	asciiNumericExt = Extension{Name: "comparator-i;ascii-numeric", Comparator: &asciiNumeric}
	unicodeExt      = Extension{Name: "comparator-i;unicode-casemap", Comparator: &unicodeFold}
)

// foldASCII lowers A to Z alone. RFC 4790 §9.2 raises a to z, which makes a
// difference only to the order of the six characters between Z and a.
func foldASCII(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			return lowered(s, i)
		}
	}
	return s
}

func orderASCII(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := upper(a[i]), upper(b[i]); x != y {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(len(a), len(b))
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

func lowered(s string, from int) string {
	b := []byte(s)
	lowerASCII(b[from:])
	return string(b)
}

func lowerASCII(b []byte) {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}

// orderNumbers is i;ascii-numeric (RFC 4790 §9.1): leading digits count, of any
// length; what starts with no digit is greater than every number.
func orderNumbers(a, b string) int {
	x, y := digits(a), digits(b)
	switch {
	case x == "" || y == "":
		return cmp.Compare(len(y), 0) - cmp.Compare(len(x), 0)
	}
	x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
	if len(x) != len(y) {
		return cmp.Compare(len(x), len(y))
	}
	return strings.Compare(x, y)
}

func digits(s string) string {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return s[:n]
}

// foldUnicode is i;unicode-casemap (RFC 5051 §2): titlecase, then everything
// decomposed. What is not UTF-8 stays as it is.
func foldUnicode(s string) string {
	if ascii(s) {
		return strings.ToUpper(s)
	}
	if !utf8.ValidString(s) {
		return s
	}
	return norm.NFKD.String(strings.Map(unicode.ToTitle, s))
}

func foldUnicodeChar(dst []byte, char string) []byte {
	if len(char) == 1 {
		return append(dst, upper(char[0]))
	}
	r, _ := utf8.DecodeRuneInString(char)
	at := len(dst)
	dst = utf8.AppendRune(dst, unicode.ToTitle(r))
	if d := norm.NFKD.Properties(dst[at:]).Decomposition(); d != nil {
		return append(dst[:at], d...)
	}
	return dst
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
