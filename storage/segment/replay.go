package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"letterlock/storage/disk"
	"letterlock/storage/seal"
)

// Mark is how far whoever keeps an index has applied the log. It may lie within
// a group: then At is where that starts, and Serial that of the first recipient
// who is not applied yet.
type Mark struct {
	At     Pos    // where the next group starts; zero: the start of the log
	Serial uint64 // of the next recipient

	// Of the group that the mark lies within; zero where it lies between two, and
	// in a mark of old, which lies within one record at most.
	EndOffset uint64 // where it ends, in the same segment
	EndSerial uint64 // of the recipient behind it
}

// Within is a mark in the group that starts at start and ends at end, before the
// recipient of serial.
func Within(start Pos, serial uint64, end Mark) Mark {
	return Mark{At: start, Serial: serial, EndOffset: end.At.Offset, EndSerial: end.Serial}
}

// Flushed is up to where the log was flushed, for there to be such a mark: a
// group is applied when the whole of it is on the disk.
func (m Mark) Flushed() Mark {
	if m.EndSerial == 0 {
		return m
	}
	return Mark{At: Pos{m.At.Segment, m.EndOffset}, Serial: m.EndSerial}
}

// splits says whether the mark lies within the group that the record at at is of.
func (m Mark) splits(at Pos, h *header) bool {
	if m.EndSerial != 0 {
		return at.Segment == m.At.Segment && m.At.Offset <= at.Offset && at.Offset < m.EndOffset
	}
	return at == m.At && h.serial < m.Serial && m.Serial < h.serial+uint64(h.recipients)
}

// Damage is a stretch of the log that was acknowledged and cannot be read.
type Damage struct {
	From, To Pos
	Err      error
}

func (d Damage) String() string {
	return fmt.Sprintf("segment %d, offset %d to %d: %v", d.From.Segment, d.From.Offset, d.To.Offset, d.Err)
}

// Replay hands every whole group from the mark on to fn, finds the end of the
// log, and starts the appender there. Octets behind the last flush that make no
// whole group are a torn write and are passed over; damage before that is told,
// logged, and never taken for the end. A group that the mark lies within is
// handed over whole: the caller knows which of its recipients he has. What lies
// before flushed, a mark as well, was flushed, whatever it looks like now: rows
// point there, so nothing is written over it, and no serial is given a second
// time. fn's error ends it.
func (l *Log) Replay(from, flushed Mark, fn func([]*Record) error) ([]Damage, error) {
	s := scanner{log: l, from: from, at: from.At, serial: max(from.Serial, 1), fn: fn}
	for _, seg := range l.Segments() {
		if seg.Number < from.At.Segment {
			continue
		}
		if err := s.segment(seg); err != nil {
			return s.damage, fmt.Errorf("replay segment %d: %w", seg.Number, err)
		}
	}
	if s.serial < flushed.Serial {
		s.skipTo(flushed)
	}
	for _, d := range s.damage {
		l.opt.Log.Error("acknowledged mail is damaged", "damage", d.String())
	}
	if err := l.removeOrphans(s.serial); err != nil {
		return s.damage, err
	}
	return s.damage, l.start(s.at, s.serial)
}

// skipTo takes the rest of the log for damaged, to the end of the segment that a
// mark lies in: the next record begins another one.
func (s *scanner) skipTo(flushed Mark) {
	end := flushed.At
	s.log.mu.Lock()
	if seg, ok := s.log.segments[end.Segment]; ok {
		end.Offset = max(end.Offset, uint64(seg.Size))
	}
	s.log.mu.Unlock()
	s.damage = append(s.damage, Damage{s.at, end, fmt.Errorf("serial %d was flushed, the log ends before %d: %w", flushed.Serial-1, s.serial, ErrDamaged)})
	if s.serial = flushed.Serial; s.at.Before(end) {
		s.at = end
	}
}

// Scan reads one whole segment for checks and repair: every record with its
// place, and what is damaged. The active segment is read up to its last flush.
func (l *Log) Scan(seg Segment, fn func(*Record) error) ([]Damage, error) {
	s := scanner{log: l, at: Pos{seg.Number, segmentHeader}, serial: seg.serial, fn: func(group []*Record) error {
		for _, r := range group {
			if err := fn(r); err != nil {
				return err
			}
		}
		return nil
	}}
	err := s.segment(seg)
	return s.damage, err
}

