package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/segment"
)

// overTLS and inClear are the gates of two sessions.
func overTLS(d requiretls.Demand) (requiretls.Release, error) {
	return d.Release(requiretls.Reader{TLS: true}, requiretls.PolicyTLS)
}

func inClear(d requiretls.Demand) (requiretls.Release, error) {
	return d.Release(requiretls.Reader{}, requiretls.PolicyTLS)
}

// summariesAs is what a session sees of a mailbox, "withheld" and so on for what
// it does not.
func summariesAs(t *testing.T, a *Account, uids []UID, gate Gate) (list []string) {
	t.Helper()
	for one, err := range a.Summaries(context.Background(), inboxID, uids, gate) {
		switch {
		case err != nil:
			t.Fatal(err)
		case errors.Is(one.Err, requiretls.ErrWithheld) && one.Summary == nil:
			list = append(list, fmt.Sprint(one.Row.UID, " withheld"))
		case one.Err != nil:
			t.Fatal(one.Err)
		default:
			list = append(list, fmt.Sprint(one.Row.UID, " ", one.Summary.Subject))
			alone, err := a.Summary(context.Background(), inboxID, one.Row.UID, release(t, one.Row.Demand))
			if err != nil || fmt.Sprint(*alone) != fmt.Sprint(*one.Summary) {
				t.Errorf("UID %d: %+v among others, %+v alone, %v", one.Row.UID, one.Summary, alone, err)
			}
		}
	}
	return list
}

// RFC 8689 §4.4, and that many summaries at once are what they are one by one.
func TestRequireTLSSummariesAreWithheldOneByOne(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	deliver(t, s, "one", requiretls.Usual(), ann.ID)
	deliver(t, s, "two", requiretls.Required(), ann.ID)
	deliver(t, s, "three", requiretls.Waived(), ann.ID)
	deliver(t, s, "four", requiretls.Usual(), ann.ID)
	if err := a.Expunge(context.Background(), inboxID, []UID{4}); err != nil {
		t.Fatal(err)
	}
	uids := []UID{1, 2, 3, 4, 5}
	if got, want := strings.Join(summariesAs(t, a, uids, overTLS), ", "), "1 one, 2 two, 3 three"; got != want {
		t.Errorf("over TLS: %s, want %s", got, want)
	}
	if got, want := strings.Join(summariesAs(t, a, uids, inClear), ", "), "1 one, 2 withheld, 3 three"; got != want {
		t.Errorf("in clear: %s, want %s", got, want)
	}
	wrong := func(requiretls.Demand) (requiretls.Release, error) {
		return requiretls.Usual().Release(requiretls.Reader{}, 0)
	}
	if got, want := strings.Join(summariesAs(t, a, uids, wrong), ", "), "1 one, 2 withheld, 3 withheld"; got != want {
		t.Errorf("with a release for other messages: %s, want %s", got, want)
	}
}

func TestManyAndLargeSummariesComeInPages(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	var letters []Letter
	var want []string
	for i := range 400 {
		b, sum := letter(fmt.Sprint("s", i))
		switch {
		case i%100 == 7: // too large for the index
			sum.Subject += strings.Repeat("x", maxCached)
		case i%2 == 0: // some dozen of them fill a page
			sum.Subject += strings.Repeat("y", 20<<10)
		}
		want = append(want, fmt.Sprint(i+1, " ", sum.Subject))
		letters = append(letters, Letter{Body: b, Summary: sum, Demand: requiretls.Usual()})
	}
	for i := 0; i < len(letters); i += 100 {
		if _, _, err := a.Append(context.Background(), inbox, letters[i:i+100]); err != nil {
			t.Fatal(err)
		}
	}
	got := summariesAs(t, a, uidsOf(view(t, a, inbox)), overTLS)
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("%d summaries, want %d, or others", len(got), len(want))
	}
}

// A page is read beside the walk. What goes wrong there is the walker's, as if he
// had read it himself, and nobody else's.
func TestPanicInAPageIsTheWalkers(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	var letters []Letter
	for range pageMessages + 1 {
		b, sum := letter("s")
		letters = append(letters, Letter{Body: b, Summary: sum, Demand: requiretls.Usual()})
	}
	_, uids, err := a.Append(t.Context(), inbox, letters)
	if err != nil {
		t.Fatal(err)
	}
	asked, handed := 0, 0
	gate := func(d requiretls.Demand) (requiretls.Release, error) {
		if asked++; asked > pageMessages {
			panic("boom")
		}
		return overTLS(d)
	}
	defer func() {
		if p := recover(); p == nil || handed != pageMessages {
			t.Errorf("%d messages were handed out, then %v", handed, p)
		}
	}()
	for range a.Summaries(t.Context(), inboxID, uids, gate) {
		handed++
	}
}

