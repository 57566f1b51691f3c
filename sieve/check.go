package sieve

import (
	"fmt"
	"slices"
	"strings"
)

// bind looks a command or test up and checks its arguments against its spec.
// nil means that it was reported and is not worth compiling.
func (c *compiler) bind(cmd *Command, test bool) *Call {
	s, ok := c.engine.specs[cmd.Name]
	if !ok || s.test != test {
		return c.unknown(cmd, test)
	}
	call := c.take(s, cmd)
	if !c.usable(call, s.ext) {
		c.errs.add(cmd.Pos, "%s needs %s at the top of the script", quote(cmd.Name), requireLine(s.ext.Name))
		// What is inside is read all the same: one missing require should not
		// hide other mistakes.
	}
	positional, ok := call.bindTags()
	call.positional = positional
	ok = call.bindArgs(positional, ok) && ok
	ok = call.checkTags() && ok
	ok = call.checkShape() && ok
	if call.missing != nil {
		return call
	}
	if !ok {
		c.release(call)
		return nil
	}
	return call
}

func (c *compiler) take(s *spec, cmd *Command) *Call {
	if n := len(c.free); n > 0 {
		call := c.free[n-1]
		c.free = c.free[:n-1]
		*call = Call{Spec: s, Pos: cmd.Pos, comp: c, cmd: cmd, tags: call.tags[:0], args: call.args[:0], positional: call.positional[:0]}
		return call
	}
	return &Call{Spec: s, Pos: cmd.Pos, comp: c, cmd: cmd}
}

func (c *compiler) release(call *Call) { c.free = append(c.free, call) }

// unknown reports a name that is no command, or no test. Where ihave is in
// effect the name may belong to an extension we do not have: it may stand there
// as long as it is not reached (RFC 5463 §4).
func (c *compiler) unknown(cmd *Command, test bool) *Call {
	what, other := "command", "test"
	if test {
		what, other = other, what
	}
	s, known := c.engine.specs[cmd.Name]
	switch meant := c.engine.suggest(cmd.Name, test); {
	case known && !test && cmd.HasBlock:
		c.errs.add(cmd.Pos, "%s is a test: write if %s … { … }", quote(cmd.Name), s.Name)
	case known && test:
		c.errs.add(cmd.Pos, "a semicolon is missing before %s, or a test stands where a command should", quote(cmd.Name))
	case known:
		c.errs.add(cmd.Pos, "%s is a %s, not a %s", quote(cmd.Name), other, what)
	case c.ihave:
		call := c.take(&spec{Spec: &Spec{Name: cmd.Name}}, cmd)
		call.missing = fmt.Errorf("there is no %s %s here: its extension is missing", what, quote(cmd.Name))
		return call
	case isElse(cmd.Name):
		c.errs.add(cmd.Pos, "%s must follow an if or elsif", quote(cmd.Name))
	case meant != "":
		c.errs.add(cmd.Pos, "there is no %s %s; did you mean %s?", what, quote(cmd.Name), quote(meant))
	default:
		c.errs.add(cmd.Pos, "there is no %s %s", what, quote(cmd.Name))
	}
	c.block(cmd.Block) // for the mistakes inside
	return nil
}

