package sieve

import (
	"errors"
	"strconv"
	"unicode/utf8"
)

// mimeExt is RFC 5703 §4.
var mimeExt = Extension{
	Name: "mime",
	Tags: []TagFor{
		{"header", mimeTag}, {"header", anychildTag},
		{"address", mimeTag}, {"address", anychildTag},
		{"exists", mimeTag}, {"exists", anychildTag},
		{"header", Tag{Name: "type", Class: mimeOptions, With: withMIME}},
		{"header", Tag{Name: "subtype", Class: mimeOptions, With: withMIME}},
		{"header", Tag{Name: "contenttype", Class: mimeOptions, With: withMIME}},
		{"header", Tag{Name: "param", Class: mimeOptions, With: withMIME, Arg: StringList}},
	},
}

const mimeOptions = "option of :mime"

var (
	withMIME    = []string{"mime"}
	mimeTag     = Tag{Name: "mime"}
	anychildTag = Tag{Name: "anychild", With: withMIME}
)

// mimeOption is :type, :subtype, :contenttype or :param; nil where there is none.
func (c *Call) mimeOption(m *Matcher) fieldMatch {
	var params []String
	if t := c.Tag("param"); t != nil {
		params = t.Strings
	}
	var of func(p *part, field string) string
	switch {
	case c.Has("type"):
		of = func(p *part, field string) string { typ, _ := p.kind(field); return typ }
	case c.Has("subtype"):
		of = func(p *part, field string) string { _, sub := p.kind(field); return sub }
	case c.Has("contenttype"):
		of = func(p *part, field string) string {
			typ, sub := p.kind(field)
			if sub == "" {
				return typ
			}
			return typ + "/" + sub
		}
	case params == nil:
		return nil
	}
	return func(rt *Runtime, patterns []pattern, f *field, p *part) (bool, int, error) {
		name := foldASCII(f.name)
		var values []string
		if of != nil {
			value := of(p, name)
			if m.typ.Count && value == "" {
				return false, 0, nil // it did not parse
			}
			values = []string{value}
		} else {
			var err error
			if values, err = p.params(rt, name, params); err != nil {
				return false, 0, err
			}
		}
		if m.typ.Count {
			return false, len(values), nil
		}
		for _, s := range values {
			v := Value{Text: s}
			if ok, err := m.any(rt, patterns, &v); ok || err != nil {
				return ok, len(values), err
			}
		}
		return false, len(values), nil
	}
}

// kind is type and subtype of a Content-Type, the disposition of a
// Content-Disposition, and of every other field nothing (RFC 5703 §4.1).
func (p *part) kind(field string) (typ, sub string) {
	switch field {
	case "content-type":
		return p.typ, p.sub
	case "content-disposition":
		return p.disposition, ""
	}
	return "", ""
}

