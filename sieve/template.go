package sieve

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// String is a string of a script: constant, or with variables that are filled
// in each time it is read (RFC 5229 §3).
type String struct {
	text   string // as written, escapes and encoded characters resolved
	pieces []piece
	pos    Pos
}

// piece is a stretch of text, or a variable.
type piece struct {
	kind  pieceKind
	text  string     // literal; variable of a namespace
	index int        // slot of a variable; number of a match variable
	space *Namespace // of a variable with a namespace
}

type pieceKind uint8

const (
	pieceText pieceKind = iota
	pieceVariable
	pieceMatch
	pieceSpace
)

// Const is the text of a string without variables.
func (s String) Const() (text string, ok bool) { return s.text, s.pieces == nil }

// Raw is the string as written, variables not filled in: what tracking of
// vacation replies is made of (RFC 5230 §4.2).
func (s String) Raw() string { return s.text }

// Pos is where the string stands.
func (s String) Pos() Pos { return s.pos }

// maxExpansion bounds what variables can make of one string.
const maxExpansion = 1 << 20

// Eval is the text with variables filled in.
func (s String) Eval(rt *Runtime) (string, error) {
	if s.pieces == nil {
		return s.text, nil
	}
	if len(s.pieces) == 1 {
		return rt.piece(&s.pieces[0]), nil
	}
	values := make([]string, len(s.pieces))
	n := 0
	for i := range s.pieces {
		values[i] = rt.piece(&s.pieces[i])
		n += len(values[i])
	}
	if n > maxExpansion {
		return "", &LimitError{"1 MiB for a string with its variables filled in"}
	}
	if err := rt.Take(n + 16*len(values)); err != nil {
		return "", err
	}
	return strings.Join(values, ""), nil
}

func (rt *Runtime) piece(p *piece) string {
	switch p.kind {
	case pieceText:
		return p.text
	case pieceVariable:
		return rt.frame.vars[p.index]
	case pieceMatch:
		return rt.frame.matched(p.index)
	}
	value, _ := p.space.Get(rt, p.text)
	return value
}

// maxMatchVariable is the highest ${n} (RFC 5229 §6: at least 9).
const maxMatchVariable = 32

// string makes a String of a literal, by the rules that the script's require
// has put in effect.
func (c *compiler) string(pos Pos, text string) String {
	if strings.Contains(text, "${") {
		if c.lexical.encoded {
			text = c.decode(pos, text)
		}
		if c.lexical.variables {
			return String{text: text, pieces: c.pieces(pos, text), pos: pos}
		}
	}
	return String{text: text, pos: pos}
}

// pieces cuts a string at its variables; nil where there are none.
func (c *compiler) pieces(pos Pos, text string) []piece {
	var out []piece
	done := 0 // everything before is in out
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '$' || text[i+1] != '{' {
			continue
		}
		name, ok := reference(text[i+2:])
		if !ok {
			continue
		}
		v, err := c.variable(name)
		if err != nil {
			c.errs.add(pos, "%v", err)
			return nil
		}
		if done < i {
			out = append(out, piece{text: text[done:i]})
		}
		out = append(out, v)
		i += len(name) + 2
		done = i + 1
	}
	if out != nil && done < len(text) {
		out = append(out, piece{text: text[done:]})
	}
	return out
}

// reference reads a variable-ref behind "${" (RFC 5229 §3). It looks no further
// than one can go, so that a script of nothing but "${" is read once.
func reference(s string) (name string, ok bool) {
	end := 0
	for end < len(s) && (isLetter(s[end]) || isDigit(s[end]) || s[end] == '.') {
		end++
	}
	if end == 0 || end == len(s) || s[end] != '}' {
		return "", false
	}
	name = s[:end]
	for i, part := range strings.Split(name, ".") {
		if !isIdentifier(part) && !(isNumber(part) && (i > 0 || part == name)) {
			return "", false
		}
	}
	return name, true
}

func isIdentifier(s string) bool {
	if s == "" || !isLetter(s[0]) {
		return false
	}
	for i := range len(s) {
		if !isLetter(s[i]) && !isDigit(s[i]) {
			return false
		}
	}
	return true
}

