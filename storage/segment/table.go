package segment

import (
	"encoding/binary"
	"fmt"
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

// add counts one more block of raw octets, as it is stored.
func (t *Table) add(raw int, stored []byte) {
	t.Raw += int64(raw)
	t.Blocks = append(t.Blocks, Block{uint32(len(stored)), Checksum(stored)})
}

// stored is the octets of all blocks as they are stored.
func (t *Table) stored() (n int64) {
	for _, k := range t.Blocks {
		n += int64(k.Stored)
	}
	return n
}

func (t *Table) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Raw))
	for _, k := range t.Blocks {
		b = binary.LittleEndian.AppendUint32(b, k.Stored)
		b = binary.LittleEndian.AppendUint32(b, k.CRC)
	}
	return b
}

// readTable reads what append made; blocks go to the room where they fit.
func readTable(b []byte, room []Block) (t Table, err error) {
	if len(b) < 8 || len(b)%8 != 0 {
		return t, fmt.Errorf("block table: %w", ErrDamaged)
	}
	t.Raw = int64(binary.LittleEndian.Uint64(b))
	if n := len(b)/8 - 1; n <= cap(room) {
		t.Blocks = room
	} else {
		t.Blocks = make([]Block, 0, n)
	}
	for b = b[8:]; len(b) > 0; b = b[8:] {
		t.Blocks = append(t.Blocks, Block{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])})
	}
	if t.Raw < 0 || len(t.Blocks) != blocksIn(t.Raw) {
		return t, fmt.Errorf("block table: %w", ErrDamaged)
	}
	return t, nil
}

// blocksIn is how many blocks a body of size octets has.
func blocksIn(size int64) int { return int((size + BlockSize - 1) / BlockSize) }
