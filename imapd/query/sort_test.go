package query_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
	"letterlock/internal/requiretls"
)

var criteria = map[string]syntax.SortKey{
	"ARRIVAL": syntax.SortArrival, "CC": syntax.SortCc, "DATE": syntax.SortDate, "FROM": syntax.SortFrom, "SIZE": syntax.SortSize, "SUBJECT": syntax.SortSubject,
	"TO": syntax.SortTo, "DISPLAYFROM": syntax.SortDisplayFrom, "DISPLAYTO": syntax.SortDisplayTo, "RELEVANCY": syntax.SortRelevancy,
}

func sortedBy(text string) (by []syntax.SortCriterion) {
	reverse := false
	for _, word := range strings.Fields(text) {
		if word == "REVERSE" {
			reverse = true
			continue
		}
		by = append(by, syntax.SortCriterion{Key: criteria[word], Reverse: reverse})
		reverse = false
	}
	return by
}

// sort is a SORT: the numbers of what is found, in order.
func (h *house) sort(by, keys string) string {
	h.Helper()
	r, err := query.Sort(h.Context(), h.mailbox(), h.keys(keys), sortedBy(by))
	if err != nil {
		h.Fatalf("SORT (%s) %s: %v", by, keys, err)
	}
	return numbers(r)
}

func (h *house) sorts(want map[string]string) {
	h.Helper()
	for by, want := range want {
		if got := h.sort(by, "ALL"); got != want {
			h.Errorf("SORT (%s): got %s, want %s", by, got, want)
		}
	}
}

// RFC 5256 §3 and RFC 5957, every criterion.
func TestEverySortCriterion(t *testing.T) {
	at := func(minute int) time.Time { return firstDate.Add(time.Duration(minute) * time.Minute) }
	h := openHouse(t,
		letter{date: at(5), text: "From: \"Zoe\" <anna@example.org>\nTo: y@example.org\nCc: c@example.org\nSubject: Re: banana\nDate: Mon, 2 Mar 2026 10:00:00 +0000\n\nlonger than all others\n"},
		letter{date: at(2), text: "From: =?utf-8?Q?=C3=89mile?= <zeno@example.org>\nTo: =?utf-8?Q?=C3=84nne?= <x@example.org>\nSubject: [list] Apple\nDate: Mon, 2 Mar 2026 11:30:00 +0200\n\nlong\n"},
		letter{date: at(2).Add(900 * time.Millisecond), text: "From: bert@example.org\nSubject: banana\nDate: yesterday\n\n"}, // no sent date: the internal one
		letter{date: at(1), text: "To: friends: z@example.org;\nSubject: (fwd)\n\nlon\n"},
	)
	h.sorts(map[string]string{
		"ARRIVAL":         "4 2 3 1", // to the second: 2 before 3 by number
		"REVERSE ARRIVAL": "1 2 3 4",
		"DATE":            "4 3 2 1", // 4 and 3 by their internal dates, 2 at 9:30 UTC
		"REVERSE DATE":    "1 2 3 4",
		"FROM":            "4 1 3 2", // mailboxes: none, anna, bert, zeno
		"TO":              "3 4 2 1", // none, friends (a group), x, y
		"CC":              "2 3 4 1",
		"SIZE":            "4 3 1 2",
		"SUBJECT":         "4 2 1 3", // base subjects: none, Apple, banana, banana
		"REVERSE SUBJECT": "1 3 2 4", // which does not turn the order of numbers (RFC 5256 §3)
		"DISPLAYFROM":     "4 3 2 1", // none, bert@example.org, Émile, Zoe
		"DISPLAYTO":       "3 2 4 1", // none, Änne, friends, y@example.org
		"SUBJECT DATE":    "4 2 3 1",
	})
	if got := h.sort("SUBJECT", "SMALLER 100"); got != "4 3" {
		t.Errorf("of some: got %s, want 4 3", got)
	}
}

// RFC 5256 §3, the examples.
func TestSortExamplesOfRFC5256(t *testing.T) {
	var letters []letter
	for i, l := range []struct{ subject, date string }{{"b", "3"}, {"b", "2"}, {"a", "2"}, {"a", "1"}, {"A", "3"}} {
		letters = append(letters, letter{text: fmt.Sprintf("Subject: %s\nDate: %s Feb 1994 00:00:0%d +0000\n\n", l.subject, l.date, i)})
	}
	h := openHouse(t, letters...)
	if got := h.sort("SUBJECT REVERSE DATE", "ALL"); got != "5 3 4 1 2" {
		t.Errorf("A283: got %s, want 5 3 4 1 2", got)
	}
	if got := h.sort("SUBJECT", `TEXT "not in mailbox"`); got != "" {
		t.Errorf("A284: got %s, want nothing", got)
	}
}

