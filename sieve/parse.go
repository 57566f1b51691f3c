package sieve

import (
	"strings"
	"sync"
)

// ArgKind is a kind of argument (RFC 5228 §2.6, §8.2).
type ArgKind uint8

const (
	NoArg      ArgKind = iota // a tag that stands alone
	TagArg                    // :tag
	NumberArg                 // 100K
	StringArg                 // "one"
	StringList                // ["one", "two"]; where a list is wanted, one string will do
)

// String is the kind as an error message names it.
func (k ArgKind) String() string {
	return [...]string{"nothing", "a tag", "a number", "a string", "a list of strings"}[k]
}

// AST is a script as it was parsed, before anything was looked up: what a
// formatter or a linter reads.
type AST struct {
	Commands []Command
	Source   string
}

// Command is a command or, among Tests, a test: an identifier and arguments.
type Command struct {
	Pos      Pos
	Name     string // lower case
	Args     []Arg
	Tests    []Command
	List     bool // the tests stood in parentheses
	Block    []Command
	HasBlock bool // {} is a block without commands
}

// Arg is one argument.
type Arg struct {
	Pos    Pos
	Kind   ArgKind
	Text   string    // of a string, its value; of a tag, its name in lower case
	Number uint64    // of a number, K, M and G multiplied out
	List   []Literal // of a list
}

// Literal is one string of a list, escapes resolved.
type Literal struct {
	Pos  Pos
	Text string
}

// maxErrors is how many mistakes are reported before a script is given up.
const maxErrors = 100

// maxNesting bounds blocks in blocks and tests in tests (RFC 5228 §2.10.7: at
// least fifteen).
const maxNesting = 32

// Parse reads a script without looking up what its commands mean. It returns
// what it understood and every mistake it found.
func Parse(src []byte) (*AST, Errors) {
	p := newParser(string(src))
	ast := p.parse()
	return ast, p.errs.sorted()
}

// parser is a parser by recursive descent. Where it loses its way it reports
// and goes on after the next semicolon or brace.
type parser struct {
	lex   *lexer
	tok   token
	end   Pos // behind the previous token
	depth int
	errs  *collector

	*stacks
	slab []Arg // arguments are cut from here, many with one allocation
}

// stacks hold what is being read; nothing of them is in the AST. They are used
// again by the next parser, and grow with the largest script within reason.
type stacks struct {
	args     []Arg     // arguments of the command being read
	literals []Literal // of its list
	pending  []Command // of its block
}

var usedStacks = sync.Pool{New: func() any { return new(stacks) }}

const maxStack = 1 << 12

// release lets go of what the script left in them.
func (s *stacks) release() {
	if cap(s.args) > maxStack || cap(s.literals) > maxStack || cap(s.pending) > maxStack {
		return
	}
	clear(s.args[:cap(s.args)])
	clear(s.literals[:cap(s.literals)])
	clear(s.pending[:cap(s.pending)])
	*s = stacks{s.args[:0], s.literals[:0], s.pending[:0]}
	usedStacks.Put(s)
}

func newParser(src string) *parser {
	p := &parser{errs: &collector{src: src}, stacks: usedStacks.Get().(*stacks)}
	p.lex = newLexer(src, p.errs.add)
	return p
}

func (p *parser) parse() *AST {
	defer p.release()
	p.advance()
	ast := &AST{Source: p.lex.src}
	for {
		ast.Commands = append(ast.Commands, p.commands()...)
		if p.tok.kind == tokenEOF || p.errs.full() {
			return ast
		}
		p.errs.add(p.tok.pos, "this } closes nothing")
		p.advance()
	}
}

func (p *parser) advance() {
	p.end = Pos(p.lex.at)
	p.tok = p.lex.next()
	for p.tok.kind == tokenBad && p.errs.full() {
		p.tok = token{kind: tokenEOF, pos: p.tok.pos}
	}
}

func (p *parser) is(punctuation string) bool {
	return p.tok.kind == tokenPunctuation && p.tok.text == punctuation
}

// commands reads up to a closing brace or the end.
func (p *parser) commands() []Command {
	base := len(p.pending)
	for p.tok.kind != tokenEOF && !p.is("}") && !p.errs.full() {
		switch {
		case p.tok.kind == tokenIdentifier:
			if c, ok := p.command(); ok {
				p.pending = append(p.pending, c)
			}
		case p.is(";"):
			p.errs.add(p.tok.pos, "there is no command before this semicolon")
			p.advance()
		default:
			p.unexpected("a command")
			p.recover()
		}
	}
	list := append([]Command(nil), p.pending[base:]...)
	p.pending = p.pending[:base]
	return list
}

// command reads identifier, arguments, and ; or a block. ok is false where it
// broke off: what was read is not worth checking.
func (p *parser) command() (c Command, ok bool) {
	c, ok = p.call()
	if !ok {
		p.recover()
		return c, false
	}
	if p.is(";") {
		p.advance()
		return c, true
	}
	if p.is("{") {
		c.HasBlock = true
		c.Block = p.block()
		return c, true
	}
	if p.tok.kind != tokenIdentifier && p.tok.kind != tokenEOF && !p.is("}") {
		p.unexpected("a semicolon or a block")
		p.recover()
		return c, false
	}
	p.errs.add(p.behind(), "a semicolon is missing after %s", quote(c.Name))
	return c, true
}

