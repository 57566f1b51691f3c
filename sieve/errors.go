package sieve

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Severity tells a mistake from a remark.
type Severity uint8

const (
	Mistake Severity = iota // the script does not compile
	Remark                  // it does, but probably not as meant
)

// Diagnostic is one thing to say about a script, as a sentence its author can
// act on.
type Diagnostic struct {
	Line, Col int // from 1; Col counts characters
	Severity  Severity
	Msg       string
}

func (d Diagnostic) Error() string { return fmt.Sprintf("line %d: %s", d.Line, d.Msg) }

// Errors is everything that is wrong with a script, in the order of the script.
// As an error it has one line for each.
type Errors []Diagnostic

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, d := range e {
		lines[i] = d.Error()
	}
	return strings.Join(lines, "\n")
}

// collector gathers diagnostics while a script is compiled.
type collector struct {
	src      string
	list     []diagnosed
	mistakes int
	stopped  bool
}

type diagnosed struct {
	pos Pos
	Diagnostic
}

func (c *collector) add(pos Pos, format string, args ...any) {
	if c.full() {
		return
	}
	c.put(pos, Mistake, fmt.Sprintf(format, args...))
	if c.mistakes++; c.mistakes == maxErrors {
		c.put(pos, Mistake, "there are more mistakes than this; the rest of the script was not read")
		c.stopped = true
	}
}

func (c *collector) remark(pos Pos, format string, args ...any) {
	if len(c.list) < 2*maxErrors {
		c.put(pos, Remark, fmt.Sprintf(format, args...))
	}
}

func (c *collector) put(pos Pos, severity Severity, msg string) {
	at := locate(c.src, pos)
	c.list = append(c.list, diagnosed{pos, Diagnostic{at.Line, at.Col, severity, msg}})
}

// full says that no more is wanted.
func (c *collector) full() bool { return c.stopped }

// giveUp ends the reading of a script that can only get worse.
func (c *collector) giveUp() { c.stopped = true }

func (c *collector) sorted() Errors        { return c.of(Mistake) }
func (c *collector) remarks() []Diagnostic { return c.of(Remark) }

func (c *collector) of(severity Severity) []Diagnostic {
	slices.SortStableFunc(c.list, func(a, b diagnosed) int { return cmp.Compare(a.pos, b.pos) })
	var out []Diagnostic
	for _, d := range c.list {
		if d.Severity == severity {
			out = append(out, d.Diagnostic)
		}
	}
	return out
}

// Position is a place in a named script.
type Position struct {
	Script    string // as it was named when compiled; empty for a nameless one
	Line, Col int    // from 1; 0 where there is no place
}

func (p Position) String() string {
	s := "line " + strconv.Itoa(p.Line)
	if p.Script != "" {
		s = p.Script + ", " + s
	}
	return s
}

func locate(src string, pos Pos) Position {
	before := src[:min(int(pos), len(src))]
	line := strings.LastIndexByte(before, '\n') + 1
	return Position{Line: strings.Count(before, "\n") + 1, Col: utf8.RuneCountInString(before[line:]) + 1}
}

// Error is why a run broke: what happened and where. Actions planned by the
// script that broke were dropped and the message is kept.
type Error struct {
	Position
	Err error
}

func (e *Error) Error() string { return e.Position.String() + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// HostError is why a run found no answer to what a script asked: the [Host], the
// [Loader] or the [Message] failed. It says nothing about the script; the same
// run may succeed later.
type HostError struct{ Err error }

func (e *HostError) Error() string { return e.Err.Error() }
func (e *HostError) Unwrap() error { return e.Err }

// unanswered is an error of whoever was asked.
func unanswered(err error) error {
	if err == nil {
		return nil
	}
	return &HostError{err}
}

// LimitError says which limit a script ran into.
type LimitError struct {
	Limit string // as a sentence names it: "4 redirects"
}

func (e *LimitError) Error() string { return "a script may not use more than " + e.Limit }

// limited is the error of a limit of n things.
func limited(n int, what string) *LimitError {
	if n == 1 {
		what = strings.TrimSuffix(what, "s")
	}
	return &LimitError{strconv.Itoa(n) + " " + what}
}

// quote puts a piece of a script between backquotes, short enough to read.
func quote(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return "`" + clean + "`"
}

func quoteRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return quote(s[:n])
}

// nearest finds the name that was probably meant, or "".
func nearest(name string, names []string) string {
	best, least := "", 1+len(name)/3
	for _, n := range names {
		if d := distance(name, n, least); d < least || d == least && best == "" {
			best, least = n, d
		}
	}
	return best
}

// distance counts insertions, deletions and substitutions, up to limit+1.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit || len(a) > 64 || len(b) > 64 {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left, diagonal := i+1, i
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, left, row[j+1])
			}
			diagonal, row[j], left = row[j+1], left, cost
		}
		row[len(b)] = left
	}
	return row[len(b)]
}
