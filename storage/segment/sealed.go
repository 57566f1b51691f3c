package segment

import (
	"encoding/binary"
	"errors"
	"fmt"

	"letterlock/storage/seal"
)

// A sealed record has a lock behind its fixed header: the key of the record
// and, where the body is a file of its own, the key of that, wrapped by the
// store's. They are bound to the header and to the place: nobody gives the
// record another kind, demand or serial, or puts it in place of another. Then
// follow, sealed with the record's key,
//
//	the length of the next (u32), the meta, each prefix
//
// and the body's blocks, each with its tag. The sums are those of the sealed
// octets, so that a log can be walked and checked without any key; what a
// record says needs it.
const (
	lockCRC  = 8 // the sum of the wrapped keys, and four zeros
	maxFront = headerSize + seal.Overhead + 2*seal.SecretSize + lockCRC
)

// What is sealed in a record's box, or in that of a big body.
const (
	partMeta   = 1
	partPrefix = 2 // at its offset in the record
	partBlock  = 3 // counted; the last of a body says so
)

// lock is what stands behind the header: the keys, in clear or not yet.
type lock struct {
	box  *seal.Box // of the record; nil: it is in clear
	body *seal.Box // of its blocks: box itself, or that of a file
}

// frontSize is the octets before the meta.
func (h *header) frontSize() int64 {
	switch {
	case h.flags&flagSealed == 0:
		return headerSize
	case h.flags&flagBig == 0:
		return headerSize + int64(seal.Overhead+seal.SecretSize+lockCRC)
	}
	return int64(maxFront)
}

// bound is what the keys of a record at pos are bound to.
func bound(front []byte, at Pos) []byte {
	var room [headerSize + 8]byte
	copy(room[:], front[:headerSize])
	binary.LittleEndian.PutUint64(room[headerSize:], at.Offset)
	return room[:]
}

// put wraps the keys into b, the front of a record at pos whose header is
// finished.
func (k lock) put(b []byte, h *header, at Pos, keys *seal.Keys) {
	if k.box == nil {
		return
	}
	var secrets [2 * seal.SecretSize]byte
	n := copy(secrets[:], k.box.Secret())
	if h.flags&flagBig != 0 {
		n += copy(secrets[n:], k.body.Secret())
	}
	front := int(h.frontSize())
	wrapped := keys.Wrap(b[headerSize:headerSize], secrets[:n], bound(b, at))
	binary.LittleEndian.PutUint32(b[front-lockCRC:], Checksum(wrapped))
	clear(b[front-lockCRC+4 : front])
	clear(secrets[:])
}

// checkLock looks at the sum of a lock without opening it, and says which key
// it needs.
func (h *header) checkLock(front []byte) (id seal.ID, err error) {
	if h.flags&flagSealed == 0 {
		return id, nil
	}
	end := h.frontSize() - lockCRC
	if int64(len(front)) < h.frontSize() ||
		binary.LittleEndian.Uint32(front[end:]) != Checksum(front[headerSize:end]) ||
		binary.LittleEndian.Uint32(front[end+4:]) != 0 {
		return id, fmt.Errorf("record keys: %w", ErrDamaged)
	}
	return seal.ID(front[headerSize:]), nil
}

// openLock unwraps the keys of the record at pos: seal.ErrNoKey is no damage.
func (h *header) openLock(front []byte, at Pos, keys *seal.Keys) (k lock, err error) {
	if h.flags&flagSealed == 0 {
		return k, nil
	}
	if _, err := h.checkLock(front); err != nil {
		return k, err
	}
	var room [2 * seal.SecretSize]byte
	secrets, err := keys.Unwrap(room[:0], front[headerSize:h.frontSize()-lockCRC], bound(front, at))
	if err != nil {
		return k, fmt.Errorf("record keys: %w", damaged(err))
	}
	defer clear(room[:])
	if k.box, err = seal.OpenBox(secrets[:seal.SecretSize]); err != nil {
		return k, damaged(err)
	}
	k.body = k.box
	if h.flags&flagBig != 0 {
		k.body, err = seal.OpenBox(secrets[seal.SecretSize:])
	}
	return k, damaged(err)
}

// damaged makes [ErrDamaged] of octets that do not open; a key that is not
// there is none.
func damaged(err error) error {
	if err == nil || errors.Is(err, seal.ErrNoKey) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// appendSealedMeta is appendMeta for a sealed record.
func (r *Record) appendSealedMeta(b []byte, at int, box *seal.Box) []byte {
	start := len(b)
	b = r.appendFields(append(b, 0, 0, 0, 0))
	for i := range r.Recipients {
		b = AppendUint(b, uint64(len(r.Recipients[i].Prefix)))
	}
	b = r.appendMore(b)
	b = box.Seal(b[:start+4], b[start+4:], seal.Part{Kind: partMeta, End: seal.Last})
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	for i := range r.Recipients {
		rc := &r.Recipients[i]
		rc.PrefixAt = uint32(at + len(b) - start)
		if len(rc.Prefix) > 0 {
			b = box.Seal(b, rc.Prefix, seal.Part{Kind: partPrefix, At: uint64(rc.PrefixAt)})
		}
	}
	return b
}

// readSealedMeta is the reverse: at is where b starts in the record.
func (r *Record) readSealedMeta(b []byte, at int64, box *seal.Box) error {
	if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
		return fmt.Errorf("sealed meta: %w", ErrDamaged)
	}
	n := 4 + int(binary.LittleEndian.Uint32(b))
	meta, err := box.Open(nil, b[4:n], seal.Part{Kind: partMeta, End: seal.Last})
	if err != nil {
		return fmt.Errorf("sealed meta: %w", damaged(err))
	}
	f := ReadFields(meta)
	r.readFields(f)
	sizes := make([]int, len(r.Recipients))
	for i := range sizes {
		size := f.Uint()
		if size > uint64(len(b)) {
			f.Fail()
		}
		sizes[i] = int(size)
	}
	r.readMore(f)
	if err := f.Err(); err != nil {
		return err
	}
	for i, size := range sizes {
		rc := &r.Recipients[i]
		rc.PrefixAt = uint32(at) + uint32(n)
		if size == 0 {
			rc.Prefix = []byte{}
			continue
		}
		if n+size+seal.Tag > len(b) {
			return fmt.Errorf("sealed prefix: %w", ErrDamaged)
		}
		rc.Prefix, err = box.Open(nil, b[n:n+size+seal.Tag], seal.Part{Kind: partPrefix, At: uint64(rc.PrefixAt)})
		if err != nil {
			return fmt.Errorf("sealed prefix: %w", damaged(err))
		}
		n += size + seal.Tag
	}
	return nil
}

// blockPart is block i of a body of n.
func blockPart(i, n int) seal.Part {
	p := seal.Part{Kind: partBlock, At: uint64(i)}
	if i == n-1 {
		p.End = seal.Last
	}
	return p
}