func TestCachedBlocksShowWhatChanged(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	fill(t, s, ann.ID, 600)
	uids := uidsOf(view(t, a, inbox))
	if rows, err := a.Rows(ctx, inboxID, uids); err != nil || len(rows) != 600 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if err := a.Expunge(ctx, inboxID, []UID{1, 300, 600}); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, "new", requiretls.Required(), ann.ID)
	rows, err := a.Rows(ctx, inboxID, append(uids, 601))
	if err != nil || len(rows) != 598 || rows[597].UID != 601 || !rows[597].Demand.IsRequired() {
		t.Errorf("%d rows, %v; want 598, the last of them required", len(rows), err)
	}
	if _, err := a.Message(ctx, inboxID, 300, release(t, requiretls.Usual())); !errors.Is(err, ErrNotFound) {
		t.Errorf("an expunged message: %v", err)
	}
}

func TestPeopleAreFoundByNumberAndByAge(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openStore(t, dir, Options{})
	if _, err := s.Eldest(ctx); !errors.Is(err, ErrNotFound) {
		t.Errorf("eldest of nobody: %v", err)
	}
	zoe, ann := addPerson(t, s, "zoe"), addPerson(t, s, "ann")
	for _, p := range []Person{zoe, ann} {
		if got, err := s.PersonByID(ctx, p.ID); err != nil || got.Address != p.Address {
			t.Errorf("account %d: %+v, %v", p.ID, got, err)
		}
	}
	if got, err := s.Eldest(ctx); err != nil || got.ID != zoe.ID {
		t.Errorf("eldest: %+v, %v, want %+v", got, err, zoe)
	}
	if err := s.RemovePerson(ctx, zoe.Address); err != nil {
		t.Fatal(err)
	}
	if got, err := s.PersonByID(ctx, zoe.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("a removed account: %+v, %v", got, err)
	}
	if got, err := s.PersonByID(ctx, 99); !errors.Is(err, ErrNotFound) {
		t.Errorf("an account that never was: %+v, %v", got, err)
	}
	again := addPerson(t, s, "zoe")
	if got, err := s.Eldest(ctx); err != nil || got.ID != ann.ID {
		t.Errorf("eldest: %+v, %v, want %+v, not %+v", got, err, ann, again)
	}
}

func TestAnAccountTightensWhatTheServerAllows(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ann := addPerson(t, s, "ann")
	policies := func(want map[requiretls.Policy]requiretls.Policy) {
		t.Helper()
		p, err := s.Person(ctx, ann.Address)
		if err != nil {
			t.Fatal(err)
		}
		for server, w := range want {
			if got := p.Policy(server); got != w {
				t.Errorf("server's policy %d, account's %d (%v): %d, want %d", server, p.Release, p.HasRelease, got, w)
			}
		}
	}
	const tls, bound, local = requiretls.PolicyTLS, requiretls.PolicyBound, requiretls.PolicyLocal
	inherits := map[requiretls.Policy]requiretls.Policy{tls: tls, bound: bound, local: local}
	policies(inherits)
	if err := s.SetRelease(ctx, ann.Address, tls); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{})
	policies(map[requiretls.Policy]requiretls.Policy{tls: tls, bound: bound, local: tls})
	if err := s.SetRelease(ctx, ann.Address, local); err != nil { // may only tighten
		t.Fatal(err)
	}
	policies(inherits)
	if err := s.SetRelease(ctx, ann.Address, bound); err != nil {
		t.Fatal(err)
	}
	policies(map[requiretls.Policy]requiretls.Policy{tls: bound, bound: bound, local: bound})
	if err := s.ClearRelease(ctx, ann.Address); err != nil {
		t.Fatal(err)
	}
	policies(inherits)
	old := ann.encode() // as it was written before there was a mark: one octet less
	old = sealValue(append(old[:len(old)-2], byte(bound)))
	v, err := open(old)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := readPerson(segment.ReadFields(v)); err != nil || p.Policy(tls) != bound || p.Address != ann.Address {
		t.Errorf("an older value reads as %+v, %v", p, err)
	}
}

func TestRequireTLSMailboxIsNotDeletedWhereSomebodyObjects(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	errRefused := errors.New("it holds required mail")
	unlessRequired := func(m Mailbox) error {
		if m.Required > 0 {
			return errRefused
		}
		return nil
	}
	for name, demand := range map[string]requiretls.Demand{"kept": requiretls.Required(), "gone": requiretls.Usual()} {
		if _, err := a.Create(ctx, name, ""); err != nil {
			t.Fatal(err)
		}
		b, sum := letter(name)
		if errs := s.Commit(ctx, &mail.Envelope{Demand: demand}, b, sum, plansFor(name, ann.ID)); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	if err := a.DeleteUnless(ctx, "kept", unlessRequired); !errors.Is(err, errRefused) {
		t.Errorf("delete of required mail: %v", err)
	}
	if m := mailbox(t, a, "kept"); m.Required != 1 || m.Messages != 1 {
		t.Errorf("the mailbox is %+v", m)
	}
	if err := a.DeleteUnless(ctx, "gone", unlessRequired); err != nil {
		t.Errorf("delete of usual mail: %v", err)
	}
	if err := a.Delete(ctx, "kept"); err != nil {
		t.Errorf("delete: %v", err)
	}
}
