package query_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// follow makes a context of a search (by is empty) or a sort.
func (h *house) follow(by, keys string) *query.Context {
	h.Helper()
	m := h.mailbox()
	var r *query.Result
	var err error
	if by == "" {
		r, err = query.Search(h.Context(), m, h.keys(keys))
	} else {
		r, err = query.Sort(h.Context(), m, h.keys(keys), sortedBy(by))
	}
	if err != nil {
		h.Fatal(err)
	}
	c, err := query.NewContext(m, h.keys(keys), sortedBy(by), r)
	if err != nil {
		h.Fatal(err)
	}
	return c
}

// changes is what the context tells: as it would stand in ESEARCH.
func (h *house) changes(c *query.Context, number query.Numbering) string {
	h.Helper()
	u, err := c.Update(h.Context(), h.mailbox(), number)
	if err != nil {
		h.Fatal(err)
	}
	e := &syntax.ESearch{Tag: "t", UID: number == query.ByUID, Changes: append(u.Removed, u.Added...)}
	return strings.TrimSpace(strings.TrimPrefix(string(syntax.AppendESearch(nil, e)), `* ESEARCH (TAG "t")`))
}

// RFC 5267 §4.3.3 and §4.3.4, the examples of B01.
func TestContextOfASearch(t *testing.T) {
	h := openHouse(t, letter{text: "\n"}, letter{text: "\n", flags: `\Deleted $Junk`}, letter{text: "\n"}, letter{text: "\n"})
	c, numbered := h.follow("", "DELETED KEYWORD $Junk"), h.follow("", "DELETED KEYWORD $Junk")
	if got := h.changes(c, query.ByUID); got != "UID" || c.Len() != 1 {
		t.Errorf("nothing happened: got %s, %d found", got, c.Len())
	}
	h.flag(3, `\Deleted`, "$Junk")
	h.flag(4, `\Deleted`, "$Junk")
	if got, want := h.changes(c, query.ByUID), "UID ADDTO (0 3:4)"; got != want {
		t.Errorf("two were flagged: got %s, want %s", got, want)
	}
	h.expunge(3)
	h.deliver(letter{text: "\n", flags: `\Deleted $Junk`}, letter{text: "\n"})
	if got, want := h.changes(c, query.ByUID), "UID REMOVEFROM (0 3) ADDTO (0 5)"; got != want {
		t.Errorf("one expunged, one came: got %s, want %s", got, want)
	}
	if got, want := h.changes(numbered, query.ByNumber), "ADDTO (0 3:4)"; got != want { // of the numbers after the EXPUNGE
		t.Errorf("all at once, by numbers: got %s, want %s", got, want)
	}
	h.flag(1, `\Seen`)
	if got := h.changes(c, query.ByUID); got != "UID" || c.Len() != 3 {
		t.Errorf("another message was flagged: got %s, %d found", got, c.Len())
	}
}

// TestContextIsSmall: a session can have sixteen of a mailbox of 100,000.
func TestContextIsSmall(t *testing.T) {
	const n = 200
	h := openHouse(t, slices.Repeat([]letter{{text: "\n"}}, n)...)
	search, sort := h.follow("", "UNDELETED"), h.follow("SIZE", "UNDELETED")
	for uid := storage.UID(1); uid <= n; uid += 2 { // no two neighbours are in it
		h.flag(uid, `\Deleted`)
	}
	h.changes(search, query.ByUID)
	h.changes(sort, query.ByUID)
	if got, want := search.Octets()-search.KeyOctets(), (n+63)/64*8; got != want || search.Len() != n/2 {
		t.Errorf("the result of a search: %d octets for %d letters, want %d", got, search.Len(), want)
	}
	if got, want := sort.Octets()-sort.KeyOctets(), 4*n/2; got != want {
		t.Errorf("the result of a sort: %d octets, want %d", got, want)
	}
}

// RFC 5267 §4.3.3: positions of a sort; what comes side by side is one pair.
func TestContextOfASort(t *testing.T) {
	subject := func(s string) letter { return letter{text: "Subject: " + s + "\n\n"} }
	h := openHouse(t, subject("m"), subject("d"), subject("x"))
	c := h.follow("SUBJECT", "UNDELETED")
	h.deliver(subject("f"), subject("e"), subject("a"), subject("z"))
	if got, want := h.changes(c, query.ByUID), "UID ADDTO (1 6) ADDTO (3 5,4) ADDTO (7 7)"; got != want {
		t.Errorf("four came: got %s, want %s", got, want)
	}
	h.flag(4, `\Deleted`)
	h.flag(1, `\Deleted`)
	h.expunge(7)
	if got, want := h.changes(c, query.ByUID), "UID REMOVEFROM (4 4,1) REMOVEFROM (5 7)"; got != want {
		t.Errorf("three went: got %s, want %s", got, want)
	}
	h.deliver(subject("y"), subject("w"))
	if got, want := h.changes(c, query.ByNumber), "ADDTO (4 8) ADDTO (6 7)"; got != want {
		t.Errorf("by numbers: got %s, want %s", got, want)
	}
}

