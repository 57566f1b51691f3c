package segment

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"letterlock/storage/disk"
	"letterlock/storage/seal"
)

// Bounds of what shares one flush.
const (
	maxGroups = 512
	maxFlush  = 32 << 20 // octets
	oneWrite  = 1 << 20  // octets handed to the kernel at once, but for bigger records
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
	lock   lock
	room   *[]byte // to be given back
	buf    []byte  // the whole record, its front still empty
	spool  *Spool  // of a big body
}

// release gives buffers back.
func (g *group) release() {
	for _, p := range g.letters {
		if p.spool != nil && p.spool.copy {
			_ = p.spool.Close() // written and flushed, or refused: nothing hangs on it
		}
		giveBack(p.room)
	}
}

func (g *group) add(l *Log, letter Letter) error {
	r := letter.Record
	p := prepared{record: r}
	p.header.kind, p.header.demand = r.Kind, r.Envelope.Demand.Byte()
	if err := p.place(l, letter); err != nil {
		return err
	}
	front := int(p.header.frontSize())
	small := 0
	if p.header.flags&flagBig == 0 {
		small = int(letter.Body.Size())
	}
	p.room = borrow(front + r.metaBound() + 8 + (8+seal.Tag)*blocksIn(int64(small)) + small + align)
	g.letters = append(g.letters, p) // its buffer and its spool go with the group
	b, err := p.fill((*p.room)[:front], letter, small)
	if err != nil {
		return err
	}
	r.RawSize, r.Size = r.Table.Raw, p.header.size()
	for int64(len(b)) < r.Size {
		b = append(b, 0)
	}
	*p.room, p.buf = b, b
	g.letters[len(g.letters)-1] = p
	g.size += r.Size
	return nil
}

// place sees where the body goes, and under which keys.
func (p *prepared) place(l *Log, letter Letter) (err error) {
	r := p.record
	sealing := l.opt.Keys.Sealing()
	old, _ := letter.Body.(*Stored)
	if sealing && r.Big != 0 && (old == nil || old.lock.body == nil) {
		r.Big = 0 // it lies there in clear: a sealed copy takes its place
	}
	switch {
	case r.Big != 0: // its body lies where it lay
		p.header.flags, p.header.body = flagBig, r.Big
		if sealing {
			p.lock.body = old.lock.body
		}
	case letter.Body.Size() > BigBody:
		if p.spool, err = l.adopt(letter.Body); err != nil {
			return fmt.Errorf("%w: big body: %w", ErrUnwritten, err)
		}
		r.Table, r.Codec = p.spool.read.table, Raw
		p.header.flags, p.lock.body = flagBig, p.spool.read.box
	}
	r.Key = l.opt.Keys.Current()
	if sealing {
		p.header.flags |= flagSealed
		p.lock.box = seal.NewBox()
	}
	p.header.codec = r.Codec
	return nil
}

// fill writes meta, table and body behind the front, and sums them up.
func (p *prepared) fill(b []byte, letter Letter, small int) (_ []byte, err error) {
	r, h, front := p.record, &p.header, len(b)
	if p.lock.box != nil {
		b = r.appendSealedMeta(b, front, p.lock.box)
	} else {
		b = r.appendMeta(b, front)
	}
	meta := len(b)
	if h.flags&flagBig != 0 {
		b = r.Table.append(b)
	} else {
		// The table's room first, since its length is known; then the octets.
		table := 8 + 8*blocksIn(int64(small))
		b = slices.Grow(b, table+small+(blocksIn(int64(small))+1)*seal.Tag)[:meta+table]
		r.Table = Table{Blocks: slices.Grow([]Block(nil), blocksIn(int64(small)))}
		if b, err = r.Table.appendBlocks(b, letter.Body, r.Codec, p.lock.box); err != nil {
			return nil, err
		}
		r.Table.append(b[meta:meta])
	}
	table := meta + 8 + 8*len(r.Table.Blocks)
	h.recipients, h.more = uint32(len(r.Recipients)), r.more
	h.meta, h.table = uint32(meta-front), uint32(table-meta)
	h.metaCRC, h.tableCRC = Checksum(b[front:meta]), Checksum(b[meta:table])
	if h.flags&flagBig == 0 {
		h.body = uint64(len(b) - table)
	}
	if h.meta > maxMeta {
		return nil, fmt.Errorf("record with %d octets of meta: %w", h.meta, ErrFields)
	}
	return b, nil
}

