package sieve

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"
	"unicode/utf8"
)

// regexExt is draft-ietf-sieve-regex-01: POSIX extended regular expressions,
// and beside them what everybody writes, such as \d and \b.
var regexExt = Extension{
	Name: "regex",
	Tags: []TagFor{
		{AnyMatch, Tag{Name: "regex", Class: matchType, Match: &regexMatch}},
		{"set", modifier("quoteregex", 20, quoteRegex)},
	},
}

var regexMatch = MatchType{Substrings: true, Prepare: prepareRegex, Cost: costRegex}

const (
	maxRegex       = 1 << 10 // octets of an expression
	maxRegexSize   = 10_000  // of its program
	maxRegexGroups = 32
	regexOctets    = 256 // of memory for one instruction
)

var errBackReference = errors.New("back-references such as \\1 are not supported in regular expressions")

// parseRegex reads an expression and bounds what it will cost.
func parseRegex(cmp *Comparator, key string) (*syntax.Regexp, error) {
	if len(key) > maxRegex {
		return nil, fmt.Errorf("a regular expression can have %d octets, this one has %d", maxRegex, len(key))
	}
	flags := syntax.Perl &^ syntax.UnicodeGroups
	if cmp.Fold != nil {
		flags |= syntax.FoldCase
	}
	re, err := syntax.Parse(key, flags)
	if err != nil {
		var bad *syntax.Error
		if errors.As(err, &bad) && bad.Code == syntax.ErrInvalidEscape && strings.ContainsAny(bad.Expr, "123456789") {
			return nil, errBackReference
		}
		return nil, fmt.Errorf("%s is not a regular expression: %w", quote(key), err)
	}
	if regexSize(re) > maxRegexSize {
		return nil, fmt.Errorf("the regular expression %s is too large: shorten its repetitions", quote(key))
	}
	if re.MaxCap() > maxRegexGroups {
		return nil, fmt.Errorf("a regular expression can have %d groups, not more", maxRegexGroups)
	}
	return re, nil
}

// regexSize estimates the instructions of an expression with its repetitions
// written out.
func regexSize(re *syntax.Regexp) int {
	n := 1
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpCharClass:
		n += len(re.Rune) / 8
	}
	for _, sub := range re.Sub {
		n += regexSize(sub)
		if n > 100*maxRegexSize {
			return n
		}
	}
	if re.Op == syntax.OpRepeat {
		n *= max(1, re.Min, re.Max)
	}
	return n
}

// costRegex is the memory of a compiled expression; a wrong one costs nothing.
func costRegex(key string) int {
	re, err := parseRegex(&asciiCasemap, key)
	if err != nil {
		return 0
	}
	return regexOctets * regexSize(re)
}

func prepareRegex(cmp *Comparator, _, key string) (Pattern, error) {
	parsed, err := parseRegex(cmp, key)
	if err != nil {
		return nil, err
	}
	size := regexSize(parsed)
	re, err := regexp.Compile(parsed.String())
	if err != nil {
		return nil, fmt.Errorf("%s is not a regular expression: %w", quote(key), err)
	}
	re.Longest() // POSIX: of several matches at one place the longest
	return func(rt *Runtime, value string) (bool, error) {
		at, err := rt.search(re, size, value)
		if at == nil || err != nil {
			return false, err
		}
		list := make([]string, 0, len(at)/2)
		for i := 0; i+1 < len(at); i += 2 {
			group := ""
			if at[i] >= 0 {
				group = value[at[i]:at[i+1]]
			}
			list = append(list, group)
		}
		return true, rt.SetMatched(list)
	}, nil
}

// How much work, in octets times instructions, a search may be: so little that
// nobody looks at the clock, and so much that we wait until it is done. Beyond,
// it is fed octet by octet and watched.
const (
	little = 1 << 8
	enough = 1 << 20
)

func (rt *Runtime) search(re *regexp.Regexp, size int, value string) ([]int, error) {
	switch work := len(value) * size; {
	case work <= little:
		return re.FindStringSubmatchIndex(value), rt.Spend(1 + work/64)
	case work <= enough: // most take a hundredth of the time that some do
		since := time.Now()
		at := re.FindStringSubmatchIndex(value)
		return at, rt.clocked(since, work)
	}
	r := watch(rt, size, value)
	at := re.FindReaderSubmatchIndex(r)
	return at, r.err
}

// clocked charges the time since then as steps, and no more than the work takes
// at its worst, 25 ns a unit: what a busy machine gave to others, or slept, is not
// the script's.
func (rt *Runtime) clocked(since time.Time, work int) error {
	return rt.Spend(1 + min(int(time.Since(since)/(80*time.Nanosecond)), 16+work/2))
}

// watched feeds a search rune by rune and charges the time it takes as steps.
type watched struct {
	rt    *Runtime
	s     string
	size  int // of the expression
	at    int
	every int // octets between two looks at the clock
	next  int
	since time.Time
	err   error
}

func watch(rt *Runtime, size int, s string) *watched {
	every := max(1, enough/16/size)
	return &watched{rt: rt, s: s, size: size, every: every, next: every, since: time.Now()}
}

func (w *watched) ReadRune() (rune, int, error) {
	if w.at >= w.next && w.err == nil {
		w.err = w.rt.clocked(w.since, w.every*w.size)
		w.next, w.since = w.at+w.every, time.Now()
	}
	if w.err != nil {
		return 0, 0, w.err
	}
	if w.at >= len(w.s) {
		return 0, 0, errEnd
	}
	r, n := utf8.DecodeRuneInString(w.s[w.at:])
	w.at += n
	return r, n, nil
}

var errEnd = errors.New("sieve: end of value")

// quoteRegex is the modifier :quoteregex of the draft.
func quoteRegex(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(`\^$.[]|()*+?{}`, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
