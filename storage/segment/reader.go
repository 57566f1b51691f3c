package segment

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"sync"

	"letterlock/internal/requiretls"
	"letterlock/storage/disk"
	"letterlock/storage/seal"
)

// Stored is one record opened for reading. Every octet it hands out has been
// checked against its sum, and against its seal where it has one. It holds a
// file handle until it is closed.
type Stored struct {
	blockReader
	log    *Log
	at     Pos
	near   near
	header header
	key    seal.ID
	lock   lock
	few    [1]Block // the table of most
	file   *handle  // of the segment
	body   *handle  // the same, or the big body's own
}

// Open opens the record at pos. The caller's row says which serial it expects
// there; anything else is damage. A record whose key is not there is
// seal.ErrNoKey.
func (l *Log) Open(at Pos) (*Stored, error) {
	l.mu.Lock()
	segment, known := l.segments[at.Segment]
	l.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("segment %d: %w", at.Segment, ErrGone)
	}
	file, err := l.handles.get(segment.Name)
	if err != nil {
		return nil, err
	}
	s := &Stored{log: l, at: at, file: file, body: file}
	s.cached = -1
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("segment %d, offset %d: %w", at.Segment, at.Offset, err), s.Close())
	}
	return s, nil
}

func (s *Stored) open() error {
	if err := s.near.look(s.file.f, int64(s.at.Offset)); err != nil {
		return err
	}
	var b [maxFront]byte
	front, h, err := readFront(&s.near, s.at, &b)
	if err != nil {
		return err
	}
	s.header = h
	if s.key, err = h.checkLock(front); err != nil {
		return err
	}
	if s.lock, err = h.openLock(front, s.at, s.log.opt.Keys); err != nil {
		return err
	}
	tableAt := int64(s.at.Offset) + h.frontSize() + int64(h.meta)
	table, err := s.near.octets(tableAt, int(h.table))
	if err != nil {
		return err
	}
	if Checksum(table) != h.tableCRC {
		return fmt.Errorf("block table: %w", ErrDamaged)
	}
	if s.table, err = readTable(table, s.few[:0]); err != nil {
		return err
	}
	s.start = tableAt + int64(h.table)
	if h.flags&flagBig != 0 {
		s.start = 0
		if s.body, err = s.log.handles.get(s.log.bigName(h.body)); err == nil {
			s.init(s.body.f, h.codec, s.lock.body)
		}
		return err
	}
	s.init(&s.near, h.codec, s.lock.body)
	if !s.near.has(s.start, s.table.stored()) { // much of it, and maybe slowly
		s.near.release()
	}
	return nil
}

// readFront reads the header of the record at pos, with the keys behind it.
func readFront(f io.ReaderAt, at Pos, b *[maxFront]byte) ([]byte, header, error) {
	n, err := f.ReadAt(b[:], int64(at.Offset))
	if n < headerSize {
		return nil, header{}, notEOF(err)
	}
	h, err := readHeader(b[:headerSize])
	if err == nil && h.segment != at.Segment {
		err = fmt.Errorf("record of segment %d: %w", h.segment, ErrDamaged)
	}
	return b[:n], h, err
}

// Demand is what the record says the sender asked for (RFC 8689 §4.1).
func (s *Stored) Demand() requiretls.Demand { return demandOf(s.header.demand) }

// Record reads everything but the body.
func (s *Stored) Record() (*Record, error) {
	b := make([]byte, int(s.header.meta)+int(s.header.table))
	if _, err := s.near.ReadAt(b, int64(s.at.Offset)+s.header.frontSize()); err != nil {
		return nil, notEOF(err)
	}
	return s.header.decode(s.at, s.key, s.lock, b[:s.header.meta], b[s.header.meta:])
}

