package sieve

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// variablesExt is RFC 5229.
var variablesExt = Extension{
	Name:    "variables",
	Lexical: true,
	Commands: []Spec{{
		Name: "set", Tags: setModifiers, Compile: compileSet,
		Args: []Param{{Name: "name of the variable", Kind: StringArg}, {Name: "value", Kind: StringArg}},
	}},
	Tests: []Spec{{
		Name: "string", Groups: MatchTags, Test: compileString,
		Args: []Param{{Name: "source", Kind: StringList}, {Name: "keys", Kind: StringList}},
	}},
}

// setModifiers are those of RFC 5229 §4.1.
var setModifiers = []Tag{
	modifier("lower", 40, foldASCII),
	modifier("upper", 40, upperASCII),
	modifier("lowerfirst", 30, func(s string) string { return firstLetter(s, foldASCII) }),
	modifier("upperfirst", 30, func(s string) string { return firstLetter(s, upperASCII) }),
	modifier("quotewildcard", 20, quoteWildcard),
	modifier("length", 10, func(s string) string { return strconv.Itoa(utf8.RuneCountInString(s)) }),
}

func modifier(name string, precedence int, apply func(string) string) Tag {
	return Tag{
		Name:     name,
		Class:    "modifier of precedence " + strconv.Itoa(precedence),
		Modifier: &Modifier{Precedence: precedence, Apply: apply},
	}
}

func upperASCII(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = upper(b[i])
	}
	return string(b)
}

func firstLetter(s string, change func(string) string) string {
	if s == "" {
		return s
	}
	return change(s[:1]) + s[1:]
}

var quoteWildcard = strings.NewReplacer("*", `\*`, "?", `\?`, `\`, `\\`).Replace

// Modifiers is what the call's modifiers make of a value, those of the highest
// precedence first; nil where there are none.
func (c *Call) Modifiers() func(string) string {
	var list []*Modifier
	for i := range c.tags {
		if m := c.tags[i].Modifier; m != nil {
			list = append(list, m)
		}
	}
	if list == nil {
		return nil
	}
	slices.SortFunc(list, func(a, b *Modifier) int { return b.Precedence - a.Precedence })
	return func(s string) string {
		for _, m := range list {
			s = m.Apply(s)
		}
		return s
	}
}

func compileSet(c *Call) (Op, error) {
	value := c.String(1)
	v, err := c.Variable(c.String(0))
	if err != nil {
		return nil, err
	}
	if s, ok := value.Const(); ok && len(s) > c.Config().Limits.Value {
		return nil, c.Fail(value.pos, "a variable can hold %d octets, this value has %d", c.Config().Limits.Value, len(s))
	}
	modify := c.Modifiers()
	return func(rt *Runtime) (Flow, error) {
		s, err := value.Eval(rt)
		if err != nil {
			return Stop, err
		}
		if modify != nil {
			// A modifier may make three octets of one; what is cut off anyway is
			// not worth changing.
			s = cutText(s, rt.engine.config.Limits.Value)
			if err := rt.Scan(4 * len(s)); err != nil {
				return Stop, err
			}
			s = modify(s)
		}
		return Next, rt.SetVariable(v, s)
	}, nil
}

// compileString is the string test; an empty string counts as none
// (RFC 5229 §5).
func compileString(c *Call) (Predicate, error) {
	source := c.Strings(0)
	m, err := c.Matcher(c.Strings(1))
	if err != nil {
		return nil, err
	}
	return func(rt *Runtime) (bool, error) {
		n := 0
		for _, s := range source {
			text, err := s.Eval(rt)
			if err != nil {
				return false, err
			}
			if text != "" {
				n++
			}
			if m.typ.Count {
				continue
			}
			v := Value{Text: text}
			if ok, err := m.Value(rt, &v); ok || err != nil {
				return ok, err
			}
		}
		if m.typ.Count {
			return m.Number(rt, n)
		}
		return false, nil
	}, nil
}
