package segment

import (
	"context"
	"os"
	"testing"
)

// A mark may lie within a record: some of its recipients are in the index, those
// of another shard are not. Replay goes on behind it as behind any other. It once
// took the record for a torn write, and what was acknowledged after it for
// nothing: the next letters were written over that.
func TestReplayFromAMarkWithinARecordKeepsWhatFollows(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{})
	shared := record(1, "p")
	shared.Recipients = append(shared.Recipients, record(2, "q").Recipients[0], record(3, "r").Recipients[0])
	big := record(4, "s")
	// One flush has both, so nothing behind the first says that it was flushed.
	if err := l.Append(context.Background(), Letter{shared, body("for three")}, Letter{big, body(bodyOf(BigBody+1, 1))}); err != nil {
		t.Fatal(err)
	}
	end, next := l.end, l.serial
	closeLog(t, l)

	for i := range shared.Recipients {
		l, err := Open(dir, dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		damage, err := l.Replay(Mark{shared.At, shared.Serial + uint64(i)}, Mark{end, next}, func(group []*Record) error {
			for _, r := range group {
				got = append(got, r.Serial)
			}
			return nil
		})
		if err != nil || len(damage) > 0 || len(got) != 2 {
			t.Errorf("from recipient %d: records %v, damage %v, %v; want both", i, got, damage, err)
		}
		if at, serial := l.End(); at != end || serial != next {
			t.Errorf("from recipient %d: the log ends at %v with serial %d, want %v and %d", i, at, serial, end, next)
		}
		if text := readBack(t, l, big); text != bodyOf(BigBody+1, 1) {
			t.Errorf("from recipient %d: the big body came back as %d other octets", i, len(text))
		}
		closeLog(t, l)
	}
}

// A tail that an index has rows of is never taken for a torn write: it is told as
// damage, nothing is written over it, and no serial is given again.
func TestTailThatAnIndexKnowsIsNotWrittenOver(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20})
	first, hit := add(t, l, "first"), add(t, l, bodyOf(5000, 2))
	flushed := Mark{l.end, l.serial}
	name := activeFile(t, l)
	closeLog(t, l)
	patch(t, name, int64(hit.At.Offset)+100, func(b []byte) { b[0] ^= 4 })

	l, err := Open(dir, dir, Options{SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	damage, err := l.Replay(Mark{}, flushed, func([]*Record) error { return nil })
	if err != nil || len(damage) != 1 || damage[0].From != hit.At {
		t.Fatalf("damage %v, %v, want the record at %v", damage, err, hit.At)
	}
	next := add(t, l, "next")
	if next.At.Segment != hit.At.Segment+1 || next.Serial != hit.Serial+1 {
		t.Errorf("the next record has serial %d and lies at %v, want %d and another segment than %v", next.Serial, next.At, hit.Serial+1, hit.At)
	}
	closeLog(t, l)
	l, got, damage := openLog(t, dir, Options{})
	defer closeLog(t, l)
	if len(got) != 2 || got[0].At != first.At || got[1].At != next.At || len(damage) != 1 {
		t.Errorf("opened again: %d records, damage %v", len(got), damage)
	}
}

// A whole segment that is lost leaves its number and its serials alone, too.
func TestLostSegmentIsNotMadeAnew(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{})
	first := add(t, l, "first")
	if err := l.Roll(context.Background()); err != nil {
		t.Fatal(err)
	}
	lost := add(t, l, "lost")
	flushed := Mark{l.end, l.serial}
	name := activeFile(t, l)
	closeLog(t, l)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLog(t, l)
	damage, err := l.Replay(Mark{}, flushed, func([]*Record) error { return nil })
	if err != nil || len(damage) != 1 {
		t.Errorf("damage %v, %v, want what was lost", damage, err)
	}
	if next := add(t, l, "next"); next.At.Segment != lost.At.Segment+1 || next.Serial != lost.Serial+1 {
		t.Errorf("the next record has serial %d and lies at %v, want %d, and not in segment %d", next.Serial, next.At, lost.Serial+1, lost.At.Segment)
	}
	if text := readBack(t, l, first); text != "first" {
		t.Errorf("what was not lost reads %q", text)
	}
}

// The big body of a torn group goes, and its name is given to the next one: whoever
// reads that one gets its own octets.
func TestBigBodyThatTakesTheNameOfATornOneIsReadAsItself(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{})
	torn, tail := record(1, "p"), record(1, "q")
	if err := l.Append(context.Background(), Letter{torn, body(bodyOf(BigBody+1, 1))}, Letter{tail, body("tail")}); err != nil {
		t.Fatal(err)
	}
	name := activeFile(t, l)
	closeLog(t, l)
	patch(t, name, int64(tail.At.Offset), func(b []byte) { clear(b) })

	l, got, damage := openLog(t, dir, Options{})
	defer closeLog(t, l)
	if len(got)+len(damage) > 0 {
		t.Fatalf("a torn group is there: %d records, damage %v", len(got), damage)
	}
	next := record(2, "p")
	if err := l.Append(context.Background(), Letter{next, body(bodyOf(BigBody+1, 2))}); err != nil {
		t.Fatal(err)
	}
	if next.Big != torn.Big {
		t.Fatalf("the file of the body is %d, want %d", next.Big, torn.Big)
	}
	if text := readBack(t, l, next); text != bodyOf(BigBody+1, 2) {
		t.Errorf("it came back as %d other octets", len(text))
	}
}
