package wire

import (
	"bytes"
	"io"
)

// Dots reads the body that follows DATA, up to the line with a single dot, and
// takes away the dots a sender added (RFC 5321 §4.5.2). It ends with [io.EOF]
// after CRLF . CRLF and leaves what follows unread; where the connection ends
// first it says [io.ErrUnexpectedEOF], and other errors as they are. Whatever
// the error, the rest of the body may not be read as commands: the connection
// is to be closed.
//
// Only CRLF is the end of a line (RFC 5321 §2.3.8): a bare LF or CR stays in
// the body, ends nothing, and a dot behind it is a dot. Lines have no limit.
func (r *Reader) Dots() *Dots { return &Dots{r: r} }

// Dots is a body being read: see [Reader.Dots].
type Dots struct {
	r     *Reader
	state place
	lines int64
	err   error
}

// Lines is how many CRLFs were read.
func (d *Dots) Lines() int64 { return d.lines }

// place is where in a line the reader stands.
type place uint8

const (
	lineStart  place = iota
	afterDot         // a dot at the start of the line, withheld
	afterDotCR       // and a CR, withheld
	inLine
	afterCR
)

// Read implements [io.Reader].
func (d *Dots) Read(p []byte) (n int, err error) {
	for n == 0 && d.err == nil && len(p) > 0 {
		if d.r.r == d.r.w {
			d.err = d.more()
			continue
		}
		n = d.unstuff(p)
	}
	if n > 0 {
		return n, nil
	}
	return 0, d.err
}

// more waits for octets, in a big buffer: most bodies then come in one read.
func (d *Dots) more() error {
	r := d.r
	if len(r.buf) < bulkBuffer {
		if len(r.buf) == smallBuffer {
			r.small = r.buf
		}
		r.buf = bulkBuffers.Get().(*[bulkBuffer]byte)[:]
		r.r, r.w = 0, 0
	}
	err := r.fill(bulkBuffer)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// unstuff moves octets from the buffer to p until either is used up or the
// body has ended.
func (d *Dots) unstuff(p []byte) (n int) {
	src := d.r.buf[d.r.r:d.r.w]
	i := 0
	for i < len(src) && n < len(p) {
		c := src[i]
		switch d.state {
		case lineStart:
			if c == '.' {
				d.state = afterDot
				i++
				continue
			}
			d.state = inLine
		case afterDot:
			if c == '\r' {
				d.state = afterDotCR
				i++
				continue
			}
			d.state = inLine
		case afterDotCR:
			if c == '\n' {
				d.err = io.EOF
				d.r.r += i + 1
				return n
			}
			p[n] = '\r' // it was the line's first octet after its dot; c is looked at again
			n++
			d.state = afterCR
		case afterCR:
			d.state = inLine
			if c == '\n' {
				p[n] = c
				n, i, d.state = n+1, i+1, lineStart
				d.lines++
			}
		case inLine:
			run := src[i : i+min(len(src)-i, len(p)-n)]
			if k := bytes.IndexByte(run, '\r'); k >= 0 {
				run = run[:k+1]
				d.state = afterCR
			}
			copy(p[n:], run)
			n, i = n+len(run), i+len(run)
		}
	}
	d.r.r += i
	return n
}
