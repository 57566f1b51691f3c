package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/disk"
)

type octets struct{ *bytes.Reader }

func body(s string) mail.Body { return octets{bytes.NewReader([]byte(s))} }

func bodyOf(n int, salt byte) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7) ^ byte(i>>8) ^ salt
	}
	return string(b)
}

func record(account uint64, prefix string) *Record {
	return &Record{
		Kind:     Delivered,
		Envelope: mail.Envelope{ID: "id", From: mail.Address{Local: "a", Domain: "b"}, Demand: requiretls.Required(), Received: time.UnixMicro(1e15).UTC(), Protocol: "LMTPS", TLSVersion: 0x304, TLSCipher: 0x1301, Peer: "192.0.2.1"},
		Recipients: []Recipient{{Account: account, EmailID: 7, Rcpt: mail.Address{Local: "x", Domain: "y"}, Date: time.UnixMicro(2e15).UTC(), Prefix: []byte(prefix),
			Copies: []Copy{{Mailbox: 3, Name: "Lists", Flags: 1, Keywords: []string{"$Junk"}}}}},
		Summary: []byte("summary"),
	}
}

// openLog opens and replays a log; got is what it replayed.
func openLog(t testing.TB, dir string, opt Options) (l *Log, got []*Record, damage []Damage) {
	t.Helper()
	l, err := Open(dir, dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	damage, err = l.Replay(Mark{}, Mark{}, func(group []*Record) error {
		got = append(got, group...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, got, damage
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func add(t testing.TB, l *Log, text string) *Record {
	t.Helper()
	r := record(1, "Delivered-To: x\r\n")
	if err := l.Append(context.Background(), Letter{r, body(text)}); err != nil {
		t.Fatal(err)
	}
	return r
}

func readBack(t testing.TB, l *Log, r *Record) string {
	t.Helper()
	s, err := l.Open(r.At)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRecordKeepsTheDemandAndAllElse(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20})
	want := add(t, l, bodyOf(150000, 1))
	closeLog(t, l)
	l, got, _ := openLog(t, dir, Options{})
	defer closeLog(t, l)
	if len(got) != 1 {
		t.Fatalf("%d records, want 1", len(got))
	}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
	}
	if text := readBack(t, l, want); text != bodyOf(150000, 1) {
		t.Errorf("the body came back as %d other octets", len(text))
	}
	s, err := l.Open(want.At)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Demand().IsRequired() {
		t.Errorf("demand %v", s.Demand())
	}
	rc := &want.Recipients[0]
	p, err := s.Prefix(rc.PrefixAt, uint32(len(rc.Prefix)), Checksum(rc.Prefix))
	if err != nil || !bytes.Equal(p, rc.Prefix) {
		t.Errorf("prefix %q, %v", p, err)
	}
	b := make([]byte, 100)
	for _, off := range []int64{0, 1, BlockSize - 50, 2*BlockSize - 1, 149900} {
		if _, err := s.ReadAt(b, off); err != nil || string(b) != bodyOf(150000, 1)[off:off+100] {
			t.Errorf("at %d: %v", off, err)
		}
	}
	if n, err := s.ReadAt(b, 149990); n != 10 || err != io.EOF {
		t.Errorf("over the end: %d, %v", n, err)
	}
}

func TestManyWritersAcrossSegmentsAreReplayedInOrder(t *testing.T) {
	dir := t.TempDir()
	var told []uint64
	l, _, _ := openLog(t, dir, Options{SegmentSize: 64 << 10, Durable: func(g []*Record) {
		for _, r := range g {
			told = append(told, r.Serial)
		}
	}})
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 20 {
				n := 1 + i%3
				var group []Letter
				for range n {
					group = append(group, Letter{record(uint64(w), "p"), body(bodyOf(1000*i, byte(w)))})
				}
				if err := l.Append(context.Background(), group...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	closeLog(t, l)
	l, got, damage := openLog(t, dir, Options{})
	defer closeLog(t, l)
	if len(damage) > 0 || len(got) != len(told) || len(l.Segments()) < 5 {
		t.Fatalf("%d records of %d, %d segments, damage %v", len(got), len(told), len(l.Segments()), damage)
	}
	for i, r := range got {
		if r.Serial != told[i] || r.Serial != uint64(i+1) {
			t.Fatalf("record %d has serial %d, told as %d", i, r.Serial, told[i])
		}
	}
}

// activeFile is the newest segment.
func activeFile(t *testing.T, l *Log) string {
	t.Helper()
	all := l.Segments()
	return all[len(all)-1].Name
}

func patch(t *testing.T, name string, at int64, change func([]byte)) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 64)
	if _, err := f.ReadAt(b, at); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	change(b)
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func TestTornTailIsPassedOverAndWrittenOver(t *testing.T) {
	for name, where := range map[string]func(r *Record) int64{
		"header": func(r *Record) int64 { return int64(r.At.Offset) + 20 },
		"meta":   func(r *Record) int64 { return int64(r.At.Offset) + headerSize + 10 },
		"body":   func(r *Record) int64 { return int64(r.At.Offset) + r.Size - 80 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20})
			add(t, l, bodyOf(5000, 1))
			// One group of two: its flush never returned, and its first half is torn.
			a, b := record(1, ""), record(2, "")
			if err := l.Append(context.Background(), Letter{a, body(bodyOf(3000, 2))}, Letter{b, body(bodyOf(3000, 3))}); err != nil {
				t.Fatal(err)
			}
			closeLog(t, l)
			patch(t, activeFile(t, l), where(a), func(b []byte) { b[0] ^= 1 })

			l, got, damage := openLog(t, dir, Options{})
			if len(got) != 1 || len(damage) != 0 {
				t.Fatalf("%d records, damage %v", len(got), damage)
			}
			// A record of the very same length must not bring the second half back.
			c := record(3, "")
			if err := l.Append(context.Background(), Letter{c, body(bodyOf(3000, 4))}); err != nil {
				t.Fatal(err)
			}
			if c.At != a.At || c.Size != a.Size {
				t.Fatalf("written at %v with %d octets, want %v and %d", c.At, c.Size, a.At, a.Size)
			}
			closeLog(t, l)
			l, got, damage = openLog(t, dir, Options{})
			defer closeLog(t, l)
			if len(got) != 2 || got[1].Recipients[0].Account != 3 || len(damage) != 0 {
				t.Errorf("%d records, damage %v: octets of an earlier write came back", len(got), damage)
			}
		})
	}
}

func TestDamageBeforeTheLastFlushIsToldAndPassed(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20})
	first := add(t, l, bodyOf(5000, 1))
	hit := add(t, l, bodyOf(5000, 2))
	last := add(t, l, bodyOf(5000, 3))
	closeLog(t, l)
	patch(t, activeFile(t, l), int64(hit.At.Offset)+hit.Size-100, func(b []byte) { b[0] ^= 4 })
	l, got, damage := openLog(t, dir, Options{})
	defer closeLog(t, l)
	if len(got) != 2 || got[0].Serial != first.Serial || got[1].Serial != last.Serial {
		t.Errorf("%d records replayed", len(got))
	}
	if len(damage) != 1 || damage[0].From != hit.At || damage[0].To != last.At {
		t.Errorf("damage %v, want the record at %v", damage, hit.At)
	}
}

