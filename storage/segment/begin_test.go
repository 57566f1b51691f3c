package segment

import (
	"errors"
	"os"
	"testing"
)

// One bad sector at the start of a segment costs nothing, be it of the newest
// or of one that has a successor.
func TestDamagedSegmentHeaderIsReadFromItsSecondPlace(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{SegmentSize: 64 << 10})
	for range 3 {
		add(t, l, bodyOf(40<<10, 'x'))
	}
	segments := l.Segments()
	closeLog(t, l)
	for _, s := range segments {
		patch(t, s.Name, 0, func(b []byte) { clear(b) })
	}
	l, got, damage := openLog(t, dir, Options{SegmentSize: 64 << 10})
	defer closeLog(t, l)
	if len(segments) < 2 || len(got) != 3 || len(damage) > 0 {
		t.Errorf("%d segments, %d records, %v", len(segments), len(got), damage)
	}
}

// What lacks a header and has letters is not the rest of a creation that was cut
// short: nobody takes it away.
func TestNewestSegmentWithRecordsIsNeverRemoved(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{SegmentSize: 64 << 10})
	first, last := add(t, l, "first"), add(t, l, "last")
	name := activeFile(t, l)
	closeLog(t, l)
	patch(t, name, 0, func(b []byte) { clear(b) })
	patch(t, name, secondHeader, func(b []byte) { clear(b) })
	patch(t, name, int64(first.At.Offset), func(b []byte) { clear(b) }) // the damage goes on
	if l, err := Open(dir, dir, Options{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened %v, %v, want it refused", l, err)
	}
	if _, err := os.Stat(name); err != nil {
		t.Errorf("the letter at %v is gone: %v", last.At, err)
	}
}
