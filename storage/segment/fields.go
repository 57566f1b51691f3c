package segment

import (
	"encoding/binary"
	"errors"
	"time"
)

// ErrFields says that stored fields cannot be read: cut short, or damaged in a
// way that a checksum should have caught.
var ErrFields = errors.New("stored fields cannot be read")

// AppendUint, AppendInt, AppendString and AppendTime write one field; [Fields]
// reads them back in the same order.
func AppendUint(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }

// AppendInt writes a number that may be negative.
func AppendInt(b []byte, n int64) []byte { return binary.AppendVarint(b, n) }

// AppendString writes its length and its octets.
func AppendString[S string | []byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendTime writes a time to the microsecond, with its zone's offset; the zero
// time stays zero.
func AppendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	_, offset := t.Zone()
	b = binary.AppendVarint(append(b, 1), t.UnixMicro())
	return binary.AppendVarint(b, int64(offset))
}

// Fields reads fields one after the other. The first that cannot be read ends
// it: all later ones read as zero, and Err says so.
type Fields struct {
	rest []byte
	err  error
}

// ReadFields starts at the front of b, whose octets it keeps.
func ReadFields(b []byte) *Fields { return &Fields{rest: b} }

// Err is the first failure.
func (f *Fields) Err() error { return f.err }

// Left is how many octets are still unread.
func (f *Fields) Left() int { return len(f.rest) }

// Fail ends it from outside: what was read makes no sense.
func (f *Fields) Fail() { f.rest, f.err = nil, ErrFields }

// Uint reads what AppendUint wrote.
func (f *Fields) Uint() uint64 {
	n, size := binary.Uvarint(f.rest)
	if size <= 0 {
		f.Fail()
		return 0
	}
	f.rest = f.rest[size:]
	return n
}

// Int reads what AppendInt wrote.
func (f *Fields) Int() int64 {
	n, size := binary.Varint(f.rest)
	if size <= 0 {
		f.Fail()
		return 0
	}
	f.rest = f.rest[size:]
	return n
}

// Count reads how many elements follow, each at least one octet: no more than
// are left, so that damage cannot ask for memory.
func (f *Fields) Count() int {
	n := f.Uint()
	if n > uint64(len(f.rest)) {
		f.Fail()
		return 0
	}
	return int(n)
}

// Byte reads one octet.
func (f *Fields) Byte() byte {
	if len(f.rest) == 0 {
		f.Fail()
		return 0
	}
	c := f.rest[0]
	f.rest = f.rest[1:]
	return c
}

// Bytes reads what AppendString wrote, without a copy.
func (f *Fields) Bytes() []byte {
	n := f.Count()
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

// String reads what AppendString wrote.
func (f *Fields) String() string { return string(f.Bytes()) }

// Time reads what AppendTime wrote.
func (f *Fields) Time() time.Time {
	if f.Byte() == 0 {
		return time.Time{}
	}
	micro, offset := f.Int(), f.Int()
	return time.UnixMicro(micro).In(zone(int(offset)))
}

// zone is UTC, or a zone without a name.
func zone(offset int) *time.Location {
	if offset == 0 {
		return time.UTC
	}
	return time.FixedZone("", offset)
}
