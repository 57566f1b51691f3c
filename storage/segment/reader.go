package segment

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"sync"

	"letterlock/internal/requiretls"
)

// Stored is one record opened for reading. Every octet it hands out has been
// checked against its sum. It holds a file handle until it is closed.
type Stored struct {
	log    *Log
	at     Pos
	header header
	table  Table
	file   *handle // of the segment
	body   *handle // the same, or the big body's own
	start  int64   // of the body in it
	places []int64 // of the blocks behind start, where they are not all raw

	mu     sync.Mutex // guards cached, block
	cached int        // which block, -1: none
	block  []byte
}

// Open opens the record at pos. The caller's row says which serial it expects
// there; anything else is damage.
func (l *Log) Open(at Pos) (*Stored, error) {
	l.mu.Lock()
	_, known := l.segments[at.Segment]
	l.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("segment %d: %w", at.Segment, ErrGone)
	}
	file, err := l.handles.get(l.segmentName(at.Segment))
	if err != nil {
		return nil, err
	}
	s := &Stored{log: l, at: at, file: file, body: file, cached: -1}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("segment %d, offset %d: %w", at.Segment, at.Offset, err), s.Close())
	}
	return s, nil
}

func (s *Stored) open() error {
	var b [headerSize]byte
	if _, err := s.file.f.ReadAt(b[:], int64(s.at.Offset)); err != nil {
		return notEOF(err)
	}
	h, err := readHeader(b[:])
	if err != nil {
		return err
	}
	if h.segment != s.at.Segment {
		return fmt.Errorf("record of segment %d: %w", h.segment, ErrDamaged)
	}
	s.header = h
	tableAt := int64(s.at.Offset) + headerSize + int64(h.meta)
	table := make([]byte, h.table)
	if _, err := s.file.f.ReadAt(table, tableAt); err != nil {
		return notEOF(err)
	}
	if Checksum(table) != h.tableCRC {
		return fmt.Errorf("block table: %w", ErrDamaged)
	}
	if s.table, err = readTable(table); err != nil {
		return err
	}
	s.start = tableAt + int64(h.table)
	if h.codec != Raw {
		s.places = s.table.places()
	}
	if h.flags&flagBig != 0 {
		s.start = 0
		s.body, err = s.log.handles.get(s.log.bigName(h.body))
	}
	return err
}

// Demand is what the record says the sender asked for (RFC 8689 §4.1).
func (s *Stored) Demand() requiretls.Demand { return demandOf(s.header.demand) }

// Size is the octets of the body.
func (s *Stored) Size() int64 { return s.table.Raw }

// Record reads everything but the body.
func (s *Stored) Record() (*Record, error) {
	b := make([]byte, int(s.header.meta)+int(s.header.table))
	if _, err := s.file.f.ReadAt(b, int64(s.at.Offset)+headerSize); err != nil {
		return nil, notEOF(err)
	}
	return s.header.decode(s.at, b[:s.header.meta], b[s.header.meta:])
}

// Prefix reads n octets at, from the start of the record, and checks their sum.
func (s *Stored) Prefix(at, n, crc uint32) ([]byte, error) {
	if uint64(at)+uint64(n) > headerSize+uint64(s.header.meta) {
		return nil, fmt.Errorf("prefix: %w", ErrDamaged)
	}
	b := make([]byte, n)
	if _, err := s.file.f.ReadAt(b, int64(s.at.Offset)+int64(at)); err != nil {
		return nil, notEOF(err)
	}
	if Checksum(b) != crc {
		return nil, fmt.Errorf("prefix: %w", ErrDamaged)
	}
	return b, nil
}

// ReadAt reads octets of the body, block by block, each verified.
func (s *Stored) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	for n < len(p) && off < s.table.Raw {
		i := int(off / BlockSize)
		c, err := s.readBlock(p[n:], i, int(off%BlockSize))
		n, off = n+c, off+int64(c)
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readBlock copies from block i, skip octets into it, to p.
func (s *Stored) readBlock(p []byte, i, skip int) (int, error) {
	size := s.table.blockSize(i)
	if skip == 0 && len(p) >= size {
		if err := s.fetch(p[:size], i); err != nil {
			return 0, err // not size: io.ReadFull forgets an error that comes with all it wanted
		}
		return size, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cached != i {
		s.cached = -1
		if s.block == nil {
			s.block = blocks.Get().(*[BlockSize]byte)[:]
		}
		if err := s.fetch(s.block[:size], i); err != nil {
			return 0, err
		}
		s.cached = i
	}
	return copy(p, s.block[skip:size]), nil
}

var blocks = sync.Pool{New: func() any { return new([BlockSize]byte) }}

// fetch reads a whole block and verifies it.
func (s *Stored) fetch(p []byte, i int) error {
	k, at, stored := s.table.Blocks[i], s.start+int64(i)*BlockSize, p
	if s.places != nil {
		at = s.start + s.places[i]
	}
	switch {
	case int(k.Stored) == len(p):
	case s.header.codec == Zstd && int(k.Stored) < len(p):
		frame := blocks.Get().(*[BlockSize]byte)
		defer blocks.Put(frame)
		stored = frame[:k.Stored]
	default:
		return fmt.Errorf("block %d of codec %d: %w", i, s.header.codec, ErrDamaged)
	}
	if _, err := s.body.f.ReadAt(stored, at); err != nil {
		return notEOF(err)
	}
	if Checksum(stored) != k.CRC {
		return fmt.Errorf("segment %d, offset %d, block %d: %w", s.at.Segment, s.at.Offset, i, ErrDamaged)
	}
	if len(stored) == len(p) {
		return nil
	}
	return expand(p, stored)
}

// Close gives the files back. Nothing may be read afterwards.
func (s *Stored) Close() error {
	s.mu.Lock()
	if s.block != nil {
		blocks.Put((*[BlockSize]byte)(s.block))
		s.block, s.cached = nil, -1
	}
	s.mu.Unlock()
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
	files Files
	limit int

	mu     sync.Mutex // guards all below
	open   map[string]*handle
	gone   map[string]bool // deleted: a name is never used again
	idle   list.List       // of *handle, least recently used first
	closed bool
}

type handle struct {
	f    File
	name string
	refs int
	idle *list.Element
	gone bool // deleted: closed when the last reader leaves
}

func (h *handles) init(files Files, limit int) {
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
		if o.idle != nil {
			h.idle.Remove(o.idle)
			o.idle = nil
		}
		o.refs++
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
	o.idle = h.idle.PushBack(o)
	for h.idle.Len() > h.limit {
		h.drop(h.idle.Front().Value.(*handle))
	}
}

// drop closes an idle handle.
func (h *handles) drop(o *handle) {
	h.idle.Remove(o.idle)
	o.idle = nil
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
	case o.idle != nil:
		h.drop(o)
		return false
	default:
		o.gone = true
		delete(h.open, name)
		return true
	}
}

func (h *handles) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for h.idle.Len() > 0 {
		h.drop(h.idle.Front().Value.(*handle))
	}
	return nil
}
