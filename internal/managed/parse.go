package managed

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"letterlock/sieve"
)

const byteOrderMark = "\uFEFF"

// Parse reads a script. An empty text is an empty script; [ErrForeign] has no
// block of ours, and in [ErrChanged] the block has something that no command of
// ours writes.
func Parse(text []byte) (*Script, error) {
	if len(text) == 0 {
		return &Script{}, nil
	}
	from, to, ok := find(text)
	if !ok {
		return nil, ErrForeign
	}
	s := &Script{head: bytes.Clone(text[:from]), tail: bytes.Clone(text[to:])}
	ast, errs := sieve.Parse(text[from:to])
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrChanged, errs)
	}
	for i := range ast.Commands {
		if err := s.read(&ast.Commands[i]); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrChanged, err)
		}
	}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	if len(s.Forwards) == 0 {
		s.Keep = false
	}
	return s, nil
}

// find finds the block with both its marks: from the first line that begins one
// to the last that ends one, since the text of an answer may say anything.
func find(text []byte) (from, to int, ok bool) {
	at := 0
	if bytes.HasPrefix(text, []byte(byteOrderMark)) {
		at = len(byteOrderMark)
	}
	from, to = -1, -1
	for at < len(text) {
		next := len(text)
		if n := bytes.IndexByte(text[at:], '\n'); n >= 0 {
			next = at + n + 1
		}
		line := string(bytes.TrimRight(text[at:next], "\r\n"))
		switch {
		case from < 0 && strings.HasPrefix(line, begin):
			from = at
		case from >= 0 && line == endLine:
			to = next
		}
		at = next
	}
	return from, to, from >= 0 && to >= 0
}

// read reads one command of the block.
func (s *Script) read(c *sieve.Command) error {
	switch {
	case c.Name == "require":
		return nil // written anew
	case c.Name == "redirect" && !c.HasBlock && len(c.Tests) == 0:
		return s.readForward(c)
	case s.Vacation != nil:
	case c.Name == "vacation":
		s.Vacation = &Vacation{}
		return s.Vacation.read(c)
	case c.Name == "if" && len(c.Args) == 0 && len(c.Tests) == 1 && len(c.Block) == 1 && c.Block[0].Name == "vacation":
		s.Vacation = &Vacation{}
		if err := s.Vacation.readDays(&c.Tests[0]); err != nil {
			return err
		}
		return s.Vacation.read(&c.Block[0])
	}
	return unknown(c)
}

func unknown(c *sieve.Command) error {
	return fmt.Errorf("%s is not as the commands write it", c.Name)
}

func (s *Script) readForward(c *sieve.Command) error {
	f := Forward{}
	args := c.Args
	for ; len(args) > 1 && args[0].Kind == sieve.TagArg; args = args[1:] {
		switch args[0].Text {
		case "copy":
			s.Keep = true
		case "requiretls":
			f.RequireTLS = true
		default:
			return unknown(c)
		}
	}
	if len(args) != 1 || args[0].Kind != sieve.StringArg {
		return unknown(c)
	}
	f.To = args[0].Text
	s.Forwards = append(s.Forwards, f)
	return nil
}

func (v *Vacation) read(c *sieve.Command) error {
	if c.HasBlock || len(c.Tests) > 0 {
		return unknown(c)
	}
	args := c.Args
	for ; len(args) > 2 && args[0].Kind == sieve.TagArg; args = args[2:] {
		value := args[1]
		switch {
		case args[0].Text == "days" && value.Kind == sieve.NumberArg && value.Number <= math.MaxInt32:
			v.Days = max(1, int(value.Number)) // RFC 5230 §4.1: 0 is the least there is
		case args[0].Text == "subject" && value.Kind == sieve.StringArg:
			v.Subject = value.Text
		case args[0].Text == "addresses" && value.Kind == sieve.StringArg:
			v.Addresses = []string{value.Text}
		case args[0].Text == "addresses" && value.Kind == sieve.StringList:
			v.Addresses = nil
			for _, one := range value.List {
				v.Addresses = append(v.Addresses, one.Text)
			}
		default:
			return unknown(c)
		}
	}
	if len(args) != 1 || args[0].Kind != sieve.StringArg {
		return unknown(c)
	}
	v.Text = strings.TrimSuffix(strings.ReplaceAll(args[0].Text, "\r\n", "\n"), "\n")
	return nil
}

// readDays reads the test around the command.
func (v *Vacation) readDays(t *sieve.Command) error {
	if t.Name != "allof" || len(t.Args) > 0 || len(t.Tests) == 0 {
		return unknown(t)
	}
	for i := range t.Tests {
		c := &t.Tests[i]
		a := c.Args
		ok := c.Name == "currentdate" && len(c.Tests) == 0 && len(a) == 4 && a[0].Kind == sieve.TagArg && a[0].Text == "value" &&
			a[1].Kind == sieve.StringArg && a[2].Kind == sieve.StringArg && a[2].Text == "date" && a[3].Kind == sieve.StringArg
		switch {
		case ok && a[1].Text == "ge" && v.From == "":
			v.From = a[3].Text
		case ok && a[1].Text == "le" && v.Until == "":
			v.Until = a[3].Text
		default:
			return unknown(c)
		}
	}
	return nil
}
