package storage

import "time"

// text reads what [segment.Fields] reads, of octets that are a string already:
// whatever is taken out of it shares its memory. The first field that cannot be
// read ends it: all later ones read as zero.
type text struct {
	rest string
	bad  bool
}

// roomAtOnce is how many elements of a list memory is asked for at once:
// damage cannot ask for more.
const roomAtOnce = 16

func (f *text) fail() { f.rest, f.bad = "", true }

func (f *text) uint() (n uint64) {
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

func (f *text) int() int64 {
	n := f.uint()
	return int64(n>>1) ^ -int64(n&1)
}

// count reads how many elements follow, each at least one octet.
func (f *text) count() int {
	n := f.uint()
	if n > uint64(len(f.rest)) {
		f.fail()
		return 0
	}
	return int(n)
}

func (f *text) byte() byte {
	if f.rest == "" {
		f.fail()
		return 0
	}
	c := f.rest[0]
	f.rest = f.rest[1:]
	return c
}

func (f *text) string() string {
	n := f.count()
	s := f.rest[:n]
	f.rest = f.rest[n:]
	return s
}

func (f *text) time() time.Time {
	if f.byte() == 0 {
		return time.Time{}
	}
	micro, offset := f.int(), f.int()
	if offset == 0 {
		return time.UnixMicro(micro).UTC()
	}
	return time.UnixMicro(micro).In(time.FixedZone("", int(offset)))
}
