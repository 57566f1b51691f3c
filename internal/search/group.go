package search

import (
	"encoding/binary"
	"iter"
	"math/bits"
)

// MaxGroup is how many messages a group has at most.
const MaxGroup = 256

// A Group is the filters of several messages turned on their side: what all of
// them say of one gram lies together, so that a question reads a few octets for
// every message instead of looking into each one's filter. It is as large as
// they are and answers what they answer.
type Group struct {
	size    int
	always  Members // whose filters let everything through
	classes []class
}

// class is the members whose filters are of one size. Row i of its table has bit
// i of each one's bitmap, in the order of members, and rows follow one another
// without a gap.
type class struct {
	order   int
	members []uint8
	table   []byte
}

// Members is a set of a group's members, which are counted from 0.
type Members [MaxGroup / 64]uint64

// All walks the members in order.
func (m Members) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, word := range m {
			for ; word != 0; word &= word - 1 {
				if !yield(i*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// Has says whether member i is in the set.
func (m *Members) Has(i int) bool { return m[i>>6]>>(i&63)&1 != 0 }

func (m *Members) add(i int) { m[i>>6] |= 1 << (i & 63) }

// Candidates is the members that may have what f looks for. All others have not.
func (g Group) Candidates(f *Finder) Members {
	found := g.always
	for _, c := range g.classes {
		for i := range c.ask(f.grams).All() {
			if i >= len(c.members) { // bits of the next row
				break
			}
			found.add(int(c.members[i]))
		}
	}
	return found
}

// Len is how many members there are.
func (g Group) Len() int { return g.size }

// ask says which of the class, counted among themselves, have all of the grams.
// What it says beyond the last one means nothing.
func (c class) ask(grams []uint32) Members {
	have := Members{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
	for _, h := range grams {
		at, any := int(h&(1<<c.order-1))*len(c.members), uint64(0)
		for i := 0; i*64 < len(c.members); i++ {
			have[i] &= word(c.table, at+i*64)
			any |= have[i]
		}
		if any == 0 {
			break
		}
	}
	return have
}

// word is 64 bits of the table from bit at on; behind its end there is nothing.
func word(table []byte, at int) uint64 {
	from, shift := table[at>>3:], at&7
	if len(from) < 9 {
		var end [9]byte
		copy(end[:], from)
		from = end[:]
	}
	return binary.LittleEndian.Uint64(from)>>shift | uint64(from[8])<<1<<(63-shift)
}

// AppendGroup appends the group of the filters, encoded, to dst. There are 1 to
// [MaxGroup] of them.
func AppendGroup(dst []byte, filters []Filter) []byte {
	if len(filters) == 0 || len(filters) > MaxGroup {
		panic("search: a group has 1 to 256 members")
	}
	start := len(dst)
	dst = append(dst, groupVersion, foldVersion, byte(len(filters)-1))
	for _, x := range filters {
		dst = append(dst, byte(x.order))
	}
	for order := smallest; order <= largest; order++ {
		dst = appendTable(dst, order, filters)
	}
	return seal(dst, start)
}

// appendTable appends the table of the filters of one size.
func appendTable(dst []byte, order int, filters []Filter) []byte {
	var class []Filter
	for _, x := range filters {
		if x.order == order {
			class = append(class, x)
		}
	}
	at := len(dst)
	dst = append(dst, make([]byte, tableSize(order, len(class)))...)
	if len(class) > 0 {
		turn(dst[at:], class, 1<<order/8)
	}
	return dst
}

// turn lays bitmaps of so many octets on their side, eight bits of eight of them
// at a time.
func turn(table []byte, class []Filter, octets int) {
	for octet := range octets {
		for i := 0; i < len(class); i += 8 {
			square := uint64(0)
			for k, x := range class[i:min(i+8, len(class))] {
				square |= uint64(x.bits[octet]) << (8 * k)
			}
			if square == 0 {
				continue
			}
			square = transposed(square)
			for bit := octet*8*len(class) + i; square != 0; bit += len(class) {
				row := uint16(square&0xff) << (bit & 7)
				table[bit>>3] |= byte(row)
				if row > 0xff {
					table[bit>>3+1] |= byte(row >> 8)
				}
				square >>= 8
			}
		}
	}
}

// transposed makes rows columns in a square of eight octets of eight bits
// (Hacker's Delight §7-3).
func transposed(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}

// tableSize is in octets: even the smallest bitmap has a multiple of 8 bits.
func tableSize(order, members int) int { return members << order / 8 }

// OpenGroup reads an encoded group, of which it keeps octets. The error is
// [ErrStale] or [ErrDamaged]; whoever had the group made knows its members and
// asks them all.
func OpenGroup(encoded []byte) (Group, error) {
	body, err := unseal(encoded, groupVersion)
	if err != nil {
		return Group{}, err
	}
	if len(body) == 0 || len(body) < 2+int(body[0]) {
		return Group{}, ErrDamaged
	}
	g := Group{size: 1 + int(body[0])}
	orders, tables := body[1:1+g.size], body[1+g.size:]
	var members [largest + 1][]uint8
	for i, order := range orders {
		switch {
		case order == 0:
			g.always.add(i)
		case order < smallest || order > largest:
			return Group{}, ErrDamaged
		default:
			members[order] = append(members[order], uint8(i))
		}
	}
	for order, m := range members {
		size := tableSize(order, len(m))
		if size > len(tables) {
			return Group{}, ErrDamaged
		}
		if len(m) > 0 {
			g.classes = append(g.classes, class{order, m, tables[:size]})
		}
		tables = tables[size:]
	}
	if len(tables) > 0 {
		return Group{}, ErrDamaged
	}
	return g, nil
}
