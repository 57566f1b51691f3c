package serve

import (
	"net"
	"sync"
	"syscall"
)

// inletSize is the biggest record of TLS and a little more (RFC 8446 §5.2).
const inletSize = 17 << 10

// inletBuffers are for octets on their way: idle connections hold none.
var inletBuffers = sync.Pool{New: func() any { return new([inletSize]byte) }}

// inlet is where the octets of a connection come in. Whoever waits in
// [inlet.await] holds no memory for what has not come yet. One goroutine reads.
type inlet struct {
	net.Conn
	raw    syscall.RawConn // nil: whoever waits holds a buffer
	try    func(fd uintptr) (done bool)
	failed error // of the last try

	buf  *[inletSize]byte // nil: nothing waits
	r, w int              // buf[r:w] has come and is not yet read
}

func newInlet(conn net.Conn) *inlet {
	in := &inlet{Conn: conn}
	if c, ok := conn.(syscall.Conn); ok && canReadRaw {
		in.raw, _ = c.SyscallConn() // an error is told by the next read, too
		in.try = in.tryRead
	}
	return in
}

// await waits until octets have come. An error is what a read would have said.
func (in *inlet) await() error {
	if in.r < in.w || in.raw == nil {
		return nil
	}
	in.failed = nil
	if err := in.raw.Read(in.try); err != nil {
		return err
	}
	return in.failed
}

// tryRead reads what is there, if anything is, and keeps no buffer otherwise.
func (in *inlet) tryRead(fd uintptr) (done bool) {
	buf := inletBuffers.Get().(*[inletSize]byte)
	n, err := readRaw(fd, buf[:])
	if n == 0 {
		inletBuffers.Put(buf)
		in.failed = err
		return err != nil
	}
	in.buf, in.r, in.w = buf, 0, n
	return true
}

// Read reads what waits, or from the connection.
func (in *inlet) Read(p []byte) (int, error) {
	if in.r == in.w {
		return in.Conn.Read(p)
	}
	n := copy(p, in.buf[in.r:in.w])
	if in.r += n; in.r == in.w {
		in.discard()
	}
	return n, nil
}

// discard forgets what waits.
func (in *inlet) discard() {
	if in.buf != nil {
		inletBuffers.Put(in.buf)
		in.buf, in.r, in.w = nil, 0, 0
	}
}
