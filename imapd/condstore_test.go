package imapd

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// TestVanishedWhereTheLogIsTooShort: what is not there is told of, less what the
// client showed that it knows (RFC 7162 §3.2.5.2, §3.2.6).
func TestVanishedWhereTheLogIsTooShort(t *testing.T) {
	view := viewOf(t, 7, []storage.UID{2, 4, 5}) // 1, 3, 6 and 7 are there
	one := func(first, last uint32) []syntax.Range { return []syntax.Range{{First: first, Last: last}} }
	for _, c := range []struct {
		name   string
		within []syntax.Range
		gone   []storage.UIDRange
		log    logged
		floor  storage.UID
		want   string
	}{
		{"the log has it all", one(1, 100), []storage.UIDRange{{First: 4, Last: 5}}, wholeLog, 0, "4:5"},
		{"out of order, and one that is there", one(1, 100), []storage.UIDRange{{First: 5, Last: 6}, {First: 2, Last: 2}}, wholeLog, 0, "2,5"},
		{"only what the client knows", one(5, 6), []storage.UIDRange{{First: 4, Last: 5}}, wholeLog, 0, "5"},
		{"the log is too short", one(1, 100), nil, shortLog, 0, "2,4:5"},
		{"the client knew up to 3", one(1, 100), nil, shortLog, 3, "4:5"},
		{"the client knew up to 7", one(1, 100), nil, shortLog, 7, ""},
	} {
		got := string(syntax.AppendSet(nil, missing(view, c.within, c.gone, c.log, c.floor)))
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestSequenceMatchData: the last pair that is right counts (RFC 7162 §3.2.5.2).
func TestSequenceMatchData(t *testing.T) {
	s := &session{box: &mailbox{view: viewOf(t, 7, []storage.UID{2, 4, 5})}} // numbers 1 to 4 are UIDs 1, 3, 6, 7
	for _, c := range []struct {
		seqs, uids []syntax.Range
		want       storage.UID
	}{
		{[]syntax.Range{{First: 1, Last: 4}}, []syntax.Range{{First: 1, Last: 1}, {First: 3, Last: 3}, {First: 6, Last: 7}}, 7},
		{[]syntax.Range{{First: 2, Last: 2}, {First: 4, Last: 4}}, []syntax.Range{{First: 3, Last: 4}}, 3},
		{[]syntax.Range{{First: 1, Last: 1}}, []syntax.Range{{First: 2, Last: 2}}, 0},
		{[]syntax.Range{{First: 4, Last: 4294967295}}, []syntax.Range{{First: 7, Last: 4294967295}}, 7},
		{nil, nil, 0},
	} {
		q := &syntax.QResync{MatchSeqs: syntax.Set{Ranges: c.seqs}, MatchUIDs: syntax.Set{Ranges: c.uids}}
		if got := s.matched(q); got != c.want {
			t.Errorf("%v = %v: matched up to %d, want %d", c.seqs, c.uids, got, c.want)
		}
	}
}

// viewOf is a mailbox that had so many messages, without some.
func viewOf(t *testing.T, messages int, gone []storage.UID) *storage.View {
	t.Helper()
	store, err := storage.Open(filepath.Join(t.TempDir(), "data"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	person, err := store.AddPerson(t.Context(), mail.Address{Local: "ann", Domain: "example.org"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.NewReader([]byte("A: b\r\n\r\nhi\r\n"))
	summary, err := mime.Summarize(body)
	if err != nil {
		t.Fatal(err)
	}
	letters := slices.Repeat([]storage.Letter{{Body: body, Summary: summary, Demand: requiretls.Usual()}}, messages)
	account := store.Account(person.ID)
	if _, _, err := account.Append(t.Context(), inbox, letters); err != nil {
		t.Fatal(err)
	}
	box, err := account.Mailbox(t.Context(), inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := account.Expunge(t.Context(), box.ID, gone); err != nil {
		t.Fatal(err)
	}
	view, err := account.View(t.Context(), box.ID)
	if err != nil {
		t.Fatal(err)
	}
	return view
}