// RFC 5267 §4.3: numbers mean the messages that had them when the command came;
// "$" was saved by then, too.
func TestContextNumbersAreThoseOfTheCommand(t *testing.T) {
	h := openHouse(t, letter{text: "\n"}, letter{text: "\n", flags: `\Seen`}, letter{text: "\n"})
	h.saved = []syntax.Range{{First: 3, Last: 3}}
	h.filters = map[string]string{"late": "3:*"}
	three, saved, filtered, open := h.follow("", "2:3 UNSEEN"), h.follow("", "$ UNSEEN"), h.follow("", "FILTER late"), h.follow("", "UID 3:*")
	h.saved, h.filters = nil, nil
	h.expunge(1)
	h.deliver(letter{text: "\n"})
	for name, c := range map[string]struct {
		*query.Context
		want string
	}{"2:3": {three, "UID"}, "$": {saved, "UID"}, "FILTER": {filtered, "UID"}, "UID 3:*": {open, "UID ADDTO (0 4)"}} {
		if got := h.changes(c.Context, query.ByUID); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// RFC 5032 §2: what only time changes is told within a minute.
func TestContextOfAnAge(t *testing.T) {
	h := openHouse(t, letter{text: "\n", date: firstDate})
	h.now = firstDate.Add(30 * time.Minute)
	c := h.follow("", "YOUNGER 3600")
	h.now = h.now.Add(31 * time.Minute)
	if got, want := h.changes(c, query.ByUID), "UID REMOVEFROM (0 1)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// carryOut changes a client's list as it is told to.
func carryOut(t *testing.T, list []uint32, changes []syntax.ContextChange) []uint32 {
	t.Helper()
	for _, c := range changes {
		var nums []uint32
		for _, r := range c.Set {
			for n := r.First; n <= r.Last; n++ {
				nums = append(nums, n)
			}
		}
		switch at := int(c.Position) - 1; {
		case c.Kind == syntax.AddTo && at < 0:
			list = append(list, nums...)
			slices.Sort(list)
		case c.Kind == syntax.AddTo:
			list = slices.Insert(list, at, nums...)
		case at < 0:
			list = slices.DeleteFunc(list, func(n uint32) bool { return slices.Contains(nums, n) })
		default:
			if !slices.Equal(list[at:at+len(nums)], nums) {
				t.Fatalf("%v are removed at %d, where %v are", nums, c.Position, list[at:])
			}
			list = slices.Delete(list, at, at+len(nums))
		}
	}
	return list
}

// Whatever happens to a mailbox: a client that carries out what it is told has
// what a new search would find.
func TestContextsFollowTheirMailbox(t *testing.T) {
	for _, c := range []struct{ by, keys string }{
		{"", "UNSEEN"}, {"SUBJECT", "OR FLAGGED TEXT tea"}, {"REVERSE FROM DATE", "UNDELETED"}, {"RELEVANCY SUBJECT", "FUZZY TEXT tea UNSEEN"}, {"", "NOT SUBJECT a"}, {"SIZE", "UNSEEN"},
	} {
		t.Run(c.by+" "+c.keys, func(t *testing.T) {
			t.Parallel()
			h := openHouse(t, letter{text: "Subject: a\n\ntea\n"}).as(inClear)
			if c.by == "SIZE" {
				h.cache = nil
			}
			rnd := rand.New(rand.NewPCG(8689, uint64(len(c.keys))))
			followed, list := h.follow(c.by, c.keys), h.results(c.by, c.keys)
			for update := range 40 {
				for range rnd.IntN(6) {
					h.happens(rnd)
				}
				u, err := followed.Update(t.Context(), h.mailbox(), query.ByUID)
				if err != nil {
					t.Fatal(err)
				}
				list = carryOut(t, list, append(u.Removed, u.Added...))
				if want := h.results(c.by, c.keys); !slices.Equal(list, want) || followed.Len() != len(want) {
					t.Fatalf("update %d: the client has %v, a new search finds %v", update, list, want)
				}
			}
		})
	}
}

func (h *house) results(by, keys string) []uint32 {
	h.Helper()
	r, err := query.Sort(h.Context(), h.mailbox(), h.keys(keys), sortedBy(by))
	if err != nil {
		h.Fatal(err)
	}
	return r.Numbers(query.ByUID)
}

// happens is something that befalls a mailbox.
func (h *house) happens(rnd *rand.Rand) {
	h.Helper()
	v := h.mailbox().View
	flag := []string{`\Seen`, `\Flagged`, `\Deleted`}[rnd.IntN(3)]
	if what := rnd.IntN(6); what < 2 && v.Len() < 30 || v.Len() == 0 {
		word := []string{"a", "b", "Tea", "teapot", ""}[rnd.IntN(5)]
		text := fmt.Sprintf("From: %s@example.org\nSubject: %s\nDate: %d Mar 2026 10:00:00 +0000\n\n%s\n", word, word, 1+rnd.IntN(7), word)
		h.deliver(letter{text: text, demand: []requiretls.Demand{requiretls.Usual(), requiretls.Usual(), requiretls.Required()}[rnd.IntN(3)]})
	} else if uid := v.At(rnd.IntN(v.Len())).UID; what == 2 {
		h.expunge(uid)
	} else if _, err := h.account.StoreFlags(h.Context(), h.id, []storage.UID{uid}, []storage.FlagOp{storage.AddFlags, storage.RemoveFlags}[what%2], []string{flag}, 0); err != nil {
		h.Fatal(err)
	}
}
