package storage

import (
	"encoding/binary"
	"fmt"
	"math/bits"

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

func (e *entry) column(c int) uint64 {
	return [columns]uint64{uint64(e.uid), uint64(e.modseq), uint64(e.flags), e.number, uint64(e.saved), e.size}[c]
}

// encode makes the value.
func (b *block) encode() []byte {
	le := binary.LittleEndian
	v := make([]byte, blockHeader, blockHeader+24*len(b.entries))
	le.PutUint16(v[11:], uint16(len(b.entries)))
	le.PutUint64(v[13:], uint64(b.changed))
	for c := range columns {
		low, high := ^uint64(0), uint64(0)
		for i := range b.entries {
			n := b.entries[i].column(c)
			low, high = min(low, n), max(high, n)
		}
		width := (bits.Len64(high-low) + 7) / 8
		if len(b.entries) == 0 {
			low, width = 0, 0
		}
		v[5+c] = byte(width)
		le.PutUint64(v[21+8*c:], low)
		for i := range b.entries {
			v = appendWidth(v, b.entries[i].column(c)-low, width)
		}
	}
	return sealValue(v)
}

func appendWidth(b []byte, n uint64, width int) []byte {
	for range width {
		b = append(b, byte(n))
		n >>= 8
	}
	return b
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

// column unpacks one column.
func (p packed) column(c int, yield func(i int, n uint64)) {
	at := blockHeader
	for i := range c {
		at += int(p.value[5+i]) * p.count
	}
	width, base := int(p.value[5+c]), binary.LittleEndian.Uint64(p.value[21+8*c:])
	for i := range p.count {
		var n uint64
		for j := width - 1; j >= 0; j-- {
			n = n<<8 | uint64(p.value[at+j])
		}
		at += width
		yield(i, base+n)
	}
}

func decodeBlock(v []byte) (*block, error) {
	p, err := openBlock(v)
	if err != nil {
		return nil, err
	}
	b := &block{changed: p.changed, entries: make([]entry, p.count, max(p.count+8, blockSize/4))}
	e := b.entries
	p.column(0, func(i int, n uint64) { e[i].uid = UID(n) })
	p.column(1, func(i int, n uint64) { e[i].modseq = ModSeq(n) })
	p.column(2, func(i int, n uint64) { e[i].flags = Flags(n) })
	p.column(3, func(i int, n uint64) { e[i].number = n })
	p.column(4, func(i int, n uint64) { e[i].saved = int64(n) })
	p.column(5, func(i int, n uint64) { e[i].size = n })
	return b, nil
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
// are gone are passed over. first is the block's key.
func pick(r kv.Reader, a AccountID, m MailboxID, uids []UID, unpack unpacker, fn func(first UID, b *block, at []int) error) error {
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
		var at []int
		for len(uids) > 0 && uids[0] <= last {
			if i, found := b.find(uids[0]); found && (len(at) == 0 || at[len(at)-1] < i) {
				at = append(at, i)
			}
			uids = uids[1:]
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
