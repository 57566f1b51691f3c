package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

func annotate(t *testing.T, a *Account, id MailboxID, pairs ...string) {
	t.Helper()
	var entries []Annotation
	for i := 0; i < len(pairs); i += 2 {
		entries = append(entries, Annotation{pairs[i], []byte(pairs[i+1])})
	}
	if err := a.Annotate(context.Background(), id, entries); err != nil {
		t.Fatal(err)
	}
}

// annotated is what a mailbox has, as "name=value".
func annotated(t *testing.T, a *Account, id MailboxID, depth Depth, names ...string) (all []string) {
	t.Helper()
	list, err := a.Annotations(context.Background(), id, names, depth)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		all = append(all, e.Name+"="+string(e.Value))
	}
	return all
}

// besideUse is what was set of a list of all entries.
func besideUse(list []Annotation) []Annotation {
	return slices.DeleteFunc(list, func(e Annotation) bool { return e.Name == UseEntry })
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// RFC 5464 §4.2.2.
func TestAnnotationsAreReadByNameAndDepth(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	id := mailbox(t, a, inbox).ID
	annotate(t, a, id, "/private/filters/values", "v", "/private/filters/values/small", "s", "/private/filters/values/small/x", "x", "/shared/Comment", "hi", "/private/filters-2", "")
	want(t, "depth 0", annotated(t, a, id, DepthZero, "/PRIVATE/filters/values"), "/private/filters/values=v")
	want(t, "depth 1", annotated(t, a, id, DepthOne, "/private/filters/values"), "/private/filters/values=v", "/private/filters/values/small=s")
	want(t, "all below", annotated(t, a, id, DepthInfinity, "/private/filters"),
		"/private/filters/values=v", "/private/filters/values/small=s", "/private/filters/values/small/x=x")
	want(t, "two names", annotated(t, a, id, DepthZero, "/shared/comment", "/private/filters-2"), "/private/filters-2=", "/shared/comment=hi")
	if n := len(annotated(t, a, id, DepthZero)); n != 5 {
		t.Errorf("%d in all, want 5", n)
	}
	want(t, "another mailbox", annotated(t, a, mailbox(t, a, "Sent").ID, DepthInfinity, "/private"), UseEntry+`=\Sent`)
	if _, err := a.Annotations(context.Background(), 99, nil, DepthZero); !errors.Is(err, ErrNotFound) {
		t.Errorf("of no mailbox: %v", err)
	}
}

func TestAnnotationsGoWithTheirMailbox(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
	s := openStore(t, dir, Options{wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	m, err := a.Create(ctx, "Work", "")
	if err != nil {
		t.Fatal(err)
	}
	annotate(t, a, m.ID, "/private/comment", "mine", "/shared/comment", "ours")
	annotate(t, a, 0, "/private/vendor/x/y", "own")
	annotate(t, s.Account(0), 0, "/shared/admin", "mailto:root@example.org")
	if err := a.Rename(ctx, "Work", "Job"); err != nil {
		t.Fatal(err)
	}
	if err := a.Annotate(ctx, m.ID, []Annotation{{"/shared/comment", nil}, {"/private/none", nil}}); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, crashImage(t, dir), Options{wrap: strictly})
	b := again.Account(a.id)
	want(t, "after RENAME and a crash", annotated(t, b, mailbox(t, b, "Job").ID, DepthZero), "/private/comment=mine")
	want(t, "of the account", annotated(t, b, 0, DepthZero), "/private/vendor/x/y=own")
	want(t, "of the server", annotated(t, again.Account(0), 0, DepthZero), "/shared/admin=mailto:root@example.org")
	if err := b.Delete(ctx, "Job"); err != nil {
		t.Fatal(err)
	}
	err = again.index.View(ctx, again.shardOf(b.id).number, func(r kv.Reader) error {
		for k := range r.Range(notesKey(b.id, m.ID), kv.After(notesKey(b.id, m.ID)), kv.Options{}) {
			t.Errorf("%x outlived its mailbox", k)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if all := findings(t, again); len(all) > 0 {
		t.Errorf("check found %q", all)
	}
}

func TestAnnotationsAreBounded(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	id := mailbox(t, a, inbox).ID
	long := bytes.Repeat([]byte("x"), MaxAnnotation)
	if err := a.Annotate(ctx, id, []Annotation{{"/private/long", long}}); err != nil {
		t.Fatalf("a value of 64 KiB: %v", err)
	}
	if got, err := a.Annotations(ctx, id, nil, DepthZero); err != nil || len(got) != 1 || !bytes.Equal(got[0].Value, long) {
		t.Errorf("a value of 64 KiB came back otherwise: %d, %v", len(got), err)
	}
	annotate(t, a, id, "/private/long", "short")
	want(t, "a long value made short", annotated(t, a, id, DepthZero), "/private/long=short")
	err := a.Annotate(ctx, id, []Annotation{{"/private/a", []byte("a")}, {"/private/b", append(long, 'x')}})
	if !errors.Is(err, ErrAnnotationSize) || !errors.Is(err, ErrLimit) {
		t.Errorf("a longer value: %v", err)
	}
	var many, large []Annotation
	for i := range maxNotes {
		many = append(many, Annotation{fmt.Sprint("/private/n/", i), []byte{}})
	}
	for i := range 17 {
		large = append(large, Annotation{fmt.Sprint("/private/l/", i), long})
	}
	for what, entries := range map[string][]Annotation{"entries": many, "octets": large} {
		if err := a.Annotate(ctx, id, entries); !errors.Is(err, ErrAnnotationCount) || !errors.Is(err, ErrLimit) {
			t.Errorf("too many %s: %v", what, err)
		}
	}
	want(t, "after what was refused", annotated(t, a, id, DepthZero), "/private/long=short")
	for _, name := range []string{"", "/", "/private", "/private/", "/private//x", "/vendor/x", "/private/a*", "/private/a%", "/private/\x00", "/private/ü", "/privatex/y", "private/x",
		"/shared/" + strings.Repeat("x", maxNoteName)} {
		if err := a.Annotate(ctx, id, []Annotation{{name, []byte("x")}}); !errors.Is(err, ErrBadName) {
			t.Errorf("an entry %q: %v", name, err)
		}
	}
}

func TestMovedTellsWhatChanged(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	now, err := a.Moved(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	moved, stop := a.WatchAll()
	defer stop()
	sent := mailbox(t, a, "Sent").ID
	for _, one := range []struct {
		what string
		do   func() error
		want string
	}{
		{"nothing", func() error { return nil }, "[] false false []"},
		{"append", func() error {
			_, _, err := a.Append(ctx, "Sent", []Letter{replacement("x", requiretls.Usual())})
			return err
		}, "[Sent] false false []"},
		{"flags", func() error {
			_, err := a.StoreFlags(ctx, sent, []UID{1}, AddFlags, []string{`\Seen`}, 0)
			return err
		}, "[Sent] false false []"},
		{"move", func() error { _, err := a.Move(ctx, sent, []UID{1}, "Archive"); return err }, "[Archive Sent] false false []"},
		{"subscribe", func() error { return a.Subscribe(ctx, "Nowhere") }, "[] false true []"},
		{"unsubscribe", func() error { return a.Unsubscribe(ctx, "Nowhere") }, "[] false true []"},
		{"create", func() error { _, err := a.Create(ctx, "Work", ""); return err }, "[Work] true false []"},
		{"rename", func() error { return a.Rename(ctx, "Work", "Job") }, "[Job] true false []"},
		{"annotate", func() error { return a.Annotate(ctx, sent, []Annotation{{"/private/comment", []byte("x")}}) }, fmt.Sprintf("[Sent] false false [%d]", sent)},
		{"annotate the account", func() error { return a.Annotate(ctx, 0, []Annotation{{"/private/comment", []byte("x")}}) }, "[] false false [0]"},
		{"delete", func() error { return a.Delete(ctx, "Job") }, "[] true false []"},
	} {
		if err := one.do(); err != nil {
			t.Fatalf("%s: %v", one.what, err)
		}
		if one.what != "nothing" {
			<-moved
		}
		m, err := a.Moved(ctx, now.Turn)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, b := range m.Mailboxes {
			names = append(names, b.Name)
		}
		if got := fmt.Sprint(names, m.Lists, m.Subscriptions, m.Annotated); got != one.want {
			t.Errorf("%s: %s, want %s", one.what, got, one.want)
		}
		now = m
	}
	deliver(t, s, "wakes", requiretls.Usual(), a.id)
	<-moved
	system, stopSystem := s.Account(0).WatchAll()
	defer stopSystem()
	annotate(t, s.Account(0), 0, "/shared/admin", "x")
	<-system
	if m, err := s.Account(0).Moved(ctx, 0); err != nil || !slices.Equal(m.Annotated, []MailboxID{0}) {
		t.Errorf("the server's own: %+v, %v", m, err)
	}
}

// RFC 6154 §4: the entry and the attribute are one, and one mailbox has a use. It is
// there after a start, too.
func TestSpecialUseIsAnAnnotation(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	other, err := a.Create(context.Background(), "Gesendet", "")
	if err != nil {
		t.Fatal(err)
	}
	sent := mailbox(t, a, "Sent")
	want(t, "as it was made", annotated(t, a, sent.ID, DepthZero, UseEntry), UseEntry+`=\Sent`)
	annotate(t, a, other.ID, "/private/comment", "c", "/Private/SpecialUse", `\Sent`, "/shared/comment", "d")
	want(t, "where it was", annotated(t, a, sent.ID, DepthZero))
	if now := mailbox(t, a, "Sent"); now.SpecialUse != "" || now.Highest <= sent.Highest {
		t.Errorf("Sent has %q at %d, want no use and more than %d", now.SpecialUse, now.Highest, sent.Highest)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{wrap: strictly})
	a = s.Account(a.id)
	want(t, "where it is", annotated(t, a, other.ID, DepthInfinity), "/private/comment=c", UseEntry+`=\Sent`, "/shared/comment=d")
	if now := mailbox(t, a, "Gesendet"); now.SpecialUse != `\Sent` {
		t.Errorf("Gesendet has %q, want \\Sent", now.SpecialUse)
	}
	if err := a.Annotate(context.Background(), other.ID, []Annotation{{UseEntry, nil}}); err != nil {
		t.Fatal(err)
	}
	if now := mailbox(t, a, "Gesendet"); now.SpecialUse != "" {
		t.Errorf("Gesendet has %q, want none", now.SpecialUse)
	}
}

// RFC 5464 §4.1: INBOX keeps its annotations, however long, when it is renamed, and
// so has what it was renamed to.
func TestRenamedInboxHasTheAnnotations(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	long := strings.Repeat("x", MaxAnnotation)
	annotate(t, a, inboxID, "/private/comment", long, UseEntry, `\Archive`, "/shared/comment", "")
	if err := a.Rename(context.Background(), inbox, "Old/Letters"); err != nil {
		t.Fatal(err)
	}
	want(t, "of the new one", annotated(t, a, mailbox(t, a, "Old/Letters").ID, DepthZero), "/private/comment="+long, "/shared/comment=")
	want(t, "of INBOX", annotated(t, a, inboxID, DepthZero), "/private/comment="+long, UseEntry+`=\Archive`, "/shared/comment=")
	want(t, "of the level between", annotated(t, a, mailbox(t, a, "Old").ID, DepthZero))
}
