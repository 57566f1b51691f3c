// Letterlock is the last stop of a letter: LMTP in, IMAP out, and what a
// sender tagged REQUIRETLS (RFC 8689) stays tagged and is shown over TLS alone.
//
// This command builds every room and joins them; it knows the order of
// starting and stopping and nothing of protocols or storage. Each verb is one
// file. Start reading at serve.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// What a verb's end means to a script.
const (
	exitOK    = 0
	exitNo    = 1 // what was asked for did not come about
	exitUsage = 2 // the question was wrong
)

func main() { os.Exit(dispatch(os.Args[1:], stdio())) }

// chapters are everything Letterlock can be asked for, in the order help shows
// it.
func chapters() [][]verb {
	return [][]verb{
		{serveVerb, checkVerb, demoVerb},
		{userAdd, userList, userPasswd, userQuota, userRelease, userRemove, aliasAdd, aliasList, aliasRemove},
		{sieveCheck, sieveTry, sievePut, sieveGet, sieveList, sieveActivate, sieveDeactivate, sieveRemove, sieveLog},
		{forwardAdd, forwardList, forwardRemove, vacationSet, vacationShow, vacationOff},
		{traceVerb, explainVerb},
		{queueList, queueShow, queueRetry, queueHold, queueBounce, queueDelete, routeVerb, stsShow, stsRefresh},
		{fsckVerb, backupVerb, restoreVerb, keyNew, keyList, keyRotate, keySeal, keyRetire},
		{conformanceVerb, versionVerb, helpVerb()},
	}
}

func verbs() []verb { return slices.Concat(chapters()...) }

// verb is one thing to ask for.
type verb struct {
	name  string // one word or two: "user add"
	args  string // what follows, as usage shows it
	short string // one line of help
	// setup declares the flags and answers what is done once they are read.
	setup func(*flag.FlagSet) action
}

// action does what a verb promises.
type action func(ctx context.Context, c *call) error

// call is one use of a verb: where it reads and writes, and what it was given.
type call struct {
	streams
	args []string // what is left when the flags are taken
}

// streams are the standard ones, or what stands in for them.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

func stdio() streams { return streams{os.Stdin, os.Stdout, os.Stderr} }

// dispatch finds the verb, reads its flags, runs it, and says what went wrong.
func dispatch(words []string, s streams) int {
	v, rest, err := find(words)
	if err == nil {
		err = v.run(context.Background(), rest, s)
	}
	return complain(s.err, err)
}

// find takes the verb's one or two words off the front.
func find(words []string) (verb, []string, error) {
	if len(words) == 0 || slices.Contains([]string{"-h", "-help", "--help"}, words[0]) {
		return helpVerb(), nil, nil
	}
	if words[0] == "--version" {
		return versionVerb, words[1:], nil
	}
	for _, n := range []int{2, 1} {
		if len(words) < n {
			continue
		}
		name := strings.Join(words[:n], " ")
		for _, v := range verbs() {
			if v.name == name {
				return v, words[n:], nil
			}
		}
	}
	return verb{}, nil, unknownVerb(words)
}

// unknownVerb names the verbs that begin alike.
func unknownVerb(words []string) error {
	var near []string
	for _, v := range verbs() {
		if strings.HasPrefix(v.name, words[0]+" ") {
			near = append(near, "letterlock "+v.name)
		}
	}
	switch {
	case near == nil:
		return &usageError{fmt.Sprintf("%q is not a verb of letterlock", words[0]), "see: letterlock help"}
	case len(words) == 1:
		return &usageError{fmt.Sprintf("%q wants another word", words[0]), strings.Join(near, ", ")}
	}
	return &usageError{fmt.Sprintf("%q is not a verb of letterlock", words[0]+" "+words[1]), strings.Join(near, ", ")}
}

// run reads the flags, wherever they stand among the arguments, and acts.
func (v verb) run(ctx context.Context, words []string, s streams) error {
	flags := flag.NewFlagSet("letterlock "+v.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	act := v.setup(flags)
	args, err := parse(flags, words)
	if errors.Is(err, flag.ErrHelp) {
		v.usage(s.out, flags)
		return nil
	}
	if err != nil {
		return &usageError{strings.Replace(err.Error(), "flag provided but not defined: -", "there is no flag --", 1), v.form()}
	}
	err = act(ctx, &call{s, args})
	if errors.Is(err, errArguments) {
		return &usageError{"wrong number of arguments", v.form()}
	}
	return err
}

// parse lets flags stand before, between and behind the arguments; "--" ends them.
func parse(flags *flag.FlagSet, words []string) (args []string, err error) {
	for {
		if err := flags.Parse(words); err != nil {
			return nil, err
		}
		rest := flags.Args()
		if taken := len(words) - len(rest); taken > 0 && words[taken-1] == "--" {
			return append(args, rest...), nil
		}
		if len(rest) == 0 {
			return args, nil
		}
		args, words = append(args, rest[0]), rest[1:]
	}
}

// form is how the verb is written.
func (v verb) form() string {
	return strings.TrimSpace("usage: letterlock " + v.name + " " + v.args)
}

func (v verb) usage(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintf(w, "%s\n\n%s\n", v.form(), v.short)
	flags.VisitAll(func(f *flag.Flag) {
		name, text := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  %-22s %s\n", strings.TrimSpace("--"+f.Name+" "+name), text)
	})
}