// bindTags takes the tags with their arguments out of the arguments.
func (call *Call) bindTags() (positional []*Arg, ok bool) {
	c, args := call.comp, call.cmd.Args
	ok = true
	positional = call.positional[:0]
	for i := 0; i < len(args); i++ {
		arg := &args[i]
		if arg.Kind != TagArg {
			positional = append(positional, arg)
			continue
		}
		tag, found := call.findTag(arg)
		if !found {
			ok = false
			if known := call.Spec.tags[arg.Text]; len(known) > 0 && known[0].Arg != NoArg {
				i++ // its argument; that of a tag nobody knows cannot be told from ours
			}
			continue
		}
		value := TagValue{Tag: tag.Tag, Pos: arg.Pos, ext: tag.ext}
		if tag.Arg != NoArg {
			if i+1 >= len(args) || !fits(args[i+1].Kind, tag.Arg) {
				c.errs.add(arg.Pos, "%s wants %s behind it", quote(":"+tag.Name), tag.Arg)
				ok = false
				continue
			}
			i++
			ok = call.setTag(&value, &args[i]) && ok
		}
		if len(positional) > 0 {
			c.errs.remark(arg.Pos, "tags such as %s belong before the other arguments (RFC 5228 §2.6.2)", quote(":"+tag.Name))
		}
		if call.Has(tag.Name) { // kept once: then there are no more than the spec has
			c.errs.add(arg.Pos, "%s is given twice", quote(":"+tag.Name))
			ok = false
			continue
		}
		call.tags = append(call.tags, value)
	}
	return positional, ok
}

func fits(have, want ArgKind) bool {
	return have == want || want == StringList && have == StringArg
}

func (call *Call) setTag(v *TagValue, arg *Arg) bool {
	c := call.comp
	switch v.Arg {
	case NumberArg:
		v.Number = arg.Number
	case StringArg:
		v.String = c.string(arg.Pos, arg.Text)
	case StringList:
		v.Strings = c.strings(arg)
	}
	if _, constant := v.String.Const(); v.Const && !constant {
		c.errs.add(arg.Pos, "variables cannot be used behind %s", quote(":"+v.Name))
		return false
	}
	return true
}

// findTag resolves a tag among all that the spec can have; of several with the
// same name the first whose extension is in effect.
func (call *Call) findTag(arg *Arg) (boundTag, bool) {
	c := call.comp
	tags := call.Spec.tags[arg.Text]
	for _, t := range tags {
		if c.required.has(t.ext.index) {
			return t, true
		}
	}
	for _, t := range tags {
		if c.usable(call, t.ext) {
			return t, true
		}
	}
	switch {
	case len(tags) > 0:
		c.errs.add(arg.Pos, "%s of %s needs %s at the top of the script", quote(":"+arg.Text), call.describe(), requireLine(tags[0].ext.Name))
	case c.ihave:
		call.missing = fmt.Errorf("%s has no tag %s here: its extension is missing", call.describe(), quote(":"+arg.Text))
	default:
		if meant := nearest(arg.Text, call.tagNames()); meant != "" {
			c.errs.add(arg.Pos, "%s has no tag %s; did you mean %s?", call.describe(), quote(":"+arg.Text), quote(":"+meant))
		} else {
			c.errs.add(arg.Pos, "%s has no tag %s", call.describe(), quote(":"+arg.Text))
		}
	}
	return boundTag{}, false
}

