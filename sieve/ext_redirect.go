package sieve

import (
	"fmt"
	"strings"
)

// redirectDSNExt is RFC 6009 §6.
var redirectDSNExt = Extension{
	Name: "redirect-dsn",
	Tags: []TagFor{
		{"redirect", Tag{Name: "notify", Arg: StringArg, Check: constTag(checkNotify), Apply: func(rt *Runtime, a Action, t *TagValue) error {
			s, err := t.String.Eval(rt)
			if err == nil {
				err = checkNotify(s)
			}
			if r, ok := a.(*Redirect); ok {
				r.Notify = strings.ToUpper(s)
			}
			return err
		}}},
		{"redirect", Tag{Name: "ret", Arg: StringArg, Check: constTag(checkReturn), Apply: func(rt *Runtime, a Action, t *TagValue) error {
			s, err := t.String.Eval(rt)
			if err == nil {
				err = checkReturn(s)
			}
			if r, ok := a.(*Redirect); ok {
				r.Return = strings.ToUpper(s)
			}
			return err
		}}},
	},
}

// constTag checks a tag's string at compile time where it has no variables.
func constTag(check func(string) error) func(*Call, *TagValue) error {
	return func(c *Call, t *TagValue) error {
		if s, ok := t.String.Const(); ok {
			if err := check(s); err != nil {
				return c.Fail(t.String.pos, "%v", err)
			}
		}
		return nil
	}
}

// checkNotify is the syntax of NOTIFY (RFC 3461 §4.1).
func checkNotify(s string) error {
	words := strings.Split(strings.ToUpper(s), ",")
	for _, w := range words {
		switch {
		case w == "NEVER" && len(words) == 1, w == "SUCCESS", w == "FAILURE", w == "DELAY":
		default:
			return fmt.Errorf("%s is no list of notifications; write \"NEVER\", or some of SUCCESS, FAILURE and DELAY with commas", quote(s))
		}
	}
	return nil
}

func checkReturn(s string) error {
	if s := strings.ToUpper(s); s != "FULL" && s != "HDRS" {
		return fmt.Errorf("%s cannot be returned; write \"FULL\" or \"HDRS\"", quote(s))
	}
	return nil
}

// fccExt is RFC 8580. The tags that go with :fcc are defined where fileinto gets
// them.
var fccExt = Extension{
	Name: "fcc",
	Tags: []TagFor{{"vacation", fccTag}, {"notify", fccTag}},
}

var fccTag = Tag{Name: "fcc", Arg: StringArg, Check: constTag(mailboxName), Apply: func(rt *Runtime, a Action, t *TagValue) error {
	name, err := t.String.Eval(rt)
	if err == nil {
		err = mailboxName(name)
	}
	targetOf(a).Name = name
	return err
}}

func (v *Vacation) fcc() *Fcc { return fccOf(&v.Fcc) }
func (n *Notify) fcc() *Fcc   { return fccOf(&n.Fcc) }

func fccOf(p **Fcc) *Fcc {
	if *p == nil {
		*p = &Fcc{}
	}
	return *p
}
