package journal

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"letterlock/storage/disk"
)

// pair is the two files of a shard, of which one is written.
type pair struct {
	files disk.Files
	dir   string
	turns [2]turn
	now   *turn
}

// turn is one file.
type turn struct {
	name    string
	f       disk.File // nil: there is none
	salt    salt
	at      int64  // where the next record goes
	written int64  // up to where its blocks hold octets
	holds   uint64 // the last record in it
}

// How many octets of zeros are written ahead of a file's records, with the flush
// of one of them: a flush into blocks that were never written costs twice as much.
const (
	leastAhead = 32 << 10
	mostAhead  = 512 << 10
)

var zeros [mostAhead]byte // never written to

func newPair(files disk.Files, dir string, shard int) *pair {
	p := &pair{files: files, dir: dir}
	for i, name := range names(dir, shard) {
		p.turns[i].name = name
	}
	p.now = &p.turns[0]
	return p
}

func names(dir string, shard int) [2]string {
	return [2]string{
		filepath.Join(dir, fmt.Sprintf("%02d.a.journal", shard)),
		filepath.Join(dir, fmt.Sprintf("%02d.b.journal", shard)),
	}
}

// append writes a record durably. After an error nobody knows whether it is
// there: the file is not to be written again.
func (p *pair) append(r *record, number uint64) error {
	t := p.now
	if t.f == nil {
		if err := p.create(t); err != nil {
			return err
		}
	}
	b := r.end(t.salt, number)
	if _, err := t.f.WriteAt(b, t.at); err != nil {
		return err
	}
	end := t.at + int64(len(b))
	if end > t.written {
		t.written = end
		more := zeros[:min(max(end, leastAhead), mostAhead)]
		if n, err := t.f.WriteAt(more, end); err == nil {
			t.written += int64(n)
		} else if !disk.NoSpace(err) { // there may be room for the next record still
			return err
		}
	}
	if err := t.f.Datasync(); err != nil {
		return err
	}
	t.at, t.holds = end, number
	return nil
}

// create makes a file with a salt of its own in the place of one that is of no
// use any more.
func (p *pair) create(t *turn) error {
	if err := p.files.Remove(t.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := p.files.Create(t.name)
	if err != nil {
		return err
	}
	var random [saltSize]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	if _, err = f.WriteAt(fileHeader(random[:]), 0); err == nil {
		err = p.files.SyncDir(p.dir)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	t.f, t.salt, t.at, t.written = f, saltOf(random[:]), firstAt, firstAt
	return nil
}

// change turns to the other file, unless it holds what has not settled.
func (p *pair) change(settled uint64) {
	other := &p.turns[0]
	if other == p.now {
		other = &p.turns[1]
	}
	if other.holds <= settled {
		p.now, other.at = other, firstAt
	}
}

// rewind begins the file anew that is written: everything has settled.
func (p *pair) rewind() { p.now.at = firstAt }

// close leaves both files as they are.
func (p *pair) close() (err error) {
	for i := range p.turns {
		t := &p.turns[i]
		if t.f != nil {
			err = errors.Join(err, t.f.Close())
		}
		*t = turn{name: t.name}
	}
	return err
}

// drop removes both files: everything has settled.
func (p *pair) drop() error {
	err := p.close()
	for i := range p.turns {
		if rerr := p.files.Remove(p.turns[i].name); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// read is the records of a shard that have not settled: those behind stamp, in
// order.
func read(dir string, shard int, stamp uint64) (all []found, err error) {
	for _, name := range names(dir, shard) {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		some, err := readFile(b, stamp)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.number, b.number) })
	for i := range all {
		if want := stamp + 1 + uint64(i); all[i].number != want {
			return nil, fmt.Errorf("%s: record %d is missing: %w", names(dir, shard)[0], want, ErrDamaged)
		}
	}
	return all, nil
}

// readFile is the records of one file behind stamp. Behind the last come those of
// an earlier turn, which have settled: one that has not would have been flushed
// after what cannot be read before it.
func readFile(b []byte, stamp uint64) (all []found, err error) {
	salt, ok := readHeader(b)
	if !ok {
		return nil, nil
	}
	last, rest := stamp, b[firstAt:]
	for number := uint64(0); ; {
		f, behind, ok := salt.parse(rest)
		if !ok || number != 0 && f.number != number+1 {
			break
		}
		number, rest = f.number, behind
		if number > stamp {
			last = number
			all = append(all, f)
		}
	}
	for ; len(rest) >= sector; rest = rest[sector:] {
		if f, _, ok := salt.parse(rest); ok && f.number > last {
			return nil, fmt.Errorf("record %d is there, and none behind %d before it: %w", f.number, last, ErrDamaged)
		}
	}
	return all, nil
}
