package segment

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"letterlock/internal/mail"
	"letterlock/storage/seal"
)

// blockReader reads a body block by block, each verified, with a buffer for
// one block.
type blockReader struct {
	src    io.ReaderAt
	start  int64 // of the body in src
	table  Table
	codec  Codec
	box    *seal.Box // nil: in clear
	places []int64   // of the blocks behind start, where they are not all raw
	grows  bool      // its last block is not among them yet

	mu     sync.Mutex // guards cached, block
	cached int        // which block, -1: none
	block  *blockRoom
}

// blockRoom holds one block, sealed or not.
type blockRoom [BlockSize + seal.Tag]byte

var blocks = sync.Pool{New: func() any { return new(blockRoom) }}

// init says how the blocks of the table are stored.
func (r *blockReader) init(src io.ReaderAt, codec Codec, box *seal.Box) {
	r.src, r.codec, r.box = src, codec, box
	if codec != Raw || box != nil {
		r.places = r.table.places()
	}
}

// Size is the octets of the body.
func (r *blockReader) Size() int64 { return r.table.Raw }

// ReadAt reads octets of the body, block by block, each verified.
func (r *blockReader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	for n < len(p) && off < r.table.Raw {
		i := int(off / BlockSize)
		c, err := r.readBlock(p[n:], i, int(off%BlockSize))
		n, off = n+c, off+int64(c)
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readBlock copies from block i, skip octets into it, to p.
func (r *blockReader) readBlock(p []byte, i, skip int) (int, error) {
	size := r.table.blockSize(i)
	if skip == 0 && len(p) >= size {
		if err := r.fetch(p[:size], i); err != nil {
			return 0, err // not size: io.ReadFull forgets an error that comes with all it wanted
		}
		return size, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cached != i {
		r.cached = -1
		if r.block == nil {
			r.block = blocks.Get().(*blockRoom)
		}
		if err := r.fetch(r.block[:size], i); err != nil {
			return 0, err
		}
		r.cached = i
	}
	return copy(p, r.block[skip:size]), nil
}

// fetch reads a whole block and verifies it.
func (r *blockReader) fetch(p []byte, i int) (err error) {
	k, at, stored := r.table.Blocks[i], r.start+int64(i)*BlockSize, p
	if r.places != nil {
		at = r.start + r.places[i]
	}
	inner := int(k.Stored) - tagSize(r.box)
	if inner < 0 || inner > len(p) || inner < len(p) && r.codec != Zstd {
		return fmt.Errorf("block %d of codec %d: %w", i, r.codec, ErrDamaged)
	}
	if int(k.Stored) != len(p) || r.box != nil {
		room := blocks.Get().(*blockRoom)
		defer blocks.Put(room)
		stored = room[:k.Stored]
	}
	if _, err := r.src.ReadAt(stored, at); err != nil {
		return notEOF(err)
	}
	if Checksum(stored) != k.CRC {
		return fmt.Errorf("block %d at %d: %w", i, at, ErrDamaged)
	}
	if r.box != nil {
		into := stored[:0]
		if inner == len(p) {
			into = p[:0]
		}
		n := len(r.table.Blocks)
		if r.grows {
			n++
		}
		if stored, err = r.box.Open(into, stored, blockPart(i, n)); err != nil {
			return fmt.Errorf("block %d at %d: %w", i, at, damaged(err))
		}
	}
	if inner == len(p) {
		return nil
	}
	return expand(p, stored)
}

// release gives the buffer back.
func (r *blockReader) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.block != nil {
		blocks.Put(r.block)
		r.block, r.cached = nil, -1
	}
}

// tagSize is by how much a box makes a part longer.
func tagSize(box *seal.Box) int {
	if box == nil {
		return 0
	}
	return seal.Tag
}

// appendBlocks reads a body to its end, appends it to b as it is to be stored,
// and counts its blocks. b has room for them.
func (t *Table) appendBlocks(b []byte, body mail.Body, codec Codec, box *seal.Box) ([]byte, error) {
	size := body.Size()
	n := blocksIn(size)
	var room *blockRoom
	if codec != Raw || box != nil {
		room = blocks.Get().(*blockRoom)
		defer blocks.Put(room)
	}
	for i := range n {
		off, start := int64(i)*BlockSize, len(b)
		length := int(min(BlockSize, size-off))
		var block []byte
		if room != nil {
			block = room[:length]
		} else {
			block = b[start : start+length]
		}
		if err := readFull(body, block, off); err != nil {
			return nil, fmt.Errorf("read body: %w", err)
		}
		switch {
		case room == nil:
			b = b[:start+length]
		case box == nil:
			b = appendFrame(b, block, i, codec)
		default:
			b = appendFrame(b, block, i, codec)
			b = box.Seal(b[:start], b[start:], blockPart(i, n))
		}
		t.add(length, b[start:])
	}
	return b, nil
}

func readFull(body io.ReaderAt, p []byte, off int64) error {
	n, err := body.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}
