package mime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// windowSize is how much of a message is in memory at once. Header lines and
// delimiter lines are looked at through it; a longer line is seen in pieces.
const windowSize = 64 << 10

// window moves over a message from its start to its end. It always keeps the
// two octets before the reading position, to tell a CRLF from a bare LF.
type window struct {
	src  io.ReaderAt
	size int64
	buf  []byte
	base int64 // offset of buf[0] in the message
	r, w int   // buf[r:w] is yet to be read
	lf   int64 // line feeds before r
	err  error // of the source; ends the scan
}

func (w *window) reset(src io.ReaderAt, size int64) {
	w.src, w.size = src, size
	w.base, w.r, w.w, w.lf, w.err = 0, 0, 0, 0, nil
}

func (w *window) offset() int64 { return w.base + int64(w.r) }

// more reads on and says whether anything came: not at the end, and not where
// the window is already full of unread octets.
func (w *window) more() bool {
	if keep := w.r - 2; keep > 0 {
		w.w = copy(w.buf, w.buf[keep:w.w])
		w.base += int64(keep)
		w.r = 2
	}
	want := min(int64(len(w.buf)-w.w), w.size-w.base-int64(w.w))
	if want <= 0 || w.err != nil {
		return false
	}
	n, err := w.src.ReadAt(w.buf[w.w:w.w+int(want)], w.base+int64(w.w))
	n = max(n, 0)
	w.w += n
	if n == 0 {
		if err == nil {
			err = io.ErrNoProgress
		} else if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // shorter than it said
		}
		w.err = fmt.Errorf("read message at %d: %w", w.offset(), err)
	}
	return n > 0
}

// ahead gives at least n octets from the reading position, fewer only where
// the message ends. n is well below windowSize.
func (w *window) ahead(n int) []byte {
	for w.w-w.r < n && w.more() {
	}
	return w.buf[w.r:w.w]
}

// line gives the line at the reading position with its LF, without consuming
// it; whole is false for a piece of a line longer than the window. At the end
// of the message it is empty.
func (w *window) line() (line []byte, whole bool) {
	for seen := 0; ; {
		if i := bytes.IndexByte(w.buf[w.r+seen:w.w], '\n'); i >= 0 {
			return w.buf[w.r : w.r+seen+i+1], true
		}
		seen = w.w - w.r
		if !w.more() {
			return w.buf[w.r:w.w], w.offset()+int64(seen) >= w.size
		}
	}
}

// take consumes what line gave.
func (w *window) take(line []byte) {
	w.r += len(line)
	if n := len(line); n > 0 && line[n-1] == '\n' {
		w.lf++
	}
}

func (w *window) skipLine() {
	for {
		line, whole := w.line()
		w.take(line)
		if whole || len(line) == 0 {
			return
		}
	}
}

var dashes = []byte("\n--")

// skipToDashes consumes lines up to one that starts with "--", beginning with
// the line after the current one. It is where a scan spends its time.
func (w *window) skipToDashes() (found bool) {
	for {
		unread := w.buf[w.r:w.w]
		if i := bytes.Index(unread, dashes); i >= 0 {
			w.lf += int64(bytes.Count(unread[:i+1], dashes[:1]))
			w.r += i + 1
			return true
		}
		if len(unread) >= len(dashes) {
			w.skip(len(unread) - len(dashes) + 1) // the rest may be the start of a match
		}
		if !w.more() {
			w.skip(w.w - w.r)
			return false
		}
	}
}

// skipAll consumes the rest of the message.
func (w *window) skipAll() {
	for {
		w.skip(w.w - w.r)
		if !w.more() {
			return
		}
	}
}

func (w *window) skip(n int) {
	w.lf += int64(bytes.Count(w.buf[w.r:w.r+n], dashes[:1]))
	w.r += n
}

// eol is the length of the line break right before the reading position.
func (w *window) eol() int64 {
	switch {
	case w.r == 0 || w.buf[w.r-1] != '\n':
		return 0
	case w.r > 1 && w.buf[w.r-2] == '\r':
		return 2
	}
	return 1
}
