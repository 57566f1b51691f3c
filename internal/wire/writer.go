package wire

import (
	"io"
	"net"
	"sync"
	"time"
)

const (
	writeBuffer     = 16 << 10 // one TLS record (RFC 8446 §5.1)
	writeStep       = 64 << 10 // what the peer must take within one patience
	defaultPatience = 5 * time.Minute
)

// idle writers hold no buffer
var writeBuffers = sync.Pool{New: func() any { return new([writeBuffer]byte) }}

// Writer buffers what is written until [Writer.Flush]. Each write to the
// connection has a deadline, so a client that stops reading is cut; the first
// error is said again for ever. One goroutine writes at a time.
type Writer struct {
	conn     net.Conn
	patience time.Duration
	buf      *[writeBuffer]byte // nil while nothing waits
	n        int
	err      error
}

// NewWriter writes to c. The peer must take each 64 KiB within patience; 0 is
// five minutes.
func NewWriter(c net.Conn, patience time.Duration) *Writer {
	if patience <= 0 {
		patience = defaultPatience
	}
	return &Writer{conn: c, patience: patience}
}

// Write buffers p. What is bigger than the buffer goes to the connection.
func (w *Writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 && w.err == nil {
		if w.n == 0 && len(p) >= writeBuffer {
			k := w.send(p)
			return n + k, w.err
		}
		k := copy(w.room(), p)
		w.n += k
		n += k
		p = p[k:]
	}
	return n, w.err
}

// WriteString buffers s.
func (w *Writer) WriteString(s string) (n int, err error) {
	for len(s) > 0 && w.err == nil {
		k := copy(w.room(), s)
		w.n += k
		n += k
		s = s[k:]
	}
	return n, w.err
}

// ReadFrom writes all of src, without another buffer in between. Errors of src
// come back as they are and do not spoil the writer.
func (w *Writer) ReadFrom(src io.Reader) (n int64, err error) {
	for w.err == nil {
		k, err := src.Read(w.room())
		w.n += k
		n += int64(k)
		if err == io.EOF {
			return n, w.err
		}
		if err != nil {
			return n, err
		}
	}
	return n, w.err
}

// Flush sends what is buffered.
func (w *Writer) Flush() error {
	if w.n > 0 {
		w.send(w.buf[:w.n])
		w.n = 0
	}
	if w.buf != nil {
		writeBuffers.Put(w.buf)
		w.buf = nil
	}
	return w.err
}

// Buffered is how many octets wait for [Writer.Flush].
func (w *Writer) Buffered() int { return w.n }

// room is the free part of the buffer, never empty: a full one is sent first.
func (w *Writer) room() []byte {
	if w.n == writeBuffer {
		w.send(w.buf[:])
		w.n = 0
	}
	if w.buf == nil {
		w.buf = writeBuffers.Get().(*[writeBuffer]byte)
	}
	return w.buf[w.n:]
}

// send writes p step by step, each step under its own deadline.
func (w *Writer) send(p []byte) (n int) {
	for n < len(p) && w.err == nil {
		if w.err = w.conn.SetWriteDeadline(time.Now().Add(w.patience)); w.err != nil {
			return n
		}
		var k int
		k, w.err = w.conn.Write(p[n:min(len(p), n+writeStep)])
		n += k
	}
	return n
}
