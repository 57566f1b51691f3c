package managesieve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"letterlock/sieve"
)

// state is when a command is valid (RFC 5804 §2).
type state uint8

const (
	anyTime state = iota
	beforeLogin
	afterLogin
)

// kind is what an argument is.
type kind uint8

const (
	aText   kind = iota // any string, short
	aName               // of a script
	aNoName             // of a script, or empty for none
	aScript
	aNumber
	aResponse // base64 of a SASL mechanism
)

// spec is one command. Its run gets arguments of the right kinds, as many as
// there may be, but strings may be over their limit.
type spec struct {
	when     state
	args     []kind
	optional int // how many of the last arguments may be left out
	run      func(*session, context.Context, []argument) (answer, error)
}

// commands are all there are (RFC 5804 §4).
func commands() map[string]spec {
	return map[string]spec{
		"CAPABILITY":     {when: anyTime, run: (*session).capabilityCommand},
		"LOGOUT":         {when: anyTime, run: (*session).logout},
		"NOOP":           {when: anyTime, args: []kind{aText}, optional: 1, run: (*session).noop},
		"STARTTLS":       {when: beforeLogin, run: (*session).startTLS},
		"AUTHENTICATE":   {when: beforeLogin, args: []kind{aText, aResponse}, optional: 1, run: (*session).authenticate},
		"UNAUTHENTICATE": {when: afterLogin, run: (*session).unauthenticate},
		"HAVESPACE":      {when: afterLogin, args: []kind{aName, aNumber}, run: (*session).haveSpace},
		"PUTSCRIPT":      {when: afterLogin, args: []kind{aName, aScript}, run: (*session).putScript},
		"CHECKSCRIPT":    {when: afterLogin, args: []kind{aScript}, run: (*session).checkScript},
		"LISTSCRIPTS":    {when: afterLogin, run: (*session).listScripts},
		"SETACTIVE":      {when: afterLogin, args: []kind{aNoName}, run: (*session).setActive},
		"GETSCRIPT":      {when: afterLogin, args: []kind{aName}, run: (*session).getScript},
		"DELETESCRIPT":   {when: afterLogin, args: []kind{aName}, run: (*session).deleteScript},
		"RENAMESCRIPT":   {when: afterLogin, args: []kind{aName, aName}, run: (*session).renameScript},
	}
}

// limit is how many octets an argument may have. What nobody may send yet is
// read and dropped.
func (s *session) limit(verb string, n int) int64 {
	if verb == response {
		return maxResponse
	}
	c := s.srv.commands[verb]
	if n >= len(c.args) || c.when == afterLogin && s.login == "" {
		return maxText
	}
	switch c.args[n] {
	case aName, aNoName:
		return maxNameOctets
	case aScript:
		return s.srv.opt.Quota.Size
	case aResponse:
		return maxResponse
	}
	return maxText
}

// execute runs a command that is known, complete and in its place.
func (s *session) execute(ctx context.Context, cmd command) (answer, error) {
	c, known := s.srv.commands[cmd.verb]
	switch {
	case !known:
		return answer{}, badCommand("There is no such command")
	case c.when == afterLogin && s.login == "":
		return answer{}, badCommand("Log in first")
	case c.when == beforeLogin && s.login != "":
		return answer{}, badCommand("You are logged in already")
	}
	if err := c.check(cmd.args); err != nil {
		return answer{}, err
	}
	return c.run(s, ctx, cmd.args)
}

// check compares the arguments with what the command takes.
func (c spec) check(args []argument) error {
	if len(args) > len(c.args) || len(args) < len(c.args)-c.optional {
		return badCommand(fmt.Sprintf("The command takes %d arguments, not %d", len(c.args), len(args)))
	}
	for i, a := range args {
		if a.number != (c.args[i] == aNumber) {
			return badCommand(fmt.Sprintf("Argument %d is of the wrong kind: strings are quoted, numbers are not", i+1))
		}
	}
	return nil
}

// noop answers, and echoes (RFC 5804 §2.13). The tag is a literal, as in the
// RFC's example: clients look for that.
func (s *session) noop(_ context.Context, args []argument) (answer, error) {
	if len(args) == 0 {
		return done("NOOP completed"), nil
	}
	if args[0].over {
		return answer{}, badCommand("The tag is too long")
	}
	return answer{code: "TAG " + literal(args[0].text), text: "Done"}, nil
}

// logout says goodbye (RFC 5804 §2.3).
func (s *session) logout(context.Context, []argument) (answer, error) {
	s.say(done("Bye"))
	return answer{}, errCut
}

// name is the script's name in an argument.
func name(a argument) (string, error) {
	if a.over {
		return "", no("", sentence(errLongName))
	}
	name, err := Name(a.text)
	if err != nil {
		return "", no("", sentence(err))
	}
	return name, nil
}

