package mime

import (
	"strings"
	"unicode/utf8"
)

// DecodeHeader turns RFC 2047 encoded words and raw 8-bit octets of a header
// value into valid UTF-8 without line breaks. Words are decoded wherever they
// stand; octets of adjacent words in one charset are joined before they are
// converted, since senders split characters. Raw 8-bit, and words in charsets
// nobody knows, are taken for UTF-8, and where they are not, for windows-1252.
func DecodeHeader(s string) string {
	if !needsDecoding(s) {
		return s
	}
	s = unfold(s)
	var b strings.Builder
	b.Grow(len(s))
	d := wordDecoder{out: &b}
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		w, ok := cutWord(s[i:])
		if !ok {
			d.text(s[:i+2])
			s = s[i+2:]
			continue
		}
		d.text(s[:i])
		d.word(w)
		s = s[i+w.length:]
	}
	d.text(s)
	d.flush()
	return b.String()
}

func needsDecoding(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c == '\r' || c == '\n' || c == '=' && i+1 < len(s) && s[i+1] == '?' {
			return true
		}
	}
	return false
}

// encodedWord is =?charset*language?encoding?text?= (RFC 2047 §2, RFC 2231 §5).
type encodedWord struct {
	charset  string
	encoding byte // 'b' or 'q'
	text     string
	length   int
}

// maxWord is how far the end of a word is looked for; RFC 2047 §2 allows 75
// octets, some senders write whole subjects in one.
const maxWord = 4096

// cutWord reads the encoded word that s starts with.
func cutWord(s string) (w encodedWord, ok bool) {
	if !strings.HasPrefix(s, "=?") {
		return w, false
	}
	s = s[:min(len(s), maxWord)]
	i := 2
	for i < len(s) && s[i] != '?' {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return w, false
		}
		i++
	}
	if i == 2 || i+3 > len(s) || s[i+2] != '?' {
		return w, false
	}
	w.charset, _, _ = strings.Cut(s[2:i], "*")
	w.encoding = lowerByte(s[i+1])
	if w.encoding != 'b' && w.encoding != 'q' {
		return w, false
	}
	end := strings.Index(s[i+3:], "?=")
	if end < 0 || strings.ContainsAny(s[i+3:i+3+end], "\r\n") {
		return w, false
	}
	w.text = s[i+3 : i+3+end]
	w.length = i + 3 + end + 2
	return w, true
}

func (w *encodedWord) appendTo(b []byte) []byte {
	if w.encoding == 'q' {
		return appendQ(b, w.text)
	}
	d := base64Decoder{}
	b = d.append(b, []byte(w.text))
	return d.finish(b)
}

// appendQ decodes the Q encoding (RFC 2047 §4.2).
func appendQ(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '_':
			c = ' '
		case c == '=' && i+2 < len(s):
			if hi, lo := hexDigit[s[i+1]], hexDigit[s[i+2]]; hi < 16 && lo < 16 {
				c = hi<<4 | lo
				i += 2
			}
		}
		b = append(b, c)
	}
	return b
}

// wordDecoder gathers adjacent words of one charset.
type wordDecoder struct {
	out     *strings.Builder
	charset string
	octets  []byte // decoded, not yet converted
	waiting bool   // a word came last
}

func (d *wordDecoder) word(w encodedWord) {
	if d.waiting && !is(d.charset, w.charset) {
		d.flush()
	}
	d.charset, d.waiting = w.charset, true
	d.octets = w.appendTo(d.octets)
}

// text writes what stands between words; white space alone there is no text
// (RFC 2047 §6.2).
func (d *wordDecoder) text(s string) {
	if s == "" || d.waiting && trim(s) == "" {
		return
	}
	d.flush()
	d.write(guessed(s))
}

func (d *wordDecoder) flush() {
	if d.waiting {
		d.write(toUTF8(d.charset, d.octets))
	}
	d.octets, d.waiting = d.octets[:0], false
}

// write keeps line breaks out: a header's text must not become a second header.
func (d *wordDecoder) write(s string) {
	for {
		i := strings.IndexAny(s, "\r\n")
		if i < 0 {
			d.out.WriteString(s)
			return
		}
		d.out.WriteString(s[:i])
		d.out.WriteByte(' ')
		s = s[i+1:]
	}
}
