package mime

import (
	"cmp"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Text is Decoded with its charset converted to UTF-8, always valid. US-ASCII,
// UTF-8, no charset and one nobody knows are read as UTF-8, and each octet that
// is not UTF-8 as windows-1252. The error is ErrUnknownEncoding.
func Text(r io.Reader, encoding, charset string) (io.Reader, error) {
	octets, err := Decoded(r, encoding)
	if err != nil {
		return nil, err
	}
	if e := charsetOf(charset); e != nil {
		return converted(octets, e), nil
	}
	return &guessingReader{r: octets}, nil
}

// KnownCharset says whether a charset can be converted; SEARCH answers
// BADCHARSET to the others (RFC 9051 §6.4.4).
func KnownCharset(name string) bool { return isUnicode(name) || charsetOf(name) != nil }

// ConvertString turns s from a charset into UTF-8; from one nobody knows, as
// Text does it.
func ConvertString(charset, s string) string { return toUTF8(charset, []byte(s)) }

func isUnicode(name string) bool {
	return name == "" || is(name, "utf-8") || is(name, "utf8") || is(name, "us-ascii") || is(name, "ascii")
}

// aliases are names that senders use and no registry has.
var aliases = map[string]string{
	"cp932":         "shift_jis",
	"x-ms-cp932":    "shift_jis",
	"iso-2022-jp-1": "iso-2022-jp",
	"iso-2022-jp-2": "iso-2022-jp",
	"cp936":         "gbk",
	"x-gbk":         "gbk",
	"cp949":         "euc-kr",
	"uhc":           "euc-kr",
	"cp950":         "big5",
	"cp874":         "windows-874",
	"cp51932":       "euc-jp",
	"eucjp-ms":      "euc-jp",
	"latin1":        "windows-1252",
	"latin-1":       "windows-1252",
	"windows1252":   "windows-1252",
	"latin9":        "iso-8859-15",
	"latin-9":       "iso-8859-15",
	"iso8859-15":    "iso-8859-15",
	"ansi":          "windows-1252",

	"utf7":              "utf-7",
	"unicode-1-1-utf-7": "utf-7",
	"csunicode11utf7":   "utf-7",
	"csiso2022kr":       "iso-2022-kr",
}

// charsetOf finds the converter of a charset; nil means UTF-8 or a guess. The
// names of the web come first: who says iso-8859-1 or gb2312 writes
// windows-1252 and gbk.
func charsetOf(name string) encoding.Encoding {
	name = strings.ToLower(strings.Trim(name, " \t\"'"))
	if isUnicode(name) || len(name) > 64 {
		return nil
	}
	if alias, ok := aliases[name]; ok {
		name = alias
	}
	if name == "utf-16" { // the web reads it without a look at its byte order mark
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM) // RFC 2781 §4.3
	}
	if e, ok := shiftedCharsets[name]; ok {
		return e
	}
	if e, err := htmlindex.Get(name); err == nil && e != encoding.Replacement {
		if canonical, err := htmlindex.Name(e); err == nil && canonical == "utf-8" {
			return nil
		}
		return e
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil && e != encoding.Replacement {
		return e
	}
	return nil
}

// toUTF8 converts the octets of one word or value.
func toUTF8(charset string, octets []byte) string {
	if e := charsetOf(charset); e != nil {
		if b, err := e.NewDecoder().Bytes(octets); err == nil {
			return strings.ToValidUTF8(string(b), "\ufffd")
		}
	}
	return guessed(string(octets))
}

// guessed is s as UTF-8, octets that are not read as windows-1252.
func guessed(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string(appendGuessed(make([]byte, 0, len(s)+len(s)/2), []byte(s)))
}

func appendGuessed(dst, src []byte) []byte {
	for len(src) > 0 {
		r, size := utf8.DecodeRune(src)
		if r == utf8.RuneError && size == 1 {
			dst = utf8.AppendRune(dst, charmap.Windows1252.DecodeByte(src[0]))
		} else {
			dst = append(dst, src[:size]...)
		}
		src = src[size:]
	}
	return dst
}

// guessingReader does the same for a stream.
type guessingReader struct {
	r        io.Reader
	in, conv []byte
	out      []byte // ready to be read, in one of the two
	tail     [utf8.UTFMax]byte
	held     int // octets in tail: the start of a character
	err      error
}

func (g *guessingReader) Read(p []byte) (int, error) {
	for len(g.out) == 0 && len(p) > 0 {
		if g.err != nil {
			return 0, g.err
		}
		g.fill()
	}
	n := copy(p, g.out)
	g.out = g.out[n:]
	return n, nil
}

func (g *guessingReader) fill() {
	if g.in == nil {
		g.in = make([]byte, decodeBlock)
	}
	copy(g.in, g.tail[:g.held])
	n, err := g.r.Read(g.in[g.held:])
	block := g.in[:g.held+n]
	g.held, g.err = 0, err
	if err == nil {
		whole := len(block) - unfinished(block)
		g.held = copy(g.tail[:], block[whole:])
		block = block[:whole]
	}
	if !utf8.Valid(block) {
		g.conv = appendGuessed(g.conv[:0], block)
		block = g.conv
	}
	g.out = block
}

// unfinished is how many octets at the end of b start a character that is not
// complete.
func unfinished(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

func (g *guessingReader) reset(r io.Reader) {
	g.r, g.out, g.held, g.err = r, nil, 0, nil
}

func converted(r io.Reader, from encoding.Encoding) io.Reader {
	c := &convertingReader{}
	c.reset(r, from)
	return c
}

// convertingReader converts a stream to UTF-8, in memory that is used again for
// the next one. That a stream ends in the middle of a character is not told.
type convertingReader struct {
	r        io.Reader
	decode   transform.Transformer
	in, conv []byte
	held     int    // octets at the start of in that were not converted yet
	out      []byte // ready to be read, in conv
	err      error
}

func (c *convertingReader) reset(r io.Reader, from encoding.Encoding) {
	c.r, c.decode = r, from.NewDecoder()
	c.held, c.out, c.err = 0, nil, nil
}

func (c *convertingReader) Read(p []byte) (int, error) {
	for len(c.out) == 0 && len(p) > 0 {
		if c.err != nil && c.held == 0 {
			return 0, c.err
		}
		c.fill()
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// fill converts what can be converted. At the end, what no character starts with
// is let go.
func (c *convertingReader) fill() {
	if c.in == nil {
		c.in, c.conv = make([]byte, decodeBlock), make([]byte, decodeBlock)
	}
	n := 0
	if c.err == nil {
		n, c.err = c.r.Read(c.in[c.held:])
	}
	block := c.in[:c.held+n]
	made, used, err := c.decode.Transform(c.conv, block, c.err != nil)
	c.out = c.conv[:made]
	c.held = copy(c.in, block[used:])
	stuck := made == 0 && used == 0 && (c.err != nil || c.held == len(c.in))
	if stuck || err != nil && !errors.Is(err, transform.ErrShortSrc) && !errors.Is(err, transform.ErrShortDst) {
		c.held, c.err = 0, cmp.Or(c.err, io.EOF)
	}
}
