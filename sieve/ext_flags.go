package sieve

import (
	"slices"
	"strings"
)

// flagsExt is RFC 5232.
var flagsExt = Extension{
	Name: "imap4flags",
	Commands: []Spec{
		{Name: "setflag", Args: flagArgs, Compile: flagCommand(func(_, given []string) []string { return given })},
		{Name: "addflag", Args: flagArgs, Compile: flagCommand(addFlags)},
		{Name: "removeflag", Args: flagArgs, Compile: flagCommand(removeFlags)},
	},
	Tests: []Spec{{
		Name: "hasflag", Groups: MatchTags, Test: compileHasflag,
		Args: []Param{{Name: "names of variables", Kind: StringList, Optional: true}, {Name: "flags", Kind: StringList}},
	}},
	Tags: []TagFor{
		{"keep", Tag{Name: "flags", Arg: StringList, Apply: applyFlags}},
		{"fileinto", Tag{Name: "flags", Arg: StringList, Apply: applyFlags}},
		{"vacation", Tag{Name: "flags", Arg: StringList, With: []string{"fcc"}, Apply: applyFlags}}, // RFC 8580 §3.1.1
		{"notify", Tag{Name: "flags", Arg: StringList, With: []string{"fcc"}, Apply: applyFlags}},
	},
}

var flagArgs = []Param{
	{Name: "name of a variable", Kind: StringArg, Optional: true},
	{Name: "flags", Kind: StringList},
}

// alwaysFixed are flags no script can set: one belongs to the server
// (RFC 9051 §2.3.2), the other states a fact about the message.
var alwaysFixed = []string{`\Recent`, "$RequireTLS"}

const maxFlags = 64

// splitFlags reads lists of flags separated by spaces (RFC 5232 §2).
func (rt *Runtime) splitFlags(lists ...string) ([]string, error) {
	octets := 0
	for _, l := range lists {
		octets += len(l)
	}
	if err := rt.Spend(8*len(lists) + octets); err != nil { // each is compared with all
		return nil, err
	}
	return rt.cleanFlags(lists), nil
}

// cleanFlags is the flags in lists, each once. Those that cannot be set are left
// out.
func (rt *Runtime) cleanFlags(lists []string) []string {
	var out []string
	for _, l := range lists {
		for flag := range strings.FieldsSeq(l) {
			if rt.settable(flag) && !hasFlag(out, flag) && len(out) < maxFlags {
				out = append(out, flag)
			}
		}
	}
	return out
}

func hasFlag(list []string, flag string) bool {
	return slices.ContainsFunc(list, func(f string) bool { return strings.EqualFold(f, flag) })
}

func (rt *Runtime) settable(flag string) bool {
	return validFlag(flag) && !hasFlag(alwaysFixed, flag) && !hasFlag(rt.engine.config.FixedFlags, flag)
}

// validFlag checks the syntax of a flag (RFC 9051 §9: flag). Of those with a
// backslash there are the five that can be set.
func validFlag(flag string) bool {
	if name, system := strings.CutPrefix(flag, `\`); system {
		return slices.Contains([]string{"answered", "flagged", "deleted", "seen", "draft"}, foldASCII(name))
	}
	for i := range len(flag) {
		if c := flag[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return flag != "" && len(flag) <= 255
}

func addFlags(have, given []string) []string {
	out := slices.Clone(have)
	for _, f := range given {
		if !hasFlag(out, f) {
			out = append(out, f)
		}
	}
	return out
}

func removeFlags(have, given []string) []string {
	return slices.DeleteFunc(slices.Clone(have), func(f string) bool { return hasFlag(given, f) })
}

func evalAll(rt *Runtime, list []String) ([]string, error) {
	out := make([]string, len(list))
	for i, s := range list {
		var err error
		if out[i], err = s.Eval(rt); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// flagCommand compiles setflag, addflag and removeflag. Where a variable is
// named the set of flags is kept there (RFC 5232 §3).
func flagCommand(change func(have, given []string) []string) func(*Call) (Op, error) {
	return func(c *Call) (Op, error) {
		given := c.Strings(1)
		var v *Variable
		if c.Given(0) {
			if err := c.flagVariables(0); err != nil {
				return nil, err
			}
			target, err := c.Variable(c.String(0))
			if err != nil {
				return nil, err
			}
			v = &target
		}
		return func(rt *Runtime) (Flow, error) {
			lists, err := evalAll(rt, given)
			if err != nil {
				return Stop, err
			}
			flags, err := rt.splitFlags(lists...)
			if err != nil {
				return Stop, err
			}
			if v == nil {
				rt.SetFlags(change(rt.flags, flags))
				return Next, nil
			}
			have, err := rt.splitFlags(rt.GetVariable(*v))
			if err != nil {
				return Stop, err
			}
			return Next, rt.SetVariable(*v, strings.Join(change(have, flags), " "))
		}, nil
	}
}

// flagVariables checks that variables may be named at all (RFC 5232 §1).
func (c *Call) flagVariables(arg int) error {
	if !c.comp.lexical.variables {
		return c.Fail(c.ArgPos(arg), "a variable can be named in %s only with %s", c.describe(), requireLine("variables"))
	}
	return nil
}

// compileHasflag is RFC 5232 §4.
func compileHasflag(c *Call) (Predicate, error) {
	var vars []Variable
	if c.Given(0) {
		if err := c.flagVariables(0); err != nil {
			return nil, err
		}
		for _, s := range c.Strings(0) {
			v, err := c.readable(s)
			if err != nil {
				return nil, err
			}
			vars = append(vars, v)
		}
	}
	// A string with several flags is as good as a list of them.
	var keys []String
	for _, s := range c.Strings(1) {
		text, constant := s.Const()
		if words := strings.Fields(text); constant && len(words) > 1 {
			for _, w := range words {
				keys = append(keys, String{text: w, pos: s.pos})
			}
			continue
		}
		keys = append(keys, s)
	}
	m, err := c.Matcher(keys)
	if err != nil {
		return nil, err
	}
	return func(rt *Runtime) (bool, error) {
		if vars == nil {
			return m.Strings(rt, rt.flags)
		}
		var all []string
		for _, v := range vars {
			flags, err := rt.splitFlags(rt.GetVariable(v))
			if err != nil {
				return false, err
			}
			all = append(all, flags...)
		}
		return m.Strings(rt, all)
	}, nil
}

// readable resolves a variable whose value is wanted, not its text filled in.
func (c *Call) readable(s String) (Variable, error) {
	name, ok := s.Const()
	if !ok || isNumber(name) {
		return Variable{}, c.Fail(s.pos, "%s is not the name of a variable", quote(s.text))
	}
	p, err := c.comp.variable(name)
	if err == nil && !isIdentifier(strings.ReplaceAll(name, ".", "_")) {
		err = errName
	}
	if err != nil {
		return Variable{}, c.Fail(s.pos, "%v", err)
	}
	return Variable{slot: p.index, name: p.text, space: p.space}, nil
}

// applyFlags is :flags (RFC 5232 §5).
func applyFlags(rt *Runtime, a Action, t *TagValue) error {
	lists, err := evalAll(rt, t.Strings)
	if err != nil {
		return err
	}
	flags, err := rt.splitFlags(lists...)
	if err != nil {
		return err
	}
	switch a := a.(type) {
	case *Keep:
		a.Flags = flags
	case *FileInto:
		a.Flags = flags
	case *Vacation:
		a.fcc().Flags = flags
	case *Notify:
		a.fcc().Flags = flags
	}
	return nil
}
