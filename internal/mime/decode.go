package mime

import (
	"bytes"
	"errors"
	"io"
)

// ErrUnknownEncoding says that a part's Content-Transfer-Encoding is none of
// RFC 2045 §6.1; its octets cannot be understood.
var ErrUnknownEncoding = errors.New("unknown content transfer encoding")

// Decoded is a part's content with its transfer encoding removed: base64 and
// quoted-printable, read leniently, or 7bit, 8bit and binary (and none) as they
// are. The error is ErrUnknownEncoding; bad content is none, what makes no
// sense in it is passed over. The reader holds a few KiB.
func Decoded(r io.Reader, encoding string) (io.Reader, error) {
	switch {
	case encoding == "", is(encoding, "7bit"), is(encoding, "8bit"), is(encoding, "binary"):
		return r, nil
	case is(encoding, "base64"):
		return &decodingReader{r: r, decoder: &base64Decoder{}}, nil
	case is(encoding, "quoted-printable"):
		return &decodingReader{r: r, decoder: &quotedDecoder{}}, nil
	}
	return nil, ErrUnknownEncoding
}

// decoder turns octets into others as they come, and may keep some back.
type decoder interface {
	append(dst, src []byte) []byte
	finish(dst []byte) []byte // at the end of the content
}

const decodeBlock = 8 << 10

// decodingReader feeds a decoder whole blocks, so that what comes out does not
// depend on how the octets came in.
type decodingReader struct {
	r       io.Reader
	decoder decoder
	in, buf []byte
	out     []byte // decoded and not yet read, in buf
	err     error
}

func (d *decodingReader) reset(r io.Reader, with decoder) {
	d.r, d.decoder, d.out, d.err = r, with, nil, nil
}

func (d *decodingReader) Read(p []byte) (int, error) {
	for len(d.out) == 0 && len(p) > 0 {
		if d.err != nil {
			return 0, d.err
		}
		d.decode()
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

func (d *decodingReader) decode() {
	if d.in == nil {
		d.in = make([]byte, decodeBlock)
	}
	n := 0
	for n < len(d.in) && d.err == nil { // io.ReadFull would hide an ErrUnexpectedEOF of the reader's own
		var more int
		more, d.err = d.r.Read(d.in[n:])
		n += more
	}
	d.buf = d.decoder.append(d.buf[:0], d.in[:n])
	if d.err != nil {
		d.buf = d.decoder.finish(d.buf)
	}
	d.out = d.buf
}

// base64Decoder passes over what is not of the alphabet (RFC 2045 §6.8), takes
// padding wherever it stands as the end of a group, and a missing one as given.
type base64Decoder struct {
	bits uint32
	n    int // digits in bits
}

func (d *base64Decoder) append(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		for d.n == 0 && i+4 <= len(src) {
			a, b, c, e := base64Digit[src[i]], base64Digit[src[i+1]], base64Digit[src[i+2]], base64Digit[src[i+3]]
			if a|b|c|e >= 64 {
				break
			}
			dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|e)
			i += 4
		}
		if i < len(src) {
			dst = d.digit(dst, src[i])
			i++
		}
	}
	return dst
}

func (d *base64Decoder) digit(dst []byte, c byte) []byte {
	v := base64Digit[c]
	if c == '=' {
		return d.finish(dst)
	}
	if v >= 64 {
		return dst
	}
	d.bits = d.bits<<6 | uint32(v)
	if d.n++; d.n == 4 {
		dst = append(dst, byte(d.bits>>16), byte(d.bits>>8), byte(d.bits))
		d.n = 0
	}
	return dst
}

func (d *base64Decoder) finish(dst []byte) []byte {
	switch d.n {
	case 2:
		dst = append(dst, byte(d.bits>>4))
	case 3:
		dst = append(dst, byte(d.bits>>10), byte(d.bits>>2))
	}
	d.n = 0
	return dst
}

// quotedDecoder undoes quoted-printable (RFC 2045 §6.7). White space at the end
// of a line goes (rule 3), an = that starts no escape stays.
type quotedDecoder struct {
	held   []byte // the end of what came, whose meaning what follows decides
	joined []byte // held and what follows
}

// maxHeld is more white space than a line of 76 can end with.
const maxHeld = 1024

func (d *quotedDecoder) append(dst, src []byte) []byte {
	if len(d.held) > 0 {
		d.joined = append(append(d.joined[:0], d.held...), src...)
		src = d.joined
	}
	for {
		i := bytes.IndexByte(src, '\n')
		if i < 0 {
			break
		}
		dst = quotedLine(dst, src[:i])
		src = src[i+1:]
	}
	keep := unsure(src)
	if len(src)-keep > maxHeld {
		keep = len(src)
	}
	dst = quotedRun(dst, src[:keep])
	d.held = append(d.held[:0], src[keep:]...)
	return dst
}

func (d *quotedDecoder) finish(dst []byte) []byte {
	rest := bytes.TrimRight(d.held, " \t\r")
	d.held = d.held[:0]
	return quotedRun(dst, bytes.TrimSuffix(rest, []byte("=")))
}

// unsure finds where the end of an unfinished line starts that may yet turn out
// to be white space at the end of the line, or an escape.
func unsure(src []byte) int {
	n := len(bytes.TrimRight(src, " \t\r"))
	switch {
	case n > 0 && src[n-1] == '=':
		return n - 1
	case n > 1 && n == len(src) && src[n-2] == '=':
		return n - 2
	}
	return n
}

// quotedLine decodes a line that has come whole, without its LF.
func quotedLine(dst, line []byte) []byte {
	text := bytes.TrimRight(line, " \t\r")
	if n := len(text); n > 0 && text[n-1] == '=' { // a soft line break
		return quotedRun(dst, text[:n-1])
	}
	dst = quotedRun(dst, text)
	if n := len(line); n > 0 && line[n-1] == '\r' {
		dst = append(dst, '\r')
	}
	return append(dst, '\n')
}

func quotedRun(dst, src []byte) []byte {
	for {
		i := bytes.IndexByte(src, '=')
		if i < 0 {
			return append(dst, src...)
		}
		dst = append(dst, src[:i]...)
		src = src[i:]
		if len(src) > 2 {
			if hi, lo := hexDigit[src[1]], hexDigit[src[2]]; hi < 16 && lo < 16 {
				dst = append(dst, hi<<4|lo)
				src = src[3:]
				continue
			}
		}
		dst = append(dst, '=')
		src = src[1:]
	}
}

const notADigit = 0xff

// hexDigit and base64Digit give the value of a digit, or notADigit.
var (
	hexDigit    = digits("0123456789ABCDEF", "0123456789abcdef")
	base64Digit = digits("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)

func digits(alphabets ...string) (table [256]byte) {
	for i := range table {
		table[i] = notADigit
	}
	for _, alphabet := range alphabets {
		for v := range len(alphabet) {
			table[alphabet[v]] = byte(v)
		}
	}
	return table
}
