package lmtp

import (
	"bytes"
	"io"

	"letterlock/internal/wire"
)

// mender makes of a body what IMAP can send (RFC 9051 §4.3.1) and every reader
// understands: a bare LF becomes CRLF, a NUL becomes 0x80. Every other octet,
// a bare CR among them, stays. How the octets are cut into pieces makes no
// difference.
type mender struct {
	to    io.Writer
	ends  wire.LineEnds
	lines func() int64 // CRLFs passed on so far, where whoever reads counts them; nil: nobody does
	seen  int64        // of lines, before the octets at hand
	lfs   int64        // bare LFs mended
	nuls  int64        // NULs mended
}

// take mends p, partly in place, and passes it on.
func (m *mender) take(p []byte) error {
	m.mendNULs(p)
	_, err := m.to.Write(m.mendLFs(p))
	return err
}

func (m *mender) mendNULs(p []byte) {
	for i := bytes.IndexByte(p, 0); i >= 0; i = bytes.IndexByte(p, 0) {
		p[i] = 0x80
		m.nuls++
		p = p[i+1:]
	}
}

// mendLFs answers p itself where there is nothing to mend. Where all LFs are
// known to belong to a CRLF nobody looks at each.
func (m *mender) mendLFs(p []byte) []byte {
	if m.lines != nil {
		before := m.seen
		if m.seen = m.lines(); int64(bytes.Count(p, []byte("\n"))) == m.seen-before {
			m.ends.Pass(p)
			return p
		}
	}
	mended, bare := m.ends.Mend(p)
	m.lfs += bare
	return mended
}
