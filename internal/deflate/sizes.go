package deflate

// sizesOrder is the order in which the sizes of the code of sizes come (RFC
// 1951 §3.2.7).
var sizesOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// sizeCode reads how many codes a block brings, and the code which their sizes
// are written in (RFC 1951 §3.2.7).
func (r *Reader) sizeCode() bool {
	if r.codes == nil {
		if r.n < 14 {
			return false
		}
		lengths, distances := int(r.bits&31)+257, int(r.bits>>5&31)+1
		if lengths > lengthCodes || distances > distanceCodes {
			r.corrupt("codes of nothing")
			return true
		}
		r.codes = spareCodes.Get().(*codes)
		clear(r.codes.sizes[:])
		r.codes.lengths, r.codes.all, r.codes.read = lengths, lengths+distances, 0
		r.left = int(r.bits>>10&15) + 4
		r.drop(14)
	}
	for c := r.codes; c.read < r.left; c.read++ {
		if r.load(); r.n < 3 {
			return false
		}
		c.sizes[sizesOrder[c.read]] = uint8(r.bits & 7)
		r.drop(3)
	}
	r.err = r.codes.distance.set(r.codes.sizes[:len(sizesOrder)])
	r.codes.read, r.step = 0, codeLengths
	return true
}

// lengths reads the sizes of the two codes of a block.
func (r *Reader) lengths() bool {
	for c := r.codes; c.read < c.all; {
		r.load()
		symbol, size := c.distance.next(r.bits, r.n)
		switch {
		case size == 0:
			return false
		case size > codeMax:
			r.corrupt("a size that is none")
			return true
		case symbol < 16:
			r.drop(size)
			c.sizes[c.read] = uint8(symbol)
			c.read++
			continue
		}
		if again := sizeRuns[symbol-16]; !r.sizeRun(size, again.bits, again.base, symbol) {
			return false
		}
		if r.err != nil {
			return true
		}
	}
	return r.setCodes()
}

// sizeRuns are the symbols 16, 17 and 18: the size before again, or zeros.
var sizeRuns = [3]struct {
	bits uint
	base int
}{{2, 3}, {3, 3}, {7, 11}}

func (r *Reader) sizeRun(size, extra uint, base, symbol int) bool {
	if r.n < size+extra {
		return false
	}
	c := r.codes
	times := base + int(r.bits>>size&(1<<extra-1))
	r.drop(size + extra)
	if c.read+times > c.all || symbol == 16 && c.read == 0 {
		r.corrupt("sizes of too many codes, or of none")
		return true
	}
	again := uint8(0)
	if symbol == 16 {
		again = c.sizes[c.read-1]
	}
	for range times {
		c.sizes[c.read] = again
		c.read++
	}
	return true
}

func (r *Reader) setCodes() bool {
	c := r.codes
	if c.sizes[endOfBlock] == 0 {
		r.corrupt("a block without an end")
		return true
	}
	if r.err = c.length.set(c.sizes[:c.lengths]); r.err == nil {
		r.err = c.distance.set(c.sizes[c.lengths:c.all])
	}
	r.step = symbols
	return true
}
