package segment

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"letterlock/internal/mail"
	"letterlock/storage/disk"
	"letterlock/storage/seal"
)

// Options of a log; the zero value is the documented default.
type Options struct {
	Files       disk.Files // default [disk.OS]
	SegmentSize int64      // octets of one segment; default 64 MiB
	Handles     int        // files kept open for reading; default 128
	Log         *slog.Logger
	// Keys seal what is written and open what was sealed. Without them records
	// are written in clear, and those that are sealed cannot be read:
	// seal.ErrNoKey.
	Keys *seal.Keys
	// Durable is told of each group of records after its flush and before
	// whoever waits for it, in the order of the log. It may block: that slows
	// the log.
	Durable func([]*Record)
}

// BigBody is the size in octets above which a body is a file of its own.
const BigBody = 1 << 20

const (
	defaultSegment = 64 << 20
	maxSegment     = 1 << 30
	segmentHeader  = 4096
	segmentMagic   = "LLseg1\n\x00"
)

var (
	ErrClosed = errors.New("the log is closed")
	// ErrUnwritten says that the record is not in the log: no space, an I/O
	// error, or a segment that was given up and has no successor yet.
	ErrUnwritten = errors.New("the log cannot be written")
	// ErrGone says that a segment was collected: its living records lie
	// elsewhere now.
	ErrGone = errors.New("the segment is gone")
)

// Log is the segments of one folder, and the appender that writes them.
type Log struct {
	dir, tmp string
	opt      Options
	queue    chan *group
	rolls    chan chan error // of those who wait for a new segment
	closing  chan struct{}
	done     chan struct{}
	once     sync.Once
	handles  handles

	mu       sync.Mutex         // guards segments, keepers, leaving
	segments map[uint64]Segment // by number
	keepers  int                // who need the files of big bodies as they are
	leaving  []uint64           // big bodies to be removed when they are done

	// The appender's own, once Start has run.
	active   disk.File
	end      Pos    // where the next record goes; durable up to here
	size     uint64 // of the active segment
	reserved uint64 // of that, on the disk
	written  uint64 // up to where its blocks hold octets, records or zeros
	serial   uint64 // of the next record
	epoch    uint64
	opens    bool // the next record is the first of its epoch
	scratch  []byte
	pieces   [][]byte
	crowd    crowd
}

// Segment is one file of the log.
type Segment struct {
	Number  uint64
	Name    string // path
	Size    int64  // octets of the file
	Created time.Time
	serial  uint64 // of its first record
	epoch   uint64
	prev    Pos // where its predecessor ends
}

