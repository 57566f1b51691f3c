package segment

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// Bounds of what shares one flush.
const (
	maxGroups = 512
	maxFlush  = 32 << 20 // octets
	oneWrite  = 1 << 20  // octets handed to the kernel at once
)

// group is the letters of one Append, prepared by the goroutine that waits for
// them: the appender itself only numbers, copies and flushes.
type group struct {
	letters []prepared
	size    int64
	answer  chan error
}

type prepared struct {
	record *Record
	header header
	buf    *[]byte // the whole record, its fixed header still empty
	spool  *Spool  // of a big body
}

// buffers holds records on their way to the disk.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// release gives buffers back; one grown by a giant is left to the collector.
func (g *group) release() {
	for _, p := range g.letters {
		if p.spool != nil && p.spool.copy {
			_ = p.spool.Close() // written and flushed, or refused: nothing hangs on it
		}
		if cap(*p.buf) <= 2*BigBody {
			buffers.Put(p.buf)
		}
	}
}

func (g *group) add(l *Log, letter Letter) error {
	r := letter.Record
	p := prepared{record: r, buf: buffers.Get().(*[]byte)}
	b := r.appendMeta(append((*p.buf)[:0], make([]byte, headerSize)...), headerSize)
	meta := len(b)
	var err error
	if r.Big != 0 { // its body lies where it lay
		b = r.Table.append(b)
	} else if letter.Body.Size() > BigBody {
		p.spool, err = l.adopt(letter.Body)
		if err != nil {
			return fmt.Errorf("%w: big body: %w", ErrUnwritten, err)
		}
		r.Table = p.spool.table
		b = r.Table.append(b)
	} else if b, err = r.appendSmall(b, letter.Body); err != nil {
		return err
	}
	tableEnd := meta + 8 + 8*len(r.Table.Blocks)
	p.header = header{
		kind: r.Kind, codec: r.Codec, demand: r.Envelope.Demand.Byte(),
		recipients: uint32(len(r.Recipients)), more: r.more,
		meta: uint32(meta - headerSize), table: uint32(tableEnd - meta), body: uint64(len(b) - tableEnd),
		metaCRC: Checksum(b[headerSize:meta]), tableCRC: Checksum(b[meta:tableEnd]),
	}
	if r.Big != 0 || p.spool != nil {
		p.header.flags |= flagBig
		p.header.body = r.Big
	}
	if p.header.meta > maxMeta {
		return fmt.Errorf("record with %d octets of meta: %w", p.header.meta, ErrFields)
	}
	r.RawSize, r.Size = r.Table.Raw, p.header.size()
	*p.buf = append(b, make([]byte, r.Size-int64(len(b)))...)
	g.letters = append(g.letters, p)
	g.size += r.Size
	return nil
}

// appendSmall writes table and body: the table's room first, since its length
// is known, then the octets, then the sums.
func (r *Record) appendSmall(b []byte, body interface {
	ReadAt([]byte, int64) (int, error)
	Size() int64
}) ([]byte, error) {
	at := len(b)
	blocks := int((body.Size() + BlockSize - 1) / BlockSize)
	b = append(b, make([]byte, 8+8*blocks)...)
	r.Table = Table{}
	start := len(b)
	b, err := r.Table.appendBody(b, body, body.Size())
	if err != nil {
		return nil, err
	}
	if r.Codec == Zstd {
		b = r.Table.compress(b, start)
	}
	r.Table.append(b[at:at])
	return b, nil
}

// run is the appender.
func (l *Log) run() {
	defer close(l.done)
	for {
		select {
		case g := <-l.queue:
			l.flush(l.gather(g))
		case <-l.closing:
			for groups := l.gather(nil); len(groups) > 0; groups = l.gather(nil) {
				l.flush(groups)
			}
			if l.active != nil {
				if err := l.active.Close(); err != nil {
					l.opt.Log.Warn("close segment", "segment", l.end.Segment, "err", err)
				}
			}
			return
		}
	}
}

// gather takes what is queued, without waiting for more.
func (l *Log) gather(first *group) (groups []*group) {
	var size int64
	if first != nil {
		groups, size = append(groups, first), first.size
	}
	for len(groups) < maxGroups && size < maxFlush {
		select {
		case g := <-l.queue:
			groups, size = append(groups, g), size+g.size
		default:
			return groups
		}
	}
	return groups
}

// flush writes groups, segment by segment, and answers them.
func (l *Log) flush(groups []*group) {
	for len(groups) > 0 {
		if err := l.makeRoom(groups[0].size); err != nil {
			l.opt.Log.Error("the log takes nothing: no new segment", "err", err)
			answer(groups, fmt.Errorf("%w: %w", ErrUnwritten, err))
			return
		}
		n, size := 0, uint64(0)
		for n < len(groups) && l.end.Offset+size+uint64(groups[n].size) <= l.size {
			size += uint64(groups[n].size)
			n++
		}
		if err := l.write(groups[:n]); err != nil {
			l.abandon(err)
			// A crash may still find the records whole behind the good offset, until a
			// successor says where this segment ends: as long, their big files stay.
			if err := l.makeRoom(groups[0].size); err == nil {
				discard(l, groups[:n])
			}
			answer(groups[:n], fmt.Errorf("%w: %w", ErrUnwritten, err))
		} else {
			for _, g := range groups[:n] {
				if l.opt.Durable != nil {
					l.opt.Durable(g.records())
				}
			}
			answer(groups[:n], nil)
		}
		groups = groups[n:]
	}
}

