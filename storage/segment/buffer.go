package segment

import (
	"letterlock/storage/disk"
	"math/bits"
	"sync"
)

// Buffers of records on their way to the disk come in powers of two, so that
// one is never grown while it is filled, and small records do not hold on to
// the room of giants.
const (
	leastRoom = 12 // 4 KiB
	mostRoom  = 22 // 4 MiB: beyond that it is left to the collector
)

var rooms [mostRoom - leastRoom + 1]sync.Pool

// borrow is an empty buffer for n octets.
func borrow(n int) *[]byte {
	class := max(0, bits.Len(uint(n-1))-leastRoom)
	if class >= len(rooms) {
		b := make([]byte, 0, n)
		return &b
	}
	if b, ok := rooms[class].Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 1<<(class+leastRoom))
	return &b
}

// giveBack takes a borrowed buffer.
func giveBack(b *[]byte) {
	*b = (*b)[:0]
	if class := bits.Len(uint(cap(*b))) - 1 - leastRoom; class >= 0 && class < len(rooms) {
		rooms[class].Put(b)
	}
}

// metaBound is at least the octets of a record's meta, sealed or not.
func (r *Record) metaBound() int {
	e := &r.Envelope
	n := 128 + len(e.ID) + len(e.From.Local) + len(e.From.Domain) + len(e.Protocol) + len(e.Helo) + len(e.Peer) + len(r.Summary)
	for i := range r.Recipients {
		rc := &r.Recipients[i]
		n += 96 + len(rc.Rcpt.Local) + len(rc.Rcpt.Domain) + len(rc.Prefix) + len(rc.More)
		for _, c := range rc.Copies {
			n += 24 + len(c.Name)
			for _, k := range c.Keywords {
				n += 4 + len(k)
			}
		}
	}
	return n
}

// vector writes records one behind the other with few calls and, where the
// file can, without another copy of them.
type vector struct {
	file    disk.File
	at      int64
	pieces  [][]byte
	size    int
	scratch *[]byte
}

// gatherWriter is a [disk.File] that writes many pieces with one call.
type gatherWriter interface {
	WriteVector(pieces [][]byte, off int64) (int, error)
}

// maxPieces is what one writev takes everywhere.
const maxPieces = 1024

func (v *vector) add(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	v.pieces, v.size = append(v.pieces, b), v.size+len(b)
	if v.size >= oneWrite || len(v.pieces) == maxPieces {
		return v.flush()
	}
	return nil
}

func (v *vector) flush() (err error) {
	if len(v.pieces) == 0 {
		return nil
	}
	if g, ok := v.file.(gatherWriter); ok && len(v.pieces) > 1 {
		_, err = g.WriteVector(v.pieces, v.at)
	} else {
		_, err = v.file.WriteAt(v.join(), v.at)
	}
	v.at += int64(v.size)
	clear(v.pieces) // they are given back
	v.pieces, v.size = v.pieces[:0], 0
	return err
}

func (v *vector) join() []byte {
	if len(v.pieces) == 1 {
		return v.pieces[0]
	}
	b := (*v.scratch)[:0]
	for _, p := range v.pieces {
		b = append(b, p...)
	}
	*v.scratch = b
	return b
}
