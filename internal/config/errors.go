package config

import (
	"fmt"
	"strings"
)

// Error is one thing wrong with the file.
type Error struct {
	File string // "" where there is none
	Line int    // 0 where it is not known
	Key  string // "imap.release"; "" where it is no key's fault
	Fact string // what is wrong
	Way  string // the way out
}

// Error is the place, the key and the fact, in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "line %d", e.Line)
	}
	for _, part := range []string{e.Key, e.Fact} {
		if b.Len() > 0 && part != "" {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	return b.String()
}

// Hint is the way out.
func (e *Error) Hint() string { return e.Way }

// Problems is all that is wrong with a file, in its order; never empty.
type Problems []*Error

// Error has a line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, e := range p {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Hint is the way out of each problem.
func (p Problems) Hint() string {
	if len(p) == 1 {
		return p[0].Way
	}
	var ways []string
	for _, e := range p {
		if e.Way != "" {
			ways = append(ways, fmt.Sprintf("line %d: %s", e.Line, e.Way))
		}
	}
	return strings.Join(ways, "; ")
}

// Unwrap gives each [*Error].
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i, e := range p {
		errs[i] = e
	}
	return errs
}

// wrong is a value that will not do; whoever reads the key adds where it is.
func wrong(way, fact string, args ...any) *Error {
	return &Error{Fact: fmt.Sprintf(fact, args...), Way: way}
}
