package storage

import (
	"time"

	"letterlock/internal/mail"
)

// scan reads what [segment.Fields] reads. The first field that cannot be read
// ends it: all later ones read as zero.
type scan[T string | []byte] struct {
	rest T
	bad  bool
}

// text scans octets that are a string already: whatever is taken out of it
// shares its memory.
type text struct {
	scan[string]

	// Lent to one summary after the other.
	sum     mail.Summary
	addrs   slab[mail.Addr]
	params  slab[mail.Param]
	parts   slab[mail.Part]
	strings slab[string]
}

// begin reads b from its start. What was lent before is lent anew.
func (f *text) begin(b string) {
	f.rest, f.bad = b, false
	f.addrs.used, f.params.used, f.parts.used, f.strings.used = 0, 0, 0, 0
}

// slab is memory that lists are cut from.
type slab[T any] struct {
	all  []T
	used int
}

// roomAtOnce is how many elements a list gets room for on a number's word alone:
// damage cannot ask for more.
const roomAtOnce = 16

// take is an empty list with room for n elements.
func (s *slab[T]) take(n int) []T {
	if n == 0 {
		return nil
	}
	n = min(n, roomAtOnce)
	if s.used+n > len(s.all) { // lists that are in use keep the old memory
		s.all, s.used = make([]T, max(n, 2*len(s.all))), 0
	}
	list := s.all[s.used : s.used : s.used+n]
	s.used += n
	return list
}

func (f *scan[T]) fail() { f.rest, f.bad = f.rest[:0], true }

// uint is below 128 nearly always.
func (f *scan[T]) uint() uint64 {
	if len(f.rest) > 0 && f.rest[0] < 0x80 {
		n := uint64(f.rest[0])
		f.rest = f.rest[1:]
		return n
	}
	return f.longUint()
}

func (f *scan[T]) longUint() (n uint64) {
	for i := 0; i < len(f.rest) && i < 10; i++ {
		c := f.rest[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.rest = f.rest[i+1:]
			return n
		}
	}
	f.fail()
	return 0
}

func (f *scan[T]) int() int64 {
	n := f.uint()
	return int64(n>>1) ^ -int64(n&1)
}

// count reads how many elements follow, each at least one octet.
func (f *scan[T]) count() int {
	n := f.uint()
	if n > uint64(len(f.rest)) {
		f.fail()
		return 0
	}
	return int(n)
}

func (f *scan[T]) byte() byte {
	if len(f.rest) == 0 {
		f.fail()
		return 0
	}
	c := f.rest[0]
	f.rest = f.rest[1:]
	return c
}

// string is short nearly always, and often empty.
func (f *text) string() string {
	if rest := f.rest; len(rest) > 0 && rest[0] < 0x80 && int(rest[0]) < len(rest) {
		end := 1 + int(rest[0])
		f.rest = rest[end:]
		return rest[1:end]
	}
	n := f.count()
	s := f.rest[:n]
	f.rest = f.rest[n:]
	return s
}

// skip passes over n octets.
func (f *scan[T]) skip(n int) {
	if n > len(f.rest) {
		f.fail()
		return
	}
	f.rest = f.rest[n:]
}

func (f *scan[T]) skipStrings(n int) {
	for range n {
		if rest := f.rest; len(rest) > 0 && rest[0] < 0x80 && int(rest[0]) < len(rest) {
			f.rest = rest[1+int(rest[0]):]
			continue
		}
		f.skip(f.count())
	}
}

func (f *text) time() time.Time {
	if f.byte() == 0 {
		return time.Time{}
	}
	micro, offset := f.int(), f.int()
	return time.UnixMicro(micro).In(zoneAt(int(offset)))
}

func (f *scan[T]) skipTime() {
	if f.byte() != 0 {
		f.int()
		f.int()
	}
}

// quarters is the zones that people live in: all multiples of 15 minutes.
var quarters = func() (all [2*quarterReach + 1]*time.Location) {
	for i := range all {
		all[i] = time.FixedZone("", (i-quarterReach)*quarter)
	}
	all[quarterReach] = time.UTC
	return all
}()

const (
	quarter      = 15 * 60      // seconds
	quarterReach = 16 * 60 / 15 // quarters east and west of UTC
)

// zoneAt is the zone some seconds east of UTC.
func zoneAt(offset int) *time.Location {
	if i := offset/quarter + quarterReach; offset%quarter == 0 && i >= 0 && i < len(quarters) {
		return quarters[i]
	}
	return time.FixedZone("", offset)
}