func (g *group) records() []*Record {
	all := make([]*Record, len(g.letters))
	for i, p := range g.letters {
		all[i] = p.record
	}
	return all
}

func answer(groups []*group, err error) {
	for _, g := range groups {
		g.answer <- err
	}
}

// discard takes back the big files of groups that were not written.
func discard(l *Log, groups []*group) {
	for _, g := range groups {
		for _, p := range g.letters {
			if p.spool != nil {
				_ = l.opt.Files.Remove(l.bigName(p.record.Big)) // an orphan goes at the next open
			}
		}
	}
}

// write numbers and writes groups into the active segment and flushes once.
func (l *Log) write(groups []*group) error {
	at, serial, opens, big := l.end, l.serial, l.opens, false
	l.scratch = l.scratch[:0]
	written := l.end.Offset
	for _, g := range groups {
		for i := range g.letters {
			p := &g.letters[i]
			p.record.At, p.record.Serial = at, serial
			if p.spool != nil {
				big = true
				p.record.Big, p.header.body = serial, serial
				if err := p.spool.become(l.bigName(serial)); err != nil {
					return err
				}
			}
			h := &p.header
			h.segment, h.serial, h.epoch, h.durable = at.Segment, serial, l.epoch, l.end.Offset
			if opens {
				h.flags |= flagOpens
			}
			h.put(*p.buf)
			l.scratch = append(l.scratch, *p.buf...)
			at.Offset += uint64(p.record.Size)
			serial += uint64(len(p.record.Recipients))
			opens = false
			if len(l.scratch) >= oneWrite {
				if err := l.writeOut(&written); err != nil {
					return err
				}
			}
		}
	}
	if big {
		if err := l.opt.Files.SyncDir(l.dir); err != nil {
			return err
		}
	}
	if err := l.writeOut(&written); err != nil {
		return err
	}
	if err := l.active.Datasync(); err != nil {
		return fmt.Errorf("flush segment %d: %w", at.Segment, err)
	}
	l.end, l.serial, l.opens = at, serial, opens
	return nil
}

func (l *Log) writeOut(at *uint64) error {
	n, err := l.active.WriteAt(l.scratch, int64(*at))
	if err != nil {
		return fmt.Errorf("write segment %d: %w", l.end.Segment, err)
	}
	*at += uint64(n)
	l.scratch = l.scratch[:0]
	return nil
}

// abandon leaves the active segment at its last good offset for ever. What the
// failed write may have left behind it is never read: the next segment says
// where this one ends.
func (l *Log) abandon(cause error) {
	l.opt.Log.Error("segment given up at its last good offset", "segment", l.end.Segment, "offset", l.end.Offset, "err", cause)
	_ = l.active.Close() // it failed already, and nothing hangs on it
	l.active = nil
}

// makeRoom sees that the active segment can take size octets.
func (l *Log) makeRoom(size int64) error {
	if l.active != nil && l.end.Offset+uint64(size) <= l.size {
		return nil
	}
	s := Segment{Number: l.end.Segment + 1, Created: time.Now(), serial: l.serial, epoch: l.epoch, prev: l.end}
	s.Name = l.segmentName(s.Number)
	f, got, err := l.create(&s, segmentHeader+size)
	if err != nil {
		return fmt.Errorf("segment %d: %w", s.Number, err)
	}
	if l.active != nil {
		err = l.active.Close()
	}
	s.Size = got
	l.mu.Lock()
	l.segments[s.Number] = s
	l.mu.Unlock()
	l.active, l.size, l.end, l.opens = f, uint64(got), Pos{s.Number, segmentHeader}, false
	return err
}

// create makes the file of a segment and makes it durable, smaller than usual
// where the disk has not that much left.
func (l *Log) create(s *Segment, least int64) (f File, size int64, err error) {
	// What an earlier try that failed has left must not be in the way.
	if err := l.opt.Files.Remove(s.Name); err != nil && !errors.Is(err, errNotExist) {
		return nil, 0, err
	}
	if f = l.reuse(s.Name); f == nil {
		if f, err = l.opt.Files.Create(s.Name); err != nil {
			return nil, 0, err
		}
	}
	for size = max(l.opt.SegmentSize, least); ; size = max(size/8, least) {
		if err = f.Allocate(size); err == nil || !NoSpace(err) || size <= max(least, l.opt.SegmentSize/64) {
			break
		}
		if terr := f.Truncate(0); terr != nil {
			break
		}
	}
	if err == nil {
		_, err = f.WriteAt(s.header(), 0)
	}
	if err == nil {
		err = f.Datasync()
	}
	if err == nil {
		err = l.opt.Files.SyncDir(l.dir)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close(), l.opt.Files.Remove(s.Name))
	}
	return f, size, nil
}

// bigName is the file of a big body, numbered by the serial of its first record.
func (l *Log) bigName(number uint64) string {
	return filepath.Join(l.dir, fmt.Sprintf("%016x.big", number))
}

// RemoveBig deletes the body of a record that nobody needs any more. Those who
// read it keep it until they are done.
func (l *Log) RemoveBig(number uint64) error {
	name := l.bigName(number)
	l.handles.forget(name)
	if err := l.opt.Files.Remove(name); err != nil && !errors.Is(err, errNotExist) {
		return err
	}
	return nil
}
