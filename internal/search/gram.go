package search

import (
	"iter"
	"slices"
)

// A gram is four octets of folded text, one behind the other, and from here on
// always its hash. A text that has a string has all of its grams; that is what
// filters rest on. What reads and what asks must therefore fold with the same
// tables. Three octets would do for shorter strings, but of those nearly every
// letter has nearly all: ten times as many letters would be read in vain, and in
// scripts of two octets a character more than that.
const gramSize = 4

// mostGrams is how many grams of a string are asked for. More would say hardly
// more.
const mostGrams = 64

// gramsOf is some of a folded string's grams, each once; none where it is too
// short to have one.
func gramsOf(needle []byte) []uint32 {
	var few []uint32
	for h := range grams(needle) {
		if !slices.Contains(few, h) {
			few = append(few, h)
		}
		if len(few) == mostGrams {
			break
		}
	}
	return few
}

// grams walks the grams of folded text.
func grams(text []byte) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		if len(text) < gramSize {
			return
		}
		gram := uint32(text[0])<<16 | uint32(text[1])<<8 | uint32(text[2])
		for _, c := range text[gramSize-1:] {
			gram = gram<<8 | uint32(c)
			if !yield(mix(gram)) {
				return
			}
		}
	}
}

// mix spreads a gram's octets over the low bits of its hash, which are the
// ones used: MurmurHash3's finalizer.
func mix(gram uint32) uint32 {
	gram ^= gram >> 16
	gram *= 0x85ebca6b
	gram ^= gram >> 13
	gram *= 0xc2b2ae35
	return gram ^ gram>>16
}
