package sieve

import (
	"strings"
	"time"
)

// duplicateExt is RFC 7352.
var duplicateExt = Extension{
	Name: "duplicate",
	Tests: []Spec{{
		Name: "duplicate", Test: compileDuplicate,
		Tags: []Tag{
			{Name: "handle", Arg: StringArg},
			{Name: "header", Arg: StringArg, Class: "source of the ID"},
			{Name: "uniqueid", Arg: StringArg, Class: "source of the ID"},
			{Name: "seconds", Arg: NumberArg},
			{Name: "last"},
		},
	}},
}

func compileDuplicate(c *Call) (Predicate, error) {
	limits := &c.Config().Limits
	t := Track{Period: limits.DuplicateDefault, Extend: c.Has("last")}
	if s := c.Tag("seconds"); s != nil {
		t.Period = seconds(s.Number, limits.DuplicateMax)
	}
	id := duplicateID(c)
	var handle String
	if h := c.Tag("handle"); h != nil {
		handle = h.String
	}
	return func(rt *Runtime) (bool, error) {
		t := t
		var found bool
		var err error
		if t.Handle, err = handle.Eval(rt); err != nil {
			return false, err
		}
		if t.ID, found, err = id(rt); err != nil || !found || t.Period == 0 {
			return false, err
		}
		return rt.duplicate(t)
	}, nil
}

// duplicateID is where the ID comes from (RFC 7352 §3.1).
func duplicateID(c *Call) func(*Runtime) (string, bool, error) {
	if u := c.Tag("uniqueid"); u != nil {
		s := u.String
		return func(rt *Runtime) (string, bool, error) {
			id, err := s.Eval(rt)
			return id, true, err
		}
	}
	name := String{text: "Message-ID"}
	if h := c.Tag("header"); h != nil {
		name = h.String
	}
	return func(rt *Runtime) (string, bool, error) {
		field, err := name.Eval(rt)
		if err != nil {
			return "", false, err
		}
		return rt.first(field)
	}
}

// duplicate asks once for each ID: within a run the answer never changes
// (RFC 7352 §3). What is asked is remembered by the caller after success.
func (rt *Runtime) duplicate(t Track) (bool, error) {
	key := Track{Handle: t.Handle, ID: t.ID}
	if seen, asked := rt.seen[key]; asked {
		return seen, nil
	}
	if err := rt.Spend(100); err != nil {
		return false, err
	}
	seen, err := rt.Host().Seen(rt.ctx, t)
	if err != nil {
		return false, unanswered(err)
	}
	if rt.seen == nil {
		rt.seen = map[Track]bool{}
	}
	rt.seen[key] = seen
	t.Handle, t.ID = strings.Clone(t.Handle), strings.Clone(t.ID)
	if !seen || t.Extend {
		rt.tracks = append(rt.tracks, t)
	}
	return seen, rt.Take(len(t.ID) + len(t.Handle) + 128)
}

// seconds is a period, as long as most lets it be.
func seconds(n uint64, most time.Duration) time.Duration {
	if n > uint64(most/time.Second) {
		return most
	}
	return time.Duration(n) * time.Second
}
