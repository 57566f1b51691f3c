package segment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What version 1 wrote (testdata/v1: a raw record, a compressed one that was
// moved, an empty one) is read, and written behind, for ever.
func TestLogOfVersion1IsReadAndGoesOn(t *testing.T) {
	dir := t.TempDir()
	const name = "000000000001.seg"
	b, err := os.ReadFile(filepath.Join("testdata", "v1", name))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	l, got, damage := openLog(t, dir, Options{SegmentSize: 16 << 10, Keys: openKeys(t, keyFile(t))})
	if len(got) != 3 || len(damage) != 0 {
		t.Fatalf("%d records, want 3, damage %v", len(got), damage)
	}
	const line = "what version 1 has written\r\n"
	for i, want := range []string{strings.Repeat(line, 100), strings.Repeat(line, 6000), ""} {
		if text := readBack(t, l, got[i]); text != want {
			t.Errorf("body %d: %d other octets", i, len(text))
		}
		if !got[i].Envelope.Demand.IsRequired() {
			t.Errorf("record %d lost its demand", i)
		}
	}
	if rc := got[1].Recipients[0]; got[1].Kind != Moved || string(rc.More) != "more" || string(rc.Prefix) != "Delivered-To: y\r\n" {
		t.Errorf("record 1: %+v", got[1])
	}
	moved := move(t, l, got[0])
	closeLog(t, l)
	if moved.Serial != 4 {
		t.Errorf("serial %d behind three recipients", moved.Serial)
	}
}

func TestRolledSegmentIsSealedAndTheNextOneTakesOver(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{SegmentSize: 64 << 10})
	ctx := context.Background()
	if err := l.Roll(ctx); err != nil || len(l.Segments()) != 0 {
		t.Errorf("an empty log: %d segments, %v", len(l.Segments()), err)
	}
	first := add(t, l, "one")
	for range 2 { // the second finds nothing in the new one
		if err := l.Roll(ctx); err != nil {
			t.Fatal(err)
		}
		if s := l.Sealed(); len(s) != 1 || s[0].Number != first.At.Segment {
			t.Errorf("sealed: %+v", s)
		}
	}
	second := add(t, l, "two")
	if second.At.Segment != first.At.Segment+1 {
		t.Errorf("written at %v", second.At)
	}
	closeLog(t, l)
	if err := l.Roll(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	l, got, damage := openLog(t, dir, Options{})
	defer closeLog(t, l)
	if len(got) != 2 || len(damage) != 0 {
		t.Errorf("%d records, damage %v", len(got), damage)
	}
}

func TestAppenderWaitsForACrowdAndNotForThoseWhoStayAway(t *testing.T) {
	var c crowd
	meets := func(here int, flush time.Duration) {
		c.came(here)
		c.served(here, 0, flush)
	}
	for range 20 {
		meets(8, 8*time.Millisecond)
	}
	if !c.expects(4) || c.patience != mostPatience {
		t.Errorf("patience %v with eight who always come to a slow disk", c.patience)
	}
	if c.expects(8) || c.expects(0) {
		t.Error("it waits for nobody")
	}
	c.due = 8
	for range 20 {
		c.came(1)
	}
	if c.expects(1) {
		t.Errorf("patience %v with those who stayed away", c.patience)
	}
	c.came(4) // half of them: they may be taking turns
	if !c.expects(4) {
		t.Error("it never tries again")
	}
	for range 20 {
		meets(4, 300*time.Microsecond)
	}
	if c.due = 8; c.expects(4) {
		t.Errorf("patience %v where a flush is over at once", c.patience)
	}
}
