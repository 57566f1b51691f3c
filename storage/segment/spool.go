package segment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"letterlock/internal/mail"
)

var errNotExist = fs.ErrNotExist

// spools numbers the files in tmp, which is emptied at start.
var spools atomic.Uint64

// Spool is a body that is too big for memory: written once from the front,
// summed up as it comes, then read. A big one becomes a file of the log by
// being renamed.
type Spool struct {
	files Files
	f     File
	name  string
	table Table
	tail  []byte // octets of the last block, not yet summed
	size  int64
	err   error // of a write: nothing is taken after it
	kept  bool  // it is the log's now
	copy  bool  // made by adopt: nobody else closes it
}

var _ mail.Body = (*Spool)(nil)

// Spool makes an empty spool file.
func (l *Log) Spool() (*Spool, error) {
	name := filepath.Join(l.tmp, fmt.Sprintf("%d.spool", spools.Add(1)))
	f, err := l.opt.Files.Create(name)
	if err != nil {
		return nil, err
	}
	return &Spool{files: l.opt.Files, f: f, name: name}, nil
}

// Write appends p.
func (s *Spool) Write(p []byte) (n int, err error) {
	if s.err != nil {
		return 0, s.err
	}
	n, s.err = s.f.WriteAt(p, s.size)
	s.size += int64(n)
	s.sum(p[:n])
	return n, s.err
}

func (s *Spool) sum(p []byte) {
	for len(p) > 0 {
		if len(s.tail) == 0 && len(p) >= BlockSize {
			s.table.add(p[:BlockSize])
			p = p[BlockSize:]
			continue
		}
		n := min(BlockSize-len(s.tail), len(p))
		s.tail, p = append(s.tail, p[:n]...), p[n:]
		if len(s.tail) == BlockSize {
			s.table.add(s.tail)
			s.tail = s.tail[:0]
		}
	}
}

// ReadAt reads what was written.
func (s *Spool) ReadAt(p []byte, off int64) (int, error) { return s.f.ReadAt(p, off) }

// Size is the octets written.
func (s *Spool) Size() int64 { return s.size }

// Close deletes the file unless it has become part of the log.
func (s *Spool) Close() error {
	err := s.f.Close()
	if !s.kept {
		err = errors.Join(err, s.files.Remove(s.name))
	}
	return err
}

// seal sums the last block and makes the octets durable, in the goroutine of
// whoever delivers: many flush at once.
func (s *Spool) seal() error {
	if s.err != nil {
		return s.err
	}
	if len(s.tail) > 0 {
		s.table.add(s.tail)
		s.tail = nil
	}
	return s.f.Datasync()
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
		return s, s.seal()
	}
	s, err := l.Spool()
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(s, io.NewSectionReader(body, 0, body.Size()))
	if err == nil && s.size != body.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = s.seal()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.copy = true
	return s, nil
}
