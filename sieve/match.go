package sieve

import (
	"strconv"
	"strings"
)

// MatchType is a way to match a value with a key (RFC 5228 §2.7.1). A tag that
// names one is a match type of every test with [MatchTags].
type MatchType struct {
	// Substrings says that the comparator must know substrings.
	Substrings bool
	// Count says that what is matched is how many values there are
	// (RFC 5231 §4.2).
	Count bool
	// Arg says which arguments the tag takes; nil: none or any.
	Arg func(arg string) error
	// Prepare makes the pattern of one key. arg is the tag's argument.
	Prepare func(cmp *Comparator, arg, key string) (Pattern, error)
	// Cost is how many octets of memory the pattern of a key takes; nil: few.
	Cost func(key string) int

	kind matchKind // of the three that Matcher knows itself
}

// Pattern says whether a value matches. What is captured goes to
// [Runtime.SetMatched].
type Pattern func(rt *Runtime, value string) (bool, error)

type matchKind uint8

const (
	matchOther matchKind = iota
	matchIs
	matchContains
	matchMatches
)

var (
	isMatch       = MatchType{kind: matchIs}
	containsMatch = MatchType{kind: matchContains, Substrings: true}
	matchesMatch  = MatchType{kind: matchMatches, Substrings: true}
)

// Value is one value to match, with its folded form kept for the next key.
type Value struct {
	Text   string
	folded string
	isFold bool
}

func (v *Value) fold(rt *Runtime, cmp *Comparator) (string, error) {
	switch {
	case cmp.Fold == nil:
		return v.Text, nil
	case cmp != &asciiCasemap:
		if err := rt.Take(2 * len(v.Text)); err != nil {
			return "", err
		}
		return cmp.Fold(v.Text), rt.Scan(64 * len(v.Text))
	case !v.isFold:
		v.folded, v.isFold = foldASCII(v.Text), true
		if len(v.folded) > 0 {
			return v.folded, rt.Take(len(v.folded))
		}
	}
	return v.folded, nil
}

// Matcher is match type, comparator and keys of a call (RFC 5228 §2.7).
type Matcher struct {
	typ   *MatchType
	cmp   *Comparator
	arg   string
	keys  []String
	ready []pattern       // of constant keys; nil: keys have variables
	whole map[string]bool // of many constant keys with :is
	quiet bool            // do not set match variables (RFC 5173 §6)
}

// pattern is one key, ready to be matched.
type pattern struct {
	text string // folded, of :is and :contains
	glob glob
	fn   Pattern
}

// manyKeys is from how many keys on a map is faster than looking at each.
const manyKeys = 8

// Matcher reads match type and comparator from the call's tags (the spec has
// [MatchTags]) for matching with keys.
func (c *Call) Matcher(keys []String) (*Matcher, error) {
	m := &Matcher{typ: &isMatch, cmp: &asciiCasemap, keys: keys}
	var typeTag, cmpTag *TagValue
	for i := range c.tags {
		switch t := &c.tags[i]; {
		case t.Match != nil:
			m.typ, typeTag = t.Match, t
		case t.Name == "comparator":
			cmpTag = t
		}
	}
	if m.typ.Count && cmpTag == nil {
		m.cmp = &asciiNumeric // "10" is more than "9"
	}
	if cmpTag != nil {
		if err := c.comparator(m, cmpTag.String); err != nil {
			return nil, err
		}
	}
	if m.typ.Substrings && m.cmp.Whole {
		return nil, c.Fail(cmpTag.Pos, "the comparator %s compares whole values and cannot be used with %s", quote(m.cmp.Name), quote(":"+typeTag.Name))
	}
	if typeTag != nil && m.typ.Arg != nil {
		m.arg, _ = typeTag.String.Const()
		if err := m.typ.Arg(m.arg); err != nil {
			return nil, c.Fail(typeTag.String.pos, "%v", err)
		}
	}
	return m, c.prepare(m)
}

func (c *Call) comparator(m *Matcher, name String) error {
	cmp, ok := c.comp.engine.compare[name.text]
	if !ok {
		if c.comp.ihave {
			c.missingComparator(name)
			return nil
		}
		return c.Fail(name.pos, "there is no comparator %s", quote(name.text))
	}
	m.cmp = cmp.Comparator
	if cmp.Comparator == &octet || cmp.Comparator == &asciiCasemap {
		return nil // RFC 5228 §2.7.3: these need no require
	}
	if !c.comp.usable(c, cmp.ext) {
		return c.Fail(name.pos, "the comparator %s needs %s at the top of the script", quote(name.text), requireLine(cmp.ext.Name))
	}
	return nil
}

// missingComparator lets a comparator that does not exist break the run when it
// is reached (RFC 5463 §4).
func (c *Call) missingComparator(name String) {
	c.guards = append(c.guards, &extension{Extension: &Extension{Name: "comparator-" + name.text}, index: maxExtensions - 1})
}

