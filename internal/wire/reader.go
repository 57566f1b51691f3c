package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrLineTooLong: the line was swallowed to its end; the reader stands
	// after it.
	ErrLineTooLong = errors.New("line too long")
	// ErrBareLF: the line ended in LF without CR. It was swallowed; the reader
	// stands after it.
	ErrBareLF = errors.New("bare LF")
	// ErrEndlessLine: a line went on for more than 1 MiB past its limit. The
	// reader gives up; the connection is to be closed.
	ErrEndlessLine = errors.New("line without end")
	// ErrInterrupted: [Reader.Await] was woken by [Reader.Interrupt].
	ErrInterrupted = errors.New("interrupted")
)

const (
	smallBuffer = 4 << 10  // what an idle connection holds
	bulkBuffer  = 32 << 10 // what a body being read may grow it to
	maxSwallow  = 1 << 20  // how much of a line that is too long is read to find its end
	defaultIdle = 5 * time.Minute
)

// Reader reads a protocol off a connection. Every read from the connection has
// its own deadline, so a steady slow sender is not cut and a silent one is:
// the error then is [os.ErrDeadlineExceeded].
//
// One goroutine reads; only [Reader.Interrupt] may be called by others.
type Reader struct {
	conn net.Conn
	late waiter // conn, where it can wait; nil: it cannot
	idle time.Duration

	buf   []byte
	small []byte // what buf was before a body came; nil: nothing
	r, w  int    // buf[r:w] is read and not yet handed out
	err   error  // what ended the connection; said again for ever

	interrupted atomic.Bool
}

// waiter is a connection for which one can wait without a buffer. Await returns
// when there may be something to read, or what Read would have said.
type waiter interface{ Await() error }

// NewReader reads from c, waiting idle for each read; 0 is five minutes. The
// connection may turn into a TLS one underneath. Where it has a method Await()
// error, which returns when there may be something to read, or with what Read
// would have said, a reader that waits for a command holds no buffer.
func NewReader(c net.Conn, idle time.Duration) *Reader {
	r := &Reader{conn: c}
	r.late, _ = c.(waiter)
	r.SetIdle(idle)
	return r
}

// SetIdle sets the deadline of each further read; 0 is five minutes.
func (r *Reader) SetIdle(d time.Duration) {
	if d <= 0 {
		d = defaultIdle
	}
	r.idle = d
}

