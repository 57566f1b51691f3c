package segment

import (
	"context"
	"errors"
	"os"
	"syscall"
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

// forgetful is a disk that fails on order, and on which a power cut brings back
// what was removed first.
type forgetful struct {
	faulty
	forgot bool
}

func (d *forgetful) Remove(name string) error {
	if _, err := os.Stat(name); err == nil && !d.forgot {
		d.forgot = true
		return nil
	}
	return d.faulty.Remove(name)
}

// A segment whose creation failed may be there again after a power cut, and says
// where its predecessor ended then: nothing is lost that was written since.
func TestSegmentThatComesBackCutsNothingOff(t *testing.T) {
	dir, disk := t.TempDir(), new(forgetful)
	opt := Options{SegmentSize: 64 << 10, Files: disk}
	l, _, _ := openLog(t, dir, opt)
	add(t, l, bodyOf(30<<10, 'x'))
	broken := error(syscall.EIO)
	disk.sync.Store(&broken)
	err := l.Append(context.Background(), Letter{record(1, ""), body(bodyOf(50<<10, 'y'))})
	if !errors.Is(err, ErrUnwritten) {
		t.Fatalf("said %v", err)
	}
	disk.sync.Store(nil)
	late := add(t, l, "fits into the first segment")
	closeLog(t, l)
	l, got, damage := openLog(t, dir, Options{SegmentSize: 64 << 10})
	defer closeLog(t, l)
	if len(got) != 2 || got[1].Serial != late.Serial || len(damage) > 0 {
		t.Errorf("%d letters of 2, %v", len(got), damage)
	}
}
