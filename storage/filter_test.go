package storage

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/internal/search"
	"letterlock/storage/kv"
)

// withFilters makes filters of whole messages.
func withFilters(opt Options) Options {
	opt.Filter = func(dst []byte, _ *mail.Summary, message io.ReaderAt) ([]byte, error) {
		var b search.FilterBuilder
		if err := b.Text(io.NewSectionReader(message, 0, 1<<40)); err != nil {
			return dst, err
		}
		return b.Append(dst)
	}
	return opt
}

func indexed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.IndexIdle(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// candidates is which UIDs of a mailbox may have a word, and how many were
// spoken of.
func candidates(t testing.TB, a *Account, id MailboxID, word string) (may []UID, spoken int) {
	t.Helper()
	last := UID(0)
	for g, err := range a.Candidates(context.Background(), id, []*search.Finder{search.NewFinder("no such word"), search.NewFinder(word)}) {
		if err != nil {
			t.Fatal(err)
		}
		for i, uid := range g.UIDs {
			if uid <= last {
				t.Fatalf("UID %d after %d", uid, last)
			}
			last = uid
			if g.May[1][i>>6]>>(i&63)&1 != 0 {
				may = append(may, uid)
			}
			spoken++
		}
	}
	return may, spoken
}

// word is what only letter i has.
func word(i int) string { return fmt.Sprintf("w%x-%x", i*7919, i*104729) }

func deliverWords(t testing.TB, s *Store, a AccountID, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		deliver(t, s, word(i), requiretls.Usual(), a)
	}
}

func TestSearchCandidatesAreFewAndMissNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openStore(t, dir, withFilters(Options{wrap: strictly}))
	a := s.Account(addPerson(t, s, "ann").ID)
	const n = 5 * filterMessages
	deliverWords(t, s, a.id, 0, n)
	indexed(t, s)
	look := func(a *Account, when string) {
		t.Helper()
		few := 0
		for i := range n {
			may, spoken := candidates(t, a, inboxID, word(i))
			if spoken < n-2*filterMessages {
				t.Fatalf("%s: %d of %d messages have filters", when, spoken, n)
			}
			if spoken > i && !slices.Contains(may, UID(i+1)) {
				t.Fatalf("%s: UID %d is missing in %v", when, i+1, may)
			}
			few += len(may)
		}
		if few > 3*n {
			t.Errorf("%s: %d candidates for %d words that one letter each has", when, few, n)
		}
	}
	look(a, "at once")
	again := openStore(t, crashImage(t, dir), withFilters(Options{}))
	indexed(t, again)
	look(again.Account(a.id), "after a crash")
}

// A message keeps its filter when it is moved or copied: nothing is read again.
func TestFiltersFollowCopyAndMove(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), withFilters(Options{}))
	a := s.Account(addPerson(t, s, "ann").ID)
	deliverWords(t, s, a.id, 0, 2*filterMessages)
	indexed(t, s)
	if _, err := a.Move(ctx, inboxID, []UID{9, 20}, "Archive"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Copy(ctx, inboxID, []UID{8}, "Archive"); err != nil {
		t.Fatal(err)
	}
	archive := mailbox(t, a, "Archive").ID
	for i, want := range map[int]UID{8: 1, 19: 2, 7: 3} {
		if may, spoken := candidates(t, a, archive, word(i)); spoken != 3 || !slices.Contains(may, want) {
			t.Errorf("letter %d: UIDs %v of %d, want %d among 3", i, may, spoken, want)
		}
	}
	if may, _ := candidates(t, a, inboxID, word(8)); slices.Contains(may, 9) {
		t.Errorf("the inbox still speaks of UID 9: %v", may)
	}
}