// scanner walks records.
type scanner struct {
	log    *Log
	fn     func([]*Record) error
	from   Mark // where a replay started
	at     Pos
	serial uint64
	epoch  uint64 // 0: that of the next record
	damage []Damage
	buf    []byte
	room   [maxFront]byte
}

// segment walks one segment from s.at, or from its start.
func (s *scanner) segment(seg Segment) error {
	f, err := s.log.opt.Files.Open(seg.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	if s.at.Segment != seg.Number {
		s.at, s.serial = Pos{seg.Number, segmentHeader}, max(s.serial, seg.serial)
		s.epoch = seg.epoch
	}
	limit, sealed := s.log.limit(seg)
	var group []*Record
	start := s.at
	for s.at.Offset < limit {
		r, err := s.record(f, limit)
		if err == nil {
			s.at.Offset += uint64(r.Size)
			group = append(group, r)
			if r.more > 0 {
				continue
			}
			if err := s.fn(group); err != nil {
				return err
			}
			s.serial = r.Serial + uint64(len(r.Recipients))
			group, start = nil, s.at
			continue
		}
		if errors.Is(err, seal.ErrNoKey) {
			return err // it may be whole: nothing is passed over, nor written over
		}
		next, found, serr := s.resync(f, limit, sealed)
		if serr != nil {
			return serr
		}
		if !found {
			break
		}
		if len(group) > 0 && group[0].Kind == Several { // each form stands for itself; those that can be read were acknowledged, too
			if err := s.fn(group); err != nil {
				return err
			}
			start = s.at
		}
		s.damage = append(s.damage, Damage{start, next, err})
		s.at, s.epoch, group, start = next, 0, nil, next
	}
	s.at = start
	if sealed && start.Offset < limit {
		s.damage = append(s.damage, Damage{start, Pos{seg.Number, limit}, ErrDamaged})
		s.at = Pos{seg.Number, limit}
	}
	return nil
}

// limit is where a segment ends, and whether its successor vouches for that.
func (l *Log) limit(seg Segment) (end uint64, sealed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, next := range l.segments {
		if next.prev.Segment == seg.Number {
			return next.prev.Offset, true
		}
	}
	return uint64(seg.Size), false
}

// record reads and verifies the record at s.at, body included.
func (s *scanner) record(f disk.File, limit uint64) (*Record, error) {
	front, h, err := s.front(f, s.at.Offset, limit)
	if err != nil {
		return nil, err
	}
	switch {
	case s.epoch != 0 && h.epoch != s.epoch && h.flags&flagOpens == 0:
		return nil, fmt.Errorf("a record of an earlier epoch: %w", ErrDamaged)
	case h.serial < s.serial && !s.from.splits(s.at, &h):
		return nil, fmt.Errorf("serial %d after %d: %w", h.serial, s.serial, ErrDamaged)
	}
	rest := s.grow(int(h.meta) + int(h.table))
	if _, err := f.ReadAt(rest, int64(s.at.Offset)+h.frontSize()); err != nil {
		return nil, notEOF(err)
	}
	r, err := s.decode(front, &h, bytes.Clone(rest[:h.meta]), rest[h.meta:])
	if err != nil {
		return nil, err
	}
	s.epoch = h.epoch
	if r.Big != 0 {
		return r, s.log.checkBig(r)
	}
	return r, s.checkBody(f, r, int64(s.at.Offset)+h.frontSize()+int64(len(rest)))
}

func (s *scanner) decode(front []byte, h *header, meta, table []byte) (*Record, error) {
	if Checksum(meta) != h.metaCRC {
		return nil, fmt.Errorf("record meta: %w", ErrDamaged) // before a key is asked for: it may be torn
	}
	key, err := h.checkLock(front)
	if err != nil {
		return nil, err
	}
	lock, err := h.openLock(front, s.at, s.log.opt.Keys)
	if err != nil {
		return nil, err
	}
	return h.decode(s.at, key, lock, meta, table)
}

// front reads the header of a record that has to end before limit, and the keys
// behind it.
func (s *scanner) front(f disk.File, at, limit uint64) ([]byte, header, error) {
	front, h, err := readFront(f, Pos{s.at.Segment, at}, &s.room)
	if err == nil && at+uint64(h.size()) > limit {
		err = fmt.Errorf("record that ends at %d: %w", at+uint64(h.size()), ErrDamaged)
	}
	return front, h, err
}

func (s *scanner) grow(n int) []byte {
	if cap(s.buf) < n {
		s.buf = make([]byte, n)
	}
	return s.buf[:n]
}

func (s *scanner) checkBody(f disk.File, r *Record, at int64) error {
	block, tag := blocks.Get().(*blockRoom), 0
	defer blocks.Put(block)
	if r.Key != (seal.ID{}) {
		tag = seal.Tag
	}
	for i, k := range r.Table.Blocks {
		if int(k.Stored) > r.Table.blockSize(i)+tag {
			return fmt.Errorf("block %d: %w", i, ErrDamaged)
		}
		if _, err := f.ReadAt(block[:k.Stored], at); err != nil {
			return notEOF(err)
		}
		if Checksum(block[:k.Stored]) != k.CRC {
			return fmt.Errorf("block %d: %w", i, ErrDamaged)
		}
		at += int64(k.Stored)
	}
	return nil
}

// checkBig asks that the file of a big body is whole. It was durable before its
// record was written: one that is gone was removed with its last reader's row.
func (l *Log) checkBig(r *Record) error {
	h, err := l.handles.get(l.bigName(r.Big))
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("big body: %w: %w", ErrDamaged, err)
	}
	defer l.handles.put(h)
	return (&scanner{log: l}).checkBody(h.f, r, 0)
}

