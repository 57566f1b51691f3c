package search

import (
	"encoding/binary"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold appends src, folded, to dst. The start of a character that src ends with
// is not folded but given back. Octets that are no UTF-8 stay as they are. A tab
// becomes a space: many servers fold a subject with one, and who looks for its
// words cannot know where.
func fold(dst, src []byte) (folded, rest []byte) {
	for len(src) > 0 {
		dst, src = foldASCII(dst, src)
		for len(src) > 0 && src[0] >= utf8.RuneSelf {
			if !utf8.FullRune(src) {
				return dst, src
			}
			r, size := utf8.DecodeRune(src)
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, src[0])
			} else {
				dst = appendFolded(dst, r, src[:size])
			}
			src = src[size:]
		}
	}
	return dst, nil
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// foldASCII folds the ASCII that src starts with, eight octets at a time.
func foldASCII(dst, src []byte) (folded, rest []byte) {
	at := len(dst)
	dst = slices.Grow(dst, len(src))
	out := dst[:at+len(src)]
	i := 0
	for ; i+8 <= len(src); i += 8 {
		v := binary.LittleEndian.Uint64(src[i:])
		if v&highBits != 0 {
			break
		}
		fromA := v + (0x80-'a')*eachByte
		afterZ := v + (0x80-'z'-1)*eachByte
		noTab := (v ^ '\t'*eachByte) + 0x7f*eachByte // its high bits are clear where v has a tab
		v -= (fromA &^ afterZ & highBits) >> 2       // 0x80>>2 is 'a'-'A'
		v += (^noTab & highBits) >> 7 * (' ' - '\t')
		binary.LittleEndian.PutUint64(out[at+i:], v)
	}
	for ; i < len(src) && src[i] < utf8.RuneSelf; i++ {
		c := src[i]
		switch {
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case c == '\t':
			c = ' '
		}
		out[at+i] = c
	}
	return out[:at+i], src[i:]
}

func appendFolded(dst []byte, r rune, octets []byte) []byte {
	if int(r) >= len(foldTable{}.index) {
		return append(dst, folding(r)...)
	}
	t := folds()
	if i := t.index[r]; i > 0 {
		return append(dst, t.texts[i]...)
	}
	return append(dst, octets...)
}

// foldTable has the foldings of the basic plane that change anything; those of
// the other planes are rare and made as they come.
type foldTable struct {
	index [1 << 16]uint16 // of texts; 0 changes nothing
	texts []string
}

var folds = sync.OnceValue(func() *foldTable {
	t := &foldTable{texts: []string{""}}
	for r := rune(utf8.RuneSelf); int(r) < len(t.index); r++ {
		if text := folding(r); text != string(r) {
			t.index[r] = uint16(len(t.texts))
			t.texts = append(t.texts, text)
		}
	}
	return t
})

// folding is what one character becomes.
func folding(r rune) string {
	if r == 'ß' || r == 'ẞ' {
		return "SS"
	}
	decomposed := norm.NFKD.String(string(unicode.ToTitle(r)))
	var folded []byte
	for _, r := range decomposed {
		folded = append(folded, norm.NFKD.String(string(unicode.ToTitle(r)))...)
	}
	return string(folded)
}