// run is the appender.
func (l *Log) run() {
	defer close(l.done)
	for {
		select {
		case g := <-l.queue:
			l.flush(l.gather(g))
		case answer := <-l.rolls:
			answer <- l.roll()
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

// gather takes what is queued, and waits a moment for those who were answered
// last: see crowd.
func (l *Log) gather(first *group) (groups []*group) {
	var size int64
	if first != nil {
		groups, size = append(groups, first), first.size
	}
	var late <-chan time.Time
	for len(groups) < maxGroups && size < maxFlush {
		g := l.queued()
		if g == nil && l.crowd.expects(len(groups)) {
			if late == nil {
				timer := time.NewTimer(l.crowd.patience)
				defer timer.Stop()
				late = timer.C
			}
			select {
			case g = <-l.queue:
			case <-late:
			}
		}
		if g == nil {
			break
		}
		groups, size = append(groups, g), size+g.size
	}
	l.crowd.came(len(groups))
	return groups
}

// queued is the next group; nil: none waits.
func (l *Log) queued() *group {
	select {
	case g := <-l.queue:
		return g
	default:
		return nil
	}
}

// crowd guesses how many writers are about to come. Whoever was answered comes
// back soon with his next letter; a flush that starts at once takes the other
// half of them alone, and the two halves take turns for ever, each waiting for
// the flush of the other. So where flushes take long, as those of disks that turn,
// the appender gives those who were answered a small part of a flush's time to
// join. Where they do not come in time it stops waiting for them, and tries again
// later with less. Where a flush is over in less time than a letter needs to come
// in, the two halves do no harm, and waiting would.
type crowd struct {
	due      int           // who may come: answered last, or queued then
	flush    time.Duration // of late
	patience time.Duration // 0: none
}

// The longest wait, as part of a flush, and below what it is none.
const (
	patiencePart  = 4
	leastPatience = 200 * time.Microsecond
	mostPatience  = 500 * time.Microsecond
)

// expects says whether to wait for more than the here that came.
func (c *crowd) expects(here int) bool {
	return here > 0 && here < c.due && c.patience > 0
}

// came learns from how many came in time.
func (c *crowd) came(here int) {
	if here >= c.due {
		c.patience *= 2
	} else {
		c.patience /= 2
	}
	if c.patience < leastPatience && here > 1 {
		c.patience = leastPatience // where there is a crowd it is tried again
	}
	if c.patience = min(c.patience, c.flush/patiencePart, mostPatience); c.patience < leastPatience {
		c.patience = 0
	}
}

// served is told of a flush: how many were answered, how many wait.
func (c *crowd) served(answered, waiting int, took time.Duration) {
	c.due, c.flush = answered+waiting, (3*c.flush+took)/4
}

// flush writes groups, segment by segment, and answers them.
func (l *Log) flush(groups []*group) {
	defer func(all int, start time.Time) { l.crowd.served(all, len(l.queue), time.Since(start)) }(len(groups), time.Now())
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
	out := vector{file: l.active, at: int64(l.end.Offset), scratch: &l.scratch, pieces: l.pieces[:0]}
	defer func() { l.pieces = out.pieces }()
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
			h.put(p.buf)
			p.lock.put(p.buf, h, at, l.opt.Keys)
			if err := out.add(p.buf); err != nil {
				return fmt.Errorf("write segment %d: %w", at.Segment, err)
			}
			at.Offset += uint64(p.record.Size)
			serial += uint64(len(p.record.Recipients))
			opens = false
		}
	}
	if big {
		if err := l.opt.Files.SyncDir(l.dir); err != nil {
			return err
		}
	}
	zeros := l.zerosBehind(at.Offset)
	if err := errors.Join(out.add(zeros), out.flush()); err != nil {
		return fmt.Errorf("write segment %d: %w", at.Segment, err)
	}
	if err := l.active.Datasync(); err != nil {
		return fmt.Errorf("flush segment %d: %w", at.Segment, err)
	}
	l.end, l.serial, l.opens = at, serial, opens
	l.written = max(l.written, at.Offset+uint64(len(zeros)))
	return nil
}

// ahead is how many octets of zeros go with a flush that leaves the blocks which
// hold something.
//
// A flush into blocks that were only reserved costs twice what one into blocks
// costs that were written before, of time and of CPU: the file system has to mark
// them as written, which is a second write (4.5 KiB on ext4: 155 µs instead of 285,
// 85 µs of CPU instead of 165). So one flush in a hundred writes the blocks of the
// next hundred, too. What lies behind the last record reads the same with them and
// without.
const (
	ahead     = 512 << 10
	diskBlock = 4096
)

var nothing [ahead]byte // never written

// zerosBehind is what follows the last record of a flush, which ends at an offset of
// the active segment; empty: the blocks behind it are written, or not reserved, where
// letters need the room, or so much comes at once that a flush costs what it weighs.
func (l *Log) zerosBehind(end uint64) []byte {
	if end <= l.written || end >= l.reserved || end-l.end.Offset > ahead/4 {
		return nil
	}
	upTo := min((end+ahead)&^(diskBlock-1), l.size, l.reserved)
	return nothing[:upTo-end]
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
	return l.next(size)
}

// roll leaves the active segment, unless nothing is in it.
func (l *Log) roll() error {
	if l.end.Segment == 0 || l.active != nil && l.end.Offset == segmentHeader {
		return nil
	}
	if err := l.next(0); err != nil {
		return fmt.Errorf("%w: %w", ErrUnwritten, err)
	}
	return nil
}

// next begins a segment that can take size octets.
func (l *Log) next(size int64) error {
	s := Segment{Number: l.end.Segment + 1, Created: time.Now(), serial: l.serial, epoch: l.epoch, prev: l.end}
	s.Name = l.segmentName(s.Number)
	f, got, err := l.create(&s, segmentHeader+size)
	if errors.Is(err, errBegun) && l.active != nil {
		// A power cut may bring it back, and it says where this one ends: nothing is
		// written behind that any more.
		l.abandon(err)
	}
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
	l.active, l.size, l.reserved, l.written = f, uint64(got), sizeOf(s.Name), segmentHeader
	l.end, l.opens = Pos{s.Number, segmentHeader}, false
	return err
}

// sizeOf is how many octets a file has: at least those that were reserved.
func sizeOf(name string) uint64 {
	st, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return uint64(st.Size())
}

// errBegun says that a segment has its header, and may not be durable.
var errBegun = errors.New("it may have been begun")

// create makes the file of a segment and makes it durable, smaller than usual
// where the disk has not that much left. An error after its header was written is
// errBegun.
func (l *Log) create(s *Segment, least int64) (f disk.File, size int64, err error) {
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
		if err = f.Allocate(size); err == nil || !disk.NoSpace(err) || size <= max(least, l.opt.SegmentSize/64) {
			break
		}
		if terr := f.Truncate(0); terr != nil {
			break
		}
	}
	if err == nil {
		if err = l.begin(f, s); err != nil {
			err = fmt.Errorf("%w: %w", errBegun, err)
		}
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close(), l.opt.Files.Remove(s.Name))
	}
	return f, size, nil
}