func isNumber(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// variable resolves a name that is read.
func (c *compiler) variable(name string) (piece, error) {
	name = foldASCII(name)
	if isNumber(name) {
		n, err := strconv.Atoi(name)
		if err != nil || n > maxMatchVariable {
			return piece{}, fmt.Errorf("match variables go up to ${%d}", maxMatchVariable)
		}
		return piece{kind: pieceMatch, index: n}, nil
	}
	if space, rest, ok := strings.Cut(name, "."); ok {
		ns, err := c.namespace(space, rest)
		return piece{kind: pieceSpace, text: rest, space: ns}, err
	}
	if c.globals[name] {
		return piece{kind: pieceSpace, text: name, space: &globalSpace}, nil
	}
	slot, err := c.slot(name)
	return piece{kind: pieceVariable, index: slot}, err
}

func (c *compiler) namespace(space, rest string) (*Namespace, error) {
	ns, ok := c.engine.spaces[space]
	if !ok {
		return nil, fmt.Errorf("there are no variables %s", quote(space+".…"))
	}
	if !c.required.has(ns.ext.index) {
		return nil, fmt.Errorf("variables %s need %s", quote(space+".…"), requireLine(ns.ext.Name))
	}
	if ns.Valid != nil && !ns.Valid(rest) {
		return nil, fmt.Errorf("%s cannot be the name of a variable", quote(space+"."+rest))
	}
	return ns.Namespace, nil
}

const maxVariableName = 64

// slot is the place of a variable of this script.
func (c *compiler) slot(name string) (int, error) {
	if i, ok := c.slots[name]; ok {
		return i, nil
	}
	if len(name) > maxVariableName {
		return 0, fmt.Errorf("the name of a variable has %d characters at most", maxVariableName)
	}
	if len(c.slots) >= c.engine.config.Limits.Variables {
		return 0, fmt.Errorf("a script can use %d variables, not more", c.engine.config.Limits.Variables)
	}
	if c.slots == nil {
		c.slots = map[string]int{}
	}
	c.slots[name] = len(c.slots)
	return c.slots[name], nil
}

// Variable is a variable that a command writes.
type Variable struct {
	slot  int
	name  string
	space *Namespace // nil: of the script itself
}

// Variable resolves the name in s as one to write: set, setflag and extracttext
// take such names. The name must be constant (RFC 5229 §4).
func (c *Call) Variable(s String) (Variable, error) {
	name, ok := s.Const()
	switch {
	case !ok:
		return Variable{}, c.Fail(s.pos, "the name of the variable cannot itself contain a variable")
	case isNumber(name):
		return Variable{}, c.Fail(s.pos, "match variables such as %s cannot be set", quote(name))
	}
	v, err := c.comp.target(foldASCII(name))
	if err != nil {
		return v, c.Fail(s.pos, "%v", err)
	}
	return v, nil
}

var errName = errors.New("a variable's name starts with a letter or _ and has only letters, digits and _")

func (c *compiler) target(name string) (Variable, error) {
	if space, rest, ok := strings.Cut(name, "."); ok && isIdentifier(space) {
		ns, err := c.namespace(space, rest)
		if err == nil && ns.Set == nil {
			err = fmt.Errorf("variables %s cannot be set", quote(space+".…"))
		}
		return Variable{name: rest, space: ns}, err
	}
	if !isIdentifier(name) {
		return Variable{}, errName
	}
	if c.globals[name] {
		return Variable{name: name, space: &globalSpace}, nil
	}
	slot, err := c.slot(name)
	if c.written == nil {
		c.written = map[string]bool{}
	}
	c.written[name] = true
	return Variable{slot: slot, name: name}, err
}

// SetVariable stores a value, cut at [Limits.Value] (RFC 5229 §6: never an
// error).
func (rt *Runtime) SetVariable(v Variable, value string) error {
	value = cutText(value, rt.engine.config.Limits.Value)
	if err := rt.Take(len(value)); err != nil {
		return err
	}
	value = strings.Clone(value)
	if v.space != nil {
		return v.space.Set(rt, v.name, value)
	}
	rt.frame.vars[v.slot] = value
	return nil
}

// GetVariable is the present value.
func (rt *Runtime) GetVariable(v Variable) string {
	if v.space != nil {
		value, _ := v.space.Get(rt, v.name)
		return value
	}
	return rt.frame.vars[v.slot]
}

// cutText cuts s at a character, n octets at most.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for back := 0; back < utf8.UTFMax && n > 0 && !utf8.RuneStart(s[n]); back++ {
		n--
	}
	return s[:n]
}

// decode replaces ${hex:…} and ${unicode:…} (RFC 5228 §2.4.2.4).
func (c *compiler) decode(pos Pos, s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		text, n, err := encodedCharacters(s[i:])
		switch {
		case err != nil:
			c.errs.add(pos, "%v", err)
			return s
		case n == 0:
			b.WriteByte(s[i])
			i++
		default:
			b.WriteString(text)
			i += n
		}
	}
	return b.String()
}

// encodedCharacters reads one sequence at the start of s; n is its length, 0
// where there is none. None has another $ in it: no further is looked.
func encodedCharacters(s string) (text string, n int, err error) {
	if !strings.HasPrefix(s, "${") {
		return "", 0, nil
	}
	end := 2 + strings.IndexAny(s[2:], "$}")
	if end < 2 || s[end] == '$' {
		return "", 0, nil
	}
	kind, list, ok := strings.Cut(s[2:end], ":")
	kind = foldASCII(kind)
	if !ok || kind != "hex" && kind != "unicode" {
		return "", 0, nil
	}
	words := strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) })
	if len(words) == 0 {
		return "", 0, nil
	}
	var b strings.Builder
	for _, w := range words {
		if !isHex(w) || kind == "hex" && len(w) > 2 {
			return "", 0, nil
		}
	}
	for _, w := range words {
		code, overflow := strconv.ParseUint(w, 16, 32)
		if kind == "hex" {
			b.WriteByte(byte(code))
			continue
		}
		if overflow != nil || code > utf8.MaxRune || code >= 0xD800 && code <= 0xDFFF {
			return "", 0, fmt.Errorf("%s is not a Unicode character", quote(s[:end+1]))
		}
		b.WriteRune(rune(code))
	}
	return b.String(), end + 1, nil
}

func isHex(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if !isDigit(s[i]) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}
