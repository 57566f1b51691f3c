package sieve

import (
	"strings"
	"unicode/utf8"
)

// glob is a pattern of :matches (RFC 5228 §2.7.1): segments with stars between
// them. Stars take as little as possible (RFC 5229 §3.2); since a star can take
// anything, the leftmost place of each segment is then the right one and
// nothing is ever tried twice.
type glob struct {
	segments []segment // the first at the start of the value, the last at its end
	chars    bool      // ? takes a character of UTF-8
}

// segment is literals and question marks: n items, an empty literal is a ?.
type segment struct {
	items []string
	first string // the literal it starts with, or ""
}

func newGlob(cmp *Comparator, pattern string) glob {
	g := glob{chars: cmp.FoldChar != nil}
	var seg segment
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			seg.items = append(seg.items, foldPart(cmp, lit.String()))
			lit.Reset()
		}
	}
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '*':
			flush()
			g.end(seg)
			seg = segment{}
		case c == '?':
			flush()
			seg.items = append(seg.items, "")
		case c == '\\' && i+1 < len(pattern):
			i++
			lit.WriteByte(pattern[i])
		default:
			lit.WriteByte(c)
		}
	}
	flush()
	g.end(seg)
	return g
}

// end adds a segment that is complete.
func (g *glob) end(s segment) {
	if len(s.items) > 0 {
		s.first = s.items[0]
	}
	g.segments = append(g.segments, s)
}

// foldPart folds a literal so that it can be compared with a part of a folded
// value.
func foldPart(cmp *Comparator, s string) string {
	if cmp.FoldChar != nil {
		folded, _ := foldChars(cmp, s)
		return folded
	}
	return cmp.fold(s)
}

// foldChars folds character by character; at[i] is where in s the character
// starts that octet i of the folded string comes from.
func foldChars(cmp *Comparator, s string) (folded string, at []int32) {
	out := make([]byte, 0, len(s)+16)
	at = make([]int32, 0, len(s)+16)
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		out = cmp.FoldChar(out, s[i:i+n])
		for len(at) < len(out) {
			at = append(at, int32(i))
		}
		i += n
	}
	return string(out), append(at, int32(len(s)))
}

// subject is a value while a glob is matched with it. A runtime has one, to use
// again and again.
type subject struct {
	rt    *Runtime
	text  string  // folded
	at    []int32 // of text, where its octets come from; nil: the same place
	spans []span  // what wildcards took, in text
	err   error
}

type span struct{ from, to int }

// match matches a value, given as it is and folded.
func (g *glob) match(rt *Runtime, m *Matcher, value, folded string) (bool, error) {
	s := &rt.subject
	*s = subject{rt: rt, text: folded, spans: s.spans[:0]}
	if g.chars {
		if err := rt.Take(32 * len(value)); err != nil {
			return false, err
		}
		if err := rt.Scan(256 * len(value)); err != nil {
			return false, err
		}
		s.text, s.at = foldChars(m.cmp, value)
	}
	capture := !m.quiet && rt.frame.script.matches && !rt.frame.match.quiet
	if !g.run(s) || s.err != nil {
		return false, s.err
	}
	if capture {
		return true, s.publish(value)
	}
	return true, nil
}

// publish sets the match variables from the spans.
func (s *subject) publish(value string) error {
	f := s.rt.frame
	list := append(f.match.list[:0], value)
	for _, sp := range s.spans[:min(len(s.spans), maxMatchVariable)] {
		if s.at != nil {
			sp = span{int(s.at[sp.from]), int(s.at[sp.to])}
		}
		list = append(list, value[sp.from:sp.to])
	}
	f.match.list = list
	return s.rt.Take(16 * len(list))
}

// run places the segments one behind the other.
func (g *glob) run(s *subject) bool {
	last := len(g.segments) - 1
	at := g.segments[0].place(s, 0, g.chars)
	if at < 0 {
		return false
	}
	if last == 0 {
		return at == len(s.text)
	}
	for i := 1; i < last; i++ {
		star := len(s.spans)
		s.spans = append(s.spans, span{at, at})
		from, to := g.segments[i].find(s, at, g.chars)
		if to < 0 {
			return false
		}
		s.spans[star].to = from
		at = to
	}
	star := len(s.spans)
	s.spans = append(s.spans, span{at, at})
	from := g.segments[last].findEnd(s, at, g.chars)
	if from < 0 {
		return false
	}
	s.spans[star].to = from
	return true
}

// place matches a segment at one place and returns where it ends, or -1.
func (seg *segment) place(s *subject, at int, chars bool) int {
	if s.err = s.rt.Spend(len(seg.items)/8 + 1); s.err != nil {
		return -1
	}
	for _, item := range seg.items {
		switch {
		case item != "":
			if !strings.HasPrefix(s.text[at:], item) {
				return -1
			}
			at += len(item)
		case at >= len(s.text):
			return -1
		default:
			next := s.next(at, chars)
			s.spans = append(s.spans, span{at, next})
			at = next
		}
	}
	return at
}

// find looks for the first place of a segment from at on.
func (seg *segment) find(s *subject, at int, chars bool) (from, to int) {
	spans := len(s.spans)
	for from = at; from <= len(s.text); {
		if seg.first != "" {
			n := strings.Index(s.text[from:], seg.first)
			if s.err = s.rt.Scan(max(n, 0)); n < 0 || s.err != nil {
				return -1, -1
			}
			from += n
		}
		if to = seg.place(s, from, chars); to >= 0 || s.err != nil {
			return from, to
		}
		s.spans = s.spans[:spans]
		if from == len(s.text) {
			break
		}
		from = s.next(from, chars)
	}
	return -1, -1
}

// findEnd looks for the place where a segment ends with the text.
func (seg *segment) findEnd(s *subject, at int, chars bool) (from int) {
	if !chars {
		n := 0
		for _, item := range seg.items {
			n += max(1, len(item))
		}
		if from = len(s.text) - n; from < at || seg.place(s, from, false) < 0 {
			return -1
		}
		return from
	}
	spans := len(s.spans)
	for from, to := seg.find(s, at, true); to >= 0; from, to = seg.find(s, s.next(from, true), true) {
		if to == len(s.text) {
			return from
		}
		s.spans = s.spans[:spans]
		if from >= len(s.text) {
			break
		}
	}
	return -1
}

// next is the place behind the octet, or the character, at i.
func (s *subject) next(i int, chars bool) int {
	if i >= len(s.text) {
		return len(s.text)
	}
	if !chars {
		return i + 1
	}
	here := s.at[i]
	for i < len(s.text) && s.at[i] == here {
		i++
	}
	return i
}
