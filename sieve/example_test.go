package sieve_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"letterlock/sieve"
)

const postcard = "From: ann@example.net\r\nTo: bob@example.org\r\nSubject: greetings from [Crete]\r\n\r\nWish you were here.\r\n"

// A script and a message go in, actions come out.
func Example() {
	script, err := sieve.Compile("bob", []byte(`
		require ["fileinto", "variables"];
		if header :matches "Subject" "greetings from [*]" {
			fileinto "Postcards/${1}";
		}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	result := script.Run(context.Background(), strings.NewReader(postcard), nil)
	for _, action := range result.Actions {
		if f, ok := action.(*sieve.FileInto); ok {
			fmt.Println("file into", f.Name, "as line", sieve.At(f).Line, "says")
		}
	}
	// Output: file into Postcards/Crete as line 4 says
}

// All mistakes are reported at once, as sentences.
func ExampleEngine_Compile() {
	engine, _ := sieve.New(sieve.Config{})
	_, err := engine.Compile("", []byte(`require ["redirect"];
if header :contain "Subject" "x" { fileinto "X" }
`))
	var list sieve.Errors
	if errors.As(err, &list) {
		for _, d := range list {
			fmt.Printf("%d:%d %s\n", d.Line, d.Col, d.Msg)
		}
	}
	// Output:
	// 1:10 `redirect` is part of core Sieve and needs no require
	// 2:11 `header` has no tag `:contain`; did you mean `:contains`?
	// 2:36 `fileinto` needs `require "fileinto";` at the top of the script
	// 2:48 a semicolon is missing after `fileinto`
}

// The parser alone is what a formatter or a linter needs.
func ExampleParse() {
	ast, errs := sieve.Parse([]byte(`if size :over 1M { discard; }`))
	test := ast.Commands[0].Tests[0]
	fmt.Println(len(errs), test.Name, test.Args[0].Text, test.Args[1].Number, ast.Commands[0].Block[0].Name)
	// Output: 0 size over 1048576 discard
}

// Label is an action of our own.
type Label struct {
	sieve.Common
	Text string
}

// An extension adds commands and tests. It is made of the same values as the
// built-in ones.
func ExampleExtension() {
	label := &sieve.Extension{
		Name: "vnd.example.label",
		Commands: []sieve.Spec{{
			Name: "label",
			Args: []sieve.Param{{Name: "label", Kind: sieve.StringArg}},
			Compile: func(c *sieve.Call) (sieve.Op, error) {
				text := c.String(0)
				if s, ok := text.Const(); ok && s == "" {
					return nil, c.Fail(c.ArgPos(0), "a label cannot be empty")
				}
				return func(rt *sieve.Runtime) (sieve.Flow, error) {
					s, err := text.Eval(rt) // variables filled in
					if err != nil {
						return sieve.Stop, err
					}
					return sieve.Next, rt.Add(&Label{Text: s})
				}, nil
			},
		}},
		Tests: []sieve.Spec{{
			Name:   "weekday", // weekday :contains "sun"
			Groups: sieve.MatchTags,
			Args:   []sieve.Param{{Name: "keys", Kind: sieve.StringList}},
			Test: func(c *sieve.Call) (sieve.Predicate, error) {
				match, err := c.Matcher(c.Strings(0))
				if err != nil {
					return nil, err
				}
				return func(rt *sieve.Runtime) (bool, error) {
					return match.Strings(rt, []string{rt.Now().Weekday().String()})
				}, nil
			},
		}},
	}
	engine, err := sieve.New(sieve.Config{Extensions: append(sieve.Standard(), label)})
	if err != nil {
		fmt.Println(err)
		return
	}
	script, err := engine.Compile("", []byte(`
		require ["vnd.example.label", "variables"];
		if weekday :matches "sat*" { label "s${1}"; }`))
	if err != nil {
		fmt.Println(err)
		return
	}
	result := script.Run(context.Background(), strings.NewReader(postcard), &sieve.Input{Now: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)})
	fmt.Println(result.Actions[0].(*Label).Text, result.Kept)

	_, err = engine.Compile("", []byte(`require "vnd.example.label"; label "";`))
	fmt.Println(err)
	// Output:
	// surday true
	// line 1: a label cannot be empty
}

// A tag can be added to commands of others. This one says that a forwarded copy
// may only travel protected; no tag can take that back.
func ExampleTagFor() {
	requireTLS := &sieve.Extension{
		Name: "vnd.letterlock.redirect-requiretls",
		Tags: []sieve.TagFor{{On: "redirect", Tag: sieve.Tag{
			Name: "requiretls",
			Apply: func(_ *sieve.Runtime, a sieve.Action, _ *sieve.TagValue) error {
				if r, ok := a.(*sieve.Redirect); ok {
					r.Mark("requiretls", "required")
				}
				return nil
			},
		}}},
	}
	engine, _ := sieve.New(sieve.Config{Extensions: append(sieve.Standard(), requireTLS)})
	script, err := engine.Compile("", []byte(`
		require ["vnd.letterlock.redirect-requiretls", "environment"];
		if environment "vnd.letterlock.tls" "TLSv1.3" {
			redirect :requiretls "bob@example.com";
			redirect "bob@example.com";
		}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	result := script.Run(context.Background(), strings.NewReader(postcard), &sieve.Input{
		Environment: func(item string) (string, bool) { return "TLSv1.3", item == "vnd.letterlock.tls" },
	})
	r := result.Actions[0].(*sieve.Redirect)
	fmt.Println(len(result.Actions), r.To, r.Marks)
	// Output: 1 bob@example.com map[requiretls:required]
}

// Variables of a namespace come from the extension that owns it.
func ExampleNamespace() {
	env := &sieve.Extension{
		Name: "vnd.example.env",
		Namespace: &sieve.Namespace{
			Name: "env",
			Get: func(rt *sieve.Runtime, name string) (string, bool) {
				if name == "sender" {
					return rt.Envelope().From, true
				}
				return "", false
			},
		},
	}
	engine, _ := sieve.New(sieve.Config{Extensions: append(sieve.Standard(), env)})
	script, err := engine.Compile("", []byte(`require ["vnd.example.env", "variables", "fileinto"]; fileinto "From/${env.sender}";`))
	if err != nil {
		fmt.Println(err)
		return
	}
	in := &sieve.Input{Envelope: sieve.Envelope{From: "ann@example.net"}}
	result := script.Run(context.Background(), strings.NewReader(postcard), in)
	fmt.Println(result.Actions[0].(*sieve.FileInto).Name)
	// Output: From/ann@example.net
}

// A command with a block runs it as often as it likes and may let it be left.
// Whatever it does to message, envelope, flags and plan is seen by what follows.
func ExampleRuntime() {
	as := sieve.Spec{
		Name:  "as", // as "ann@example.net" { … }
		Args:  []sieve.Param{{Name: "sender", Kind: sieve.StringArg}},
		Block: true,
		Compile: func(c *sieve.Call) (sieve.Op, error) {
			sender, block := c.String(0), c.Block()
			return func(rt *sieve.Runtime) (sieve.Flow, error) {
				from, err := sender.Eval(rt)
				if err != nil {
					return sieve.Stop, err
				}
				before := *rt.Envelope()
				changed := before
				changed.From = from
				rt.SetEnvelope(changed)
				rt.SetMessage(strings.NewReader("Subject: " + from + "\r\n\r\n"))
				rt.SetFlags([]string{`\Seen`})
				flow, err := rt.RunBlock(block)
				rt.SetEnvelope(before)
				if flow == sieve.Leave && rt.Left("as") {
					flow = sieve.Next
				}
				return flow, err
			}, nil
		},
	}
	leave := sieve.Spec{Name: "leave", Compile: func(*sieve.Call) (sieve.Op, error) {
		return func(rt *sieve.Runtime) (sieve.Flow, error) {
			rt.SetActions(rt.Actions()[:1]) // forget all but the first
			return rt.Leave("as"), nil
		}, nil
	}}
	engine, err := sieve.New(sieve.Config{Extensions: append(sieve.Standard(), &sieve.Extension{
		Name: "vnd.example.as", Commands: []sieve.Spec{as, leave},
	})})
	if err != nil {
		fmt.Println(err)
		return
	}
	script, err := engine.Compile("", []byte(`
		require ["vnd.example.as", "fileinto", "envelope", "variables"];
		as "carol@example.com" {
			if allof (envelope :matches "from" "*@*", header "Subject" "carol@example.com") { fileinto "${1}"; }
			fileinto "forgotten";
			leave;
			fileinto "never";
		}
		fileinto "after";`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range script.Run(context.Background(), strings.NewReader(postcard), nil).Actions {
		fmt.Println(a.(*sieve.FileInto).Name, a.(*sieve.FileInto).Flags)
	}
	// Output:
	// carol [\Seen]
	// after [\Seen]
}

// Several scripts may decide about one message: what an admin wants before and
// after, and what the user wants.
func ExampleNewRuntime() {
	engine, _ := sieve.New(sieve.Config{})
	rt := sieve.NewRuntime(context.Background(), engine, strings.NewReader(postcard), nil)
	for name, src := range map[string]string{"before": `require ["fileinto", "copy"]; fileinto :copy "Archive";`} {
		script, err := engine.Compile(name, []byte(src))
		if err == nil {
			err = rt.Run(script)
		}
		fmt.Println(err)
	}
	script, err := engine.Compile("bob", []byte("require \"ihave\";\nkeep;\nerror \"out of birdseed\";"))
	if err == nil {
		err = rt.Run(script)
	}
	fmt.Println(err)
	result := rt.Result()
	fmt.Println(len(result.Actions), result.Kept)
	// Output:
	// <nil>
	// bob, line 3: out of birdseed
	// 2 true
}

// Scripts that others include come from a loader.
func ExampleLoader() {
	engine, _ := sieve.New(sieve.Config{})
	shelf := map[string]string{"lists": `require "fileinto"; fileinto "Lists";`}
	load := func(_ context.Context, where sieve.Location, name string) (*sieve.Script, error) {
		src, ok := shelf[name]
		if !ok || where != sieve.Personal {
			return nil, fs.ErrNotExist
		}
		return engine.Compile(name, []byte(src))
	}
	script, _ := engine.Compile("bob", []byte(`require "include"; include "lists"; include :global :optional "lists";`))
	result := script.Run(context.Background(), strings.NewReader(postcard), &sieve.Input{Load: load})
	fmt.Println(sieve.At(result.Actions[0]), result.Err)
	// Output: lists, line 1 <nil>
}

// Limits are values; running into one is an error of its own type.
func ExampleLimits() {
	engine, _ := sieve.New(sieve.Config{Limits: sieve.Limits{Redirects: 1}})
	script, _ := engine.Compile("", []byte("redirect \"a@example.com\";\nredirect \"b@example.com\";"))
	result := script.Run(context.Background(), strings.NewReader(postcard), nil)
	var limit *sieve.LimitError
	fmt.Println(errors.As(result.Err, &limit), result.Err)
	fmt.Println(len(result.Actions), result.Kept)
	// Output:
	// true line 2: a script may not use more than 1 redirect
	// 1 true
}

// store answers what only a mailbox store can know.
type store struct{}

func (store) Mailbox(_ context.Context, t sieve.Target) (bool, error) { return t.Name == "Spam", nil }
func (store) Metadata(context.Context, string, string) (string, bool, error) {
	return "", false, nil
}
func (store) Seen(_ context.Context, t sieve.Track) (bool, error) { return false, nil }

// A host answers questions; what it must remember comes back in the result.
func ExampleHost() {
	script, _ := sieve.Compile("", []byte(`
		require ["mailbox", "duplicate", "fileinto"];
		if allof (mailboxexists "Spam", not duplicate :uniqueid "x") { fileinto "Spam"; }`))
	result := script.Run(context.Background(), strings.NewReader(postcard), &sieve.Input{Host: store{}})
	fmt.Println(result.Actions[0].(*sieve.FileInto).Name, result.Tracks[0].ID, result.Tracks[0].Period)
	// Output: Spam x 12h0m0s
}

// A comparator, a match type and a part of the envelope are extensions, too.
func ExampleMatchType() {
	reversed := &sieve.Extension{
		Name: "vnd.example.reversed",
		Tags: []sieve.TagFor{{On: sieve.AnyMatch, Tag: sieve.Tag{
			Name: "reversed", Class: "match type",
			Match: &sieve.MatchType{Prepare: func(_ *sieve.Comparator, _, key string) (sieve.Pattern, error) {
				r := []rune(key)
				for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
					r[i], r[j] = r[j], r[i]
				}
				return func(_ *sieve.Runtime, value string) (bool, error) { return value == string(r), nil }, nil
			}},
		}}},
		Envelope: []sieve.EnvelopePart{{
			Name:   "hops",
			Values: func(rt *sieve.Runtime, dst []string) []string { return append(dst, "abc") },
		}},
	}
	engine, _ := sieve.New(sieve.Config{Extensions: append(sieve.Standard(), reversed)})
	script, err := engine.Compile("", []byte(`require ["envelope", "vnd.example.reversed"]; if envelope :reversed "hops" "cba" { discard; }`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(script.Run(context.Background(), strings.NewReader(postcard), nil).Kept)
	// Output: false
}
