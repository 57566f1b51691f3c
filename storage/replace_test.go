package storage

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"letterlock/internal/requiretls"
)

func replacement(subject string, d requiretls.Demand) Letter {
	b, sum := letter(subject)
	return Letter{Body: b, Summary: sum, Flags: []string{`\Draft`}, Demand: d}
}

// RFC 8508 §3: the new message comes and the old one goes at once, and both are
// still so after a crash.
func TestReplaceAppendsAndExpungesInOne(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
	s := openStore(t, dir, Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	drafts := mailbox(t, a, "Drafts").ID
	if _, _, err := a.Append(ctx, "Drafts", []Letter{replacement("one", requiretls.Usual()), replacement("other", requiretls.Usual())}); err != nil {
		t.Fatal(err)
	}
	before := view(t, a, "Drafts").Mailbox().Highest
	validity, uid, err := a.Replace(ctx, drafts, 1, "Drafts", replacement("two", requiretls.Usual()))
	if err != nil || uid != 3 || validity != mailbox(t, a, "Drafts").UIDValidity {
		t.Fatalf("replaced as UID %d of %d: %v", uid, validity, err)
	}
	check := func(s *Store) {
		t.Helper()
		a := s.Account(a.id)
		if got := uidsOf(view(t, a, "Drafts")); !slices.Equal(got, []UID{2, 3}) {
			t.Errorf("there are UIDs %v, want 2 and 3", got)
		}
		gone, complete, err := a.Vanished(ctx, drafts, before)
		if err != nil || !complete || !slices.Equal(gone, []UIDRange{{1, 1}}) {
			t.Errorf("vanished: %v, %v, %v", gone, complete, err)
		}
		if all := findings(t, s); len(all) > 0 {
			t.Errorf("check found %q", all)
		}
	}
	check(s)
	check(openStore(t, crashImage(t, dir), Options{}))

	if _, uid, err = a.Replace(ctx, drafts, 3, "Sent", replacement("sent", requiretls.Usual())); err != nil || uid != 1 {
		t.Errorf("replaced into another mailbox as UID %d: %v", uid, err)
	}
	if got := uidsOf(view(t, a, "Drafts")); !slices.Equal(got, []UID{2}) {
		t.Errorf("the drafts are UIDs %v, want 2", got)
	}
}

func TestReplaceOfAMessageThatHasGoneAppendsNothing(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	deliver(t, s, "one", requiretls.Usual(), a.id)
	inboxNow := mailbox(t, a, inbox)
	for _, uid := range []UID{1, 1, 9} {
		_, _, err := a.Replace(ctx, inboxNow.ID, uid, inbox, replacement("new", requiretls.Usual()))
		if first := uid == 1 && view(t, a, inbox).Len() == 1 && err == nil; !first && !errors.Is(err, ErrExpunged) {
			t.Errorf("UID %d: %v, want ErrExpunged", uid, err)
		}
	}
	if _, _, err := a.Replace(ctx, inboxNow.ID, 2, "Nowhere", replacement("new", requiretls.Usual())); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrExpunged) {
		t.Errorf("into no mailbox: %v", err)
	}
	if got := uidsOf(view(t, a, inbox)); !slices.Equal(got, []UID{2}) {
		t.Errorf("there are UIDs %v, want 2 alone", got)
	}
}

// Of two who replace one message at the same time one comes too late, though
// both saw it.
func TestReplaceOfOneMessageByTwoLeavesOne(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	deliver(t, s, "one", requiretls.Usual(), a.id)
	id := mailbox(t, a, inbox).ID
	errs := make(chan error)
	for range 2 {
		go func() {
			_, _, err := a.Replace(ctx, id, 1, inbox, replacement("new", requiretls.Usual()))
			errs <- err
		}()
	}
	one, two := <-errs, <-errs
	if (one == nil) == (two == nil) || one != nil && !errors.Is(one, ErrExpunged) || two != nil && !errors.Is(two, ErrExpunged) {
		t.Errorf("the two heard %v and %v", one, two)
	}
	if n := view(t, a, inbox).Len(); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestRequireTLSIsInheritedByAReplacement(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	deliver(t, s, "sealed", requiretls.Required(), a.id)
	id := mailbox(t, a, inbox).ID
	if _, _, err := a.Replace(ctx, id, 1, inbox, Letter{Body: newBody("x")}); err == nil {
		t.Error("a letter whose demand is not stated was taken")
	}
	_, uid, err := a.Replace(ctx, id, 1, inbox, replacement("new", requiretls.Usual()))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := a.Rows(ctx, id, []UID{uid})
	if err != nil || len(rows) != 1 || !rows[0].Demand.IsRequired() {
		t.Errorf("the replacement is %+v, %v: want required", rows, err)
	}
}

func TestReplaceNeedsOfTheQuotaWhatIsMore(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	if _, _, err := a.Append(ctx, "Drafts", []Letter{replacement("one", requiretls.Usual())}); err != nil {
		t.Fatal(err)
	}
	now, err := a.Usage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SetLimits(ctx, now); err != nil {
		t.Fatal(err)
	}
	id := mailbox(t, a, "Drafts").ID
	if _, _, err := a.Replace(ctx, id, 1, "Drafts", replacement("two", requiretls.Usual())); err != nil {
		t.Errorf("as long as the old one: %v", err)
	}
	if _, _, err := a.Replace(ctx, id, 2, "Drafts", replacement("longer", requiretls.Usual())); !errors.Is(err, ErrOverQuota) {
		t.Errorf("longer than the old one: %v, want ErrOverQuota", err)
	}
}

// Two who replace different messages at the same time may be one change of the
// index: what each of them took out is told to those who ask later (RFC 7162
// §3.2.10), and forgotten by the vault.
func TestWhatReplacesOfOneMomentTookOutHasVanished(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	drafts := mailbox(t, a, "Drafts").ID
	const n = 8
	var letters []Letter
	for range n {
		letters = append(letters, replacement("old", requiretls.Usual()))
	}
	if _, _, err := a.Append(ctx, "Drafts", letters); err != nil {
		t.Fatal(err)
	}
	for round := range UID(10) {
		before := view(t, a, "Drafts").Mailbox().Highest
		errs := make(chan error)
		for i := range UID(n) {
			go func() {
				_, _, err := a.Replace(ctx, drafts, round*n+i+1, "Drafts", replacement("new", requiretls.Usual()))
				errs <- err
			}()
		}
		for range n {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		gone, complete, err := a.Vanished(ctx, drafts, before)
		count := 0
		for _, r := range gone {
			count += int(r.Last-r.First) + 1
		}
		if err != nil || !complete || count != n {
			t.Fatalf("round %d: vanished %v, %v, %v: want %d UIDs", round, gone, complete, err, n)
		}
	}
	if all := findings(t, s); len(all) > 0 {
		t.Errorf("check found %q", all)
	}
}
