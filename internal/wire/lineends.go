package wire

import "bytes"

// LineEnds makes CRLF of every bare LF in a text that comes in pieces (RFC 5322
// §2.3: a message has no other line ends). How it is cut makes no difference; every
// other octet stays, a bare CR among them. The zero value is at the start of a text.
type LineEnds struct {
	wasCR bool // the last octet was CR
	spare []byte
}

// Mend is p with CRLF for every bare LF, good until the next call, and how many
// those were; p itself where there is none.
func (l *LineEnds) Mend(p []byte) (mended []byte, bare int64) {
	out, from := l.spare[:0], 0
	for at := 0; ; at++ {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			break
		}
		at += i
		if at > 0 && p[at-1] == '\r' || at == 0 && l.wasCR {
			continue
		}
		out = append(append(out, p[from:at]...), '\r', '\n')
		from = at + 1
		bare++
	}
	l.Pass(p)
	if bare == 0 {
		return p, 0
	}
	l.spare = append(out, p[from:]...)
	return l.spare, bare
}

// Pass takes p as it is.
func (l *LineEnds) Pass(p []byte) {
	if len(p) > 0 {
		l.wasCR = p[len(p)-1] == '\r'
	}
}