func (p *part) params(rt *Runtime, field string, names []String) ([]string, error) {
	if field != "content-type" && field != "content-disposition" {
		return nil, nil
	}
	var values []string
	for _, s := range names {
		name, err := s.Eval(rt)
		if err != nil {
			return nil, err
		}
		if v, ok := p.param(field, name); ok {
			values = append(values, v)
		}
		if err := rt.Spend(4); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// foreverypartExt is RFC 5703 §3.
var foreverypartExt = Extension{
	Name: "foreverypart",
	Commands: []Spec{
		{Name: "foreverypart", Tags: loopName, Block: true, Compile: compileForeverypart},
		{Name: "break", Tags: loopName, Compile: compileBreak},
	},
}

var loopName = []Tag{{Name: "name", Arg: StringArg, Const: true}}

// loop is a foreverypart around the code being compiled.
type loop struct{ name, label string }

func compileForeverypart(c *Call) (Op, error) {
	l := loop{label: "foreverypart " + strconv.Itoa(len(c.comp.loops))}
	if t := c.Tag("name"); t != nil {
		l.name = t.String.text
	}
	if limit := c.Config().Limits.PartNest; len(c.comp.loops) >= limit {
		return nil, c.Fail(c.Pos, "`foreverypart` can be nested %d deep, not deeper", limit)
	}
	c.comp.loops = append(c.comp.loops, l)
	code := c.Block()
	c.comp.loops = c.comp.loops[:len(c.comp.loops)-1]
	return func(rt *Runtime) (Flow, error) { return rt.foreverypart(code, l.label) }, nil
}

func (rt *Runtime) foreverypart(code Block, label string) (Flow, error) {
	f := rt.frame
	outer := f.part
	defer func() { f.part = outer }()
	parts, err := rt.loopParts()
	if err != nil {
		return Stop, err
	}
	for _, p := range parts {
		f.part = p
		if err := rt.Spend(1); err != nil {
			return Stop, err
		}
		flow, err := rt.RunBlock(code)
		switch {
		case err != nil:
			return Stop, err
		case flow == Leave && rt.Left(label):
			return Next, nil
		case flow != Next:
			return flow, nil
		}
	}
	return Next, nil
}

// loopParts are the parts a loop goes through: all, or inside another loop those
// within its part (RFC 5703 §3).
func (rt *Runtime) loopParts() ([]*part, error) {
	top, err := rt.here()
	if err != nil {
		return nil, err
	}
	inner := rt.frame.part != nil
	var parts []*part
	top.walk(func(p *part) (bool, error) {
		if !inner || p != top {
			parts = append(parts, p)
		}
		return true, nil
	})
	return parts, rt.Take(16 * len(parts))
}

func compileBreak(c *Call) (Op, error) {
	name := ""
	if t := c.Tag("name"); t != nil {
		name = t.String.text
	}
	for i := len(c.comp.loops) - 1; i >= 0; i-- {
		if l := c.comp.loops[i]; name == "" || l.name == name {
			return func(rt *Runtime) (Flow, error) { return rt.Leave(l.label), nil }, nil
		}
	}
	if name != "" {
		return nil, c.Fail(c.Pos, "there is no `foreverypart` named %s around this `break`", quote(name))
	}
	return nil, c.Fail(c.Pos, "there is no `foreverypart` around this `break`")
}

// extracttextExt is RFC 5703 §7.
var extracttextExt = Extension{
	Name: "extracttext",
	Commands: []Spec{{
		Name: "extracttext", Args: []Param{{Name: "name of the variable", Kind: StringArg}}, Compile: compileExtracttext,
		Tags: append([]Tag{{Name: "first", Arg: NumberArg}}, setModifiers...),
	}},
}

func compileExtracttext(c *Call) (Op, error) {
	v, err := c.Variable(c.String(0))
	if err != nil {
		return nil, err
	}
	inside := len(c.comp.loops) > 0
	if !inside {
		c.Remark(c.Pos, "`extracttext` outside of `foreverypart` gives an empty text")
	}
	limit := c.Config().Limits.Value
	first := limit
	if t := c.Tag("first"); t != nil {
		first = int(min(t.Number, uint64(limit)))
	}
	modify := c.Modifiers()
	return func(rt *Runtime) (Flow, error) {
		text := ""
		if inside && rt.frame.part != nil && rt.frame.part.typ == "text" {
			var err error
			if text, err = rt.content(rt.frame.part, limit); err != nil {
				return Stop, err
			}
			text = firstRunes(text, first)
		}
		if modify != nil {
			if err := errors.Join(rt.Scan(4*len(text)), rt.Take(3*len(text))); err != nil {
				return Stop, err
			}
			text = modify(text)
		}
		return Next, rt.SetVariable(v, text)
	}, nil
}

// firstRunes is the first n characters, without one that a limit has cut in two.
func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	for last := len(s) - 1; last >= max(0, len(s)-utf8.UTFMax); last-- {
		if utf8.RuneStart(s[last]) {
			if !utf8.FullRuneInString(s[last:]) {
				return s[:last]
			}
			break
		}
	}
	return s
}
