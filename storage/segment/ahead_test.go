package segment

import (
	"letterlock/storage/disk"
	"os"
	"sync"
	"syscall"
	"testing"
)

// surveyed is a disk that knows which octets of its files were written, and how
// many writes went to where nothing had been.
type surveyed struct {
	disk.OS
	mu    sync.Mutex // guards all below
	upTo  int64      // of the file that was made last
	fresh int        // writes beyond that
	all   int
}

func (s *surveyed) Create(name string) (disk.File, error) {
	f, err := s.OS.Create(name)
	s.mu.Lock()
	s.upTo = 0
	s.mu.Unlock()
	return surveyedFile{f, s}, err
}

type surveyedFile struct {
	disk.File
	of *surveyed
}

func (f surveyedFile) WriteAt(b []byte, off int64) (int, error) {
	f.of.mu.Lock()
	f.of.all++
	if end := off + int64(len(b)); end > f.of.upTo {
		f.of.fresh++
		f.of.upTo = end
	}
	f.of.mu.Unlock()
	return f.File.WriteAt(b, off)
}

// Nearly every small letter is flushed into blocks that were written before, no
// octet goes behind the end of a segment, and the log is found again whole.
func TestBlocksAreWrittenAheadOfSmallLetters(t *testing.T) {
	dir, disk := t.TempDir(), &surveyed{}
	opt := Options{SegmentSize: 1 << 20, Files: disk}
	l, _, _ := openLog(t, dir, opt)
	var sent []*Record
	for l.end.Segment < 3 {
		sent = append(sent, add(t, l, bodyOf(5000, byte(len(sent)))))
		if disk.upTo > opt.SegmentSize {
			t.Fatalf("octet %d of a segment of %d was written", disk.upTo, opt.SegmentSize)
		}
	}
	if disk.fresh*10 > disk.all {
		t.Errorf("%d of %d writes went to blocks that held nothing", disk.fresh, disk.all)
	}
	end := l.end
	closeLog(t, l)
	l, got, damage := openLog(t, dir, opt)
	defer closeLog(t, l)
	if len(got) != len(sent) || len(damage) > 0 || l.end != end {
		t.Fatalf("found %d of %d records, damage %v, the end at %v, want %v", len(got), len(sent), damage, l.end, end)
	}
	after := add(t, l, "after") // in the midst of zeros
	for i, r := range append(sent, after) {
		want := bodyOf(5000, byte(i))
		if r == after {
			want = "after"
		}
		if text := readBack(t, l, r); text != want {
			t.Fatalf("record %d has %d octets that differ", i, len(text))
		}
	}
}

// A big letter is written once: nothing goes behind it that it would have to
// wait for.
func TestNothingIsWrittenBehindBigLetters(t *testing.T) {
	disk := &surveyed{}
	l, _, _ := openLog(t, t.TempDir(), Options{SegmentSize: 4 << 20, Files: disk})
	defer closeLog(t, l)
	for range 5 {
		add(t, l, bodyOf(300<<10, 1))
		if disk.upTo != int64(l.end.Offset) {
			t.Fatalf("written up to %d, the log ends at %d", disk.upTo, l.end.Offset)
		}
	}
}

// unreserved is a disk that reserves nothing, as ZFS and NFS do, and has room for
// so many octets of each file.
type unreserved struct {
	disk.OS
	room int64
}

func (u unreserved) Create(name string) (disk.File, error) {
	f, err := u.OS.Create(name)
	return unreservedFile{f, u.room}, err
}

type unreservedFile struct {
	disk.File
	room int64
}

func (f unreservedFile) Allocate(int64) error { return nil }

func (f unreservedFile) WriteAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.room {
		n, _ := f.File.WriteAt(b[:max(0, f.room-off)], off)
		return n, &os.PathError{Op: "write", Path: "segment", Err: syscall.ENOSPC}
	}
	return f.File.WriteAt(b, off)
}

// No letter is refused for zeros that find no room.
func TestNothingIsWrittenAheadWhereNothingIsReserved(t *testing.T) {
	l, _, _ := openLog(t, t.TempDir(), Options{SegmentSize: 4 << 20, Files: unreserved{room: 128 << 10}})
	defer closeLog(t, l)
	for range 10 {
		add(t, l, bodyOf(5000, 1))
	}
	if l.end.Segment != 1 {
		t.Errorf("the first segment was given up: the log ends at %v", l.end)
	}
}
