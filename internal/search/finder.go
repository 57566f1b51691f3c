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
// "fi" finds the ligature, and ss for the German sharp s. The empty string is
// found in everything (RFC 9051 §6.4.4).
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
	err := eachWindow(r, len(f.needle)-1, func(text []byte) bool {
		found = bytes.Contains(text, f.needle)
		return !found
	})
	return found, err
}

// eachWindow folds r's text and gives it to visit in windows, each of which
// begins with the last overlap octets of the one before, until visit says false.
// The error is r's.
func eachWindow(r io.Reader, overlap int, visit func(text []byte) bool) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	held := 0
	s.folded = s.folded[:0]
	for {
		n, err := r.Read(s.raw[held:])
		var rest []byte
		s.folded, rest = fold(s.folded, s.raw[:held+n])
		if err != nil {
			s.folded = append(s.folded, rest...)
			rest = nil
		}
		if !visit(s.folded) || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
		held = copy(s.raw, rest)
		keep := min(len(s.folded), overlap)
		s.folded = s.folded[:copy(s.folded, s.folded[len(s.folded)-keep:])]
	}
}

// String says whether s, which is UTF-8, has the string.
func (f *Finder) String(s string) bool {
	found, _ := f.Reader(strings.NewReader(s)) // which has no errors
	return found
}

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
