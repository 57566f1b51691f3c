package deflate

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	piece      = 16 << 10 // compressed at a time: what a wire.Writer holds
	remembered = 2 << 10  // of what was sent, for the next answer to point at
	alone      = 8 << 10  // a piece longer than this has enough of its own to point at
)

// Writer writes a raw DEFLATE stream (RFC 1951) that never ends. Every Write is
// flushed, with an empty stored block behind it: the peer can read it all.
// Between two there is but the last 2 KiB of what was sent. One goroutine
// writes.
type Writer struct {
	dst  io.Writer
	said []byte
	err  error // said again for ever: half a block may have been sent
}

// NewWriter writes the compressed stream to dst, with one Write for each 16 KiB
// of it at most.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// packed is where a piece is compressed to.
var packed = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Write compresses p and sends it. What cannot be compressed grows by a few
// octets for each 16 KiB.
func (w *Writer) Write(p []byte) (n int, err error) {
	for n < len(p) && w.err == nil {
		next := p[n:min(len(p), n+piece)]
		if w.err = w.send(next); w.err == nil {
			n += len(next)
		}
	}
	return n, w.err
}

func (w *Writer) send(p []byte) error {
	out := packed.Get().(*bytes.Buffer)
	defer packed.Put(out)
	out.Reset()
	before := w.said
	if len(p) > alone {
		before = nil
	}
	if err := flate.StatelessDeflate(out, p, false, before); err != nil {
		return err
	}
	w.remember(p)
	_, err := w.dst.Write(out.Bytes())
	return err
}

// remember keeps the end of what was said.
func (w *Writer) remember(p []byte) {
	if len(p) >= remembered {
		w.said = append(w.said[:0], p[len(p)-remembered:]...)
		return
	}
	if over := len(w.said) + len(p) - remembered; over > 0 {
		w.said = w.said[:copy(w.said, w.said[over:])]
	}
	w.said = append(w.said, p...)
}
