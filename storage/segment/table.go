package segment

import (
	"encoding/binary"
	"fmt"
	"io"
)

// BlockSize is how many octets of a body share one checksum.
const BlockSize = 64 << 10

// Table says where the blocks of a body lie and what their octets sum to.
type Table struct {
	Raw    int64 // octets of the body
	Blocks []Block
}

// Block is one stretch of a body as it is stored.
type Block struct {
	Stored uint32 // octets
	CRC    uint32
}

// blockSize is the octets of block i as its reader sees it.
func (t *Table) blockSize(i int) int { return int(min(BlockSize, t.Raw-int64(i)*BlockSize)) }

// add counts one more raw block.
func (t *Table) add(block []byte) {
	t.Raw += int64(len(block))
	t.Blocks = append(t.Blocks, Block{uint32(len(block)), Checksum(block)})
}

func (t *Table) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Raw))
	for _, k := range t.Blocks {
		b = binary.LittleEndian.AppendUint32(b, k.Stored)
		b = binary.LittleEndian.AppendUint32(b, k.CRC)
	}
	return b
}

func readTable(b []byte) (t Table, err error) {
	if len(b) < 8 || len(b)%8 != 0 {
		return t, fmt.Errorf("block table: %w", ErrDamaged)
	}
	t.Raw = int64(binary.LittleEndian.Uint64(b))
	for b = b[8:]; len(b) > 0; b = b[8:] {
		t.Blocks = append(t.Blocks, Block{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])})
	}
	if t.Raw < 0 || int64(len(t.Blocks)) != (t.Raw+BlockSize-1)/BlockSize {
		return t, fmt.Errorf("block table: %w", ErrDamaged)
	}
	return t, nil
}

// appendBody reads a body to its end, appends it to b and counts its blocks.
func (t *Table) appendBody(b []byte, body io.ReaderAt, size int64) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, size)...)
	if n, err := body.ReadAt(b[start:], 0); int64(n) < size {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read body: %w", err)
	}
	for rest := b[start:]; len(rest) > 0; {
		n := min(BlockSize, len(rest))
		t.add(rest[:n])
		rest = rest[n:]
	}
	return b, nil
}
