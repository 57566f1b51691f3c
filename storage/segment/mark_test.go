package segment

import (
	"context"
	"os"
	"path/filepath"
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
		damage, err := l.Replay(Mark{At: shared.At, Serial: shared.Serial + uint64(i)}, Mark{At: end, Serial: next}, func(group []*Record) error {
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
	flushed := Mark{At: l.end, Serial: l.serial}
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
	flushed := Mark{At: l.end, Serial: l.serial}
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

// several is a letter in three forms of 2, 3 and 1 recipients: one group.
func several() (letters []Letter, records []*Record) {
	for i, n := range []int{2, 3, 1} {
		r := record(uint64(i), "p")
		for len(r.Recipients) < n {
			r.Recipients = append(r.Recipients, record(uint64(10*len(r.Recipients)), "q").Recipients[0])
		}
		r.Kind = Several
		letters, records = append(letters, Letter{r, body(bodyOf(9000, byte(i)))}), append(records, r)
	}
	return letters, records
}

// The forms of a letter are one group: cut short anywhere, nothing of it is there.
func TestGroupIsThereWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20})
	before := add(t, l, "before")
	letters, records := several()
	if err := l.Append(context.Background(), letters...); err != nil {
		t.Fatal(err)
	}
	end, name := l.end, activeFile(t, l)
	closeLog(t, l)
	octets, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var cuts []uint64
	for _, r := range records {
		cuts = append(cuts, r.At.Offset, r.At.Offset+1, r.At.Offset+headerSize, r.At.Offset+uint64(r.Size)/2, r.At.Offset+uint64(r.Size)-align)
	}
	for _, cut := range append(cuts, end.Offset) {
		image := t.TempDir()
		torn := append([]byte(nil), octets...)
		clear(torn[cut:])
		if err := os.WriteFile(filepath.Join(image, filepath.Base(name)), torn, 0o600); err != nil {
			t.Fatal(err)
		}
		l, got, damage := openLog(t, image, Options{SegmentSize: 1 << 20})
		want := 1
		if cut == end.Offset {
			want = 4
		}
		if len(got) != want || got[0].At != before.At || len(damage) > 0 {
			t.Errorf("cut at %d of %d: %d records, damage %v, want %d", cut, end.Offset, len(got), damage, want)
		}
		next := add(t, l, "next")
		if want == 1 && (next.At != records[0].At || next.Serial != records[0].Serial) {
			t.Errorf("cut at %d: the next record has serial %d and lies at %v, want those of the torn group", cut, next.Serial, next.At)
		}
		closeLog(t, l)
	}
}

// A mark may lie anywhere in a group of several records. Replay hands all of it
// over and goes on behind it; where the group was damaged since, that is told, and
// neither its octets nor its serials are used again.
func TestReplayFromEveryMarkWithinAGroup(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20})
	add(t, l, "before")
	letters, records := several()
	if err := l.Append(context.Background(), letters...); err != nil {
		t.Fatal(err)
	}
	end, name := Mark{At: l.end, Serial: l.serial}, activeFile(t, l)
	closeLog(t, l)
	octets, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	start := records[0].At
	for serial := records[0].Serial + 1; serial < end.Serial; serial++ {
		for rotten := -1; rotten < len(records); rotten++ {
			image := t.TempDir()
			now := append([]byte(nil), octets...)
			if rotten >= 0 {
				now[records[rotten].At.Offset+uint64(8*(serial%20))] ^= 1 // the header, or what is behind it
			}
			if err := os.WriteFile(filepath.Join(image, filepath.Base(name)), now, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Open(image, image, Options{SegmentSize: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			mark, got := Within(start, serial, end), 0
			damage, err := l.Replay(mark, mark.Flushed(), func(group []*Record) error {
				got += len(group)
				return nil
			})
			at, next := l.End()
			switch {
			case rotten < 0 && (err != nil || len(damage) > 0 || got != 3 || at != end.At || next != end.Serial):
				t.Errorf("from serial %d: %d records, damage %v, %v, the end at %v and %d; want 3 and %+v", serial, got, damage, err, at, next, end)
			case rotten >= 0 && (err != nil || len(damage) != 1 || got != 0 || at.Before(end.At) || next < end.Serial):
				t.Errorf("from serial %d, record %d rotten: %d records, damage %v, %v, the end at %v and %d; want none, and behind %+v", serial, rotten, got, damage, err, at, next, end)
			}
			closeLog(t, l)
		}
	}
}
