package segment

import (
	"errors"
	"fmt"
	"letterlock/storage/disk"
	"path/filepath"
)

// maxFree is how many files of dead segments are kept to be written over: a
// flush into blocks that are there costs less than half of one that grows.
const maxFree = 4

// Sealed lists the segments that are never written again, oldest first.
func (l *Log) Sealed() []Segment {
	all := l.Segments()
	if len(all) == 0 {
		return nil
	}
	return all[:len(all)-1]
}

// Has says whether the files that hold a record are there.
func (l *Log) Has(at Pos, bodySize uint64) bool {
	l.mu.Lock()
	_, known := l.segments[at.Segment]
	l.mu.Unlock()
	if !known || bodySize <= BigBody {
		return known
	}
	s, err := l.Open(at)
	if err == nil {
		err = s.Close()
	}
	return !errors.Is(err, ErrGone)
}

// Used is how many octets of a sealed segment hold records.
func (l *Log) Used(s Segment) uint64 {
	end, _ := l.limit(s)
	return end - segmentHeader
}

// Remove takes a sealed segment out of the log: the caller vouches that every
// living record of it lies elsewhere and that no replay will start in it. Those
// who read it keep it until they are done.
func (l *Log) Remove(number uint64) error {
	l.mu.Lock()
	s, ok := l.segments[number]
	if ok {
		delete(l.segments, number)
	}
	l.mu.Unlock()
	if !ok {
		return fmt.Errorf("segment %d: %w", number, ErrGone)
	}
	if !l.handles.forget(s.Name) && s.Size == l.opt.SegmentSize && l.countFree() < maxFree {
		return l.opt.Files.Rename(s.Name, s.Name+freeSuffix)
	}
	return l.opt.Files.Remove(s.Name)
}

const freeSuffix = ".free"

func (l *Log) free() []string {
	names, _ := filepath.Glob(filepath.Join(l.dir, "*"+freeSuffix)) // the pattern is good
	return names
}

func (l *Log) countFree() int { return len(l.free()) }

// reuse gives the file of a dead segment another name; nil where there is none.
// Its old records carry another segment's number and are never taken for new.
func (l *Log) reuse(name string) disk.File {
	for _, old := range l.free() {
		if err := l.opt.Files.Rename(old, name); err != nil {
			continue
		}
		f, err := l.opt.Files.Open(name)
		if err == nil {
			return f
		}
		if err := l.opt.Files.Remove(name); err != nil && !errors.Is(err, errNotExist) {
			l.opt.Log.Warn("a free segment cannot be used", "file", name, "err", err)
		}
	}
	return nil
}