// behind is where something is missing: behind the previous token. A text ends
// with its line, but what is missing belongs on that line.
func (p *parser) behind() Pos {
	return Pos(len(strings.TrimRight(p.lex.src[:p.end], "\r\n")))
}

func (p *parser) block() []Command {
	open := p.tok.pos
	p.advance()
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxNesting {
		p.errs.add(open, "blocks can be nested %d deep, not deeper", maxNesting)
		p.errs.giveUp()
		return nil
	}
	list := p.commands()
	if p.is("}") {
		p.advance()
	} else if !p.errs.full() {
		p.errs.add(open, "this block never ends: } is missing")
	}
	return list
}

// call reads an identifier with its arguments and tests.
func (p *parser) call() (c Command, ok bool) {
	c = Command{Pos: p.tok.pos, Name: p.tok.text}
	p.advance()
	base := len(p.args)
	defer func() { p.args = p.args[:base] }()
	for {
		switch {
		case p.tok.kind == tokenTag:
			p.args = append(p.args, Arg{Pos: p.tok.pos, Kind: TagArg, Text: p.tok.text})
			p.advance()
		case p.tok.kind == tokenNumber:
			p.args = append(p.args, Arg{Pos: p.tok.pos, Kind: NumberArg, Number: p.tok.number})
			p.advance()
		case p.tok.kind == tokenString:
			p.args = append(p.args, Arg{Pos: p.tok.pos, Kind: StringArg, Text: p.tok.text})
			p.advance()
		case p.is("["):
			arg, ok := p.list()
			if !ok {
				return c, false
			}
			p.args = append(p.args, arg)
		default:
			c.Args = p.cut(p.args[base:])
			return c, p.tests(&c)
		}
	}
}

// cut copies arguments into the slab.
func (p *parser) cut(args []Arg) []Arg {
	if len(args) == 0 {
		return nil
	}
	if len(p.slab) < len(args) {
		p.slab = make([]Arg, max(64, len(args)))
	}
	cut := p.slab[:len(args):len(args)]
	p.slab = p.slab[len(args):]
	copy(cut, args)
	return cut
}

func (p *parser) list() (Arg, bool) {
	arg := Arg{Pos: p.tok.pos, Kind: StringList}
	p.literals = p.literals[:0]
	p.advance()
	if p.is("]") {
		p.errs.add(arg.Pos, "a list needs at least one string")
		p.advance()
		return arg, true
	}
	for {
		if p.tok.kind != tokenString {
			p.unexpected("a string")
			return arg, false
		}
		p.literals = append(p.literals, Literal{p.tok.pos, p.tok.text})
		p.advance()
		if p.is("]") {
			p.advance()
			arg.List = append([]Literal(nil), p.literals...)
			return arg, true
		}
		if !p.is(",") {
			p.unexpected("a comma or ]")
			return arg, false
		}
		p.advance()
		if p.is("]") {
			p.errs.add(p.tok.pos, "a string is missing between the last comma and ]")
			p.advance()
			arg.List = append([]Literal(nil), p.literals...)
			return arg, true
		}
	}
}

// tests reads the test or the list of tests that ends the arguments.
func (p *parser) tests(c *Command) bool {
	if p.tok.kind == tokenIdentifier && !p.newLine(c) {
		t, ok := p.test()
		c.Tests = []Command{t}
		return ok
	}
	if !p.is("(") {
		return p.tok.kind != tokenBad
	}
	c.List = true
	p.advance()
	for {
		if p.tok.kind != tokenIdentifier {
			p.unexpected("a test")
			return false
		}
		t, ok := p.test()
		c.Tests = append(c.Tests, t)
		if !ok {
			return false
		}
		if p.is(")") {
			p.advance()
			return true
		}
		if !p.is(",") {
			p.errs.add(p.behind(), "a comma before the next test is missing, or the ) that ends the list")
			return false
		}
		p.advance()
	}
}

// newLine says whether the identifier now read begins another line behind a
// command that is complete without it: then a semicolon was forgotten.
func (p *parser) newLine(c *Command) bool {
	between := p.lex.src[p.end:p.tok.pos]
	return len(c.Args) > 0 && strings.IndexByte(between, '\n') >= 0
}

func (p *parser) test() (Command, bool) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxNesting {
		p.errs.add(p.tok.pos, "tests can be nested %d deep, not deeper", maxNesting)
		p.errs.giveUp()
		return Command{}, false
	}
	return p.call()
}

func (p *parser) unexpected(wanted string) {
	switch p.tok.kind {
	case tokenBad: // reported
	case tokenEOF:
		p.errs.add(p.tok.pos, "the script ends where %s should stand", wanted)
	case tokenString:
		p.errs.add(p.tok.pos, "%s should stand here, not a string", wanted)
	case tokenNumber:
		p.errs.add(p.tok.pos, "%s should stand here, not a number", wanted)
	case tokenTag:
		p.errs.add(p.tok.pos, "%s should stand here, not %s", wanted, quote(":"+p.tok.text))
	default:
		p.errs.add(p.tok.pos, "%s should stand here, not %s", wanted, quote(p.tok.text))
	}
}

// recover goes on behind the next semicolon, or at the next brace. A block met
// on the way is read, so that the mistakes in it are found too.
func (p *parser) recover() {
	for p.tok.kind != tokenEOF && !p.errs.full() {
		switch {
		case p.is(";"):
			p.advance()
			return
		case p.is("}"):
			return
		case p.is("{"):
			p.block()
			return
		}
		p.advance()
	}
}
