package sieve

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Script is a compiled script. It never changes and may run any number of times
// at once.
type Script struct {
	name    string
	src     string
	engine  *Engine
	code    Block
	vars    int
	enabled set  // extensions in effect from the start
	matches bool // match variables are wanted
	costs   int  // octets of its patterns
	remarks []Diagnostic
}

// Compile checks and compiles a script. The name stands in positions and stops
// a script from including itself; it may be empty. The error is an [Errors]
// with every mistake found.
func (e *Engine) Compile(name string, src []byte) (*Script, error) {
	if len(src) > e.config.Limits.Script {
		return nil, Errors{{Line: 1, Col: 1, Msg: fmt.Sprintf("a script may have %d octets, this one has %d", e.config.Limits.Script, len(src))}}
	}
	p := newParser(string(src))
	ast := p.parse()
	c := &compiler{engine: e, errs: p.errs, script: &Script{name: name, src: ast.Source, engine: e}}
	c.requires(ast.Commands)
	c.script.code = c.block(ast.Commands)
	if errs := c.errs.sorted(); len(errs) > 0 {
		return nil, errs
	}
	c.script.vars, c.script.costs = len(c.slots), c.costs
	c.script.remarks = c.errs.remarks()
	return c.script, nil
}

// Name is what the script was called when it was compiled.
func (s *Script) Name() string { return s.name }

// Patterns is about how many octets the script's compiled patterns take, beside
// what goes with the length of its text: a regular expression of twenty octets
// can take megabytes.
func (s *Script) Patterns() int { return s.costs }

// Remarks are things that are allowed but probably not meant.
func (s *Script) Remarks() []Diagnostic { return s.remarks }

// Position makes line and column of a place in the script.
func (s *Script) Position(pos Pos) Position {
	p := locate(s.src, pos)
	p.Script = s.name
	return p
}

// Block is compiled commands; see [Runtime.RunBlock].
type Block []step

type step struct {
	run Op
	pos Pos
}

// Test is a compiled test.
type Test struct {
	run Predicate
	pos Pos
}

// Eval runs the test.
func (t Test) Eval(rt *Runtime) (bool, error) {
	rt.at = t.pos
	if err := rt.Spend(1); err != nil {
		return false, err
	}
	return t.run(rt)
}

// compiler binds what was parsed to specs, one script at a time.
type compiler struct {
	engine   *Engine
	script   *Script
	errs     *collector
	required set
	asked    set  // named by an ihave somewhere in this script
	ihave    bool // in effect: what is missing fails when it is reached (RFC 5463 §4)
	lexical  struct{ encoded, variables bool }

	slots   map[string]int // variables of this script
	globals map[string]bool
	written map[string]bool // set so far, in the order of the script
	loops   []loop          // foreverypart around
	costs   int             // octets of expensive patterns so far

	begun   bool     // a command other than require was seen
	free    []*Call  // calls to use again
	scratch []String // keys to use again
}

// requires reads the require commands at the top: they decide how the rest is
// read (RFC 5228 §3.2).
func (c *compiler) requires(commands []Command) {
	c.require("")
	for i := range commands {
		cmd := &commands[i]
		if cmd.Name != "require" {
			break
		}
		for _, arg := range cmd.Args {
			if arg.Kind == StringArg {
				c.requireAt(arg.Pos, arg.Text)
			}
			for _, l := range arg.List {
				c.requireAt(l.Pos, l.Text)
			}
		}
	}
	c.script.enabled = c.required
	if x, ok := c.engine.exts["ihave"]; ok && c.required.has(x.index) {
		c.ihave = true
		c.ask(commands)
	}
	c.lexical.encoded = c.has("encoded-character")
	c.lexical.variables = c.has("variables")
	c.script.matches = c.lexical.variables
}

func (c *compiler) has(name string) bool {
	x, ok := c.engine.exts[name]
	return ok && c.required.has(x.index)
}

func (c *compiler) require(name string) bool {
	x, ok := c.engine.exts[name]
	if ok {
		c.required.union(x.implied)
	}
	return ok
}

