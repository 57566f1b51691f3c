package mime

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/transform"
)

// shifted is a charset in which octets shift the meaning of those behind them, and
// which golang.org/x/text does not have. It is read only.
type shifted struct{ decoder func() transform.Transformer }

func (s shifted) NewDecoder() *encoding.Decoder {
	return &encoding.Decoder{Transformer: s.decoder()}
}

func (shifted) NewEncoder() *encoding.Encoder { return encoding.Replacement.NewEncoder() }

var shiftedCharsets = map[string]encoding.Encoding{
	"utf-7":       shifted{func() transform.Transformer { return new(utf7) }},
	"iso-2022-kr": shifted{func() transform.Transformer { return transform.Chain(new(iso2022kr), korean.EUCKR.NewDecoder()) }},
}

// utf7 decodes UTF-7 (RFC 2152): between "+" and what is no base64 stand the
// octets of UTF-16 in base64.
type utf7 struct {
	in    bool   // behind a "+"
	empty bool   // right behind it
	high  rune   // the first half of a surrogate pair; 0: none
	bits  uint32 // of a character that is not complete
	count int    // how many they are
}

func (u *utf7) Reset() { *u = utf7{} }

func (u *utf7) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	const most = 3 * utf8.UTFMax // that one octet can make
	for ; nSrc < len(src); nSrc++ {
		if len(dst)-nDst < most {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst = len(u.octet(dst[:nDst], src[nSrc]))
	}
	if atEOF {
		if len(dst)-nDst < most {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst = len(u.shiftOut(dst[:nDst]))
	}
	return nDst, nSrc, nil
}

// octet appends what an octet completes.
func (u *utf7) octet(dst []byte, c byte) []byte {
	if !u.in {
		if c == '+' {
			u.in, u.empty = true, true
			return dst
		}
		return appendASCII(dst, c)
	}
	if v := strings.IndexByte(base64Alphabet, c); v >= 0 {
		u.empty = false
		u.bits, u.count = u.bits<<6|uint32(v), u.count+6
		if u.count < 16 {
			return dst
		}
		u.count -= 16
		unit := rune(u.bits >> u.count & 0xffff)
		u.bits &= 1<<u.count - 1
		return u.unit(dst, unit)
	}
	wasEmpty := u.empty
	dst = u.shiftOut(dst)
	switch {
	case c == '-' && wasEmpty:
		return append(dst, '+')
	case c == '-':
		return dst
	}
	return appendASCII(dst, c)
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// unit appends what a unit of UTF-16 completes.
func (u *utf7) unit(dst []byte, unit rune) []byte {
	high := u.high
	u.high = 0
	if high != 0 {
		if r := utf16.DecodeRune(high, unit); r != utf8.RuneError {
			return utf8.AppendRune(dst, r)
		}
		dst = utf8.AppendRune(dst, utf8.RuneError)
	}
	if 0xd800 <= unit && unit < 0xdc00 {
		u.high = unit
		return dst
	}
	return utf8.AppendRune(dst, unit)
}

// shiftOut ends base64. Bits that are left over fill up the last character of it.
func (u *utf7) shiftOut(dst []byte) []byte {
	if u.high != 0 {
		dst = utf8.AppendRune(dst, utf8.RuneError)
	}
	u.Reset()
	return dst
}

func appendASCII(dst []byte, c byte) []byte {
	if c >= utf8.RuneSelf {
		return utf8.AppendRune(dst, utf8.RuneError)
	}
	return append(dst, c)
}

// iso2022kr makes EUC-KR of ISO-2022-KR (RFC 1557): between SO and SI, or the end
// of the line, octets stand without their eighth bit. The sequence that announces
// this goes.
type iso2022kr struct{ out bool }

const (
	shiftOut = 0x0e
	shiftIn  = 0x0f
	announce = "\x1b$)C"
)

func (k *iso2022kr) Reset() { *k = iso2022kr{} }

func (k *iso2022kr) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		c := src[nSrc]
		if c == announce[0] {
			rest := string(src[nSrc:min(len(src), nSrc+len(announce))])
			switch {
			case rest == announce:
				nSrc += len(announce)
				continue
			case !atEOF && strings.HasPrefix(announce, rest):
				return nDst, nSrc, transform.ErrShortSrc
			}
		}
		switch {
		case c == shiftOut || c == shiftIn:
			k.out = c == shiftOut
			nSrc++
			continue
		case nDst == len(dst):
			return nDst, nSrc, transform.ErrShortDst
		case c == '\n':
			k.out = false
		case k.out && 0x21 <= c && c <= 0x7e:
			c |= 0x80
		}
		dst[nDst] = c
		nDst++
		nSrc++
	}
	return nDst, nSrc, nil
}