// Open looks at the segments in dir; tmp lies on the same file system. Nothing
// can be appended before [Log.Replay] has found the end.
func Open(dir, tmp string, opt Options) (*Log, error) {
	if opt.Files == nil {
		opt.Files = disk.OS{}
	}
	if opt.SegmentSize == 0 {
		opt.SegmentSize = defaultSegment
	}
	if opt.Handles == 0 {
		opt.Handles = 128
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	l := &Log{
		dir: dir, tmp: tmp, opt: opt,
		queue:   make(chan *group, maxGroups),
		rolls:   make(chan chan error),
		closing: make(chan struct{}), done: make(chan struct{}),
		segments: make(map[uint64]Segment),
	}
	l.handles.init(opt.Files, opt.Handles)
	if err := l.list(); err != nil {
		return nil, fmt.Errorf("segments in %s: %w", dir, err)
	}
	return l, nil
}

// list reads the header of every segment. The newest may lack one: its
// creation was cut short, and nothing was ever written to it. One with records
// is never taken for that.
func (l *Log) list() error {
	names, err := filepath.Glob(filepath.Join(l.dir, "*.seg"))
	if err != nil {
		return err
	}
	slices.Sort(names)
	for i, name := range names {
		s, err := l.readSegment(name)
		if errors.Is(err, ErrDamaged) && i == len(names)-1 {
			begun, err := l.begun(name)
			if err != nil {
				return err
			}
			if !begun {
				l.opt.Log.Warn("removed a segment that was never begun", "file", name)
				if err := l.opt.Files.Remove(name); err != nil {
					return err
				}
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		l.segments[s.Number] = s
	}
	return nil
}

// begun says whether a file holds a record of the segment that its name says.
func (l *Log) begun(name string) (bool, error) {
	number, ok := NumberOf(filepath.Base(name))
	if !ok {
		return true, nil // whatever it is, it is not ours to remove
	}
	f, err := l.opt.Files.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := os.Stat(name)
	if err != nil {
		return false, err
	}
	s := scanner{log: l, at: Pos{number, segmentHeader - align}}
	_, found, err := s.resync(f, uint64(st.Size()), true)
	return found, err
}

func (l *Log) readSegment(name string) (Segment, error) {
	f, err := l.opt.Files.Open(name)
	if err != nil {
		return Segment{}, err
	}
	defer f.Close()
	st, err := os.Stat(name)
	if err != nil {
		return Segment{}, err
	}
	b := make([]byte, segmentHeader)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return Segment{}, err
	}
	s, err := readSegmentHeader(b)
	s.Name, s.Size = name, st.Size()
	if err == nil && name != l.segmentName(s.Number) {
		err = fmt.Errorf("holds segment %d: %w", s.Number, ErrDamaged)
	}
	return s, err
}

func (l *Log) segmentName(number uint64) string {
	return filepath.Join(l.dir, fmt.Sprintf("%012d.seg", number))
}

// NumberOf is the number of the segment that has a file of that name, without its
// folder.
func NumberOf(name string) (number uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, ".seg")
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil
}

// The header of a segment: magic(8) number(8) epoch(8) first serial(8)
// predecessor(8) its end(8) created(8) crc(4), little-endian, and the same again
// at secondHeader, since nothing of a segment is found without it; zeros up to
// 4096.
func (s *Segment) header() []byte {
	le, b := binary.LittleEndian, make([]byte, segmentHeader)
	copy(b, segmentMagic)
	for i, n := range []uint64{s.Number, s.epoch, s.serial, s.prev.Segment, s.prev.Offset, uint64(s.Created.UnixMicro())} {
		le.PutUint64(b[8+8*i:], n)
	}
	le.PutUint32(b[56:], Checksum(b[:56]))
	copy(b[secondHeader:], b[:60])
	return b
}

// secondHeader lies in another sector. Segments of older versions have zeros there.
const secondHeader = segmentHeader / 2

func readSegmentHeader(b []byte) (Segment, error) {
	le := binary.LittleEndian
	whole := func() bool { return string(b[:8]) == segmentMagic && le.Uint32(b[56:]) == Checksum(b[:56]) }
	if !whole() {
		b = b[secondHeader:]
	}
	if !whole() {
		return Segment{}, fmt.Errorf("segment header: %w", ErrDamaged)
	}
	return Segment{
		Number: le.Uint64(b[8:]), epoch: le.Uint64(b[16:]), serial: le.Uint64(b[24:]),
		prev:    Pos{le.Uint64(b[32:]), le.Uint64(b[40:])},
		Created: time.UnixMicro(int64(le.Uint64(b[48:]))),
	}, nil
}

// Segments lists the files of the log, oldest first.
func (l *Log) Segments() []Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Segment, 0, len(l.segments))
	for _, s := range l.segments {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Segment) int { return int(a.Number) - int(b.Number) })
	return all
}

// Letter is one message to append: what is to be said of it, and its octets.
type Letter struct {
	Record *Record
	Body   mail.Body
}

// Append makes letters durable as one group: all or none. It returns when they
// can no longer be lost; At and Serial of the records then say where they are.
// ctx is looked at before the letters are queued: after that the disk decides.
func (l *Log) Append(ctx context.Context, letters ...Letter) error {
	g := &group{answer: make(chan error, 1)}
	defer g.release()
	for i, letter := range letters {
		letter.Record.more = uint32(len(letters) - 1 - i)
		if err := g.add(l, letter); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l.queue <- g:
	case <-l.closing:
		return ErrClosed
	}
	select {
	case err := <-g.answer:
		return err
	case <-l.done:
	}
	select { // answered in the same moment as the appender left
	case err := <-g.answer:
		return err
	default:
		return ErrClosed
	}
}

// Roll begins a new segment, unless nothing is in the active one yet: what was
// written so far is among [Log.Sealed] then, and can be collected.
func (l *Log) Roll(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case l.rolls <- answer:
		return <-answer
	case <-l.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close flushes what is queued and closes all files.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.closing) })
	if l.epoch != 0 { // replayed: an appender runs
		<-l.done
	}
	return l.handles.close()
}

// start begins an epoch at end. The appender runs from here on.
func (l *Log) start(end Pos, serial uint64) error {
	l.end, l.serial, l.opens = end, serial, true
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	l.epoch = binary.LittleEndian.Uint64(b[:]) | 1
	if s, ok := l.segments[end.Segment]; ok {
		f, err := l.opt.Files.Open(s.Name)
		if err != nil {
			l.epoch = 0
			return err
		}
		l.active, l.size, l.reserved, l.written = f, uint64(s.Size), uint64(s.Size), end.Offset
	}
	go l.run()
	return nil
}

// End is where the next record would go and what its serial would be; only for
// use before the first Append and after Close.
func (l *Log) End() (Pos, uint64) { return l.end, l.serial }
