package query_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/internal/search"
	"letterlock/storage"
)

// house is a real store with one person's mail in it.
type house struct {
	testing.TB
	store   *storage.Store
	account *storage.Account
	id      storage.MailboxID
	reader  requiretls.Reader
	saved   []syntax.Range
	cache   *query.Cache
	filters map[string]string
	now     time.Time
}

// letter is one that lies in the INBOX; the zero value of all but its text will
// do.
type letter struct {
	text   string // LF ends a line
	date   time.Time
	flags  string
	demand requiretls.Demand
}

var firstDate = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func openHouse(t testing.TB, letters ...letter) *house {
	t.Helper()
	store, err := storage.Open(t.TempDir(), storage.Options{Filter: search.AppendFilter})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	h := &house{TB: t, store: store, account: store.Account(1), reader: requiretls.Reader{TLS: true}, cache: new(query.Cache), now: firstDate.Add(24 * time.Hour)}
	box, err := h.account.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	h.id = box.ID
	h.deliver(letters...)
	return h
}

// deliver files letters, a minute between each two where nothing else is said.
func (h *house) deliver(letters ...letter) {
	h.Helper()
	for len(letters) > 0 {
		n := min(len(letters), 500)
		group := make([]storage.Letter, n)
		for i, l := range letters[:n] {
			group[i] = h.stored(l, i)
		}
		if _, _, err := h.account.Append(h.Context(), "INBOX", group); err != nil {
			h.Fatal(err)
		}
		letters = letters[n:]
	}
}

func (h *house) stored(l letter, i int) storage.Letter {
	h.Helper()
	body := strings.NewReader(strings.ReplaceAll(l.text, "\n", "\r\n"))
	sum, err := mime.Summarize(body)
	if err != nil {
		h.Fatal(err)
	}
	if l.date.IsZero() {
		l.date = firstDate.Add(time.Duration(i) * time.Minute)
	}
	if !l.demand.Stated() {
		l.demand = requiretls.Usual()
	}
	return storage.Letter{Body: body, Summary: sum, Flags: strings.Fields(l.flags), InternalDate: l.date, Demand: l.demand}
}

// mailbox is the INBOX as the session sees it now.
func (h *house) mailbox() *query.Mailbox {
	h.Helper()
	view, err := h.account.View(h.Context(), h.id)
	if err != nil {
		h.Fatal(err)
	}
	return &query.Mailbox{
		Account: h.account, ID: h.id, View: view, Saved: h.saved, Cache: h.cache, Now: h.now,
		Gate: func(d requiretls.Demand) (requiretls.Release, error) {
			return d.Release(h.reader, requiretls.PolicyTLS)
		},
		Filter: func(name string) (syntax.And, error) {
			text, ok := h.filters[name]
			if !ok {
				return nil, fmt.Errorf("annotation: %w", storage.ErrNotFound)
			}
			return syntax.ParseKeys(text)
		},
		Trouble: func(uid storage.UID, err error) { h.Errorf("UID %d: %v", uid, err) },
	}
}

func (h *house) keys(text string) syntax.And {
	h.Helper()
	keys, err := syntax.ParseKeys(text)
	if err != nil {
		h.Fatalf("%s: %v", text, err)
	}
	return keys
}

// search is a SEARCH: the numbers of what is found.
func (h *house) search(keys string) string {
	h.Helper()
	r, err := query.Search(h.Context(), h.mailbox(), h.keys(keys))
	if err != nil {
		h.Fatalf("SEARCH %s: %v", keys, err)
	}
	return numbers(r)
}

func numbers(r *query.Result) string {
	return strings.Trim(fmt.Sprint(r.Numbers(query.ByNumber)), "[]")
}

// finds compares what several searches find with what they should.
func (h *house) finds(want map[string]string) {
	h.Helper()
	for keys, want := range want {
		if got := h.search(keys); got != want {
			h.Errorf("SEARCH %s: got %s, want %s", keys, got, want)
		}
	}
}

// indexed waits until the index knows all letters there are, and makes sure that
// it does: fewer than 64 are not worth a group.
func (h *house) indexed() {
	h.Helper()
	if err := h.store.IndexIdle(h.Context()); err != nil {
		h.Fatal(err)
	}
	n := 0
	for g, err := range h.account.Candidates(h.Context(), h.id, []*search.Finder{search.NewFinder("whatever")}) {
		if err != nil {
			h.Fatal(err)
		}
		n += len(g.UIDs)
	}
	if n == 0 {
		h.Fatal("the index knows no letter")
	}
}

// loggedIn changes how the session is protected.
func (h *house) as(r requiretls.Reader) *house {
	other := *h
	other.reader = r
	return &other
}

var inClear = requiretls.Reader{}

func (h *house) flag(uid storage.UID, flags ...string) {
	h.Helper()
	if _, err := h.account.StoreFlags(h.Context(), h.id, []storage.UID{uid}, storage.AddFlags, flags, 0); err != nil {
		h.Fatal(err)
	}
}

func (h *house) expunge(uids ...storage.UID) {
	h.Helper()
	if err := h.account.Expunge(h.Context(), h.id, uids); err != nil {
		h.Fatal(err)
	}
}
