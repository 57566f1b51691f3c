package storage

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// blockSize is how many messages share one value. A change of one flag
// rewrites one value of about 4 KiB; a change of ten thousand, forty of them.
const blockSize = 256

// entry is what changes of one message in one mailbox, and what is needed to
// count it without its row.
type entry struct {
	uid    UID
	modseq ModSeq
	flags  Flags
	number uint64 // of the message in its account
	saved  int64  // Unix seconds
	size   uint64 // octets, prefix included
}

// block is the messages of one stretch of UIDs. Its key holds a UID that is not
// greater than any of them and greater than all in the block before.
type block struct {
	changed ModSeq // when it last changed, expunges included
	entries []entry
}

// The columns of a block, each an array of differences from its base in as few
// octets as the greatest needs:
//
//	 0 crc, version (as all values)    5 widths of the six columns
//	11 count (u16)   13 changed (u64)  21 bases of uid, modseq, flags, number, saved, size (u64)
//	69 the columns, one after the other
const (
	columns     = 6
	blockHeader = 69
)

// put puts one column of a block into to, which has room for it.
func (b *block) put(c int, to []uint64) {
	for i := range b.entries {
		e := &b.entries[i]
		switch c {
		case 0:
			to[i] = uint64(e.uid)
		case 1:
			to[i] = uint64(e.modseq)
		case 2:
			to[i] = uint64(e.flags)
		case 3:
			to[i] = e.number
		case 4:
			to[i] = uint64(e.saved)
		case 5:
			to[i] = e.size
		}
	}
}

// widest is how many octets are read or written at once: those that are too many
// belong to the next number, or are masked.
const widest = 8

// encode makes the value.
func (b *block) encode() []byte {
	le, n := binary.LittleEndian, len(b.entries)
	v := make([]byte, blockHeader+widest*columns*n+widest)
	le.PutUint16(v[11:], uint16(n))
	le.PutUint64(v[13:], uint64(b.changed))
	at := blockHeader
	var room [blockSize]uint64
	numbers := slices.Grow(room[:0], n)[:n]
	for c := range columns {
		if n == 0 {
			break
		}
		b.put(c, numbers)
		low, high := slices.Min(numbers), slices.Max(numbers)
		width := (bits.Len64(high-low) + 7) / 8
		v[5+c] = byte(width)
		le.PutUint64(v[21+8*c:], low)
		for _, number := range numbers {
			le.PutUint64(v[at:], number-low)
			at += width
		}
	}
	return sealValue(v[:at])
}

// packed is a block as it lies in the index: checked, not yet unpacked.
type packed struct {
	count   int
	changed ModSeq
	value   []byte
}

func openBlock(v []byte) (packed, error) {
	if len(v) < blockHeader {
		return packed{}, fmt.Errorf("block: %w", segment.ErrDamaged)
	}
	if _, err := open(v); err != nil {
		return packed{}, fmt.Errorf("block: %w", err)
	}
	p := packed{int(binary.LittleEndian.Uint16(v[11:])), changedOf(v), v}
	size := blockHeader
	for c := range columns {
		size += int(v[5+c]) * p.count
	}
	if size != len(v) {
		return packed{}, fmt.Errorf("block: %w", segment.ErrDamaged)
	}
	return p, nil
}

// changedOf reads when a block last changed, without checking the rest.
func changedOf(v []byte) ModSeq { return ModSeq(binary.LittleEndian.Uint64(v[13:])) }

// column unpacks one column, into to where it has room.
func (p packed) column(c int, to []uint64) []uint64 {
	at := blockHeader
	for i := range c {
		at += int(p.value[5+i]) * p.count
	}
	le, width := binary.LittleEndian, int(p.value[5+c])
	base, mask := le.Uint64(p.value[21+8*c:]), ^uint64(0)
	if width < widest {
		mask = 1<<(8*width) - 1
	}
	to = slices.Grow(to[:0], p.count)[:p.count]
	i := 0
	for ; i < p.count && at+widest <= len(p.value); i++ {
		to[i] = base + le.Uint64(p.value[at:])&mask
		at += width
	}
	for ; i < p.count; i++ { // the last ones of the value
		var last [widest]byte
		copy(last[:width], p.value[at:])
		to[i] = base + le.Uint64(last[:])
		at += width
	}
	return to
}

func decodeBlock(v []byte) (*block, error) {
	b := new(block)
	return b, b.decode(v)
}

// decode makes b what a value says, in the room it has.
func (b *block) decode(v []byte) error {
	p, err := openBlock(v)
	if err != nil {
		return err
	}
	b.changed = p.changed
	e := slices.Grow(b.entries[:0], max(p.count+8, blockSize/4))[:p.count]
	b.entries = e
	var room [blockSize]uint64
	for i, n := range p.column(0, room[:]) {
		e[i].uid = UID(n)
	}
	for i, n := range p.column(1, room[:]) {
		e[i].modseq = ModSeq(n)
	}
	for i, n := range p.column(2, room[:]) {
		e[i].flags = Flags(n)
	}
	for i, n := range p.column(3, room[:]) {
		e[i].number = n
	}
	for i, n := range p.column(4, room[:]) {
		e[i].saved = int64(n)
	}
	for i, n := range p.column(5, room[:]) {
		e[i].size = n
	}
	return nil
}

// find answers the index of uid, or of the first greater one.
func (b *block) find(uid UID) (int, bool) {
	low, high := 0, len(b.entries)
	for low < high {
		mid := (low + high) / 2
		if b.entries[mid].uid < uid {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(b.entries) && b.entries[low].uid == uid
}

// blockAt finds the block that would hold uid: the last whose key is not
// greater. first is its key's UID.
func blockAt(r kv.Reader, a AccountID, m MailboxID, uid UID, unpack unpacker) (first UID, b *block, err error) {
	hi := append(blockKey(a, m, uid), 0) // the key itself included
	for k, v := range r.Range(blocksKey(a, m), hi, kv.Options{Limit: 1, Reverse: kv.Backward}) {
		first = UID(tailUint32(k))
		b, err = unpack(first, v)
		return first, b, err
	}
	return 0, nil, nil
}

// pick hands the entries of uids (ascending) to fn, block by block; those that
// are gone are passed over. first is the block's key; at is used again for the next.
func pick(r kv.Reader, a AccountID, m MailboxID, uids []UID, unpack unpacker, fn func(first UID, b *block, at []int) error) error {
	var at []int
	for len(uids) > 0 {
		first, b, err := blockAt(r, a, m, uids[0], unpack)
		if err != nil {
			return err
		}
		if b == nil || len(b.entries) == 0 || uids[0] > b.entries[len(b.entries)-1].uid {
			uids = skipGap(r, a, m, uids)
			continue
		}
		last := b.entries[len(b.entries)-1].uid
		at = at[:0]
		for next := 0; len(uids) > 0 && uids[0] <= last; uids = uids[1:] {
			if next == len(b.entries) || b.entries[next].uid != uids[0] { // mostly it is the next one
				i, found := b.find(uids[0])
				if !found || i < next {
					continue
				}
				next = i
			}
			at = append(at, next)
			next++
		}
		if err := fn(first, b, at); err != nil {
			return err
		}
	}
	return nil
}

// skipGap passes over the UIDs that lie before the next block.
func skipGap(r kv.Reader, a AccountID, m MailboxID, uids []UID) []UID {
	for k := range r.Range(blockKey(a, m, uids[0]+1), kv.After(blocksKey(a, m)), kv.Options{Limit: 1}) {
		return from(uids[1:], UID(tailUint32(k)))
	}
	return nil
}
