package deflate

import (
	"fmt"
	"math/bits"
	"sync"
)

const (
	codeMax  = 15 // bits of the longest code (RFC 1951 §3.2.7)
	fastBits = 9  // codes up to this long are found by one look

	lengthCodes   = 286 // codes of literals, of the end and of lengths that mean something
	distanceCodes = 30
	endOfBlock    = 256
)

// code is a Huffman code (RFC 1951 §3.2.2).
type code struct {
	fast   [1 << fastBits]uint16 // by the next bits: symbol<<4 | size; 0: longer, or none
	count  [codeMax + 1]uint16   // of the codes of each size
	symbol [288]uint16           // in the order of their codes
}

// set makes c the code that has sizes. A code that is not complete is refused,
// but for one of a single bit or of nothing, which is what an encoder makes of
// one distance or none (RFC 1951 §3.2.7).
func (c *code) set(sizes []uint8) error {
	clear(c.fast[:])
	clear(c.count[:])
	for _, size := range sizes {
		c.count[size]++
	}
	c.count[0] = 0
	var next, place [codeMax + 2]uint16
	left, longest := 1, 0
	for size := 1; size <= codeMax; size++ {
		n := c.count[size]
		next[size+1] = (next[size] + n) << 1
		place[size+1] = place[size] + n
		if left = 2*left - int(n); left < 0 {
			return fmt.Errorf("%w: more codes than there can be", ErrCorrupt)
		}
		if n > 0 {
			longest = size
		}
	}
	if left > 0 && longest > 1 {
		return fmt.Errorf("%w: bits that are no code", ErrCorrupt)
	}
	for symbol, size := range sizes {
		if size == 0 {
			continue
		}
		c.symbol[place[size]] = uint16(symbol)
		place[size]++
		c.quicken(next[size], uint16(symbol), size)
		next[size]++
	}
	return nil
}

// quicken enters a short code wherever the bits behind it may lead.
func (c *code) quicken(bitsOf, symbol uint16, size uint8) {
	if size > fastBits {
		return
	}
	first := int(bits.Reverse16(bitsOf) >> (16 - size))
	for i := first; i < len(c.fast); i += 1 << size {
		c.fast[i] = symbol<<4 | uint16(size)
	}
}

// next reads a symbol from the low bits of b, of which n are there. A size of 0
// says that there are too few, codeMax+1 that these bits are no code.
func (c *code) next(b uint64, n uint) (symbol int, size uint) {
	if e := c.fast[b&(1<<fastBits-1)]; e != 0 {
		if size = uint(e & 15); size > n {
			return 0, 0
		}
		return int(e >> 4), size
	}
	return c.long(b, n)
}

// long goes bit by bit.
func (c *code) long(b uint64, n uint) (symbol int, size uint) {
	bitsOf, first, place := 0, 0, 0
	for size = 1; size <= codeMax; size++ {
		if size > n {
			return 0, 0
		}
		bitsOf |= int(b & 1)
		b >>= 1
		count := int(c.count[size])
		if bitsOf < first+count {
			return int(c.symbol[place+bitsOf-first]), size
		}
		place += count
		first = (first + count) << 1
		bitsOf <<= 1
	}
	return 0, codeMax + 1
}

// codes are the two codes of a block, and the sizes they are made of.
type codes struct {
	length, distance code
	sizes            [lengthCodes + distanceCodes]uint8
	lengths, all     int // how many sizes are of the length code, and in all
	read             int // how many are read
}

// a session has codes of its own only inside a block that brings some
var spareCodes = sync.Pool{New: func() any { return new(codes) }}

// fixed are the codes of RFC 1951 §3.2.6.
var fixed = sync.OnceValue(func() *codes {
	var c codes
	var sizes [288]uint8
	for i := range sizes {
		switch {
		case i < 144:
			sizes[i] = 8
		case i < 256:
			sizes[i] = 9
		case i < 280:
			sizes[i] = 7
		default:
			sizes[i] = 8
		}
	}
	var distances [32]uint8
	for i := range distances {
		distances[i] = 5
	}
	if c.length.set(sizes[:]) != nil || c.distance.set(distances[:]) != nil {
		panic("deflate: the fixed codes are complete")
	}
	return &c
})