// haveSpace says whether a script would be taken (RFC 5804 §2.5).
func (s *session) haveSpace(ctx context.Context, args []argument) (answer, error) {
	name, err := name(args[0])
	if err != nil {
		return answer{}, err
	}
	size, err := parseNumber(args[1].text)
	if err != nil {
		return answer{}, err
	}
	there, err := s.srv.opt.Scripts.List(ctx, s.account)
	if err != nil {
		return answer{}, err
	}
	if err := s.srv.opt.Quota.Allows(there, name, size); err != nil {
		return answer{}, err
	}
	return done("There is room for it"), nil
}

// putScript keeps a script that compiles (RFC 5804 §2.6).
func (s *session) putScript(ctx context.Context, args []argument) (answer, error) {
	name, err := name(args[0])
	if err != nil {
		return answer{}, err
	}
	script := args[1]
	if script.over {
		return s.tooBig(), nil
	}
	said, err := s.compile(ctx, name, script.text)
	if err != nil {
		return answer{}, err
	}
	if err := s.srv.opt.Scripts.Put(ctx, s.account, name, []byte(script.text), s.srv.opt.Quota); err != nil {
		return answer{}, err
	}
	return remarks(said, "The script is kept"), nil
}

// checkScript compiles a script and keeps it not (RFC 5804 §2.12). That it has
// room is not asked; but what cannot even be read is not right.
func (s *session) checkScript(ctx context.Context, args []argument) (answer, error) {
	if args[0].over {
		return no("", s.tooBig().text), nil
	}
	said, err := s.compile(ctx, "", args[0].text)
	if err != nil {
		return answer{}, err
	}
	return remarks(said, "The script is right"), nil
}

// compile checks a script as delivery would. Its error is an answer with every
// mistake.
func (s *session) compile(ctx context.Context, name, script string) ([]sieve.Diagnostic, error) {
	if script == "" {
		return nil, no("", "The script is empty")
	}
	said, err := s.srv.opt.Language.Check(ctx, name, []byte(script))
	var wrong sieve.Errors
	if errors.As(err, &wrong) {
		return nil, mistakes(wrong)
	}
	return said, err
}

// listScripts lists by name (RFC 5804 §2.7).
func (s *session) listScripts(ctx context.Context, _ []argument) (answer, error) {
	list, err := s.srv.opt.Scripts.List(ctx, s.account)
	if err != nil {
		return answer{}, err
	}
	list = slices.SortedFunc(slices.Values(list), func(a, b Script) int { return cmp.Compare(a.Name, b.Name) })
	for _, script := range list {
		s.put(quote(script.Name))
		if script.Active {
			s.put(" ACTIVE")
		}
		s.put("\r\n")
	}
	return done("That is all"), nil
}

// setActive activates a script, or with "" none (RFC 5804 §2.8). What was right
// when it was kept need not be now: it is compiled once more.
func (s *session) setActive(ctx context.Context, args []argument) (answer, error) {
	if args[0].text == "" && !args[0].over {
		return done("No script is active"), s.srv.opt.Scripts.Activate(ctx, s.account, "")
	}
	name, err := name(args[0])
	if err != nil {
		return answer{}, err
	}
	script, err := s.srv.opt.Scripts.Get(ctx, s.account, name)
	if err != nil {
		return answer{}, err
	}
	said, err := s.compile(ctx, name, string(script))
	if err != nil {
		return answer{}, err
	}
	if err := s.srv.opt.Scripts.Activate(ctx, s.account, name); err != nil {
		return answer{}, err
	}
	return remarks(said, "The script is active from the next message on"), nil
}

// getScript hands out what was kept, octet for octet (RFC 5804 §2.9).
func (s *session) getScript(ctx context.Context, args []argument) (answer, error) {
	name, err := name(args[0])
	if err != nil {
		return answer{}, err
	}
	script, err := s.srv.opt.Scripts.Get(ctx, s.account, name)
	if err != nil {
		return answer{}, err
	}
	s.put(literal(string(script)) + "\r\n")
	return done("That is the script"), nil
}

// deleteScript removes a script that is not active (RFC 5804 §2.10).
func (s *session) deleteScript(ctx context.Context, args []argument) (answer, error) {
	name, err := name(args[0])
	if err != nil {
		return answer{}, err
	}
	return done("The script is gone"), s.srv.opt.Scripts.Delete(ctx, s.account, name)
}

// renameScript gives a script another name (RFC 5804 §2.11).
func (s *session) renameScript(ctx context.Context, args []argument) (answer, error) {
	from, err := name(args[0])
	if err != nil {
		return answer{}, err
	}
	to, err := name(args[1])
	if err != nil {
		return answer{}, err
	}
	return done("The script has its new name"), s.srv.opt.Scripts.Rename(ctx, s.account, from, to)
}
