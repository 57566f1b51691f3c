package segment

import (
	"io"
	"sync"
)

// nearSize is how much is read when a record is opened: all of most of them,
// front, meta, table and body, in one call.
const nearSize = 8 << 10

var nears = sync.Pool{New: func() any { return new([nearSize]byte) }}

// near is a segment's file with the first octets of a record, which were read
// already.
type near struct {
	file io.ReaderAt
	at   int64
	room *[nearSize]byte // nil: nothing was read
	size int             // octets of it
}

// look reads the octets at.
func (n *near) look(file io.ReaderAt, at int64) (err error) {
	n.file, n.at, n.room = file, at, nears.Get().(*[nearSize]byte)
	if n.size, err = file.ReadAt(n.room[:], at); err == io.EOF {
		err = nil // whoever wants more will hear of it
	}
	return err
}

// ReadAt reads octets of the file.
func (n *near) ReadAt(p []byte, at int64) (int, error) {
	if n.has(at, int64(len(p))) {
		return copy(p, n.room[at-n.at:n.size]), nil
	}
	return n.file.ReadAt(p, at)
}

// has says whether octets of the file are there.
func (n *near) has(at, size int64) bool {
	return n.room != nil && at >= n.at && at+size <= n.at+int64(n.size)
}

// octets reads size octets. They are not to be changed, and good until release.
func (n *near) octets(at int64, size int) ([]byte, error) {
	if from := at - n.at; n.has(at, int64(size)) {
		return n.room[from : from+int64(size)], nil
	}
	b := make([]byte, size)
	_, err := n.file.ReadAt(b, at)
	return b, notEOF(err)
}

// release gives the memory back.
func (n *near) release() {
	if n.room != nil {
		nears.Put(n.room)
		n.room, n.size = nil, 0
	}
}
