package search

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math/bits"
	"slices"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"letterlock/internal/mime"
)

// A Filter tells of one message which strings it cannot have. It is a bitmap of
// the hashes of its text's grams, 2^order bits, no larger than it takes for at
// most fullness of them to be set.
type Filter struct {
	order int    // 0: no bitmap, anything may be in it
	bits  []byte // 2^order of them, the least first
}

const (
	smallest = 6  // order: 8 octets
	largest  = 17 // order: 16 KiB, for some 50,000 grams

	// A needle of n grams passes a filter that has none of them with the
	// fullness to the power of n: smaller filters ask for longer needles. Halves
	// of a bitmap are laid over each other as long as less than this is set.
	fullness = 0.4
	// Above this a filter of the largest order says too little to be kept.
	useless = 0.8
)

// MayContain says whether the message may have what f looks for. No is certain.
func (x Filter) MayContain(f *Finder) bool {
	if x.order == 0 {
		return true
	}
	mask := uint32(1)<<x.order - 1
	for _, h := range f.grams {
		if at := h & mask; x.bits[at>>3]>>(at&7)&1 == 0 {
			return false
		}
	}
	return true
}

// FilterBuilder makes filters of messages, one after the other, in 16 KiB of
// memory however long they are. Its zero value is ready for the first.
type FilterBuilder struct {
	bits  [1 << largest / 64]uint64
	grams int    // no more of the bits are set
	bare  []byte // of the text at hand, where it has accents
	any   bool   // anything may be in it
	err   error
}

// Passages reads the text of a message: all of what [Finder.Passages] is to be
// asked of it later, as [mime.ScopeText] gives it, which covers BODY too. After
// an error, which is that of a reader, there is no filter.
func (b *FilterBuilder) Passages(passages iter.Seq[mime.Passage]) error {
	for p := range passages {
		if err := b.Text(p); err != nil {
			return err
		}
	}
	return nil
}

// Text reads one text of a message; a string does not go from one into the next.
func (b *FilterBuilder) Text(r io.Reader) error {
	b.bare = b.bare[:0]
	err := eachWindow(r, gramSize-1, func(text []byte, old int) bool {
		b.add(text)
		b.addBare(text, old)
		return true
	})
	b.err = errors.Join(b.err, err)
	return err
}

// Anything makes the filter one that lets everything through: what is asked
// later lies where the builder did not look.
func (b *FilterBuilder) Anything() { b.any = true }

// addBare adds the text without its accents, for [Words]. Between two windows
// b.bare is the end of that; where it is the end of the text itself, too, and no
// accent follows, all its grams are added already.
func (b *FilterBuilder) addBare(text []byte, old int) {
	same := bytes.Equal(b.bare, text[:old]) && !hasAccent(text[old:])
	b.bare = appendBare(b.bare, text[old:])
	if !same {
		b.add(b.bare)
	}
	b.bare = b.bare[:copy(b.bare, b.bare[max(0, len(b.bare)-(gramSize-1)):])]
}

func (b *FilterBuilder) add(text []byte) {
	b.grams += len(text)
	for h := range grams(text) {
		h %= 1 << largest
		b.bits[h>>6] |= 1 << (h & 63)
	}
}

// Append ends a message: it appends its filter, encoded, to dst, and is ready for
// the next one. The error is the first there was in reading.
func (b *FilterBuilder) Append(dst []byte) ([]byte, error) {
	defer b.reset()
	if b.err != nil {
		return dst, fmt.Errorf("filter: %w", b.err)
	}
	order := b.shrink()
	start := len(dst)
	dst = append(dst, filterVersion, foldVersion, byte(order))
	if order > 0 {
		for _, word := range b.bits[:1<<order/64] {
			dst = binary.LittleEndian.AppendUint64(dst, word)
		}
	}
	return seal(dst, start), nil
}

func (b *FilterBuilder) reset() {
	clear(b.bits[:])
	b.grams, b.bare, b.any, b.err = 0, b.bare[:0], false, nil
}

// shrink lays the halves of the bitmap over each other as long as it stays
// telling, and says what order is left; 0 where there was too much from the start.
func (b *FilterBuilder) shrink() int {
	if b.any || float64(b.grams) > useless*(1<<largest) && set(b.bits[:]) > useless*(1<<largest) {
		return 0
	}
	order := b.shrinkUncounted()
	for order > smallest {
		half := 1 << order / 2 / 64
		lower, upper := b.bits[:half], b.bits[half:2*half]
		n := 0
		for i, word := range lower {
			n += bits.OnesCount64(word | upper[i])
		}
		if float64(n) > fullness*float64(half*64) {
			break
		}
		for i, word := range upper {
			lower[i] |= word
		}
		order--
	}
	return order
}

// shrinkUncounted goes as far as so few grams let it go without counting.
func (b *FilterBuilder) shrinkUncounted() int {
	order := largest
	for order > smallest && float64(b.grams) <= fullness*float64(int(1)<<order/2) {
		half := 1 << order / 2 / 64
		for i, word := range b.bits[half : 2*half] {
			b.bits[i] |= word
		}
		order--
	}
	return order
}

func set(words []uint64) float64 {
	n := 0
	for _, word := range words {
		n += bits.OnesCount64(word)
	}
	return float64(n)
}

// The versions of the encoding. They grow with whatever makes the same message
// another filter: the hash and the folding here, and the passages of package
// mime; a test has examples.
const (
	filterVersion = 4
	groupVersion  = 0x84
)

// foldVersion tells fold and the tables of Unicode that it uses from those of
// another release.
var foldVersion = byte(crc32.Checksum([]byte(unicode.Version+" "+norm.Version+" tabs"), castagnoli))

// ErrStale says that a filter was made by another version of this package.
// Whoever keeps it asks the message instead, and makes it anew.
var ErrStale = errors.New("the filter is of another version")

// ErrDamaged says that a filter is not what was written.
var ErrDamaged = errors.New("the filter is damaged")

// OpenFilter reads an encoded filter, of which it keeps octets. With an error,
// [ErrStale] or [ErrDamaged], the filter is one that lets everything through.
func OpenFilter(encoded []byte) (Filter, error) {
	body, err := unseal(encoded, filterVersion)
	if err != nil {
		return Filter{}, err
	}
	if len(body) == 0 {
		return Filter{}, ErrDamaged
	}
	order, bitmap := int(body[0]), body[1:]
	switch {
	case order == 0 && len(bitmap) == 0:
		return Filter{}, nil
	case order < smallest || order > largest || len(bitmap) != 1<<order/8:
		return Filter{}, ErrDamaged
	}
	return Filter{order, bitmap}, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal appends the checksum of what begins at start: a bit that was lost would be
// a message that is not found.
func seal(dst []byte, start int) []byte {
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// unseal is what stands between the versions and the checksum.
func unseal(encoded []byte, version byte) ([]byte, error) {
	end := len(encoded) - crc32.Size
	switch {
	case end < 2:
		return nil, ErrDamaged
	case crc32.Checksum(encoded[:end], castagnoli) != binary.LittleEndian.Uint32(encoded[end:]):
		return nil, ErrDamaged
	case encoded[0] != version || encoded[1] != foldVersion:
		return nil, ErrStale
	}
	return slices.Clip(encoded[2:end]), nil
}
