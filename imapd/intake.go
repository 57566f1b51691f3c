package imapd

import (
	"bytes"
	"errors"
	"io"

	"letterlock/internal/wire"
)

// intake takes the octets of a message. A bare LF becomes CRLF, as in all that comes
// by LMTP: a message has no other line ends (RFC 5322 §2.3), and neither clients nor
// those to whom they send it on are prepared for them. Every other octet stays, a
// bare CR among them.
type intake struct {
	to     io.Writer
	left   int64 // octets it may still take
	exact  bool  // all octets stay: in a part without transfer encoding LF is content
	ends   wire.LineEnds
	hadNUL bool  // (RFC 9051 §4.3.1)
	full   bool  // there was more than it may take
	failed error // of the writer; it is not to be taken for one of the connection
}

var errRoomFull = errors.New("no room left")

func (m *intake) Write(p []byte) (int, error) {
	octets := p
	if m.exact {
		m.ends.Pass(p)
	} else {
		octets, _ = m.ends.Mend(p)
	}
	m.hadNUL = m.hadNUL || bytes.IndexByte(p, 0) >= 0
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
