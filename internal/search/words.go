package search

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Words looks for words as people half remember them, which is what FUZZY means
// with us (RFC 6203 §3): case, accents and their order do not count, and each
// may be the beginning of a longer one. In scripts that put no space between
// words it may stand anywhere. It may be used by several goroutines at once.
type Words struct {
	words  [][]byte // folded, without accents
	phrase []byte   // all of them, a space between each two
}

// maxWords is how many words of one string are looked for.
const maxWords = 16

// NewWords prepares to look for the words of s, which is UTF-8. Without a
// letter or digit in it, all of s is one word.
func NewWords(s string) *Words {
	bare := bareOf(s)
	w := &Words{}
	for _, word := range bytes.FieldsFunc(bare, func(r rune) bool { return !inWord(r) }) {
		if len(w.words) < maxWords && !slices.ContainsFunc(w.words, func(have []byte) bool { return bytes.Equal(have, word) }) {
			w.words = append(w.words, word)
		}
	}
	if len(w.words) == 0 && len(bare) > 0 {
		w.words = [][]byte{bare}
	}
	w.phrase = bytes.Join(w.words, []byte(" "))
	return w
}

// bareOf is s folded and without accents.
func bareOf(s string) []byte {
	folded, rest := fold(nil, []byte(s))
	return appendBare(nil, append(folded, rest...))
}

// Finders are what a filter is asked for each of the words: a message that may
// not have one of them has no match. What they find is not yet a match.
func (w *Words) Finders() []*Finder {
	fs := make([]*Finder, len(w.words))
	for i, word := range w.words {
		fs[i] = &Finder{needle: word, grams: gramsOf(word)}
	}
	return fs
}

// Match is how well a text matches words.
type Match struct {
	words  []hit
	phrase hit // of all of them, side by side as they were asked for
}

// hit is how a word was found, the better the greater.
type hit uint8

const (
	missing hit = iota
	beginning
	whole
)

// All says whether every word is there: the text matches.
func (m *Match) All() bool { return !slices.Contains(m.words, missing) }

// Score says how well, from 1 to 100. Without [Match.All] it is 0.
func (m *Match) Score() int {
	if !m.All() {
		return 0
	}
	if len(m.words) == 0 {
		return 100
	}
	score := 0
	for _, h := range m.words {
		score += 40 + 40*int(h-beginning)
	}
	score /= len(m.words)
	if m.phrase == whole {
		score += 20
	}
	return score
}

// Match begins a match with some text.
func (w *Words) Match() *Match { return &Match{words: make([]hit, len(w.words))} }

// Reader looks for the words in r's text, and notes in m what is better than
// what it has. The error is r's.
func (w *Words) Reader(m *Match, r io.Reader) error {
	around := len(w.phrase) + utf8.UTFMax // what has to be known behind the start of a word
	var bare []byte
	from := 0
	err := eachWindow(r, 0, func(text []byte, _ int) bool {
		bare = appendBare(bare, text)
		to := len(bare) - around
		if to <= from {
			return true
		}
		w.look(m, bare, from, to)
		from = min(to, utf8.UTFMax) // what has to be known before it
		bare = bare[:copy(bare, bare[to-from:])]
		return true
	})
	w.look(m, bare, from, len(bare))
	return err
}

// String looks for the words in s.
func (w *Words) String(m *Match, s string) {
	_ = w.Reader(m, strings.NewReader(s)) // which has no errors
}

// look looks for the words that start at text[from] or later, but before text[to].
func (w *Words) look(m *Match, text []byte, from, to int) {
	for i, word := range w.words {
		m.words[i] = find(text, word, from, to, m.words[i])
	}
	m.phrase = find(text, w.phrase, from, to, m.phrase)
}

// find says how the word stands in text, if better than known.
func find(text, word []byte, from, to int, known hit) hit {
	end := min(len(text), to+len(word)-1)
	for known < whole && from < end {
		i := bytes.Index(text[from:end], word)
		if i < 0 {
			break
		}
		from += i
		known = max(known, hitAt(text, word, from))
		_, size := utf8.DecodeRune(text[from:])
		from += size
	}
	return known
}

// hitAt says whether the word at that place of text is one, or the beginning of
// one. Where no spaces stand between words (or it has no letters) it is.
func hitAt(text, word []byte, at int) hit {
	first, _ := utf8.DecodeRune(word)
	if before, _ := utf8.DecodeLastRune(text[:at]); inWord(before) && inWord(first) && !unspaced(first) {
		return missing
	}
	last, _ := utf8.DecodeLastRune(word)
	if after, _ := utf8.DecodeRune(text[at+len(word):]); inWord(after) && inWord(last) && !unspaced(last) {
		return beginning
	}
	return whole
}

func inWord(r rune) bool {
	if r < utf8.RuneSelf {
		return '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
	}
	return unicode.IsLetter(r) && r != utf8.RuneError || unicode.IsNumber(r) || unicode.IsMark(r)
}

// unspaced says whether r is of a script that puts no spaces between words.
func unspaced(r rune) bool {
	return r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// Accents, as folding leaves them behind their letters: U+0300 to U+036F, which
// are CC 80 to CD AF.
const (
	accentsFrom = 0xcc
	accentsTo   = 0xcd
	lastAccent  = 0xaf
)

func isAccent(lead, next byte) bool {
	return lead == accentsFrom && next >= 0x80 && next < 0xc0 || lead == accentsTo && next >= 0x80 && next <= lastAccent
}

func hasAccent(text []byte) bool {
	return bytes.IndexByte(text, accentsFrom) >= 0 || bytes.IndexByte(text, accentsTo) >= 0
}

// appendBare appends folded text without its accents.
func appendBare(dst, text []byte) []byte {
	if !hasAccent(text) {
		return append(dst, text...)
	}
	for i := 0; i < len(text); i++ {
		if i+1 < len(text) && isAccent(text[i], text[i+1]) {
			i++
			continue
		}
		dst = append(dst, text[i])
	}
	return dst
}
