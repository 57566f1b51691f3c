package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/deliver"
	"letterlock/internal/managed"
	"letterlock/storage"
)

// alike plays a story at a desk, and at another one over its socket, and answers
// what both were told; they must have been told the same.
func alike(t *testing.T, play func(o Operations, note func(any, error))) []string {
	t.Helper()
	tell := func(o Operations) (said []string) {
		play(o, func(v any, err error) {
			line := fmt.Sprintf("%+v", v)
			if err != nil {
				line = "no: " + err.Error()
				if r := (*Refusal)(nil); !errors.As(err, &r) || r.Hint() == "" {
					t.Errorf("a refusal without a way out: %v", err)
				} else {
					line += " | " + r.Hint()
				}
			}
			said = append(said, line)
		})
		return said
	}
	dir := folder(t)
	listen(t, dir, newDesk(t, dir))
	client := Dial(dir)
	defer client.Close()
	got, want := tell(client), tell(newDesk(t, folder(t)))
	if !slices.Equal(got, want) {
		t.Errorf("over the socket:\n%s\ndirectly:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return want
}

// expect compares what was told with what a user should see.
func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		g, w := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("answer %d:\n got %s\nwant %s", i+1, g, w)
		}
	}
}

func addAnn(t *testing.T, o Operations) {
	t.Helper()
	if _, err := o.AddUser(t.Context(), Login{Address: "ann", Credentials: []byte("x")}); err != nil {
		t.Fatal(err)
	}
}

func TestScriptsArePutListedActivatedAndRemoved(t *testing.T) {
	const text = "require \"fileinto\";\nfileinto \"Lists\";\n"
	said := alike(t, func(o Operations, note func(any, error)) {
		addAnn(t, o)
		ctx := t.Context()
		named := func(s Script, err error) {
			note(fmt.Sprint(s.Address, " ", s.Name, " ", s.Active, " ", s.Size, " ", len(s.Text), " ", s.Remarks), err)
		}
		named(o.PutScript(ctx, ScriptPut{Address: "ann", Name: "lists", Text: []byte(text)}))
		named(o.PutScript(ctx, ScriptPut{Address: "ann", Name: "away", Text: []byte("keep;"), Activate: true}))
		named(o.Script(ctx, ScriptName{Address: "ann"}))
		named(o.ActivateScript(ctx, ScriptName{"ann", "lists"}))
		named(o.RemoveScript(ctx, ScriptName{"ann", "lists"}))
		named(o.ActivateScript(ctx, ScriptName{"ann", ""}))
		named(o.RemoveScript(ctx, ScriptName{"ann", "lists"}))
		named(o.RemoveScript(ctx, ScriptName{"ann", "lists"}))
		named(o.Script(ctx, ScriptName{"ann", ""}))
		named(o.ActivateScript(ctx, ScriptName{"ann", "nowhere"}))
		named(o.PutScript(ctx, ScriptPut{Address: "bob", Name: "x"}))
		named(o.PutScript(ctx, ScriptPut{Address: "ann"}))
		named(o.RemoveScript(ctx, ScriptName{Address: "ann"}))
		list, err := o.Scripts(ctx, "ann")
		note(len(list), err)
	})
	expect(t, said,
		"ann@example.org lists false 38 0 []",
		"ann@example.org away true 5 0 []",
		"ann@example.org away true 5 5 []",
		"ann@example.org lists true 38 0 []",
		`no: script "lists" is the active one of ann@example.org | activate another one, or first: letterlock sieve deactivate ann@example.org`,
		"ann@example.org  false 0 0 []",
		"ann@example.org lists false 38 0 []",
		`no: ann@example.org has no script "lists" | see which there are: letterlock sieve list`,
		`no: ann@example.org has no active script | see which there are: letterlock sieve list`,
		`no: ann@example.org has no script "nowhere" | see which there are: letterlock sieve list`,
		"no: there is no user bob@example.org | see who there is: letterlock user list",
		"no: a script needs a name | name it: letterlock sieve put ADDR NAME",
		"no: no script is named | name it: letterlock sieve remove ADDR NAME",
		"1",
	)
}