func TestBitFlipIsNeverServed(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20})
	defer closeLog(t, l)
	r := add(t, l, bodyOf(200000, 1))
	start := int64(r.At.Offset) + r.Size - 200000
	patch(t, activeFile(t, l), start&^7+BlockSize+5000, func(b []byte) { b[0] ^= 1 })
	s, err := l.Open(r.At)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := make([]byte, 100)
	if _, err := s.ReadAt(b, 10); err != nil {
		t.Errorf("a block that is whole: %v", err)
	}
	for _, size := range []int{100, BlockSize} {
		if n, err := s.ReadAt(make([]byte, size), BlockSize); !errors.Is(err, ErrDamaged) || n != 0 {
			t.Errorf("%d octets of a damaged block: %d of them, %v", size, n, err)
		}
	}
	patch(t, activeFile(t, l), int64(r.At.Offset), func(b []byte) { b[7] = 1 })
	if s, err := l.Open(r.At); !errors.Is(err, ErrDamaged) {
		t.Errorf("a header with another demand was opened: %v, %v", s, err)
	}
}

func TestBigBodyIsRenamedIntoTheLog(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20})
	text := bodyOf(3<<20+17, 1)
	sp, err := l.Spool()
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(text); i += 1000 {
		if _, err := io.WriteString(sp, text[i:min(i+1000, len(text))]); err != nil {
			t.Fatal(err)
		}
	}
	a, b := record(1, ""), record(2, "")
	if err := l.Append(context.Background(), Letter{a, sp}); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(context.Background(), Letter{b, body(text)}); err != nil { // not a spool: copied into one
		t.Fatal(err)
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := l.Spool() // abandoned: its letter never came whole
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	orphan := filepath.Join(dir, fmt.Sprintf("%016x.big", 99))
	if err := os.WriteFile(orphan, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, got, _ := openLog(t, dir, Options{})
	defer closeLog(t, l)
	if len(got) != 2 || readBack(t, l, got[0]) != text || readBack(t, l, got[1]) != text {
		t.Errorf("%d records", len(got))
	}
	if _, err := os.Stat(orphan); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a body without a record was kept: %v", err)
	}
	spools, err := filepath.Glob(filepath.Join(dir, "*.spool"))
	if err != nil || len(spools) != 0 {
		t.Errorf("spool files left: %v, %v", spools, err)
	}
}

