package segment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"letterlock/internal/mail"
	"letterlock/storage/disk"
	"letterlock/storage/seal"
)

var errNotExist = fs.ErrNotExist

// spools numbers the files in tmp, which is emptied at start.
var spools atomic.Uint64

// Spool is a body that is too big for memory: written once from the front,
// summed up as it comes, then read. A big one becomes a file of the log by
// being renamed. Where the log seals, no octet of it reaches the disk in clear.
// It may be read by many at once, but not while it is written.
type Spool struct {
	files  disk.Files
	f      disk.File
	name   string
	read   blockReader // of the blocks that are in the file
	tail   *blockRoom  // octets that are not
	filled int         // of tail
	at     int64       // octets in the file
	err    error       // of a write: nothing is taken after it
	kept   bool        // it is the log's now
	copy   bool        // made by adopt: nobody else closes it
}

var _ mail.Body = (*Spool)(nil)

// Spool makes an empty spool file.
func (l *Log) Spool() (*Spool, error) {
	name := filepath.Join(l.tmp, fmt.Sprintf("%d.spool", spools.Add(1)))
	f, err := l.opt.Files.Create(name)
	if err != nil {
		return nil, err
	}
	s := &Spool{files: l.opt.Files, f: f, name: name}
	s.read.src, s.read.cached, s.read.grows = f, -1, true
	if l.opt.Keys.Sealing() {
		s.read.box = seal.NewBox()
	}
	return s, nil
}

// Write appends p.
func (s *Spool) Write(p []byte) (n int, err error) {
	if s.err == nil && !s.read.grows {
		s.err = errors.New("write to a spool that was taken")
	}
	for len(p) > 0 && s.err == nil {
		// A full block waits for the next octet: the last one is sealed as such.
		if s.filled == BlockSize {
			s.err = s.flush(seal.MoreFollow)
			continue
		}
		if s.tail == nil {
			s.tail = blocks.Get().(*blockRoom)
		}
		c := copy(s.tail[s.filled:BlockSize], p)
		s.filled, n, p = s.filled+c, n+c, p[c:]
	}
	return n, s.err
}

// flush writes the tail as one block.
func (s *Spool) flush(end seal.End) error {
	block, t := s.tail[:s.filled], &s.read.table
	if s.read.box != nil {
		block = s.read.box.Seal(block[:0], block, seal.Part{Kind: partBlock, At: uint64(len(t.Blocks)), End: end})
		s.read.places = append(s.read.places, s.at)
	}
	if _, err := s.f.WriteAt(block, s.at); err != nil {
		return err
	}
	s.at += int64(len(block))
	t.add(s.filled, block)
	s.filled = 0
	return nil
}

// ReadAt reads what was written.
func (s *Spool) ReadAt(p []byte, off int64) (n int, err error) {
	flushed := s.read.table.Raw
	if off < flushed {
		n, err = s.read.ReadAt(p[:min(int64(len(p)), flushed-off)], off)
		if err != nil {
			return n, err
		}
	}
	if rest := off + int64(n) - flushed; n < len(p) && rest >= 0 && rest < int64(s.filled) {
		n += copy(p[n:], s.tail[rest:s.filled])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Size is the octets written.
func (s *Spool) Size() int64 { return s.read.table.Raw + int64(s.filled) }

// Close deletes the file unless it has become part of the log.
func (s *Spool) Close() error {
	s.read.release()
	s.letGo()
	err := s.f.Close()
	if !s.kept {
		err = errors.Join(err, s.files.Remove(s.name))
	}
	return err
}

// letGo gives the tail back.
func (s *Spool) letGo() {
	if s.tail != nil {
		blocks.Put(s.tail)
		s.tail = nil
	}
}

// finish writes the last block and makes the octets durable, in the goroutine
// of whoever delivers: many flush at once.
func (s *Spool) finish() error {
	if s.err != nil || !s.read.grows {
		return s.err
	}
	if s.filled > 0 {
		s.err = s.flush(seal.Last)
	}
	if s.err == nil {
		s.err = s.f.Datasync()
	}
	s.read.grows = s.err != nil
	s.letGo()
	return s.err
}

// become renames the file into the log.
func (s *Spool) become(name string) error {
	if err := s.files.Rename(s.name, name); err != nil {
		return err
	}
	s.kept = true
	return nil
}

// adopt makes a spool of a big body: of a spool itself, unless it is the log's
// already, else of a copy.
func (l *Log) adopt(body mail.Body) (*Spool, error) {
	if s, ok := body.(*Spool); ok && !s.kept {
		return s, s.finish()
	}
	s, err := l.Spool()
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(s, io.NewSectionReader(body, 0, body.Size()))
	if err == nil && s.Size() != body.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = s.finish()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.copy = true
	return s, nil
}
