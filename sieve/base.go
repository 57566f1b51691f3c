package sieve

import (
	"fmt"
	"strings"
)

// base is RFC 5228 without what needs require.
var base = Extension{
	Commands: []Spec{
		{Name: "require", Args: []Param{{Name: "capabilities", Kind: StringList, Const: true}}, Compile: compileRequire},
		{Name: "if", Subtests: OneTest, Block: true, Compile: compileIf},
		{Name: "elsif", Subtests: OneTest, Block: true, Compile: strayElse},
		{Name: "else", Block: true, Compile: strayElse},
		{Name: "stop", Compile: func(*Call) (Op, error) { return stop, nil }},
		{Name: "keep", Compile: compileKeep},
		{Name: "discard", Compile: func(*Call) (Op, error) { return discard, nil }},
		{Name: "redirect", Args: []Param{{Name: "address", Kind: StringArg}}, Compile: compileRedirect},
	},
	Tests: []Spec{
		{Name: "address", Groups: MatchTags | AddressTags, Args: headerAndKeys, Test: compileAddress},
		{Name: "allof", Subtests: TestList, Test: compileAllof},
		{Name: "anyof", Subtests: TestList, Test: compileAnyof},
		{Name: "exists", Args: headerAndKeys[:1], Test: compileExists},
		{Name: "false", Test: func(*Call) (Predicate, error) { return always(false), nil }},
		{Name: "header", Groups: MatchTags, Args: headerAndKeys, Test: compileHeader},
		{Name: "not", Subtests: OneTest, Test: compileNot},
		{Name: "size", Args: []Param{{Name: "limit", Kind: NumberArg}}, Tags: sizeTags, Test: compileSize},
		{Name: "true", Test: func(*Call) (Predicate, error) { return always(true), nil }},
	},
	Tags: []TagFor{
		{AnyMatch, Tag{Name: "is", Class: matchType, Match: &isMatch}},
		{AnyMatch, Tag{Name: "contains", Class: matchType, Match: &containsMatch}},
		{AnyMatch, Tag{Name: "matches", Class: matchType, Match: &matchesMatch}},
		{AnyMatch, Tag{Name: "comparator", Arg: StringArg, Const: true}},
		{AnyAddress, Tag{Name: "all", Class: addressPart, Part: partAll}},
		{AnyAddress, Tag{Name: "localpart", Class: addressPart, Part: partLocal}},
		{AnyAddress, Tag{Name: "domain", Class: addressPart, Part: partDomain}},
	},
}

const (
	matchType   = "match type"
	addressPart = "address part"
)

var headerAndKeys = []Param{
	{Name: "names of header fields", Kind: StringList},
	{Name: "keys", Kind: StringList},
}

var sizeTags = []Tag{{Name: "over", Class: "limit"}, {Name: "under", Class: "limit"}}

// compileRequire only looks at the place: what is required was read before
// anything else.
func compileRequire(c *Call) (Op, error) {
	if c.comp.begun {
		return nil, c.Fail(c.Pos, "`require` must come before all other commands")
	}
	return nil, nil
}

// branch is one of if, elsif and else.
type branch struct {
	test Test // of else: nothing
	code Block
}

func compileIf(c *Call) (Op, error) {
	test, code := c.Test(), c.Block()
	if len(c.chain) == 1 {
		return func(rt *Runtime) (Flow, error) {
			if ok, err := test.Eval(rt); !ok || err != nil {
				return Next, err
			}
			return rt.RunBlock(code)
		}, nil
	}
	branches := append(make([]branch, 0, len(c.chain)), branch{test, code})
	for i := 1; i < len(c.chain); i++ {
		branches = append(branches, c.branch(i))
	}
	return func(rt *Runtime) (Flow, error) {
		for i := range branches {
			b := &branches[i]
			if b.test.run != nil {
				ok, err := b.test.Eval(rt)
				if err != nil {
					return Stop, err
				}
				if !ok {
					continue
				}
			}
			return rt.RunBlock(b.code)
		}
		return Next, nil
	}, nil
}