func TestScriptThatDoesNotCompileIsRefusedWithLineAndColumn(t *testing.T) {
	said := alike(t, func(o Operations, note func(any, error)) {
		addAnn(t, o)
		_, err := o.PutScript(t.Context(), ScriptPut{Address: "ann", Name: "x", Text: []byte("keep;\nfileinto \"A\";\n")})
		r, ok := errors.AsType[*Refusal](err)
		if !ok || len(r.Diagnostics) != 1 {
			t.Fatalf("refused with %+v, want one diagnostic", err)
		}
		note(r.Diagnostics[0], nil)
		list, err := o.Scripts(t.Context(), "ann")
		note(list, err)
	})
	if !strings.HasPrefix(said[0], "{Line:2 Col:1 Severity:error Text:") {
		t.Errorf("said %s, want line 2, column 1", said[0])
	}
	if said[1] != "[]" {
		t.Errorf("scripts %s, want none", said[1])
	}
}

func TestScriptsOfEverybodyWorkByTheirNames(t *testing.T) {
	said := alike(t, func(o Operations, note func(any, error)) {
		ctx := t.Context()
		note(o.PutScript(ctx, ScriptPut{Name: "before", Text: []byte("keep;")}))
		note(o.PutScript(ctx, ScriptPut{Name: "before", Text: []byte("keep;"), Activate: true}))
		note(o.Scripts(ctx, ""))
		note(o.RemoveScript(ctx, ScriptName{Name: "before"}))
	})
	expect(t, said,
		"{Address: Name:before Active:false Managed:false Size:5 Text:[] Remarks:[]}",
		"no: no script of everybody's is the active one | the scripts named before and after run round everybody's own, others where they are included",
		"[{Address: Name:before Active:false Managed:false Size:5 Text:[] Remarks:[]}]",
		"{Address: Name:before Active:false Managed:false Size:5 Text:[] Remarks:[]}",
	)
}

func TestForwardsAreAddedListedAndRemoved(t *testing.T) {
	const off = "the relay is off: nothing is forwarded or answered, everything stays in the mailbox of ann@example.org"
	said := alike(t, func(o Operations, note func(any, error)) {
		addAnn(t, o)
		ctx := t.Context()
		told := func(m Managed, err error) {
			note(fmt.Sprint(m.Address, " ", m.Keep, " ", m.Forwards, " ", m.Script, " ", m.Note), err)
		}
		told(o.Managed(ctx, "ann"))
		told(o.AddForward(ctx, Forward{Address: "ann", To: "Bob@Example.NET"}))
		told(o.AddForward(ctx, Forward{Address: "ann", To: "bob@example.net", Keep: true}))
		told(o.AddForward(ctx, Forward{Address: "ann", To: "carol@example.net"}))
		told(o.AddForward(ctx, Forward{Address: "ann", To: "carol@example.net", Keep: true, RequireTLS: true}))
		told(o.AddForward(ctx, Forward{Address: "ann", To: "ann", Keep: true}))
		told(o.AddForward(ctx, Forward{Address: "ann", To: "ann+home", Keep: true}))
		for _, alias := range []Alias{{From: "info", To: []string{"ann"}}, {From: "all", To: []string{"info"}}} {
			if _, err := o.AddAlias(ctx, alias); err != nil {
				t.Fatal(err)
			}
		}
		told(o.AddForward(ctx, Forward{Address: "ann", To: "All+x", Keep: true}))
		told(o.AddForward(ctx, Forward{Address: "ann", To: "carol", Keep: true})) // nobody here
		if _, err := o.AddUser(ctx, Login{Address: "carol"}); err != nil {
			t.Fatal(err)
		}
		told(o.AddForward(ctx, Forward{Address: "ann", To: "carol", Keep: true}))
		told(o.AddForward(ctx, Forward{Address: "ann", To: "4@example.net", Keep: true}))
		told(o.AddForward(ctx, Forward{Address: "ann", To: "5@example.net", Keep: true}))
		told(o.AddForward(ctx, Forward{Address: "ann", To: "no@where@"}))
		told(o.AddForward(ctx, Forward{To: "nowhere@example.net"}))
		told(o.RemoveForward(ctx, Forward{Address: "ann", To: "dave@example.net"}))
		told(o.RemoveForward(ctx, Forward{Address: "ann", To: "BOB@example.net"}))
		told(o.RemoveForward(ctx, Forward{Address: "ann"}))
		told(o.RemoveForward(ctx, Forward{Address: "ann"}))
		list, err := o.Scripts(ctx, "ann")
		note(list, err)
	})
	expect(t, said,
		"ann@example.org false []  ",
		"ann@example.org false [{Bob@example.net false}] letterlock-managed "+off,
		"ann@example.org true [{bob@example.net false}] letterlock-managed "+off,
		"no: the other forwards of ann@example.org leave a copy in the mailbox | say --keep, or remove the others first: letterlock forward remove ann@example.org",
		"ann@example.org true [{bob@example.net false} {carol@example.net true}] letterlock-managed "+off,
		"no: ann@example.org cannot be forwarded to itself | what is not forwarded stays there anyway",
		"no: mail for ann+home@example.org arrives at ann@example.org again | it would go round until it is returned to its sender; what is not forwarded stays there anyway",
		"no: mail for all+x@example.org arrives at ann@example.org again | it would go round until it is returned to its sender; what is not forwarded stays there anyway",
		"no: carol@example.org does not exist here | an address elsewhere reads bob@example.net; see who is here with: letterlock user list",
		"ann@example.org true [{bob@example.net false} {carol@example.net true} {carol@example.org false}] letterlock-managed "+off,
		"ann@example.org true [{bob@example.net false} {carol@example.net true} {carol@example.org false} {4@example.net false}] letterlock-managed "+off,
		"no: ann@example.org would be forwarded to 5 addresses, the limit is 4 | an alias or a mailing list sends to more",
		`no: "no@where@" is no address to forward to | an address reads bob@example.net`,
		"no: no address is named | an address reads ann@example.org",
		"no: ann@example.org is not forwarded to dave@example.net | see where to: letterlock forward list ann@example.org",
		"ann@example.org true [{carol@example.net true} {carol@example.org false} {4@example.net false}] letterlock-managed "+off,
		"ann@example.org false []  ",
		"no: ann@example.org is not forwarded | there is nothing to remove",
		"[]",
	)
}