// RFC 6203 §6: the most relevant first, and only with FUZZY.
func TestSortByRelevancy(t *testing.T) {
	h := openHouse(t,
		letter{text: "Subject: else\n\nmeetings\n"}, letter{text: "Subject: meeting\n\n\n"}, letter{text: "Subject: else\n\nmeeting\n"}, letter{text: "Subject: none\n\n"})
	r, err := query.Sort(t.Context(), h.mailbox(), h.keys("FUZZY TEXT meeting"), sortedBy("RELEVANCY"))
	if err != nil || numbers(r) != "2 3 1" || !slices.IsSortedFunc(r.Scores, func(a, b uint8) int { return int(b) - int(a) }) {
		t.Errorf("got %s with scores %v, %v; want 2 3 1", numbers(r), r.Scores, err)
	}
	if _, err := query.Sort(t.Context(), h.mailbox(), h.keys("ALL"), sortedBy("RELEVANCY")); !errors.Is(err, query.ErrRelevancy) {
		t.Errorf("without FUZZY: %v, want %v", err, query.ErrRelevancy)
	}
}

// RFC 8689 §4.4: a withheld message is sorted as if its header were empty,
// whoever was there before, and a session that may read it does not see that.
func TestWithheldMessagesAreSortedAsIfTheirHeaderWereEmpty(t *testing.T) {
	secret := "From: zeno@example.org\nTo: zeno@example.org\nCc: zeno@example.org\nSubject: zzz\nDate: Mon, 2 Mar 2026 10:00:00 +0000\n\n"
	h := openHouse(t,
		letter{text: strings.ReplaceAll(secret, "z", "a")}, letter{text: secret, demand: requiretls.Required()}, letter{text: strings.ReplaceAll(secret, "z", "b")})
	inTLS, inClear := map[string]string{}, map[string]string{}
	for _, by := range []string{"FROM", "TO", "CC", "SUBJECT", "DISPLAYFROM", "DISPLAYTO"} {
		inTLS[by], inClear[by], inTLS["REVERSE "+by], inClear["REVERSE "+by] = "1 3 2", "2 1 3", "2 3 1", "3 1 2"
	}
	inTLS["DATE"], inClear["DATE"] = "1 2 3", "2 1 3" // its internal date is before the others' sent dates
	for _, it := range []struct {
		as   requiretls.Reader
		want map[string]string
	}{{requiretls.Reader{}, inClear}, {requiretls.Reader{TLS: true}, inTLS}, {requiretls.Reader{}, inClear}} {
		h.as(it.as).sorts(it.want)
	}
}

// What is sorted by is kept, and what came since is added to it.
func TestSortOfAMailboxThatGrows(t *testing.T) {
	h := openHouse(t, letter{text: "Subject: b\n\n"}, letter{text: "Subject: d\n\n"}, letter{text: "Subject: c\n\n"})
	if got := h.sort("SUBJECT", "2:3"); got != "3 2" {
		t.Errorf("got %s, want 3 2", got)
	}
	if got := h.sort("SUBJECT", "ALL"); got != "1 3 2" {
		t.Errorf("got %s, want 1 3 2", got)
	}
	h.deliver(letter{text: "Subject: a\n\n"})
	if got := h.sort("SUBJECT", "ALL"); got != "4 1 3 2" {
		t.Errorf("with one more: got %s, want 4 1 3 2", got)
	}
	m := h.mailbox()
	h.expunge(1)
	m.Cache = nil
	r, err := query.Sort(t.Context(), m, h.keys("ALL"), sortedBy("SUBJECT"))
	if err != nil || numbers(r) != "4 3 2" || r.Gone != 1 {
		t.Errorf("one expunged meanwhile: got %s, %d gone, %v; want 4 3 2, one gone", numbers(r), r.Gone, err)
	}
	if got := h.sort("SUBJECT", "ALL"); got != "3 2 1" {
		t.Errorf("one expunged: got %s, want 3 2 1", got)
	}
}

// Two sessions that know mailboxes of different length add to what is kept at
// once.
func TestSortInSeveralSessionsAtOnce(t *testing.T) {
	subject := func(s string) letter {
		return letter{text: "Subject: " + s + "\nMessage-ID: <" + s + "@x>\nReferences: <0@x>\n\n"}
	}
	h := openHouse(t, subject("m"))
	h.sort("SUBJECT", "ALL")
	var sessions []*query.Mailbox
	for _, s := range []string{"z", "a", "n"} {
		h.deliver(subject(s))
		sessions = append(sessions, h.mailbox())
	}
	want := []string{"1 2", "3 1 2", "3 1 4 2"}
	var wg sync.WaitGroup
	for round := range 6 {
		m := sessions[round%3]
		wg.Go(func() {
			r, err := query.Sort(t.Context(), m, syntax.All{}, sortedBy("SUBJECT"))
			if err != nil || numbers(r) != want[round%3] {
				t.Errorf("session %d: got %s, %v; want %s", round%3, numbers(r), err, want[round%3])
			}
		})
	}
	wg.Wait()
}
