package sieve

import "fmt"

// fileintoExt is RFC 5228 §4.1.
var fileintoExt = Extension{
	Name:     "fileinto",
	Commands: []Spec{{Name: "fileinto", Args: []Param{{Name: "mailbox", Kind: StringArg}}, Compile: compileFileinto}},
}

func compileFileinto(c *Call) (Op, error) {
	mailbox := c.String(0)
	if s, ok := mailbox.Const(); ok {
		if err := mailboxName(s); err != nil {
			return nil, c.Fail(mailbox.pos, "%v", err)
		}
	}
	apply := c.Apply()
	return func(rt *Runtime) (Flow, error) {
		name, err := mailbox.Eval(rt)
		if err == nil {
			err = mailboxName(name)
		}
		if err != nil {
			return Stop, err
		}
		f := &FileInto{Target: Target{Name: name}, Flags: rt.flags}
		if apply != nil {
			if err := apply(rt, f); err != nil {
				return Stop, err
			}
		}
		if !f.Copy {
			rt.CancelKeep()
		}
		return Next, rt.Add(f)
	}, nil
}

const maxMailboxName = 1000

// mailboxName refuses what no store can have as a name.
func mailboxName(s string) error {
	if s == "" {
		return fmt.Errorf("the name of a mailbox cannot be empty")
	}
	if len(s) > maxMailboxName {
		return fmt.Errorf("the name of a mailbox can have %d octets at most", maxMailboxName)
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return fmt.Errorf("the name of a mailbox cannot contain control characters: %s", quote(s))
		}
	}
	return nil
}

// copyExt is RFC 3894: an action that does not cancel the implicit keep.
var copyExt = Extension{
	Name: "copy",
	Tags: []TagFor{
		{"fileinto", Tag{Name: "copy", Apply: applyCopy}},
		{"redirect", Tag{Name: "copy", Apply: applyCopy}},
	},
}

func applyCopy(_ *Runtime, a Action, _ *TagValue) error {
	switch a := a.(type) {
	case *FileInto:
		a.Copy = true
	case *Redirect:
		a.Copy = true
	}
	return nil
}

// encodedExt is RFC 5228 §2.4.2.4; the work is done where strings are read.
var encodedExt = Extension{Name: "encoded-character", Lexical: true}

// envelopeExt is RFC 5228 §5.4.
var envelopeExt = Extension{
	Name: "envelope",
	Tests: []Spec{{
		Name: "envelope", Groups: MatchTags | AddressTags, Test: compileEnvelope,
		Args: []Param{{Name: "parts of the envelope", Kind: StringList}, {Name: "keys", Kind: StringList}},
	}},
	Envelope: []EnvelopePart{
		{Name: "from", Address: true, Values: func(rt *Runtime, dst []string) []string { return append(dst, rt.input.Envelope.From) }},
		{Name: "to", Address: true, Values: func(rt *Runtime, dst []string) []string { return append(dst, rt.input.Envelope.To) }},
	},
}

func compileEnvelope(c *Call) (Predicate, error) {
	var parts []*EnvelopePart
	acts, given := c.AddressPart()
	names := c.Strings(0)
	for _, s := range names {
		name, ok := s.Const()
		if !ok {
			return nil, c.Fail(s.pos, "variables cannot be used for the parts of the envelope")
		}
		p, ok := c.comp.engine.parts[foldASCII(name)]
		if !ok {
			return nil, c.Fail(s.pos, "the envelope has no part %s", quote(name))
		}
		if p.ext != c.Spec.ext && !c.comp.usable(c, p.ext) {
			return nil, c.Fail(s.pos, "%s of the envelope needs %s at the top of the script", quote(name), requireLine(p.ext.Name))
		}
		if given && !p.Address {
			return nil, c.Fail(s.pos, "%s of the envelope is no address: it has no %s", quote(name), "part such as `:domain`")
		}
		parts = append(parts, p.EnvelopePart)
	}
	m, err := c.Matcher(c.keys(1))
	if err != nil {
		return nil, err
	}
	return func(rt *Runtime) (bool, error) {
		patterns, err := m.patterns(rt)
		if err != nil {
			return false, err
		}
		n := 0
		for _, p := range parts {
			rt.values = p.Values(rt, rt.values[:0])
			for _, s := range rt.values {
				rt.address = append(rt.address[:0], Address{Text: s, Valid: true})
				list := rt.address
				if p.Address {
					list[0] = parsePath(s, rt.engine.config.Delimiter)
				}
				if !list[0].Null {
					n++
				}
				if m.typ.Count {
					continue
				}
				if ok, err := m.addresses(rt, patterns, list, acts); ok || err != nil {
					return ok, err
				}
			}
		}
		if m.typ.Count {
			return m.Number(rt, n)
		}
		return false, nil
	}, nil
}

// envelopeDSNExt is RFC 6009 §4.
var envelopeDSNExt = Extension{
	Name: "envelope-dsn",
	Envelope: []EnvelopePart{
		{Name: "notify", Values: func(rt *Runtime, dst []string) []string { return append(dst, rt.input.Envelope.Notify...) }},
		{Name: "orcpt", Values: func(rt *Runtime, dst []string) []string { return append(dst, present(rt.input.Envelope.ORcpt)...) }},
		{Name: "ret", Values: func(rt *Runtime, dst []string) []string { return append(dst, present(rt.input.Envelope.Ret)...) }},
		{Name: "envid", Values: func(rt *Runtime, dst []string) []string { return append(dst, present(rt.input.Envelope.ID)...) }},
	},
}

func present(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// subaddressExt is RFC 5233.
var subaddressExt = Extension{
	Name: "subaddress",
	Tags: []TagFor{
		{AnyAddress, Tag{Name: "user", Class: addressPart, Part: func(a *Address) (string, bool) {
			user, _, _ := a.Detail()
			return user, a.Valid
		}}},
		{AnyAddress, Tag{Name: "detail", Class: addressPart, Part: func(a *Address) (string, bool) {
			_, detail, ok := a.Detail()
			return detail, ok && a.Valid
		}}},
	},
}