func TestVacationIsSetShownAndRemoved(t *testing.T) {
	said := alike(t, func(o Operations, note func(any, error)) {
		addAnn(t, o)
		ctx := t.Context()
		told := func(m Managed, err error) {
			if m.Vacation == nil {
				note("none", err)
			} else {
				note(fmt.Sprintf("%+v", *m.Vacation), err)
			}
		}
		told(o.SetVacation(ctx, Vacation{Address: "ann", Subject: " Away ", Text: "I am away.\r\n", From: "2026-12-24", Until: "2027-01-06", Days: 3, Addresses: []string{"Info"}}))
		told(o.AddForward(ctx, Forward{Address: "ann", To: "bob@example.net", Keep: true}))
		told(o.SetVacation(ctx, Vacation{Address: "ann", Text: "Back soon"}))
		told(o.SetVacation(ctx, Vacation{Address: "ann", Text: " "}))
		told(o.SetVacation(ctx, Vacation{Address: "ann", Text: "x", From: "24.12."}))
		told(o.SetVacation(ctx, Vacation{Address: "ann", Text: "x", Days: 61}))
		told(o.SetVacation(ctx, Vacation{Address: "ann", Text: "x", Addresses: []string{"@"}}))
		told(o.Managed(ctx, "ann"))
		told(o.RemoveVacation(ctx, "ann"))
		told(o.RemoveVacation(ctx, "ann"))
		s, err := o.Script(ctx, ScriptName{"ann", deliver.Managed})
		note(fmt.Sprint(s.Managed, bytes.Contains(s.Text, []byte(`redirect :copy "bob@example.net";`)), bytes.Contains(s.Text, []byte("vacation :"))), err)
	})
	const away = "{Address:ann@example.org Subject:Away Text:I am away. From:2026-12-24 Until:2027-01-06 Days:3 Addresses:[info@example.org]}"
	const soon = "{Address:ann@example.org Subject: Text:Back soon From: Until: Days:0 Addresses:[]}"
	expect(t, said, away, away, soon,
		"no: the answer has no text | write it in another way",
		`no: "24.12." is no day: write it as 2026-12-24 | write it in another way`,
		"no: 61 days between two answers are more than there can be | say a number up to 60",
		`no: "@" is not an address: `+parseTrouble(t, "@")+" | an address reads ann@example.org",
		soon, "none",
		"no: ann@example.org has no vacation | there is nothing to remove",
		"true true false",
	)
}