// Line reads one line of at most limit octets, its CRLF counted (RFC 5321
// §4.5.3.1.4), and returns it without the CRLF. It is valid until the next
// call. After [ErrLineTooLong] and [ErrBareLF] the next line can be read; any
// other error is final, [io.EOF] where the peer left between two lines and
// [io.ErrUnexpectedEOF] where it left inside one.
func (r *Reader) Line(limit int) ([]byte, error) {
	r.shrink()
	for seen := 0; ; {
		waiting := r.buf[r.r:r.w]
		if i := bytes.IndexByte(waiting[seen:], '\n'); i >= 0 {
			return r.cutLine(seen+i, limit)
		}
		seen = len(waiting)
		if seen >= limit {
			return nil, r.swallowLine()
		}
		if err := r.fill(limit); err != nil {
			if err == io.EOF && seen > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// cutLine hands out the line whose LF is n octets ahead.
func (r *Reader) cutLine(n, limit int) ([]byte, error) {
	line := r.buf[r.r : r.r+n]
	r.r += n + 1
	switch {
	case n+1 > limit:
		return nil, ErrLineTooLong
	case n == 0 || line[n-1] != '\r':
		return nil, ErrBareLF
	}
	return line[:n-1], nil
}

// swallowLine reads on to the next LF and keeps nothing.
func (r *Reader) swallowLine() error {
	for swallowed := 0; swallowed < maxSwallow; {
		waiting := r.buf[r.r:r.w]
		if i := bytes.IndexByte(waiting, '\n'); i >= 0 {
			r.r += i + 1
			return ErrLineTooLong
		}
		swallowed += len(waiting)
		r.r = r.w
		if err := r.fill(smallBuffer); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	r.err = ErrEndlessLine
	return r.err
}

// Read reads raw octets: literals, BDAT chunks. It returns what is there, at
// most len(p) octets; [io.ReadFull] and [io.LimitedReader] do the counting. A
// peer that leaves is [io.EOF]; whoever still expects octets must take it for
// a message cut short.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.r == r.w && len(p) >= smallBuffer { // past our buffer, into the caller's
		return r.receive(p)
	}
	if r.r == r.w {
		if err := r.fill(smallBuffer); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	return n, nil
}

// Peek waits for the next octet and leaves it where it is.
func (r *Reader) Peek() (byte, error) {
	if r.r == r.w {
		if err := r.fill(smallBuffer); err != nil {
			return 0, err
		}
	}
	return r.buf[r.r], nil
}

// Buffered is how many octets can be read without waiting for the peer.
func (r *Reader) Buffered() int { return r.w - r.r }

// Discard forgets what is buffered: after STARTTLS nothing the peer sent in
// clear may count (RFC 3207 §4.2, §6).
func (r *Reader) Discard() { r.r, r.w = 0, 0 }

// Take hands out what is buffered and forgets it: what is read next lies below
// another layer, and so did these octets (RFC 4978 §3). nil: nothing.
func (r *Reader) Take() []byte {
	if r.r == r.w {
		return nil
	}
	taken := bytes.Clone(r.buf[r.r:r.w])
	r.Discard()
	return taken
}

// Await waits until there is something to read or [Reader.Interrupt] is
// called, whichever was first; buffered octets win. It is where a session
// rests between commands.
func (r *Reader) Await() error {
	if r.r < r.w {
		return nil
	}
	if r.err != nil {
		return r.err
	}
	r.shrink()
	err := r.awaitOctets()
	if err == nil {
		r.reserve(smallBuffer)
		r.w, err = r.receiveUnless(r.buf, r.interrupted.Load)
	}
	if err == ErrInterrupted {
		r.interrupted.Store(false)
	}
	return err
}

// awaitOctets waits without a buffer, where the connection can.
func (r *Reader) awaitOctets() error {
	if r.late == nil {
		return nil
	}
	r.rest()
	_, err := r.receiveUnless(nil, r.interrupted.Load)
	return err
}

// rest gives the buffer back.
func (r *Reader) rest() {
	if len(r.buf) == smallBuffer {
		smallBuffers.Put((*[smallBuffer]byte)(r.buf))
	}
	r.buf, r.r, r.w = nil, 0, 0
}

// Interrupt wakes the goroutine in [Reader.Await], or the next one to come
// there. It never breaks a line or a body being read. Any goroutine may call it.
func (r *Reader) Interrupt() {
	r.interrupted.Store(true)
	r.conn.SetReadDeadline(time.Unix(1, 0))
}

// Idle connections hold no buffers; bulkBuffers are for bodies being read.
var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	bulkBuffers  = sync.Pool{New: func() any { return new([bulkBuffer]byte) }}
)

// Copy is [io.Copy] through one of the buffers that bodies are read with.
func Copy(to io.Writer, from io.Reader) (int64, error) {
	buf := bulkBuffers.Get().(*[bulkBuffer]byte)
	defer bulkBuffers.Put(buf)
	return io.CopyBuffer(to, from, buf[:])
}

// EightBit says whether r has octets above 127. It reads up to the first.
func EightBit(r io.Reader) (bool, error) {
	_, err := Copy(ascii{}, r)
	if err == errEightBit {
		return true, nil
	}
	return false, err
}

var errEightBit = errors.New("not ASCII")

// ascii takes ASCII alone.
type ascii struct{}

func (ascii) Write(p []byte) (int, error) {
	for _, c := range p {
		if c >= 0x80 {
			return 0, errEightBit
		}
	}
	return len(p), nil
}

// shrink gives back what a long line or a body has grown the buffer to.
func (r *Reader) shrink() {
	if r.r == r.w && len(r.buf) > smallBuffer {
		if len(r.buf) == bulkBuffer {
			bulkBuffers.Put((*[bulkBuffer]byte)(r.buf))
		}
		r.buf, r.small, r.r, r.w = r.small, nil, 0, 0
	}
}

// fill adds what the peer has sent to the buffer, which grows up to want
// octets where it is full.
func (r *Reader) fill(want int) error {
	r.reserve(want)
	n, err := r.receive(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	return err
}

// reserve makes room behind w: by starting over, by moving down what is
// waiting, or by growing. The caller knows that less than want is waiting.
func (r *Reader) reserve(want int) {
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.w < len(r.buf) {
		return
	}
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
		return
	}
	if len(r.buf) == 0 {
		r.buf, r.w = smallBuffers.Get().(*[smallBuffer]byte)[:], 0
		return
	}
	size := max(smallBuffer, min(2*len(r.buf), want))
	if size <= r.w {
		size = r.w + smallBuffer
	}
	grown := make([]byte, size)
	r.w = copy(grown, r.buf[:r.w])
	r.buf = grown
}

// receive is one read from the connection under its deadline, deaf to
// interruptions.
func (r *Reader) receive(p []byte) (int, error) {
	return r.receiveUnless(p, func() bool { return false })
}

// receiveUnless is the one place that reads the connection, or, where p is nil,
// waits for it. An interruption
// shows as a deadline in the past; the flag is looked at after our own deadline
// is set, so one of the two always sees the other.
func (r *Reader) receiveUnless(p []byte, interrupted func() bool) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	end := time.Now().Add(r.idle)
	for {
		if err := r.conn.SetReadDeadline(end); err != nil {
			return 0, r.fail(err)
		}
		if interrupted() {
			return 0, ErrInterrupted
		}
		n, err := r.readOrAwait(p)
		if n > 0 || p == nil && err == nil { // an error that came with octets comes again
			return n, nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(end) {
			continue // an interruption, ours or one that is not for us
		}
		if err != nil {
			return 0, r.fail(err)
		}
	}
}

func (r *Reader) readOrAwait(p []byte) (int, error) {
	if p == nil {
		return 0, r.late.Await()
	}
	return r.conn.Read(p)
}

func (r *Reader) fail(err error) error {
	r.err = err
	return err
}