func (c *compiler) requireAt(pos Pos, name string) {
	if name == "" || !c.require(name) {
		c.errs.add(pos, "%s", c.engine.wrongRequire(name))
		return
	}
	if said := c.engine.exts[name].Remark; said != "" {
		c.errs.remark(pos, "%s", said)
	}
}

// ask notes which extensions an ihave may put in effect later.
func (c *compiler) ask(commands []Command) {
	for i := range commands {
		cmd := &commands[i]
		if cmd.Name == "ihave" {
			for _, arg := range cmd.Args {
				for _, l := range append([]Literal{{Text: arg.Text}}, arg.List...) {
					if x, ok := c.engine.exts[l.Text]; ok && !x.Lexical {
						c.asked.union(x.implied)
					}
				}
			}
		}
		c.ask(cmd.Tests)
		c.ask(cmd.Block)
	}
}

// block compiles commands in order. elsif and else belong to the if before.
func (c *compiler) block(commands []Command) Block {
	if len(commands) == 0 {
		return nil
	}
	code := make(Block, 0, len(commands))
	for i := 0; i < len(commands) && !c.errs.full(); i++ {
		cmd := &commands[i]
		chain := 1
		if cmd.Name == "if" {
			for i+chain < len(commands) && isElse(commands[i+chain].Name) {
				chain++
			}
		}
		op := c.command(cmd, commands[i:i+chain])
		i += chain - 1
		if op != nil {
			code = append(code, step{op, cmd.Pos})
		}
	}
	return code
}

func isElse(name string) bool { return name == "elsif" || name == "else" }

// command compiles one command; chain is it and the elsif and else behind it.
func (c *compiler) command(cmd *Command, chain []Command) Op {
	call := c.bind(cmd, false)
	if call == nil {
		return nil
	}
	call.chain = chain
	if call.missing != nil {
		return failing[Flow](call.missing)
	}
	c.begun = c.begun || cmd.Name != "require"
	op, err := call.Spec.Compile(call)
	call.failed(err)
	guards := call.guards
	c.release(call)
	if op == nil || len(guards) == 0 {
		return op
	}
	return func(rt *Runtime) (Flow, error) {
		if err := rt.guard(guards); err != nil {
			return Stop, err
		}
		return op(rt)
	}
}

func (c *compiler) test(cmd *Command) Test {
	call := c.bind(cmd, true)
	if call == nil {
		return Test{}
	}
	if call.missing != nil {
		return Test{failing[bool](call.missing), cmd.Pos}
	}
	run, err := call.Spec.Test(call)
	call.failed(err)
	guards := call.guards
	c.release(call)
	if run == nil || len(guards) == 0 {
		return Test{run, cmd.Pos}
	}
	return Test{func(rt *Runtime) (bool, error) {
		if err := rt.guard(guards); err != nil {
			return false, err
		}
		return run(rt)
	}, cmd.Pos}
}

// failing is code that breaks the run when it is reached.
func failing[T any](err error) func(*Runtime) (T, error) {
	return func(*Runtime) (T, error) {
		var none T
		return none, err
	}
}

// guard checks that ihave has put extensions in effect (RFC 5463 §4: use before
// a successful ihave is a run-time error).
func (rt *Runtime) guard(exts []*extension) error {
	for _, x := range exts {
		if !rt.frame.enabled.has(x.index) {
			return fmt.Errorf("this needs %s, or an ihave test of it that succeeded before", requireLine(x.Name))
		}
	}
	return nil
}

func requireLine(name string) string { return quote(`require "` + name + `";`) }

// usable says whether ext may be used by call: at once, guarded, or not at all.
// where is the thing that needs it.
func (c *compiler) usable(call *Call, ext *extension) bool {
	switch {
	case c.required.has(ext.index):
		return true
	case c.ihave && (c.asked.has(ext.index) || !ext.Lexical):
		if !slices.Contains(call.guards, ext) {
			call.guards = append(call.guards, ext)
		}
		return true
	}
	return false
}

// Call is one command or test of a script, bound to its spec: what a
// [Spec.Compile] reads. It is not valid after Compile has returned.
type Call struct {
	Spec *spec
	Pos  Pos

	comp       *compiler
	cmd        *Command
	chain      []Command
	tags       []TagValue
	args       []*Arg // as Spec.Args; nil where an optional one was left out
	positional []*Arg
	guards     []*extension
	missing    error // an extension this engine does not have: fails when reached
}

