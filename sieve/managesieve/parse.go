package managesieve

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"letterlock/internal/wire"
)

const (
	lineBeforeLogin = 8 << 10 // octets of a line without its literals
	lineAfterLogin  = 64 << 10
	maxArguments    = 8
	maxText         = 1 << 10 // octets of a string that is nothing special
	maxVerb         = 64
	// How much more than it may hold a string may have and still be read past;
	// whoever announces more is cut.
	pastBeforeLogin = 64 << 10
	pastAfterLogin  = 64 << 20
)

var (
	// errSyntax: what was read is no command. The reader stands behind it.
	errSyntax = errors.New("not a command")
	// errLost: where the next command begins cannot be known.
	errLost = errors.New("cannot tell where the next command begins")
)

// argument is one argument of a command.
type argument struct {
	number bool   // an atom of digits
	text   string // of a number, its digits
	size   int64  // octets, also of those that were not kept
	over   bool   // it has more octets than its command takes; text is empty
}

// parser reads commands off a connection: a verb, arguments, CRLF (RFC 5804
// §1.2, §4).
type parser struct {
	r *wire.Reader
	// limit says how many octets the nth argument of a verb may have.
	limit func(verb string, n int) int64
	line  int   // octets of a line
	past  int64 // octets of one command that are read only to be dropped
}

// command is one command as it came. Verb is in upper case.
type command struct {
	verb string
	args []argument
}

// next reads a command. After [errSyntax] the next one can be read, after any
// other error nothing. A literal that was announced has always been read.
func (p *parser) next() (command, error) {
	var cmd command
	line, err := p.rest()
	if err != nil {
		return cmd, err
	}
	verb, line := cutAtom(line)
	if verb == "" || len(verb) > maxVerb {
		return cmd, mislaid(line)
	}
	cmd.verb = strings.ToUpper(verb)
	cmd.args, err = p.arguments(cmd.verb, line)
	return cmd, err
}

// answer reads a line that is one string and nothing else: a client's turn in
// AUTHENTICATE.
func (p *parser) answer(verb string) (argument, error) {
	line, err := p.rest()
	if err != nil {
		return argument{}, err
	}
	args, err := p.arguments(verb, " "+line)
	if err == nil && (len(args) != 1 || args[0].number) {
		err = errSyntax
	}
	if err != nil {
		return argument{}, err
	}
	return args[0], nil
}

// arguments reads what follows the verb, each argument behind a space. More
// spaces do no harm.
func (p *parser) arguments(verb, line string) (args []argument, err error) {
	dropped := int64(0)
	for {
		rest := strings.TrimLeft(line, " ")
		if rest == "" {
			return args, nil
		}
		if rest == line {
			return nil, mislaid(line)
		}
		line = rest
		var arg argument
		limit := p.limit(verb, len(args))
		if n, literal := announced(line); literal {
			if arg, err = p.literal(n, limit, &dropped); err != nil {
				return nil, err
			}
			if line, err = p.rest(); err != nil {
				return nil, err
			}
		} else if arg, line, err = inline(line, limit); err != nil {
			return nil, err
		}
		if len(args) == maxArguments {
			return nil, mislaid(line)
		}
		args = append(args, arg)
	}
}

// rest reads a line, or what follows a literal. What is too long or does not
// end in CRLF may have announced a literal: nothing behind it can be trusted.
func (p *parser) rest() (string, error) {
	line, err := p.r.Line(p.line)
	if errors.Is(err, wire.ErrLineTooLong) || errors.Is(err, wire.ErrBareLF) {
		return "", errLost
	}
	return string(line), err
}

// literal reads n octets, and keeps them where the command takes so many. Memory
// is taken as they come.
func (p *parser) literal(n, limit int64, dropped *int64) (argument, error) {
	arg := argument{size: n, over: n > limit}
	if arg.over {
		if *dropped += n; *dropped > p.past {
			return arg, errLost
		}
		return arg, whole(io.CopyN(io.Discard, p.r, n))
	}
	var text bytes.Buffer
	err := whole(io.CopyN(&text, p.r, n))
	arg.text = text.String()
	return arg, err
}

func whole(_ int64, err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// announced says whether the line goes on in a literal of n octets: {n+}, and
// {n}, which older clients send. Numbers have 32 bits and no leading zeros
// (RFC 5804 §4); other ones are no announcement.
func announced(line string) (n int64, ok bool) {
	if !strings.HasPrefix(line, "{") || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	n, err := parseNumber(strings.TrimSuffix(line[1:len(line)-1], "+"))
	return n, err == nil
}

// couldAnnounce is the end of a line that a client may have meant as the
// announcement of a literal.
var couldAnnounce = regexp.MustCompile(`\{[^{}]*\}?[ \t]*$`)

// mislaid is the error of a line that cannot be read to its end.
func mislaid(line string) error {
	if couldAnnounce.MatchString(line) {
		return errLost
	}
	return errSyntax
}

// inline reads a quoted string or a number from the start of a line.
func inline(line string, limit int64) (arg argument, rest string, err error) {
	if body, quoted := strings.CutPrefix(line, `"`); quoted {
		if arg.text, rest, quoted = unquote(body); !quoted {
			return arg, "", mislaid(line)
		}
		arg.size = int64(len(arg.text))
		if arg.size > limit {
			arg.text, arg.over = "", true
		}
		return arg, rest, nil
	}
	atom, rest := cutAtom(line)
	if _, err := parseNumber(atom); err != nil {
		return arg, "", mislaid(line)
	}
	return argument{number: true, text: atom, size: int64(len(atom))}, rest, nil
}

// unquote reads a quoted string behind its first quote. The RFC allows 1024
// octets; a line has room for more, and some clients use it. NUL and CR do not
// belong in one, and neither does what is not UTF-8.
func unquote(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			text = b.String()
			return text, s[i+1:], utf8.ValidString(text)
		case '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", "", false
			}
			b.WriteByte(s[i])
		case 0, '\r':
			return "", "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// cutAtom cuts an atom off the start.
func cutAtom(line string) (atom, rest string) {
	i := 0
	for i < len(line) && line[i] > ' ' && line[i] < 0x7f && !strings.ContainsRune(`(){"\`, rune(line[i])) {
		i++
	}
	return line[:i], line[i:]
}

var errNumber = errors.New("not a number")

// parseNumber reads a number of 32 bits without leading zeros.
func parseNumber(s string) (int64, error) {
	if s == "" || s[0] < '0' || s[0] > '9' || len(s) > 1 && s[0] == '0' {
		return 0, errNumber
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, errNumber
	}
	return int64(n), nil
}