// branch compiles what follows an if.
func (c *Call) branch(i int) branch {
	cmd := &c.chain[i]
	call := c.comp.bind(cmd, false)
	if call == nil {
		return branch{code: c.comp.block(cmd.Block)}
	}
	defer c.comp.release(call)
	if cmd.Name == "else" {
		if i < len(c.chain)-1 {
			c.Fail(c.chain[i+1].Pos, "nothing can follow an else")
		}
		return branch{code: call.Block()}
	}
	return branch{call.Test(), call.Block()}
}

func strayElse(c *Call) (Op, error) {
	c.Block()
	return nil, c.Fail(c.Pos, "%s must follow an if or elsif", quote(c.cmd.Name))
}

func stop(*Runtime) (Flow, error) { return Stop, nil }

func discard(rt *Runtime) (Flow, error) {
	rt.CancelKeep()
	return Next, rt.Add(&Discard{})
}

func compileKeep(c *Call) (Op, error) {
	apply := c.Apply()
	return func(rt *Runtime) (Flow, error) {
		k := &Keep{Flags: rt.flags}
		if apply != nil {
			if err := apply(rt, k); err != nil {
				return Stop, err
			}
		}
		rt.CancelKeep()
		return Next, rt.Add(k)
	}, nil
}

func compileRedirect(c *Call) (Op, error) {
	to := c.String(0)
	if s, ok := to.Const(); ok {
		if _, ok := ParseAddress(s); !ok {
			return nil, c.Fail(to.pos, "%s is not an address that mail can be sent to", quote(s))
		}
	}
	apply := c.Apply()
	return func(rt *Runtime) (Flow, error) {
		s, err := to.Eval(rt)
		if err != nil {
			return Stop, err
		}
		addr, ok := ParseAddress(s)
		if !ok {
			return Stop, fmt.Errorf("%s is not an address that mail can be sent to", quote(s))
		}
		r := &Redirect{To: addr}
		if apply != nil {
			if err := apply(rt, r); err != nil {
				return Stop, err
			}
		}
		if !r.Copy {
			rt.CancelKeep()
		}
		return Next, rt.Add(r)
	}, nil
}

func always(answer bool) Predicate {
	return func(*Runtime) (bool, error) { return answer, nil }
}

func compileNot(c *Call) (Predicate, error) {
	t := c.Test()
	return func(rt *Runtime) (bool, error) {
		ok, err := t.Eval(rt)
		return !ok && err == nil, err
	}, nil
}