func (call *Call) tagNames() []string {
	var names []string
	for name := range call.Spec.tags {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// bindArgs gives the positional arguments to the spec's parameters. Optional
// ones are filled from the front as far as there are more arguments than
// required ones. Where tags were wrong the count means nothing.
func (call *Call) bindArgs(positional []*Arg, count bool) bool {
	c, params := call.comp, call.Spec.Args
	required := 0
	for _, p := range params {
		if !p.Optional {
			required++
		}
	}
	spare := len(positional) - required
	if call.missing != nil {
		return false
	}
	if spare < 0 || len(positional) > len(params) {
		if count {
			call.wrongCount(positional)
		}
		return false
	}
	given := positional
	call.args = call.args[:0]
	ok := true
	for i := range params {
		p := &params[i]
		if p.Optional {
			if spare == 0 {
				call.args = append(call.args, nil)
				continue
			}
			spare--
		}
		arg := given[0]
		given = given[1:]
		call.args = append(call.args, arg)
		if !fits(arg.Kind, p.Kind) {
			c.errs.add(arg.Pos, "%s wants %s as its %s, not %s", call.describe(), p.Kind, p.Name, arg.Kind)
			ok = false
		} else if p.Const && !call.constant(arg) {
			c.errs.add(arg.Pos, "variables cannot be used in the %s of %s", p.Name, call.describe())
			ok = false
		}
	}
	return ok
}

func (call *Call) constant(arg *Arg) bool {
	for _, s := range call.comp.strings(arg) {
		if _, ok := s.Const(); !ok {
			return false
		}
	}
	return true
}

func (call *Call) wrongCount(positional []*Arg) {
	c, params := call.comp, call.Spec.Args
	if len(positional) > len(params) {
		extra := positional[len(params)]
		if len(params) == 0 {
			c.errs.add(extra.Pos, "%s takes no arguments", call.describe())
			return
		}
		c.errs.add(extra.Pos, "%s takes %s and nothing more", call.describe(), call.usage())
		return
	}
	c.errs.add(call.Pos, "%s needs %s", call.describe(), call.usage())
}

// usage lists the positional arguments of the spec.
func (call *Call) usage() string {
	var parts []string
	for _, p := range call.Spec.Args {
		part := p.Kind.String() + " (the " + p.Name + ")"
		if p.Optional {
			part = "perhaps " + part
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// checkTags checks tags against each other, then asks those that have something
// to say.
func (call *Call) checkTags() bool {
	c, ok := call.comp, true
	for i := range call.tags {
		t := &call.tags[i]
		for j := range i {
			o := &call.tags[j]
			if t.Class != "" && t.Class == o.Class {
				c.errs.add(t.Pos, "%s and %s exclude each other: only one %s can be given", quote(":"+o.Name), quote(":"+t.Name), t.Class)
				ok = false
			}
		}
		for _, name := range t.Not {
			if call.Has(name) {
				c.errs.add(t.Pos, "%s cannot be used together with %s", quote(":"+t.Name), quote(":"+name))
				ok = false
			}
		}
		if len(t.With) > 0 && !slices.ContainsFunc(t.With, call.Has) {
			c.errs.add(t.Pos, "%s can only be used together with %s", quote(":"+t.Name), quote(":"+strings.Join(t.With, ", :")))
			ok = false
		}
	}
	for i := range call.tags {
		if t := &call.tags[i]; ok && t.Check != nil {
			if err := t.Check(call, t); err != nil {
				call.failed(err)
				ok = false
			}
		}
	}
	return ok
}

// checkShape checks tests and block.
func (call *Call) checkShape() bool {
	c, cmd, s := call.comp, call.cmd, call.Spec
	n := len(cmd.Tests)
	switch {
	case s.Subtests == NoTests && n > 0:
		t := &cmd.Tests[0]
		if s.Name == "else" && t.Name == "if" {
			c.errs.add(cmd.Pos, "`else` takes no test; write `elsif` for a further condition")
		} else if inner, known := c.engine.specs[t.Name]; known && !inner.test && !call.Spec.test {
			c.errs.add(cmd.Pos, "a semicolon is missing after %s", call.describe())
		} else {
			c.errs.add(t.Pos, "%s takes no test", call.describe())
		}
		return false
	case s.Subtests == OneTest && (n != 1 || cmd.List):
		if n == 0 {
			c.errs.add(cmd.Pos, "%s needs a test", call.describe())
		} else {
			c.errs.add(cmd.Pos, "%s takes one test without parentheses; join several with allof or anyof", call.describe())
		}
		return false
	case s.Subtests == TestList && !cmd.List:
		c.errs.add(cmd.Pos, "%s needs its tests in parentheses, with commas between them", call.describe())
		return false
	case s.test:
		return true
	case s.Block && !cmd.HasBlock:
		c.errs.add(cmd.Pos, "%s needs a block in braces", call.describe())
		return false
	case !s.Block && cmd.HasBlock:
		c.errs.add(cmd.Pos, "%s takes no block", call.describe())
		c.block(cmd.Block)
		return false
	}
	return true
}
