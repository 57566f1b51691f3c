package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"letterlock/storage/kv"
)

// ErrDamaged says that a journal cannot be followed to its end.
var ErrDamaged = errors.New("the journal of the index is damaged")

// A file begins with its header, twice, a sector each, and then there are records.
// Its salt is random and goes into every checksum: what somebody has put into a
// value cannot be taken for a record, when a later one ends within it.
//
//	magic 4 | checksum 4 of the salt | salt 16
//
// A record is a header, the writes of one commit in their order, and zeros up to
// the next sector. Numbers are little-endian, lengths uvarints.
//
//	magic 4 | checksum 4 of all behind it | number 8 | length of the writes 4
//
// A write is its kind, the length of the key, the key, and for a value or the end
// of a range its length and octets. A range without end is a kind of its own.
const (
	magic      = 0x4c4c4a31 // "LLJ1"
	headerSize = 20
	sector     = 512
	saltSize   = 16
	firstAt    = 2 * sector // where the first record of a file stands
)

// Kinds of a write.
const (
	putOne byte = iota + 1
	deleteOne
	deleteRange
	deleteRest
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// salt is what the checksums of a file begin with.
type salt uint32

func saltOf(random []byte) salt { return salt(crc32.Checksum(random, castagnoli)) }

func (s salt) checksum(b []byte) uint32 { return crc32.Update(uint32(s), castagnoli, b) }

// fileHeader is both headers of a file with a salt.
func fileHeader(random []byte) []byte {
	b := make([]byte, firstAt)
	for at := 0; at < firstAt; at += sector {
		binary.LittleEndian.PutUint32(b[at:], magic)
		binary.LittleEndian.PutUint32(b[at+4:], uint32(saltOf(random)))
		copy(b[at+8:], random)
	}
	return b
}

// readHeader finds the salt of a file; false: nothing was ever acknowledged in it.
func readHeader(b []byte) (s salt, ok bool) {
	if len(b) < firstAt {
		return s, false
	}
	for at := 0; at < firstAt; at += sector {
		s = saltOf(b[at+8 : at+8+saltSize])
		if binary.LittleEndian.Uint32(b[at:]) == magic && binary.LittleEndian.Uint32(b[at+4:]) == uint32(s) {
			return s, true
		}
	}
	return s, false
}

// record is one on its way to the file. Its buffer is used again.
type record struct{ b []byte }

func (r *record) begin() {
	if cap(r.b) > 2*tooMuch {
		r.b = nil
	}
	r.b = append(r.b[:0], make([]byte, headerSize)...)
}

// empty says whether nothing was written.
func (r *record) empty() bool { return len(r.b) == headerSize }

func (r *record) put(key, value []byte) { r.add(putOne, key); r.piece(value) }
func (r *record) delete(key []byte)     { r.add(deleteOne, key) }

func (r *record) deleteRange(lo, hi []byte) {
	if hi == nil {
		r.add(deleteRest, lo)
		return
	}
	r.add(deleteRange, lo)
	r.piece(hi)
}

func (r *record) add(kind byte, key []byte) {
	r.b = append(r.b, kind)
	r.piece(key)
}

func (r *record) piece(p []byte) {
	r.b = append(binary.AppendUvarint(r.b, uint64(len(p))), p...)
}

// end makes what is written to a file with a salt.
func (r *record) end(s salt, number uint64) []byte {
	length := len(r.b) - headerSize
	r.b = append(r.b, make([]byte, -len(r.b)&(sector-1))...)
	binary.LittleEndian.PutUint32(r.b, magic)
	binary.LittleEndian.PutUint64(r.b[8:], number)
	binary.LittleEndian.PutUint32(r.b[16:], uint32(length))
	binary.LittleEndian.PutUint32(r.b[4:], s.checksum(r.b[8:headerSize+length]))
	return r.b
}

// found is a record as it was read.
type found struct {
	number uint64
	writes []byte
}

// parse reads the record at the front of b; rest begins at the next one.
func (s salt) parse(b []byte) (f found, rest []byte, ok bool) {
	if len(b) < headerSize || binary.LittleEndian.Uint32(b) != magic {
		return f, nil, false
	}
	length := uint64(binary.LittleEndian.Uint32(b[16:]))
	end := headerSize + length
	if end > uint64(len(b)) || s.checksum(b[8:end]) != binary.LittleEndian.Uint32(b[4:]) {
		return f, nil, false
	}
	f = found{binary.LittleEndian.Uint64(b[8:]), b[headerSize:end]}
	return f, b[min((end+sector-1)&^(sector-1), uint64(len(b))):], true
}

// apply repeats the writes of a record.
func (f *found) apply(tx kv.Tx) error {
	for b := f.writes; len(b) > 0; {
		kind := b[0]
		key, rest, ok := cut(b[1:])
		var value []byte
		if ok && (kind == putOne || kind == deleteRange) {
			value, rest, ok = cut(rest)
		}
		if b = rest; !ok {
			return fmt.Errorf("record %d: %w", f.number, ErrDamaged)
		}
		switch kind {
		case putOne:
			tx.Put(key, value)
		case deleteOne:
			tx.Delete(key)
		case deleteRange:
			tx.DeleteRange(key, value)
		case deleteRest:
			tx.DeleteRange(key, nil)
		default:
			return fmt.Errorf("record %d has a write of kind %d: %w", f.number, kind, ErrDamaged)
		}
	}
	return nil
}

// cut takes one piece off the front of b.
func cut(b []byte) (piece, rest []byte, ok bool) {
	n, width := binary.Uvarint(b)
	if width <= 0 || n > uint64(len(b)-width) {
		return nil, nil, false
	}
	b = b[width:]
	return b[:n:n], b[n:], true
}