// notEOF takes the end of a file for damage: a record cannot reach over it.
func notEOF(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("end of file: %w", ErrDamaged)
	}
	return err
}

// resync looks for a record behind an unreadable stretch that proves the
// stretch to have been acknowledged: one of a sealed segment, or one that was
// written after the stretch had been flushed. Records that lie between, of the
// same flush, were acknowledged as well: next is the first of them that belongs
// to the epoch before the stretch or to that of the proof.
func (s *scanner) resync(f disk.File, limit uint64, sealed bool) (next Pos, found bool, err error) {
	const window = 1 << 20
	buf := make([]byte, window+len(magic))
	between := make(map[uint64]Pos) // the first of each epoch
	for at := s.at.Offset + align; at < limit; at += window {
		n, err := f.ReadAt(buf[:min(uint64(len(buf)), limit-at)], int64(at))
		if err != nil && err != io.EOF {
			return Pos{}, false, err
		}
		for i := 0; ; i++ {
			j := bytes.Index(buf[i:n], []byte(magic))
			if j < 0 {
				break
			}
			i += j
			here := Pos{s.at.Segment, at + uint64(i)}
			if here.Offset%align != 0 {
				continue
			}
			_, h, err := s.front(f, here.Offset, limit)
			if err != nil || h.serial < s.serial && !s.from.splits(here, &h) {
				continue
			}
			if sealed || h.durable > s.at.Offset {
				return earliest(here, between, s.epoch, h.epoch), true, nil
			}
			if _, known := between[h.epoch]; !known && len(between) < maxEpochs {
				between[h.epoch] = here
			}
		}
	}
	return Pos{}, false, nil
}

// maxEpochs is of how many epochs resync remembers records: a letter may be full
// of what looks like some.
const maxEpochs = 64

// earliest is the first of proof and the records of those epochs before it.
func earliest(proof Pos, between map[uint64]Pos, epochs ...uint64) Pos {
	for _, epoch := range epochs {
		if p, known := between[epoch]; known && epoch != 0 && p.Before(proof) {
			proof = p
		}
	}
	return proof
}

// removeOrphans deletes big files whose record was never written.
func (l *Log) removeOrphans(next uint64) error {
	names, err := filepath.Glob(filepath.Join(l.dir, "*.big"))
	if err != nil {
		return err
	}
	for _, name := range names {
		serial, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), ".big"), 16, 64)
		if err == nil && serial >= next {
			l.handles.shut(name)
			if err := l.opt.Files.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}