func TestFewNewMessagesAreCandidatesAll(t *testing.T) {
	s := openStore(t, t.TempDir(), withFilters(Options{}))
	a := s.Account(addPerson(t, s, "ann").ID)
	deliverWords(t, s, a.id, 0, 3)
	indexed(t, s)
	if may, spoken := candidates(t, a, inboxID, "x"); spoken != 0 {
		t.Errorf("filters speak of %d messages: %v", spoken, may)
	}
	// One long letter is worth a filter at once.
	b, sum := letter(strings.Repeat("long ", filterOctets/4))
	if errs := s.Commit(context.Background(), &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plansFor(inbox, a.id)); errs[0] != nil {
		t.Fatal(errs[0])
	}
	indexed(t, s)
	if may, spoken := candidates(t, a, inboxID, "nowhere-at-all"); spoken != 4 || len(may) > 1 {
		t.Errorf("with a long one filters speak of %d messages, %v may have it", spoken, may)
	}
}

// A group that rotted, or that another version of the program wrote, speaks of
// nothing, and is made anew once somebody asked it.
func TestDamagedFiltersAreMadeAnew(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), withFilters(Options{}))
	a := s.Account(addPerson(t, s, "ann").ID)
	const n = 4 * filterMessages
	deliverWords(t, s, a.id, 0, n)
	indexed(t, s)
	_, before := candidates(t, a, inboxID, "x")
	for name, spoil := range map[string]func([]byte) []byte{
		"rotten": func(v []byte) []byte { v[len(v)-1] ^= 1; return v },
		"stale": func(v []byte) []byte {
			numbers, _, err := openFilters(v)
			if err != nil {
				t.Fatal(err)
			}
			older := appendFilters(newValue(), numbers, make([]search.Filter, len(numbers)))
			_, group, _ := openFilters(sealValue(older))
			group[0] ^= 0x40 // the version
			return sealValue(older)
		},
	} {
		err := s.index.Update(ctx, s.shardOf(a.id).number, func(tx kv.Tx) error {
			lo := filtersKey(a.id)
			for k, v := range tx.Range(lo, kv.After(lo), kv.Options{Limit: 1}) {
				k, v = slices.Clone(k), slices.Clone(v)
				tx.Put(k, spoil(v))
				break
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, spoken := candidates(t, a, inboxID, "x"); spoken >= before {
			t.Errorf("%s: it still speaks of %d messages", name, spoken)
		}
		indexed(t, s)
		may, spoken := candidates(t, a, inboxID, word(1))
		if spoken < before || !slices.Contains(may, 2) {
			t.Errorf("%s: made anew it speaks of %d messages, want %d; %v", name, spoken, before, may)
		}
	}
}

// What was expunged takes its filters along.
func TestFiltersOfTheDeadGo(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), withFilters(Options{}))
	a := s.Account(addPerson(t, s, "ann").ID)
	const n = tidyAfter + 4*filterMessages
	deliverWords(t, s, a.id, 0, n)
	indexed(t, s)
	octets := func() (n int) {
		err := s.index.View(ctx, s.shardOf(a.id).number, func(r kv.Reader) error {
			lo := filtersKey(a.id)
			for _, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
				n += len(v)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := octets()
	var dead []UID
	for uid := UID(1); uid <= tidyAfter; uid++ {
		if uid%64 != 0 {
			dead = append(dead, uid)
		}
	}
	dead = append(dead, dead[len(dead)-1]+2, dead[len(dead)-1]+3, dead[len(dead)-1]+4, dead[len(dead)-1]+5, dead[len(dead)-1]+6, dead[len(dead)-1]+7, dead[len(dead)-1]+8, dead[len(dead)-1]+9)
	if err := a.Expunge(ctx, inboxID, dead); err != nil {
		t.Fatal(err)
	}
	if err := s.reap(ctx); err != nil {
		t.Fatal(err)
	}
	indexed(t, s)
	if after := octets(); after > before*2/3 {
		t.Errorf("%d octets of filters, %d before most messages went", after, before)
	}
	for _, i := range []int{63, 127, n - 2*filterMessages} {
		if may, _ := candidates(t, a, inboxID, word(i)); !slices.Contains(may, UID(i+1)) {
			t.Errorf("UID %d is missing in %v", i+1, may)
		}
	}
}
