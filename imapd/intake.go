package imapd

import (
	"bytes"
	"errors"
	"io"
)

// intake takes the octets of a message. A bare LF becomes CRLF, as in all that comes
// by LMTP: a message has no other line ends (RFC 5322 §2.3), and neither clients nor
// those to whom they send it on are prepared for them. Every other octet stays, a
// bare CR among them.
type intake struct {
	to     io.Writer
	left   int64 // octets it may still take
	exact  bool  // all octets stay: in a part without transfer encoding LF is content
	wasCR  bool  // the last octet was CR
	hadNUL bool  // (RFC 9051 §4.3.1)
	full   bool  // there was more than it may take
	failed error // of the writer; it is not to be taken for one of the connection
	spare  []byte
}

var errRoomFull = errors.New("no room left")

func (m *intake) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	octets := p
	if !m.exact {
		octets = m.mended(p)
	}
	m.hadNUL = m.hadNUL || bytes.IndexByte(p, 0) >= 0
	m.wasCR = p[len(p)-1] == '\r'
	if int64(len(octets)) > m.left {
		m.full = true
		return 0, errRoomFull
	}
	m.left -= int64(len(octets))
	if _, err := m.to.Write(octets); err != nil {
		m.failed = err
		return 0, err
	}
	return len(p), nil
}

// mended is p with CRLF for every bare LF; p itself where there is none.
func (m *intake) mended(p []byte) []byte {
	out, from := m.spare[:0], 0
	for at := 0; ; at++ {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			break
		}
		at += i
		if at > 0 && p[at-1] == '\r' || at == 0 && m.wasCR {
			continue
		}
		out = append(append(out, p[from:at]...), '\r', '\n')
		from = at + 1
	}
	if from == 0 {
		return p
	}
	m.spare = append(out, p[from:]...)
	return m.spare
}
