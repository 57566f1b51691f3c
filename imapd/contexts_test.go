package imapd

import (
	"bufio"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/internal/serve"
	"letterlock/internal/wire"
	"letterlock/storage"
)

// A result that cannot be brought up to date, because that takes too long or its
// client has left, is given up and its client told (RFC 5267 §4.3.1): what it would
// be told later had the numbers of a mailbox of the past.
func TestResultThatCannotFollowIsGivenUp(t *testing.T) {
	t.Parallel()
	store, err := storage.Open(t.TempDir(), storage.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	p, err := store.AddPerson(t.Context(), mail.Address{Local: "ann", Domain: "example.org"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ann := store.Account(p.ID)
	viewWith := func(text string) *storage.View {
		body := strings.NewReader(text)
		l := storage.Letter{Body: body, Demand: requiretls.Usual(), InternalDate: time.Now()}
		if l.Summary, err = mime.Summarize(body); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ann.Append(t.Context(), inbox, []storage.Letter{l}); err != nil {
			t.Fatal(err)
		}
		box, err := ann.Mailbox(t.Context(), inbox)
		if err != nil {
			t.Fatal(err)
		}
		view, err := ann.View(t.Context(), box.ID)
		if err != nil {
			t.Fatal(err)
		}
		return view
	}
	server, client := connected(t)
	srv := New(Options{Store: store, Log: slog.New(slog.DiscardHandler)})
	view := viewWith("Subject: one\r\n\r\nfound\r\n")
	s := &session{
		srv: srv, conn: &serve.Conn{Conn: server}, w: wire.NewWriter(server, time.Minute), log: srv.opt.Log, tag: "a1",
		account: &account{Account: ann, id: p.ID}, gate: gate{reader: requiretls.Reader{TLS: true}},
		box: &mailbox{id: view.Mailbox().ID, name: inbox, view: view},
	}
	a := &syntax.Search{Keys: syntax.And{syntax.Body{Value: "found"}}, Return: syntax.ReturnUpdate}
	r, err := query.Search(t.Context(), s.asked(t.Context()), a.Keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.follow(t.Context(), a, nil, r); err != nil || len(s.box.followed) != 1 {
		t.Fatalf("%d results are kept up to date, %v; want one", len(s.box.followed), err)
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	come := s.leaving(late, viewWith("Subject: two\r\n\r\nfound\r\n"))
	if len(come) != 0 || len(s.box.followed) != 0 {
		t.Errorf("it is kept all the same: %v, %v", come, s.box.followed)
	}
	if err := s.w.Flush(); err != nil {
		t.Fatal(err)
	}
	server.Close()
	got, _ := bufio.NewReader(client).ReadString('\n')
	if want := "* NO [NOUPDATE \"a1\"] Too much to be kept up to date\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