// Config is the engine's.
func (c *Call) Config() *Config { return &c.comp.engine.config }

// Fail reports a mistake at pos. It returns an error that may be returned from
// Compile: it is not reported again.
func (c *Call) Fail(pos Pos, format string, args ...any) error {
	c.comp.errs.add(pos, format, args...)
	return errReported
}

// Remark notes something that is allowed but probably not meant.
func (c *Call) Remark(pos Pos, format string, args ...any) {
	c.comp.errs.remark(pos, format, args...)
}

var errReported = errors.New("sieve: reported")

func (c *Call) failed(err error) {
	if err != nil && !errors.Is(err, errReported) {
		c.comp.errs.add(c.Pos, "%v", err)
	}
}

// Tag finds a tag of the call, or nil.
func (c *Call) Tag(name string) *TagValue {
	for i := range c.tags {
		if c.tags[i].Name == name {
			return &c.tags[i]
		}
	}
	return nil
}

// Has says whether the call has a tag.
func (c *Call) Has(tag string) bool { return c.Tag(tag) != nil }

// Given says whether an optional argument was not left out.
func (c *Call) Given(i int) bool { return c.args[i] != nil }

// ArgPos is where an argument stands.
func (c *Call) ArgPos(i int) Pos {
	if c.args[i] == nil {
		return c.Pos
	}
	return c.args[i].Pos
}

// String is argument i, a string.
func (c *Call) String(i int) String {
	if c.args[i] == nil {
		return String{pos: c.Pos}
	}
	return c.comp.string(c.args[i].Pos, c.args[i].Text)
}

// Strings is argument i, a list of strings.
func (c *Call) Strings(i int) []String {
	if c.args[i] == nil {
		return nil
	}
	return c.comp.strings(c.args[i])
}

// keys is argument i for a [Matcher]: like Strings, but where there are no
// variables the slice is used again for the next call, since a matcher then
// keeps nothing of it.
func (c *Call) keys(i int) []String {
	if c.comp.lexical.variables {
		return c.Strings(i)
	}
	arg := c.args[i]
	list := c.comp.scratch[:0]
	if arg.Kind == StringArg {
		list = append(list, c.comp.string(arg.Pos, arg.Text))
	}
	for _, l := range arg.List {
		list = append(list, c.comp.string(l.Pos, l.Text))
	}
	c.comp.scratch = list
	return list
}

// Number is argument i, a number.
func (c *Call) Number(i int) uint64 {
	if c.args[i] == nil {
		return 0
	}
	return c.args[i].Number
}

func (c *compiler) strings(arg *Arg) []String {
	if arg.Kind == StringArg {
		return []String{c.string(arg.Pos, arg.Text)}
	}
	list := make([]String, len(arg.List))
	for i, l := range arg.List {
		list[i] = c.string(l.Pos, l.Text)
	}
	return list
}

// Test compiles the one test of a call with [OneTest].
func (c *Call) Test() Test { return c.comp.test(&c.cmd.Tests[0]) }

// Tests compiles the tests of a call with [TestList], Block its block.
func (c *Call) Tests() []Test {
	list := make([]Test, 0, len(c.cmd.Tests))
	for i := range c.cmd.Tests {
		if t := c.comp.test(&c.cmd.Tests[i]); t.run != nil {
			list = append(list, t)
		}
	}
	return list
}

// Block compiles the call's block.
func (c *Call) Block() Block { return c.comp.block(c.cmd.Block) }

// Apply makes the code that lets the call's tags change its action; nil where
// no tag wants to.
func (c *Call) Apply() func(*Runtime, Action) error {
	var appliers []TagValue
	for _, t := range c.tags {
		if t.Tag.Apply != nil {
			appliers = append(appliers, t)
		}
	}
	if appliers == nil {
		return nil
	}
	return func(rt *Runtime, a Action) error {
		for i := range appliers {
			t := &appliers[i]
			if err := t.Tag.Apply(rt, a, t); err != nil {
				return err
			}
		}
		return nil
	}
}

// describe names the thing that is called, as a user would.
func (c *Call) describe() string { return quote(strings.ToLower(c.cmd.Name)) }
