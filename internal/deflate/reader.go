package deflate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrCorrupt is in every error about what the peer has sent. It is final.
var ErrCorrupt = errors.New("not a DEFLATE stream")

// inputBuffer is what is read at a time, and held while waiting.
const inputBuffer = 1 << 10

// step is where in a stream the reader stands.
type step uint8

const (
	blockStart  step = iota
	storedSize       // of a block that is not compressed
	storedData       // left octets of it
	codeSizes        // of a block that brings its codes: the sizes of the code of sizes
	codeLengths      // and with it the sizes of the two codes
	symbols          // the next literal or length
	repeating        // left octets from distance
	ended            // the last block is over
)

// Reader reads a raw DEFLATE stream (RFC 1951). It costs a KiB and its window,
// which grows with what has been said up to 32 KiB, and 4 KiB more inside a block
// that brings its own codes. One goroutine reads.
type Reader struct {
	src io.Reader
	err error // what is wrong with the stream; said again for ever

	in       [inputBuffer]byte
	r, w     int    // in[r:w] is not looked at yet
	bits     uint64 // the next bits, lowest first; zero above
	n        uint   // how many
	step     step
	last     bool   // the block is the last one
	left     int    // of a stored block, of what is repeated, or of sizes to come
	distance int    // back to what is repeated
	codes    *codes // of the block
	window   window
}

// NewReader reads the stream that src brings, of which behind has been read
// already.
func NewReader(src io.Reader, behind []byte) *Reader {
	if len(behind) > 0 {
		src = &joined{behind, src}
	}
	return &Reader{src: src}
}

// joined hands out what has come before, then what comes.
type joined struct {
	before []byte
	then   io.Reader
}

func (j *joined) Read(p []byte) (int, error) {
	if len(j.before) == 0 {
		return j.then.Read(p)
	}
	n := copy(p, j.before)
	if j.before = j.before[n:]; len(j.before) == 0 {
		j.before = nil
	}
	return n, nil
}

// Read hands out what is known of the stream, and waits only where that is
// nothing. It is [io.EOF] behind the stream's last block. Errors of the source
// come as they are and spoil nothing: the next Read tries again. So a peer that
// leaves between two blocks or inside one is the source's [io.EOF] alike.
func (r *Reader) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if n := r.inflate(p); n > 0 {
			return n, nil
		}
		if r.err != nil {
			return 0, r.err
		}
		n, err := r.src.Read(r.in[:])
		r.r, r.w = 0, n
		if n == 0 && err != nil { // an error that came with octets comes again
			return 0, err
		}
	}
	return 0, nil
}

