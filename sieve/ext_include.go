package sieve

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// includeExt is RFC 6609.
var includeExt = Extension{
	Name: "include",
	Commands: []Spec{
		{
			Name: "include", Args: []Param{{Name: "name of the script", Kind: StringArg, Const: true}}, Compile: compileInclude,
			Tags: []Tag{
				{Name: "personal", Class: "location"}, {Name: "global", Class: "location"},
				{Name: "once"}, {Name: "optional"},
			},
		},
		{Name: "return", Compile: func(*Call) (Op, error) { return returnOp, nil }},
		{Name: "global", Args: []Param{{Name: "names of variables", Kind: StringList, Const: true}}, Compile: compileGlobal},
	},
	Namespace: &globalSpace,
}

// globalSpace is the variables that scripts share (RFC 6609 §3.4).
var globalSpace = Namespace{
	Name:  "global",
	Get:   func(rt *Runtime, name string) (string, bool) { v, ok := rt.globals[name]; return v, ok },
	Set:   setGlobal,
	Valid: isIdentifier,
}

func setGlobal(rt *Runtime, name, value string) error {
	if rt.globals == nil {
		rt.globals = map[string]string{}
	}
	limit := rt.engine.config.Limits.Variables
	if _, old := rt.globals[name]; !old && len(rt.globals) >= limit {
		return limited(limit, "global variables")
	}
	rt.globals[name] = value
	return nil
}

// included names a script that runs.
type included struct {
	where Location
	name  string
}

func returnOp(*Runtime) (Flow, error) { return Return, nil }

func compileInclude(c *Call) (Op, error) {
	s := included{name: c.String(0).text}
	if err := scriptName(s.name); err != nil {
		return nil, c.Fail(c.ArgPos(0), "%v", err)
	}
	if c.Has("global") {
		s.where = Global
	}
	once, optional := c.Has("once"), c.Has("optional")
	return func(rt *Runtime) (Flow, error) {
		if once && (rt.loaded[s] || rt.frame.running(s)) {
			return Next, nil
		}
		return rt.include(s, optional)
	}, nil
}

// include runs another script inside this one. A stop in it stops everything, a
// return only itself.
func (rt *Runtime) include(s included, optional bool) (Flow, error) {
	if err := rt.mayInclude(s); err != nil {
		return Stop, err
	}
	script, err := rt.load(s)
	if errors.Is(err, fs.ErrNotExist) && optional {
		return Next, nil
	}
	if err != nil {
		return Stop, fmt.Errorf("include %s %s: %w", s.where, quote(s.name), err)
	}
	if rt.loaded == nil {
		rt.loaded = map[included]bool{}
	}
	rt.loaded[s] = true
	at, outer := rt.at, rt.frame
	rt.frame = newFrame(script, outer, s)
	flow, err := rt.RunBlock(script.code)
	if err != nil {
		var done *Error
		if !errors.As(err, &done) {
			err = &Error{rt.position(), err} // the line in the script that broke
		}
	}
	rt.frame, rt.at = outer, at
	if err != nil || flow == Stop {
		return Stop, err
	}
	return Next, nil
}

func (rt *Runtime) mayInclude(s included) error {
	limits := &rt.engine.config.Limits
	if rt.frame.running(s) {
		return fmt.Errorf("the script %s includes itself", quote(s.name))
	}
	depth := 0
	for f := rt.frame; f != nil; f = f.up {
		depth++
	}
	if depth >= limits.IncludeNest {
		return limited(limits.IncludeNest, "scripts inside each other")
	}
	if rt.incs++; rt.incs > limits.Includes {
		return limited(limits.Includes, "includes")
	}
	return rt.Take(1024)
}

func (f *frame) running(s included) bool {
	for ; f != nil; f = f.up {
		if f.from == s {
			return true
		}
	}
	return false
}

func (rt *Runtime) load(s included) (*Script, error) {
	if rt.input.Load == nil {
		return nil, fs.ErrNotExist
	}
	script, err := rt.input.Load(rt.ctx, s.where, s.name)
	switch _, mistakes := errors.AsType[Errors](err); {
	case mistakes || errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil:
		return nil, unanswered(err)
	}
	if script.engine != rt.engine {
		return nil, errors.New("the script was compiled for another engine")
	}
	return script, rt.Take(16 * script.vars)
}

// scriptName checks a name by the rules of ManageSieve (RFC 5804 §1.6).
func scriptName(s string) error {
	bad := func(r rune) bool {
		return r < ' ' || r >= 0x7f && r <= 0x9f || r == '\u2028' || r == '\u2029' || r == '/'
	}
	if s == "" || len(s) > 512 || !utf8.ValidString(s) || strings.ContainsFunc(s, bad) {
		return fmt.Errorf("%s cannot be the name of a script", quote(s))
	}
	return nil
}

// compileGlobal is RFC 6609 §3.4.1. The names are global from here on.
func compileGlobal(c *Call) (Op, error) {
	if !c.comp.lexical.variables {
		return nil, c.Fail(c.Pos, "`global` needs %s at the top of the script", requireLine("variables"))
	}
	for _, s := range c.Strings(0) {
		name := foldASCII(s.text)
		switch {
		case !isIdentifier(name):
			c.Fail(s.pos, "%s: %v", quote(s.text), errName)
		case c.comp.written[name]:
			c.Fail(s.pos, "%s was set before; declare it global first", quote(s.text))
		}
		if c.comp.globals == nil {
			c.comp.globals = map[string]bool{}
		}
		c.comp.globals[name] = true
	}
	return nil, nil
}
