package storage

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

// A machine that crashes, comes up and crashes again has replayed twice: a
// shard that was ahead of the others at the first crash files nothing again at
// the second.
func TestLetterIsFiledOnceAfterASecondCrash(t *testing.T) {
	for round := range 2 {
		dir := filepath.Join(t.TempDir(), "store")
		s := openStore(t, dir, Options{})
		var people []Person
		for i := range 8 { // more than there are shards
			people = append(people, addPerson(t, s, fmt.Sprintf("p%d", i)))
		}
		for i, p := range people {
			deliver(t, s, fmt.Sprintf("letter %d", i), requiretls.Usual(), p.ID)
		}
		view(t, s.Account(people[7].ID), "INBOX") // its shard is ahead now
		first := crashImage(t, dir)

		again := openStore(t, first, Options{})
		view(t, again.Account(people[7].ID), "INBOX")
		second := crashImage(t, first)

		last := openStore(t, second, Options{})
		for i, p := range people {
			if n := view(t, last.Account(p.ID), "INBOX").Len(); n != 1 {
				t.Errorf("round %d: person %d has %d letters after two crashes, want 1", round, i, n)
			}
		}
	}
}

// A letter to several is one record, and each shard applies its own recipients of
// it: the mark of the slowest may lie within. That is not the end of the log. Once
// it was taken for that, and the next letter was written over the one that all had
// seen already.
func TestLetterToSeveralOutlivesACrashAfterAllSawIt(t *testing.T) {
	for name, text := range map[string]string{"small": "hello", "a file of its own": strings.Repeat("a long line\r\n", 100000)} {
		t.Run(name, func(t *testing.T) {
			ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
			s := openStore(t, dir, Options{Shards: 2})
			to := peopleOfTwoShards(t, s)
			first, second := "Message-ID: <1@x>\r\n\r\n"+text, "Message-ID: <2@x>\r\n\r\nand again"
			commitText(t, s, first, to)
			checkTexts(t, s, to, first)
			if slow, fast := s.oldestMark(), s.newestMark(); slow.Serial != fast.Serial-1 || !slow.At.Before(fast.At) {
				t.Fatalf("marks %+v and %+v: one was to lie within the record", slow, fast)
			}

			s = openStore(t, crashImage(t, dir), Options{})
			commitText(t, s, second, to)
			checkTexts(t, s, to, first, second)
			if err := s.log.Roll(ctx); err != nil {
				t.Fatal(err)
			}
			if err := s.passTo(ctx, s.log.Segments()); err != nil {
				t.Fatal(err)
			}
			if err := s.collect(ctx, 0, 0); err != nil || len(s.log.Sealed()) > 0 {
				t.Fatalf("%d sealed segments, %v: the first was to be collected", len(s.log.Sealed()), err)
			}
			checkTexts(t, s, to, first, second)
		})
	}
}

// peopleOfTwoShards are the recipients, in that order.
func peopleOfTwoShards(t *testing.T, s *Store) []AccountID {
	t.Helper()
	first := addPerson(t, s, "first")
	for i := 0; ; i++ {
		if p := addPerson(t, s, fmt.Sprintf("p%d", i)); s.shardOf(p.ID) != s.shardOf(first.ID) {
			return []AccountID{first.ID, p.ID}
		}
	}
}

func commitText(t *testing.T, s *Store, text string, to []AccountID) {
	t.Helper()
	for _, err := range s.Commit(context.Background(), &mail.Envelope{Demand: requiretls.Usual()}, newBody(text), crashSummary(text), plansFor(inbox, to...)) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func checkTexts(t *testing.T, s *Store, people []AccountID, want ...string) {
	t.Helper()
	for _, id := range people {
		a, got := s.Account(id), []string(nil)
		for _, uid := range uidsOf(view(t, a, inbox)) {
			got = append(got, strings.TrimPrefix(readAll(t, a, inboxID, uid, requiretls.Usual()), fmt.Sprintf("Delivered-To: %d\r\n", id)))
		}
		if !slices.Equal(got, want) {
			t.Errorf("account %d has %d letters, want %d, or other octets", id, len(got), len(want))
		}
	}
}

// crashImage is the store in dir as a crash right now would leave it.
func crashImage(t *testing.T, dir string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command("cp", "-a", dir, image).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v\n%s", dir, err, out)
	}
	return image
}
