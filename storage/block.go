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
	columnModSeq = 1
	columnFlags  = 2
	columns      = 6
	blockHeader  = 69
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
		b.put(c, numbers)
		at = putColumn(v, at, c, numbers)
	}
	return sealValue(v[:at])
}

// putColumn packs column c into v, which has room for it and [widest] more octets,
// and answers where the next one lies.
func putColumn[N ~uint64](v []byte, at, c int, numbers []N) int {
	if len(numbers) == 0 {
		return at
	}
	le, low := binary.LittleEndian, slices.Min(numbers)
	width := (bits.Len64(uint64(slices.Max(numbers)-low)) + 7) / 8
	v[5+c] = byte(width)
	le.PutUint64(v[21+8*c:], uint64(low))
	for _, number := range numbers {
		le.PutUint64(v[at:], uint64(number-low))
		at += width
	}
	return at
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

// marked is the value with the modseqs and flags of c, and all else as it lies.
func (p packed) marked(c *chunk) []byte {
	v := make([]byte, len(p.value)+2*widest*p.count+widest)
	copy(v, p.value[:blockHeader])
	binary.LittleEndian.PutUint64(v[13:], uint64(c.changed))
	from, at := blockHeader, blockHeader
	for i := range columns {
		end := from + int(p.value[5+i])*p.count
		switch i {
		case columnModSeq:
			at = putColumn(v, at, i, c.modseqs)
		case columnFlags:
			at = putColumn(v, at, i, c.flags)
		default:
			at += copy(v[at:], p.value[from:end])
		}
		from = end
	}
	return sealValue(v[:at])
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

// stretch is the messages of one block, in one form or another.
type stretch interface {
	*block | *chunk
	list(room []UID) []UID // their UIDs, in room where they must be put together
}

func (b *block) list(room []UID) []UID {
	uids := slices.Grow(room[:0], len(b.entries))
	for i := range b.entries {
		uids = append(uids, b.entries[i].uid)
	}
	return uids
}

func (c *chunk) list([]UID) []UID { return c.uids }

// blockAt finds the block that would hold uid: the last whose key is not
// greater; nil is none. first is its key's UID.
func blockAt[S stretch](r kv.Reader, a AccountID, m MailboxID, uid UID, unpack func(first UID, v []byte) (S, error)) (first UID, s S, err error) {
	hi := append(blockKey(a, m, uid), 0) // the key itself included
	for k, v := range r.Range(blocksKey(a, m), hi, kv.Options{Limit: 1, Reverse: kv.Backward}) {
		first = UID(tailUint32(k))
		s, err = unpack(first, v)
		return first, s, err
	}
	return 0, nil, nil
}

// pick hands the messages with uids (ascending) to fn, block by block; those that
// are gone are passed over. first is the block's key; at is used again for the next.
func pick[S stretch](r kv.Reader, a AccountID, m MailboxID, uids []UID, unpack func(first UID, v []byte) (S, error), fn func(first UID, s S, at []int) error) error {
	var at []int
	var room [blockSize]UID
	for len(uids) > 0 {
		first, s, err := blockAt(r, a, m, uids[0], unpack)
		if err != nil {
			return err
		}
		var there []UID
		if s != nil {
			there = s.list(room[:])
		}
		if len(there) == 0 || uids[0] > there[len(there)-1] {
			uids = skipGap(r, a, m, uids)
			continue
		}
		if at, uids = places(there, uids, at[:0]); len(at) == 0 {
			continue
		}
		if err := fn(first, s, at); err != nil {
			return err
		}
	}
	return nil
}

// places appends where in there those of uids are that lie in its stretch; rest
// lies behind it. Both ascend.
func places(there, uids []UID, at []int) (found []int, rest []UID) {
	last, next := there[len(there)-1], 0
	for ; len(uids) > 0 && uids[0] <= last; uids = uids[1:] {
		if next == len(there) || there[next] != uids[0] { // mostly it is the next one
			skipped, exists := slices.BinarySearch(there[next:], uids[0])
			if next += skipped; !exists {
				continue
			}
		}
		at = append(at, next)
		next++
	}
	return at, uids
}

// skipGap passes over the UIDs that lie before the next block.
func skipGap(r kv.Reader, a AccountID, m MailboxID, uids []UID) []UID {
	for k := range r.Range(blockKey(a, m, uids[0]+1), kv.After(blocksKey(a, m)), kv.Options{Limit: 1}) {
		return from(uids[1:], UID(tailUint32(k)))
	}
	return nil
}