// prepare makes the patterns of constant keys once and for all.
func (c *Call) prepare(m *Matcher) error {
	for _, k := range m.keys {
		if _, constant := k.Const(); !constant {
			return nil
		}
	}
	if m.typ.kind == matchIs && len(m.keys) > manyKeys && (m.cmp.Fold != nil || m.cmp.Order == nil) {
		m.whole = make(map[string]bool, len(m.keys))
		for _, k := range m.keys {
			m.whole[m.cmp.fold(k.text)] = true
		}
		m.ready, m.keys = []pattern{}, nil
		return nil
	}
	m.ready = make([]pattern, len(m.keys))
	for i, k := range m.keys {
		if c.comp.costs += m.cost(k.text); c.comp.costs > maxCosts {
			return c.Fail(k.pos, "the patterns of this script are too many or too long")
		}
		p, err := m.pattern(k.text)
		if err != nil {
			return c.Fail(k.pos, "%v", err)
		}
		m.ready[i] = p
	}
	m.keys = nil
	return nil
}

// maxCosts bounds the memory of all expensive patterns of one script.
const maxCosts = 8 << 20

func (m *Matcher) cost(key string) int {
	if m.typ.Cost == nil {
		return 0
	}
	return m.typ.Cost(key)
}

func (m *Matcher) pattern(key string) (pattern, error) {
	switch m.typ.kind {
	case matchIs, matchContains:
		return pattern{text: m.cmp.fold(key)}, nil
	case matchMatches:
		return pattern{glob: newGlob(m.cmp, key)}, nil
	}
	fn, err := m.typ.Prepare(m.cmp, m.arg, key)
	return pattern{fn: fn}, err
}

// Counts says that the test must match how many values there are, with
// [Matcher.Number], not each of them.
func (m *Matcher) Counts() bool { return m.typ.Count }

// Number matches a number of values (:count).
func (m *Matcher) Number(rt *Runtime, n int) (bool, error) {
	v := Value{Text: strconv.Itoa(n)}
	return m.Value(rt, &v)
}

// Value matches one value with every key.
func (m *Matcher) Value(rt *Runtime, v *Value) (bool, error) {
	patterns, err := m.patterns(rt)
	if err != nil {
		return false, err
	}
	return m.any(rt, patterns, v)
}

// Strings matches a list of values, or their number.
func (m *Matcher) Strings(rt *Runtime, values []string) (bool, error) {
	if m.typ.Count {
		return m.Number(rt, len(values))
	}
	patterns, err := m.patterns(rt)
	if err != nil {
		return false, err
	}
	for _, s := range values {
		v := Value{Text: s}
		if ok, err := m.any(rt, patterns, &v); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// patterns are the keys as they are now.
func (m *Matcher) patterns(rt *Runtime) ([]pattern, error) {
	if m.ready != nil {
		return m.ready, nil
	}
	list := make([]pattern, len(m.keys))
	for i, k := range m.keys {
		key, err := k.Eval(rt)
		if err == nil {
			err = rt.Take(2*len(key) + 64 + m.cost(key))
		}
		if err == nil {
			err = rt.Scan(4 * (len(key) + m.cost(key)))
		}
		if err == nil {
			list[i], err = m.pattern(key)
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// any matches a value with patterns, in order.
func (m *Matcher) any(rt *Runtime, patterns []pattern, v *Value) (bool, error) {
	if m.typ.kind == matchOther || m.typ.kind == matchIs && m.cmp.Fold == nil && m.cmp.Order != nil {
		return m.each(rt, patterns, v)
	}
	text, err := v.fold(rt, m.cmp)
	if err != nil {
		return false, err
	}
	if err := rt.Spend(1 + (1+len(patterns))*(1+len(text)/octetsAStep)); err != nil {
		return false, err
	}
	if m.whole != nil {
		return m.whole[text], nil
	}
	for i := range patterns {
		p := &patterns[i]
		ok := false
		switch m.typ.kind {
		case matchIs:
			ok = text == p.text
		case matchContains:
			ok = strings.Contains(text, p.text)
		case matchMatches:
			ok, err = p.glob.match(rt, m, v.Text, text)
		}
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// each matches where the value is not folded first.
func (m *Matcher) each(rt *Runtime, patterns []pattern, v *Value) (bool, error) {
	for i := range patterns {
		if err := rt.Scan(len(v.Text) + len(patterns[i].text)); err != nil {
			return false, err
		}
		ok, err := false, error(nil)
		if fn := patterns[i].fn; fn != nil {
			quiet := rt.quiet(m.quiet)
			ok, err = fn(rt, v.Text)
			rt.frame.match.quiet = quiet
		} else {
			ok = m.cmp.equal(v.Text, patterns[i].text)
		}
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// matched is what the last successful :matches captured.
type matched struct {
	list  []string
	quiet bool
}

func (rt *Runtime) quiet(now bool) (before bool) {
	before = rt.frame.match.quiet
	rt.frame.match.quiet = now || before
	return before
}

// SetMatched sets ${0}, ${1}, …: the whole match first.
func (rt *Runtime) SetMatched(list []string) error {
	if rt.frame.match.quiet || !rt.frame.script.matches {
		return nil
	}
	n := min(len(list), maxMatchVariable+1)
	rt.frame.match.list = append(rt.frame.match.list[:0], list[:n]...)
	return rt.Take(16 * n)
}

func (f *frame) matched(i int) string {
	if i < len(f.match.list) {
		return f.match.list[i]
	}
	return ""
}