// faulty is a disk that fails on order.
type faulty struct {
	disk.OS
	sync, write, allocate atomic.Pointer[error]
	failSegments          atomic.Pointer[error] // fdatasync of segments alone
}

func (f *faulty) Create(name string) (disk.File, error) { return f.wrap(name)(f.OS.Create(name)) }
func (f *faulty) Open(name string) (disk.File, error)   { return f.wrap(name)(f.OS.Open(name)) }

func (f *faulty) wrap(name string) func(disk.File, error) (disk.File, error) {
	return func(file disk.File, err error) (disk.File, error) {
		if err != nil {
			return nil, err
		}
		return &faultyFile{file, f, strings.HasSuffix(name, ".seg")}, nil
	}
}

type faultyFile struct {
	disk.File
	disk    *faulty
	segment bool
}

func fault(p *atomic.Pointer[error]) error {
	if e := p.Load(); e != nil {
		return *e
	}
	return nil
}

func (f *faultyFile) Datasync() error {
	if err := fault(&f.disk.sync); err != nil {
		return err
	}
	if err := fault(&f.disk.failSegments); err != nil && f.segment {
		return err
	}
	return f.File.Datasync()
}

func (f *faultyFile) Allocate(n int64) error {
	if err := fault(&f.disk.allocate); err != nil {
		return err
	}
	return f.File.Allocate(n)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if err := fault(&f.disk.write); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func TestFailedFlushGivesTheSegmentUp(t *testing.T) {
	for name, point := range map[string]func(*faulty) *atomic.Pointer[error]{
		"fdatasync":   func(f *faulty) *atomic.Pointer[error] { return &f.sync },
		"short write": func(f *faulty) *atomic.Pointer[error] { return &f.write },
	} {
		t.Run(name, func(t *testing.T) {
			disk, dir := &faulty{}, t.TempDir()
			l, _, _ := openLog(t, dir, Options{Files: disk, SegmentSize: 1 << 20})
			good := add(t, l, bodyOf(3000, 1))
			eio := error(syscall.EIO)
			point(disk).Store(&eio)
			for range 2 { // the second finds no new segment either
				err := l.Append(context.Background(), Letter{record(1, ""), body(bodyOf(3000, 2))})
				if !errors.Is(err, ErrUnwritten) || !errors.Is(err, syscall.EIO) {
					t.Fatalf("append on a broken disk: %v", err)
				}
			}
			point(disk).Store(nil)
			again := add(t, l, bodyOf(3000, 3))
			if again.At.Segment <= good.At.Segment {
				t.Errorf("the segment whose flush failed took another record at %v", again.At)
			}
			if readBack(t, l, good) != bodyOf(3000, 1) {
				t.Error("what was acknowledged before is lost")
			}
			closeLog(t, l)
			l, got, damage := openLog(t, dir, Options{})
			defer closeLog(t, l)
			if len(got) != 2 || got[0].At != good.At || got[1].At != again.At || len(damage) != 0 {
				t.Errorf("%d records after the next open, damage %v: a refused one must not come back", len(got), damage)
			}
		})
	}
}

// A record whose flush failed may lie whole on the disk, and as long as no
// successor says where its segment ends, a crash reads it: its body has to be
// there then.
func TestRefusedBigRecordIsNeverReadWithoutItsBody(t *testing.T) {
	disk, dir := &faulty{}, t.TempDir()
	l, _, _ := openLog(t, dir, Options{Files: disk, SegmentSize: 1 << 20})
	defer closeLog(t, l)
	add(t, l, bodyOf(3000, 1))
	text := bodyOf(BigBody+1000, 2)
	eio := error(syscall.EIO)
	disk.failSegments.Store(&eio)
	if err := l.Append(context.Background(), Letter{record(1, ""), body(text)}); !errors.Is(err, ErrUnwritten) {
		t.Fatalf("append on a broken disk: %v", err)
	}
	crashed := filepath.Join(t.TempDir(), "crashed")
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	disk.failSegments.Store(nil)
	after, got, damage := openLog(t, crashed, Options{})
	defer closeLog(t, after)
	if len(damage) != 0 {
		t.Errorf("damage %v", damage)
	}
	for _, r := range got {
		if n := len(readBack(t, after, r)); n != 3000 && n != len(text) {
			t.Errorf("a record of %d octets", n)
		}
	}
}

func TestFullDiskRefusesAndRecovers(t *testing.T) {
	small, dir := &faulty{}, t.TempDir()
	l, _, _ := openLog(t, dir, Options{Files: small, SegmentSize: 64 << 10})
	defer closeLog(t, l)
	add(t, l, bodyOf(50000, 1))
	full := error(syscall.ENOSPC)
	small.allocate.Store(&full)
	add(t, l, bodyOf(1000, 2)) // there is room in the segment
	err := l.Append(context.Background(), Letter{record(1, ""), body(bodyOf(50000, 3))})
	if !errors.Is(err, ErrUnwritten) || !disk.NoSpace(err) {
		t.Errorf("append on a full disk: %v", err)
	}
	small.allocate.Store(nil)
	add(t, l, bodyOf(50000, 4))
}

func TestClosedLogTakesNothing(t *testing.T) {
	l, _, _ := openLog(t, t.TempDir(), Options{SegmentSize: 1 << 20})
	closeLog(t, l)
	if err := l.Append(context.Background(), Letter{record(1, ""), body("x")}); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
}

// FuzzReplay damages a log anywhere: it may lose records, and must never
// invent or change one.
func FuzzReplay(f *testing.F) {
	dir := f.TempDir()
	l, _, _ := openLog(f, dir, Options{SegmentSize: 32 << 10})
	var want []*Record
	for i := range 6 {
		want = append(want, add(f, l, bodyOf(500*i, byte(i))))
	}
	name := l.Segments()[0].Name
	closeLog(f, l)
	whole, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(segmentHeader+3), byte(1), uint16(segmentHeader+700), byte(0xff))
	f.Fuzz(func(t *testing.T, at1 uint16, x1 byte, at2 uint16, x2 byte) {
		dir := t.TempDir()
		b := bytes.Clone(whole)
		b[int(at1)%len(b)] ^= x1
		b[int(at2)%len(b)] ^= x2
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, got, _ := openLog(t, dir, Options{SegmentSize: 32 << 10})
		defer closeLog(t, l)
		for _, r := range got {
			if i := int(r.Serial) - 1; i >= len(want) || !reflect.DeepEqual(r, want[i]) {
				t.Errorf("record %d became %+v", i, r)
			}
		}
	})
}
