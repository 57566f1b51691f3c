package sieve

import (
	"fmt"
	"strings"
)

// mailboxExt is RFC 5490 §3.1 and §3.2.
var mailboxExt = Extension{
	Name: "mailbox",
	Tests: []Spec{{Name: "mailboxexists", Args: []Param{{Name: "mailboxes", Kind: StringList}}, Test: func(c *Call) (Predicate, error) {
		return c.mailboxes(c.Strings(0), func(name string) Target { return Target{Name: name} }), nil
	}}},
	Tags: targetTag(Tag{Name: "create", Apply: func(rt *Runtime, a Action, _ *TagValue) error {
		targetOf(a).Create = true
		return nil
	}}),
}

// specialUseExt is RFC 8579.
var specialUseExt = Extension{
	Name: "special-use",
	Tests: []Spec{{
		Name: "specialuse_exists", Test: compileSpecialUse,
		Args: []Param{{Name: "mailbox", Kind: StringArg, Optional: true}, {Name: "special uses", Kind: StringList}},
	}},
	Tags: targetTag(Tag{Name: "specialuse", Arg: StringArg, Check: checkUse, Apply: func(rt *Runtime, a Action, t *TagValue) error {
		use, err := t.String.Eval(rt)
		if err == nil {
			err = specialUse(use)
		}
		targetOf(a).Use = use
		return err
	}}),
}

// mailboxIDExt is RFC 9042.
var mailboxIDExt = Extension{
	Name: "mailboxid",
	Tests: []Spec{{Name: "mailboxidexists", Args: []Param{{Name: "MAILBOXIDs", Kind: StringList}}, Test: func(c *Call) (Predicate, error) {
		return c.mailboxes(c.Strings(0), func(id string) Target { return Target{ID: id} }), nil
	}}},
	Tags: targetTag(Tag{Name: "mailboxid", Arg: StringArg, Not: []string{"specialuse"}, Apply: func(rt *Runtime, a Action, t *TagValue) error {
		id, err := t.String.Eval(rt)
		targetOf(a).ID = id
		return err
	}}),
}

// targetTag is a tag about the mailbox of fileinto, or beside :fcc, about the
// one a generated message is filed in (RFC 8580 §3.1).
func targetTag(t Tag) []TagFor {
	fcc := t
	fcc.With = []string{"fcc"}
	return []TagFor{{"fileinto", t}, {"vacation", fcc}, {"notify", fcc}}
}

func targetOf(a Action) *Target {
	switch a := a.(type) {
	case *FileInto:
		return &a.Target
	case *Vacation:
		return &a.fcc().Target
	case *Notify:
		return &a.fcc().Target
	}
	return &Target{}
}

// mailboxes is a test that is true if mail can be delivered into all of them.
func (c *Call) mailboxes(names []String, target func(string) Target) Predicate {
	return func(rt *Runtime) (bool, error) {
		for _, s := range names {
			name, err := s.Eval(rt)
			if err != nil {
				return false, err
			}
			if ok, err := rt.ask(target(name)); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}
}

// ask asks the host for a mailbox; a question costs about a look into an index.
func (rt *Runtime) ask(t Target) (bool, error) {
	if err := rt.Spend(100); err != nil {
		return false, err
	}
	if t.ID == "" && t.Use == "" && mailboxName(t.Name) != nil {
		return false, nil
	}
	ok, err := rt.Host().Mailbox(rt.ctx, t)
	return ok, unanswered(err)
}

// specialUse checks a use-attr (RFC 6154 §6).
func specialUse(s string) error {
	name, ok := strings.CutPrefix(s, `\`)
	if !ok || name == "" || strings.ContainsAny(name, " (){%*\"\\]") {
		return fmt.Errorf(`%s is no special use; those look like "\\Junk"`, quote(s))
	}
	return nil
}

func checkUse(c *Call, t *TagValue) error {
	if s, ok := t.String.Const(); ok {
		if err := specialUse(s); err != nil {
			return c.Fail(t.Pos, "%v", err)
		}
	}
	return nil
}

// compileSpecialUse is RFC 8579 §3.
func compileSpecialUse(c *Call) (Predicate, error) {
	mailbox := c.String(0)
	named := c.Given(0)
	uses := c.Strings(1)
	return func(rt *Runtime) (bool, error) {
		t := Target{}
		if named {
			name, err := mailbox.Eval(rt)
			if err != nil {
				return false, err
			}
			t.Name = name
		}
		for _, s := range uses {
			use, err := s.Eval(rt)
			if err != nil {
				return false, err
			}
			if specialUse(use) != nil {
				return false, nil
			}
			t.Use = use
			if ok, err := rt.ask(t); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}, nil
}