func parseTrouble(t *testing.T, s string) string {
	t.Helper()
	_, err := newDesk(t, folder(t)).address(s)
	_, text, _ := strings.Cut(err.Error(), "address: ")
	return text
}

func TestManagedScriptChangedByHandIsRefusedAndNotLost(t *testing.T) {
	const byHand = "# >>> letterlock\nkeep;\n# <<< letterlock\n"
	said := alike(t, func(o Operations, note func(any, error)) {
		addAnn(t, o)
		ctx := t.Context()
		if _, err := o.PutScript(ctx, ScriptPut{Address: "ann", Name: deliver.Managed, Text: []byte(byHand)}); err != nil {
			t.Fatal(err)
		}
		note(o.AddForward(ctx, Forward{Address: "ann", To: "bob@example.net"}))
		s, err := o.Script(ctx, ScriptName{"ann", deliver.Managed})
		note(string(s.Text), err)
		note(o.ActivateScript(ctx, ScriptName{"ann", deliver.Managed}))
	})
	expect(t, said,
		`no: script "letterlock-managed" of ann@example.org: the block written by letterlock was changed by hand: keep is not as the commands write it`+
			" | change it by hand, or remove it: letterlock sieve remove ann@example.org letterlock-managed",
		byHand,
		"no: letterlock-managed works without being the active one | activate one of the person's own beside it",
	)
}

func TestOwnTextThatStopsTheBlockFromCompilingIsNamed(t *testing.T) {
	desk := newDesk(t, folder(t))
	addAnn(t, desk)
	ctx := t.Context()
	if _, err := desk.PutScript(ctx, ScriptPut{Address: "ann", Name: deliver.Managed, Text: []byte("keep;\n# >>> letterlock\n# <<< letterlock\n")}); err != nil {
		t.Fatal(err)
	}
	_, err := desk.AddForward(ctx, Forward{Address: "ann", To: "bob@example.net", Keep: true})
	r, ok := errors.AsType[*Refusal](err)
	if !ok || len(r.Diagnostics) == 0 || r.Diagnostics[0].Line != 3 || !strings.Contains(r.Hint(), "sieve get ann@example.org letterlock-managed") {
		t.Errorf("refused with %+v, want where the require stands too late, and how to see it", r)
	}
}

// Somebody saves the script over ManageSieve while a command changes it.
func TestForwardIsNotLostToAChangeAtTheSameTime(t *testing.T) {
	desk := newDesk(t, folder(t))
	addAnn(t, desk)
	ctx := t.Context()
	once := false
	m, err := desk.manage(ctx, "ann", func(o owner, s *managed.Script) error {
		if !once {
			once = true
			if _, err := desk.AddForward(ctx, Forward{Address: "ann", To: "first@example.net"}); err != nil {
				t.Fatal(err)
			}
		}
		s.Forwards = append(s.Forwards, managed.Forward{To: "second@example.net"})
		return nil
	})
	if got := fmt.Sprint(m.Forwards, err); got != "[{first@example.net false} {second@example.net false}] <nil>" {
		t.Errorf("forwards are %s", got)
	}
}

// The owner made the script the active one himself; it cannot be removed then.
func TestLastForwardOfAnActiveScriptLeavesOneThatDoesNothing(t *testing.T) {
	desk := newDesk(t, folder(t))
	addAnn(t, desk)
	ctx := context.Background()
	if _, err := desk.AddForward(ctx, Forward{Address: "ann", To: "bob@example.net"}); err != nil {
		t.Fatal(err)
	}
	o, err := desk.owner(ctx, "ann")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.account.ActivateScript(ctx, deliver.Managed); err != nil {
		t.Fatal(err)
	}
	if m, err := desk.RemoveForward(ctx, Forward{Address: "ann"}); err != nil || len(m.Forwards) > 0 {
		t.Errorf("left is %+v, %v", m, err)
	}
	if s, text, err := o.account.ActiveScript(ctx, nil); err != nil || len(text) > 0 || s.Version == (storage.ScriptVersion{}) {
		t.Errorf("the active script is %+v %q, %v; want an empty one", s, text, err)
	}
}
