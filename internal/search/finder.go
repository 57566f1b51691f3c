package search

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"

	"letterlock/internal/mime"
)

// Finder looks for one string. It may be used by several goroutines at once.
type Finder struct {
	needle []byte   // folded
	grams  []uint32 // of it, for filters; none: every filter lets it through
}

// NewFinder prepares to look for s, which is UTF-8. Text matches where s is a
// substring of it after both were folded: title case, compatibility
// decomposition (RFC 5051 §2), and beyond that RFC title case once more, so that
// "fi" finds the ligature, ss for the German sharp s, and a space for a tab. The
// empty string is found in everything (RFC 9051 §6.4.4).
func NewFinder(s string) *Finder {
	needle, rest := fold(nil, []byte(s))
	needle = append(needle, rest...)
	return &Finder{needle: needle, grams: gramsOf(needle)}
}

// readSize is how much text is folded at a time, in octets.
const readSize = 32 << 10

// scratch is what one search needs.
type scratch struct {
	raw    []byte // read, not yet folded: at first the start of a character
	folded []byte // at first the end of what was searched before
}

var scratches = sync.Pool{New: func() any { return &scratch{raw: make([]byte, readSize)} }}

// Reader says whether r's text has the string. It reads up to the first match.
// The error is r's.
func (f *Finder) Reader(r io.Reader) (bool, error) {
	if len(f.needle) == 0 {
		return true, nil
	}
	found := false
	err := eachWindow(r, len(f.needle)-1, func(text []byte, _ int) bool {
		found = bytes.Contains(text, f.needle)
		return !found
	})
	return found, err
}

// eachWindow folds r's text and gives it to visit in windows, each of which
// begins with the last overlap octets of the one before, until visit says false.
// The first old octets of a window were in the one before. The error is r's.
func eachWindow(r io.Reader, overlap int, visit func(text []byte, old int) bool) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	held, old := 0, 0
	s.folded = s.folded[:0]
	for {
		n, err := r.Read(s.raw[held:])
		var rest []byte
		s.folded, rest = fold(s.folded, s.raw[:held+n])
		if err != nil {
			s.folded = append(s.folded, rest...)
			rest = nil
		}
		if !visit(s.folded, old) || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
		held = copy(s.raw, rest)
		old = min(len(s.folded), overlap)
		s.folded = s.folded[:copy(s.folded, s.folded[len(s.folded)-old:])]
	}
}

// String says whether s, which is UTF-8, has the string.
func (f *Finder) String(s string) bool {
	if len(s) > readSize {
		found, _ := f.Reader(strings.NewReader(s)) // which has no errors
		return found
	}
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	n := copy(memory.raw, s)
	folded, rest := fold(memory.folded[:0], memory.raw[:n])
	memory.folded = append(folded, rest...)
	return bytes.Contains(memory.folded, f.needle)
}

// Needle is what is looked for, folded: two Finders of one needle find the same.
func (f *Finder) Needle() string { return string(f.needle) }

// Passages says whether any of a message's passages has the string; one that
// begins in one passage and ends in the next does not count.
func (f *Finder) Passages(passages iter.Seq[mime.Passage]) (bool, error) {
	for p := range passages {
		if found, err := f.Reader(p); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// FindAll looks for several strings in a message's passages at once: found[i] is
// set where fs[i] is in one of them; those that are set already are not looked
// for. It ends early when all are found, or when enough, which is asked after
// each find and may be nil, says so. The error is a reader's.
func FindAll(passages iter.Seq[mime.Passage], fs []*Finder, found []bool, enough func() bool) error {
	sought := newSought(fs, found)
	for p := range passages {
		ended := sought.open == 0
		if ended {
			return nil
		}
		err := eachWindow(p, sought.longest-1, func(text []byte, old int) bool {
			news := sought.look(text, old)
			ended = sought.open == 0 || news && enough != nil && enough()
			return !ended
		})
		if ended || err != nil {
			return err
		}
	}
	return nil
}

// sought is the strings that one pass looks for.
type sought struct {
	fs      []*Finder
	found   []bool
	open    int // not found yet
	longest int // octets of the longest needle
}

func newSought(fs []*Finder, found []bool) *sought {
	s := &sought{fs: fs, found: found, longest: 1}
	for i, f := range fs {
		if len(f.needle) == 0 {
			found[i] = true
		}
		if !found[i] {
			s.open++
			s.longest = max(s.longest, len(f.needle))
		}
	}
	return s
}

// look looks for what is open in a window, and says whether it found any.
func (s *sought) look(text []byte, old int) (news bool) {
	for i, f := range s.fs {
		if !s.found[i] && bytes.Contains(text[max(0, old-len(f.needle)+1):], f.needle) {
			s.found[i], news = true, true
			s.open--
		}
	}
	return news
}