// Prefix reads n octets at, from the start of the record, and checks their
// sum: that of what they say, not of how they are stored.
func (s *Stored) Prefix(at, n, crc uint32) (b []byte, err error) {
	stored := uint64(n)
	if s.lock.box != nil && n > 0 {
		stored += seal.Tag
	}
	if uint64(at)+stored > uint64(s.header.frontSize())+uint64(s.header.meta) {
		return nil, fmt.Errorf("prefix: %w", ErrDamaged)
	}
	b = make([]byte, stored)
	if _, err := s.near.ReadAt(b, int64(s.at.Offset)+int64(at)); err != nil {
		return nil, notEOF(err)
	}
	if s.lock.box != nil && n > 0 {
		if b, err = s.lock.box.Open(b[:0], b, seal.Part{Kind: partPrefix, At: uint64(at)}); err != nil {
			return nil, fmt.Errorf("prefix: %w", damaged(err))
		}
	}
	if Checksum(b) != crc {
		return nil, fmt.Errorf("prefix: %w", ErrDamaged)
	}
	return b, nil
}

// Close gives the files back. Nothing may be read afterwards.
func (s *Stored) Close() error {
	s.release()
	s.near.release()
	if s.body != nil && s.body != s.file {
		s.log.handles.put(s.body)
	}
	s.log.handles.put(s.file)
	s.file, s.body = nil, nil
	return nil
}

// handles keeps a bounded number of files open. Files in use are never closed:
// the bound is for those that nobody reads.
type handles struct {
	files disk.Files
	limit int

	mu     sync.Mutex // guards all below
	open   map[string]*handle
	gone   map[string]bool // deleted: a name is never used again
	recent list.List       // of *handle, all that are open, least recently left first
	idle   int             // how many of them nobody reads
	closed bool
}

type handle struct {
	f     disk.File
	name  string
	refs  int
	place *list.Element
	gone  bool // deleted: closed when the last reader leaves
}

func (h *handles) init(files disk.Files, limit int) {
	h.files, h.limit, h.open, h.gone = files, limit, make(map[string]*handle), make(map[string]bool)
}

func (h *handles) get(name string) (*handle, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	if h.gone[name] {
		return nil, fmt.Errorf("%s: %w", name, ErrGone)
	}
	if o := h.open[name]; o != nil {
		if o.refs++; o.refs == 1 {
			h.idle--
		}
		return o, nil
	}
	f, err := h.files.Open(name)
	if errors.Is(err, errNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	if err != nil {
		return nil, err
	}
	o := &handle{f: f, name: name, refs: 1}
	o.place = h.recent.PushBack(o)
	h.open[name] = o
	return o, nil
}

func (h *handles) put(o *handle) {
	if o == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.refs--; o.refs > 0 {
		return
	}
	if o.gone || h.closed {
		_ = o.f.Close() // read only: nothing can be lost
		return
	}
	h.recent.MoveToBack(o.place)
	h.idle++
	for e := h.recent.Front(); h.idle > h.limit; {
		o := e.Value.(*handle)
		if e = e.Next(); o.refs == 0 {
			h.drop(o)
		}
	}
}

// drop closes an idle handle.
func (h *handles) drop(o *handle) {
	h.idle--
	h.recent.Remove(o.place)
	delete(h.open, o.name)
	_ = o.f.Close() // read only: nothing can be lost
}

// forget is for a file that is about to go: nobody gets it any more. inUse says
// that somebody still reads it.
func (h *handles) forget(name string) (inUse bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone[name] = true
	switch o := h.open[name]; {
	case o == nil:
		return false
	case o.refs == 0:
		h.drop(o)
		return false
	default:
		o.gone = true
		h.recent.Remove(o.place)
		delete(h.open, name)
		return true
	}
}

// shut closes an idle file that is about to go, and whose name will be given to
// another one.
func (h *handles) shut(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.open[name]; o != nil && o.refs == 0 {
		h.drop(o)
	}
}

func (h *handles) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, o := range h.open {
		if o.refs == 0 {
			h.drop(o)
		}
	}
	return nil
}
