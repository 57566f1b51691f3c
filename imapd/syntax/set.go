package syntax

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strconv"
)

// Set is a sequence set as the client wrote it (RFC 9051 §9): numbers or UIDs,
// which one the command says. Its zero value is no set at all.
type Set struct {
	Saved  bool    // "$": the result saved by SEARCH (RFC 5182); Ranges is empty
	Ranges []Range // in the client's order
}

// Range is First to Last or Last to First, both included. 0 is "*".
type Range struct{ First, Last uint32 }

// Star is "*" in a Range.
const Star = 0

// IsZero says that there is no set.
func (s Set) IsZero() bool { return !s.Saved && len(s.Ranges) == 0 }

// Resolve puts largest in the place of "*" and gives the ranges ascending,
// disjoint and not adjacent, each with First <= Last. In an empty mailbox
// largest may be 0, which is nobody's number. UIDs that do not exist are in it;
// "9:*" always has largest in it, even if that is below 9.
func (s Set) Resolve(largest uint32) []Range {
	ranges := make([]Range, 0, len(s.Ranges))
	for _, r := range s.Ranges {
		ranges = append(ranges, r.resolve(largest))
	}
	if !slices.IsSortedFunc(ranges, byFirst) {
		slices.SortFunc(ranges, byFirst)
	}
	merged := ranges[:0]
	for _, r := range ranges {
		if n := len(merged); n > 0 && uint64(r.First) <= uint64(merged[n-1].Last)+1 {
			merged[n-1].Last = max(merged[n-1].Last, r.Last)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

func byFirst(a, b Range) int { return cmp.Compare(a.First, b.First) }

// resolve is r with largest for "*", the smaller end first.
func (r Range) resolve(largest uint32) Range {
	if r.First == Star {
		r.First = largest
	}
	if r.Last == Star {
		r.Last = largest
	}
	return Range{min(r.First, r.Last), max(r.First, r.Last)}
}

// Max is the greatest number that s names with largest for "*": to be compared
// with the number of messages (a greater one is BAD, RFC 9051 §9, seq-number).
func (s Set) Max(largest uint32) (n uint32) {
	for _, r := range s.Ranges {
		n = max(n, r.resolve(largest).Last)
	}
	return n
}

// set reads a sequence set.
func (d *Decoder) set() Set {
	if d.take('$') {
		return Set{Saved: true}
	}
	if !d.ok() {
		return Set{}
	}
	s := Set{Ranges: make([]Range, 0, d.countRanges())}
	for {
		first := d.setNumber()
		last := first
		if d.take(':') {
			last = d.setNumber()
		}
		s.Ranges = append(s.Ranges, Range{first, last})
		if !d.take(',') {
			return s
		}
	}
}

// countRanges looks ahead, so that a long set costs one allocation.
func (d *Decoder) countRanges() int {
	rest := d.line[d.pos:]
	if end := bytes.IndexAny(rest, " )"); end >= 0 {
		rest = rest[:end]
	}
	return bytes.Count(rest, []byte{','}) + 1
}

func (d *Decoder) setNumber() uint32 {
	if d.take('*') {
		return Star
	}
	n := uint64(0)
	start := d.pos
	for ; d.more() && isDigit(d.line[d.pos]); d.pos++ {
		n = n*10 + uint64(d.line[d.pos]-'0')
		if n == 0 || n > 1<<32-1 {
			d.fail("number out of range in a set")
			return 0
		}
	}
	if d.pos == start {
		d.fail("expected a number in a set")
	}
	return uint32(n)
}

// fixedSet reads a set in which neither "*" nor "$" may be (RFC 7162 §7).
func (d *Decoder) fixedSet() Set {
	s := d.set()
	for _, r := range s.Ranges {
		if r.First == Star || r.Last == Star {
			d.fail("no * may be in this set")
		}
	}
	if s.Saved {
		d.fail("no $ may be here")
	}
	return s
}

// AppendSet writes ranges: 1:3,7,9:*
func AppendSet(dst []byte, ranges []Range) []byte {
	for i, r := range ranges {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendSetNumber(dst, r.First)
		if r.Last != r.First {
			dst = append(dst, ':')
			dst = appendSetNumber(dst, r.Last)
		}
	}
	return dst
}

func appendSetNumber(dst []byte, n uint32) []byte {
	if n == Star {
		return append(dst, '*')
	}
	return strconv.AppendUint(dst, uint64(n), 10)
}

// Runs is numbers as ranges, in their order: ascending neighbours are one.
func Runs[N ~uint32](nums []N) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		for i := 0; i < len(nums); {
			end := i + 1
			for end < len(nums) && nums[end] == nums[end-1]+1 {
				end++
			}
			if !yield(Range{uint32(nums[i]), uint32(nums[end-1])}) {
				return
			}
			i = end
		}
	}
}

// AppendNums writes numbers as a set, by their [Runs]: 4,5,6,9 is 4:6,9.
func AppendNums[N ~uint32](dst []byte, nums []N) []byte {
	first := true
	for r := range Runs(nums) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = AppendSet(dst, []Range{r})
	}
	return dst
}
