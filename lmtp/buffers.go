package lmtp

import (
	"io"
	"math/bits"
	"sync"
)

// Bodies in memory lie in buffers of a few sizes, powers of two, which are used
// again: what a letter weighs is not what a letter costs.
const (
	smallestBody   = 4 << 10
	bodySizes      = 9         // to memoryBody
	declaredBody   = 128 << 10 // the most that is believed
	undeclaredBody = 16 << 10  // expected where nothing is declared
)

var bodyBuffers [bodySizes]sync.Pool

// bodyClass is the smallest size that holds n octets, of at most memoryBody.
func bodyClass(n int) (class, size int) {
	class = max(0, bits.Len(uint(n-1))-bits.Len(smallestBody-1))
	return class, smallestBody << class
}

func borrowBody(class int) []byte {
	if b, ok := bodyBuffers[class].Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, smallestBody<<class)
}

func giveBackBody(b []byte) {
	if cap(b) > 0 {
		class, _ := bodyClass(cap(b))
		b = b[:0]
		bodyBuffers[class].Put(&b)
	}
}

// inMemory is a body in a buffer that will hold another one. From its end on it
// has no octets: who reads it too late reads nobody else's letter.
type inMemory struct{ octets []byte }

func (m *inMemory) Size() int64 { return int64(len(m.octets)) }

func (m *inMemory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(m.octets)) {
		return 0, io.EOF
	}
	n := copy(p, m.octets[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
