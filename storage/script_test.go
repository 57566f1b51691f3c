package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// scriptsOf are the scripts as a client lists them, an asterisk before the
// active one, each with what its text starts with.
func scriptsOf(t testing.TB, a *Account) string {
	t.Helper()
	list, err := a.Scripts(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range list {
		again, text, err := a.Script(context.Background(), s.Name, nil)
		if err != nil || again != s || int64(len(text)) != s.Size {
			t.Errorf("script %q: %+v with %d octets, listed as %+v, %v", s.Name, again, len(text), s, err)
		}
		mark := map[bool]string{true: "*"}[s.Active]
		all = append(all, fmt.Sprintf("%s%s=%.10s", mark, s.Name, text))
	}
	return strings.Join(all, " ")
}

func TestScriptsAreKeptByteForByteAcrossRestarts(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := Open(dir, Options{wrap: strictly})
	if err != nil {
		t.Fatal(err)
	}
	ann, bob := addPerson(t, s, "ann"), addPerson(t, s, "bob")
	a := s.Account(ann.ID)
	long := append([]byte("# long\r\n\x00\xff"), bytes.Repeat([]byte("# 0123456789\n"), 90000)...) // 20 parts
	expect := func(want string) {
		t.Helper()
		if got := scriptsOf(t, a); got != want {
			t.Errorf("scripts %q, want %q", got, want)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	do(a.PutScript(ctx, "one", []byte("keep;"), nil))
	do(a.PutScript(ctx, "long", long, nil))
	do(a.PutScript(ctx, "empty", nil, nil))
	expect("empty= long=# long\r\n\x00\xff one=keep;")
	do(a.ActivateScript(ctx, "long"))
	do(a.ActivateScript(ctx, "one"))
	do(a.PutScript(ctx, "one", []byte("discard;"), nil)) // stays active
	do(a.RenameScript(ctx, "one", "eins"))               // stays active
	do(a.PutScript(ctx, "long", long[:70000], nil))
	do(s.Close())
	s = openStore(t, dir, Options{wrap: strictly})
	a = s.Account(ann.ID)
	expect("*eins=discard; empty= long=# long\r\n\x00\xff")
	if _, text, err := a.Script(ctx, "long", nil); err != nil || !bytes.Equal(text, long[:70000]) {
		t.Errorf("the long script came back as %d octets, %v", len(text), err)
	}
	if got := scriptsOf(t, s.Account(bob.ID)); got != "" {
		t.Errorf("bob has %q", got)
	}
	do(s.Account(systemAccount).PutScript(ctx, "spam", []byte("global"), nil))
	if got := scriptsOf(t, s.Account(systemAccount)); got != "spam=global" {
		t.Errorf("global scripts %q", got)
	}
	do(a.ActivateScript(ctx, ""))
	do(a.DeleteScript(ctx, "eins"))
	do(a.DeleteScript(ctx, "long"))
	expect("empty=")
	do(s.RemovePerson(ctx, ann.Address))
	expect("")
	if err := a.PutScript(ctx, "x", nil, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("a script for a removed account: %v", err)
	}
	for _, f := range findings(t, s) {
		t.Error(f)
	}
}

func TestScriptErrorsAreTold(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	for _, name := range []string{"active", "other"} {
		if err := a.PutScript(ctx, name, []byte(name), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.ActivateScript(ctx, "active"); err != nil {
		t.Fatal(err)
	}
	errQuota := errors.New("over quota")
	_, _, gone := a.Script(ctx, "nobody", nil)
	for what, c := range map[string]struct{ got, want error }{
		"delete the active one":    {a.DeleteScript(ctx, "active"), ErrActive},
		"delete none":              {a.DeleteScript(ctx, "nobody"), ErrNotFound},
		"read none":                {gone, ErrNotFound},
		"activate none":            {a.ActivateScript(ctx, "nobody"), ErrNotFound},
		"rename none":              {a.RenameScript(ctx, "nobody", "x"), ErrNotFound},
		"rename over another":      {a.RenameScript(ctx, "active", "other"), ErrExists},
		"rename to nothing":        {a.RenameScript(ctx, "active", ""), ErrBadName},
		"put without a name":       {a.PutScript(ctx, "", nil, nil), ErrBadName},
		"put too long a name":      {a.PutScript(ctx, strings.Repeat("n", 1001), nil, nil), ErrBadName},
		"put too much":             {a.PutScript(ctx, "x", make([]byte, maxScript+1), nil), ErrLimit},
		"put what is not allowed":  {a.PutScript(ctx, "other", []byte("new"), func([]Script) error { return errQuota }), errQuota},
		"put as much as can be":    {a.PutScript(ctx, "big", make([]byte, maxScript), nil), nil},
		"put the longest name":     {a.PutScript(ctx, strings.Repeat("n", 1000), nil, nil), nil},
		"delete the longest name":  {a.DeleteScript(ctx, strings.Repeat("n", 1000)), nil},
		"rename to its own name":   {a.RenameScript(ctx, "active", "active"), nil},
		"activate the one that is": {a.ActivateScript(ctx, "active"), nil},
		"put for nobody's account": {s.Account(77).PutScript(ctx, "x", nil, nil), ErrNotFound},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	if err := a.DeleteScript(ctx, "big"); err != nil {
		t.Error(err)
	}
	if got, want := scriptsOf(t, a), "*active=active other=other"; got != want {
		t.Errorf("scripts %q, want %q", got, want)
	}
}

func TestActiveScriptIsReadOnceForEachVersion(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	if _, _, err := a.ActiveScript(ctx, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("an account without scripts: %v", err)
	}
	compiled := map[ScriptVersion]bool{}
	read := func() string {
		t.Helper()
		got, text, err := a.ActiveScript(ctx, func(v ScriptVersion) bool { return compiled[v] })
		if err != nil {
			t.Fatal(err)
		}
		compiled[got.Version] = true
		return got.Name + ":" + string(text)
	}
	put := func(name, text string) {
		t.Helper()
		if err := errors.Join(a.PutScript(ctx, name, []byte(text), nil), a.ActivateScript(ctx, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, text, want string }{
		{"one", "keep;", "one:keep;"}, {"one", "keep;", "one:"}, {"one", "stop;", "one:stop;"}, {"two", "keep;", "two:"},
	} {
		put(c.name, c.text)
		if got := read(); got != c.want {
			t.Errorf("after %s is %q: read %q, want %q", c.name, c.text, got, c.want)
		}
	}
}