func (l *Log) begin(f disk.File, s *Segment) error {
	_, err := f.WriteAt(s.header(), 0)
	if err == nil {
		err = f.Datasync()
	}
	if err == nil {
		err = l.opt.Files.SyncDir(l.dir)
	}
	return err
}

// bigName is the file of a big body, numbered by the serial of its first record.
func (l *Log) bigName(number uint64) string {
	return filepath.Join(l.dir, fmt.Sprintf("%016x.big", number))
}

// RemoveBig deletes the body of a record that nobody needs any more. Those who
// read it keep it until they are done.
func (l *Log) RemoveBig(number uint64) error {
	l.mu.Lock()
	kept := l.keepers > 0
	if kept {
		l.leaving = append(l.leaving, number)
	}
	l.mu.Unlock()
	if kept {
		return nil
	}
	return l.removeBig(number)
}

func (l *Log) removeBig(number uint64) error {
	name := l.bigName(number)
	l.handles.forget(name)
	if err := l.opt.Files.Remove(name); err != nil && !errors.Is(err, errNotExist) {
		return err
	}
	return nil
}

// KeepBodies keeps the files of all big bodies until release is called: what is
// removed meanwhile goes then. What a crash leaves goes with its segment.
func (l *Log) KeepBodies() (release func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keepers++
	return sync.OnceValue(func() (err error) {
		l.mu.Lock()
		var leaving []uint64
		if l.keepers--; l.keepers == 0 {
			leaving, l.leaving = l.leaving, nil
		}
		l.mu.Unlock()
		for _, number := range leaving {
			err = errors.Join(err, l.removeBig(number))
		}
		return err
	})
}