// Rest ends the stream where the peer stopped compressing, behind what was read
// last, and hands out what came after it. Where the empty stored block of a
// flush was cut short on its way, Rest waits for the rest of it. Octets that
// came already can be told from the stream behind its last block alone: a peer
// that went on compressing, or sent more behind a mere flush without waiting,
// is an error.
func (r *Reader) Rest() ([]byte, error) {
	for {
		var more [1]byte
		if r.inflate(more[:]) > 0 {
			r.corrupt("it goes on behind its end")
		}
		switch {
		case r.err == io.EOF:
			return r.unread(), nil
		case r.err != nil:
			return nil, r.err
		case r.step == blockStart || r.step == symbols && r.codes == fixed(): // an empty block's last bits need not come
			return nil, nil
		case r.step != storedSize:
			r.corrupt("it stops inside a block")
			return nil, r.err
		}
		n, err := r.src.Read(r.in[:(32-r.n)/8]) // and nothing of what may be behind it
		r.r, r.w = 0, n
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// unread is what was read behind the last block, which ends within an octet.
func (r *Reader) unread() []byte {
	var rest []byte
	for r.drop(r.n % 8); r.n > 0; r.drop(8) {
		rest = append(rest, byte(r.bits))
	}
	rest = append(rest, r.in[r.r:r.w]...)
	if j, ok := r.src.(*joined); ok {
		rest = append(rest, j.before...)
	}
	return rest
}

// inflate fills p as far as the input goes.
func (r *Reader) inflate(p []byte) (n int) {
	for n < len(p) && r.err == nil {
		r.load()
		k, on := 0, true
		switch r.step {
		case blockStart:
			on = r.begin()
		case storedSize:
			on = r.beginStored()
		case storedData:
			k, on = r.stored(p[n:])
		case codeSizes:
			on = r.sizeCode()
		case codeLengths:
			on = r.lengths()
		case symbols:
			k, on = r.symbols(p[n:])
		case repeating:
			k = r.repeat(p[n:])
		case ended:
			r.err = io.EOF
		}
		n += k
		if !on {
			break
		}
	}
	return n
}

// load takes as many octets into bits as fit, so that what is looked at next is
// there unless the input is used up.
func (r *Reader) load() {
	if r.w-r.r >= 8 {
		more := (63 - r.n) / 8
		r.bits |= binary.LittleEndian.Uint64(r.in[r.r:]) << r.n
		r.n += 8 * more
		r.bits &= 1<<r.n - 1
		r.r += int(more)
		return
	}
	for r.n <= 56 && r.r < r.w {
		r.bits |= uint64(r.in[r.r]) << r.n
		r.n += 8
		r.r++
	}
}

func (r *Reader) drop(n uint) {
	r.bits >>= n
	r.n -= n
}

func (r *Reader) corrupt(what string) {
	r.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
}

// begin reads the three bits before a block (RFC 1951 §3.2.3). Like all that
// reads, it says false where the input is used up, and stays where it is.
func (r *Reader) begin() bool {
	if r.n < 3 {
		return false
	}
	r.last = r.bits&1 == 1
	kind := r.bits >> 1 & 3
	r.drop(3)
	switch kind {
	case 0:
		r.drop(r.n % 8)
		r.step = storedSize
	case 1:
		r.codes, r.step = fixed(), symbols
	case 2:
		r.step = codeSizes
	default:
		r.corrupt("a block of an unknown kind")
	}
	return true
}

func (r *Reader) end() {
	if r.codes != nil && r.codes != fixed() {
		spareCodes.Put(r.codes)
	}
	r.codes, r.step = nil, blockStart
	if r.last {
		r.step = ended
	}
}

// beginStored reads the size of a block that is not compressed (RFC 1951
// §3.2.4).
func (r *Reader) beginStored() bool {
	if r.n < 32 {
		return false
	}
	size, not := uint16(r.bits), uint16(r.bits>>16)
	if size != ^not {
		r.corrupt("a block of an unsure size")
		return true
	}
	r.drop(32)
	r.left, r.step = int(size), storedData
	if r.left == 0 {
		r.end()
	}
	return true
}

func (r *Reader) stored(p []byte) (n int, on bool) {
	p = p[:min(len(p), r.left)]
	for ; n < len(p) && r.n > 0; n++ { // whole octets: a stored block begins with one
		p[n] = byte(r.bits)
		r.drop(8)
	}
	k := copy(p[n:], r.in[r.r:r.w])
	r.r += k
	n += k
	r.window.write(p[:n])
	if r.left -= n; r.left == 0 {
		r.end()
	}
	return n, n > 0
}

// symbols reads literals up to the next length or the end of the block.
func (r *Reader) symbols(p []byte) (n int, on bool) {
	for n < len(p) {
		r.load()
		symbol, size := r.codes.length.next(r.bits, r.n)
		switch {
		case size == 0:
			return n, false
		case size > codeMax || symbol >= lengthCodes:
			r.corrupt("a length that is none")
			return n, true
		case symbol < endOfBlock:
			r.drop(size)
			p[n] = byte(symbol)
			r.window.put(p[n])
			n++
		case symbol == endOfBlock:
			r.drop(size)
			r.end()
			return n, true
		default:
			return n, r.pointer(symbol-endOfBlock-1, size)
		}
	}
	return n, true
}

// a base and as many extra bits (RFC 1951 §3.2.5)
type extended struct {
	base uint16
	bits uint8
}

var lengthOf = [29]extended{
	{3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}, {8, 0}, {9, 0}, {10, 0}, {11, 1}, {13, 1}, {15, 1}, {17, 1}, {19, 2}, {23, 2}, {27, 2},
	{31, 2}, {35, 3}, {43, 3}, {51, 3}, {59, 3}, {67, 4}, {83, 4}, {99, 4}, {115, 4}, {131, 5}, {163, 5}, {195, 5}, {227, 5}, {258, 0},
}

var distanceOf = [distanceCodes]extended{
	{1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 1}, {7, 1}, {9, 2}, {13, 2}, {17, 3}, {25, 3}, {33, 4}, {49, 4}, {65, 5}, {97, 5}, {129, 6}, {193, 6},
	{257, 7}, {385, 7}, {513, 8}, {769, 8}, {1025, 9}, {1537, 9}, {2049, 10}, {3073, 10}, {4097, 11}, {6145, 11}, {8193, 12}, {12289, 12},
	{16385, 13}, {24577, 13},
}

// pointer reads the rest of a length, whose symbol has size bits, and its
// distance: at most 48 bits, which are all there or are all left where they are.
func (r *Reader) pointer(symbol int, size uint) bool {
	length := lengthOf[symbol]
	b, n := r.bits>>size, r.n-size
	if n < uint(length.bits) {
		return false
	}
	r.left = int(length.base) + int(b&(1<<length.bits-1))
	b, n = b>>length.bits, n-uint(length.bits)
	symbol, size = r.codes.distance.next(b, n)
	if size == 0 {
		return false
	}
	if size > codeMax || symbol >= distanceCodes {
		r.corrupt("a distance that is none")
		return true
	}
	b, n = b>>size, n-size
	distance := distanceOf[symbol]
	if n < uint(distance.bits) {
		return false
	}
	r.distance = int(distance.base) + int(b&(1<<distance.bits-1))
	r.bits, r.n = b>>distance.bits, n-uint(distance.bits)
	if r.distance > r.window.size() {
		r.corrupt("a distance from before the beginning")
	}
	r.step = repeating
	return true
}

func (r *Reader) repeat(p []byte) int {
	p = p[:min(len(p), r.left)]
	r.window.repeat(p, r.distance)
	if r.left -= len(p); r.left == 0 {
		r.step = symbols
	}
	return len(p)
}