func compileAllof(c *Call) (Predicate, error) {
	tests := c.Tests()
	return func(rt *Runtime) (bool, error) {
		for i := range tests {
			if ok, err := tests[i].Eval(rt); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}, nil
}

func compileAnyof(c *Call) (Predicate, error) {
	tests := c.Tests()
	return func(rt *Runtime) (bool, error) {
		for i := range tests {
			if ok, err := tests[i].Eval(rt); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	}, nil
}

func compileSize(c *Call) (Predicate, error) {
	over := c.Has("over")
	if !over && !c.Has("under") {
		return nil, c.Fail(c.Pos, "`size` needs `:over` or `:under`")
	}
	limit := c.Number(0)
	return func(rt *Runtime) (bool, error) {
		size := uint64(rt.msg.Size())
		if p := rt.frame.root; p != nil {
			size = uint64(p.end - p.start)
		}
		if over {
			return size > limit, nil
		}
		return size < limit, nil
	}, nil
}

// compileHeader is the header test (RFC 5228 §5.7).
func compileHeader(c *Call) (Predicate, error) {
	fields, err := c.Fields(0)
	if err != nil {
		return nil, err
	}
	m, err := c.Matcher(c.keys(1))
	if err != nil {
		return nil, err
	}
	match := m.matchText
	if option := c.mimeOption(m); option != nil {
		match = option
	}
	return m.over(fields, match), nil
}

// fieldMatch matches what a test takes from a field; n is how many values that
// is.
type fieldMatch = func(rt *Runtime, patterns []pattern, f *field, p *part) (found bool, n int, err error)

// over is a test that is true if match is for any of the fields, or for the
// number of values in all of them.
func (m *Matcher) over(fields *Fields, match fieldMatch) Predicate {
	return func(rt *Runtime) (bool, error) {
		patterns, err := m.patterns(rt)
		if err != nil {
			return false, err
		}
		w, err := fields.walk(rt)
		if err != nil {
			return false, err
		}
		n := 0
		for {
			f, err := w.next()
			if err != nil {
				return false, err
			}
			if f == nil {
				break
			}
			found, values, err := match(rt, patterns, f, w.part)
			if found || err != nil {
				return found, err
			}
			n += values
		}
		if m.typ.Count {
			return m.Number(rt, n)
		}
		return false, nil
	}
}

// matchText matches the field's text.
func (m *Matcher) matchText(rt *Runtime, patterns []pattern, f *field, _ *part) (bool, int, error) {
	if m.typ.Count {
		return false, 1, nil
	}
	v, err := f.text(rt)
	if err != nil {
		return false, 1, err
	}
	found, err := m.any(rt, patterns, v)
	return found, 1, err
}

// AddressPart is the part that a call with [AddressTags] acts on.
func (c *Call) AddressPart() (part func(*Address) (string, bool), given bool) {
	for i := range c.tags {
		if c.tags[i].Part != nil {
			return c.tags[i].Part, true
		}
	}
	return partAll, false
}

// compileAddress is the address test (RFC 5228 §5.1).
func compileAddress(c *Call) (Predicate, error) {
	fields, err := c.Fields(0)
	if err != nil {
		return nil, err
	}
	for _, name := range fields.names {
		if !hasAddresses(name.text) {
			return nil, c.Fail(c.ArgPos(0), "the field %s does not hold addresses; test it with `header`", quote(name.text))
		}
	}
	m, err := c.Matcher(c.keys(1))
	if err != nil {
		return nil, err
	}
	acts, _ := c.AddressPart()
	return m.over(fields, func(rt *Runtime, patterns []pattern, f *field, _ *part) (bool, int, error) {
		if !hasAddresses(f.name) {
			return false, 0, nil
		}
		list, err := f.addresses(rt)
		if err != nil || m.typ.Count {
			return false, len(list), err
		}
		found, err := m.addresses(rt, patterns, list, acts)
		return found, len(list), err
	}), nil
}

func (m *Matcher) addresses(rt *Runtime, patterns []pattern, list []Address, acts func(*Address) (string, bool)) (bool, error) {
	for i := range list {
		text, ok := acts(&list[i])
		if list[i].Null {
			text, ok = "", true
		}
		if !ok {
			continue
		}
		v := Value{Text: text}
		if ok, err := m.any(rt, patterns, &v); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// hasAddresses says whether the address test may read a field (RFC 5228 §5.1:
// it must be restricted to those with addresses). Fields nobody has registered
// are taken to have them.
func hasAddresses(name string) bool {
	switch foldASCII(name) {
	case "from", "to", "cc", "bcc", "sender", "reply-to",
		"resent-from", "resent-to", "resent-cc", "resent-bcc", "resent-sender", "resent-reply-to",
		"return-path", "delivered-to", "envelope-to", "errors-to", "apparently-to", "mail-followup-to", "mail-reply-to",
		"disposition-notification-to", "return-receipt-to", "content-from", "original-from", "author", "followup-to", "approved":
		return true
	}
	return len(name) > 2 && strings.EqualFold(name[:2], "x-")
}

func compileExists(c *Call) (Predicate, error) {
	fields, err := c.Fields(0)
	if err != nil {
		return nil, err
	}
	return fields.all, nil
}
