package deliver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// house is a sorting room over a real vault.
type house struct {
	*testing.T
	store  *storage.Store
	sorter *deliver.Sorter
}

func open(t *testing.T) *house {
	t.Helper()
	store, err := storage.Open(filepath.Join(t.TempDir(), "store"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &house{t, store, deliver.New(deliver.Options{
		Store:     vault{store},
		Hostname:  "store.example.org",
		Addresses: deliver.Addresses{Domain: "example.org", Delimiter: "+", Fold: true},
	})}
}

// vault joins the store to the sorting room as the binary does.
type vault struct{ *storage.Store }

func (v vault) Account(ctx context.Context, addr mail.Address) (uint64, bool, error) {
	p, err := v.Person(ctx, addr)
	return uint64(p.ID), err == nil, ours(err)
}

func (v vault) Alias(ctx context.Context, from mail.Address) ([]mail.Address, bool, error) {
	a, err := v.Store.Alias(ctx, from)
	return a.To, err == nil, ours(err)
}

func (v vault) Eldest(ctx context.Context) (uint64, bool, error) {
	p, err := v.Store.Eldest(ctx)
	return uint64(p.ID), err == nil, ours(err)
}

func (v vault) Room(ctx context.Context, id uint64) error {
	err := v.Store.Account(storage.AccountID(id)).CheckQuota(ctx, storage.Usage{Bytes: 1, Messages: 1})
	if errors.Is(err, storage.ErrOverQuota) {
		return reply.MailboxFull.Because(err)
	}
	return err
}

func ours(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

func addr(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return a
}

func (h *house) person(address string) {
	h.Helper()
	if _, err := h.store.AddPerson(h.Context(), addr(h, address), nil); err != nil {
		h.Fatal(err)
	}
}

func (h *house) alias(from string, to ...string) {
	h.Helper()
	a := storage.Alias{From: mail.Address{Domain: strings.TrimPrefix(from, "@")}}
	if !strings.HasPrefix(from, "@") {
		a.From = addr(h, from)
	}
	for _, t := range to {
		a.To = append(a.To, addr(h, t))
	}
	if err := h.store.SetAlias(h.Context(), a); err != nil {
		h.Fatal(err)
	}
}

const letter = "From: Alice <alice@sender.example>\r\nSubject: tea\r\n\r\nAt five?\r\n"

func envelope(demand requiretls.Demand) *mail.Envelope {
	return &mail.Envelope{
		ID:         "q1x2",
		From:       mail.Address{Local: "alice", Domain: "sender.example"},
		Demand:     demand,
		Received:   time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		Protocol:   "LMTPS",
		TLSVersion: 0x0304,
		TLSCipher:  0x1301,
		Helo:       "mta.example.org",
		Peer:       "192.0.2.7",
	}
}

// deliver sends text to the recipients and says how each fared.
func (h *house) deliver(env *mail.Envelope, text string, rcpts ...string) []string {
	h.Helper()
	var to []mail.Address
	for _, r := range rcpts {
		to = append(to, addr(h, r))
	}
	var fates []string
	for _, err := range h.sorter.Deliver(h.Context(), env, bytes.NewReader([]byte(text)), to) {
		fates = append(fates, fateOf(err))
	}
	return fates
}

func fateOf(err error) string {
	if err == nil {
		return "delivered"
	}
	return reply.From(err).Line()
}

// inbox reads all that lies in somebody's INBOX.
func (h *house) inbox(address string) (letters []string, demands []requiretls.Demand) {
	h.Helper()
	p, err := h.store.Person(h.Context(), addr(h, address))
	if err != nil {
		h.Fatal(err)
	}
	account := h.store.Account(p.ID)
	box, err := account.Mailbox(h.Context(), "INBOX")
	if err != nil {
		h.Fatal(err)
	}
	view, err := account.View(h.Context(), box.ID)
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range view.All(0, view.Len()) {
		rel, err := e.Flags.Demand().Release(requiretls.Reader{TLS: true}, requiretls.PolicyTLS)
		if err != nil {
			h.Fatal(err)
		}
		m, err := account.Message(h.Context(), box.ID, e.UID, rel)
		if err != nil {
			h.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
		if err != nil {
			h.Fatal(err)
		}
		if err := m.Close(); err != nil {
			h.Error(err)
		}
		letters, demands = append(letters, string(text)), append(demands, e.Flags.Demand())
	}
	return letters, demands
}

func (h *house) wantFates(got []string, want ...string) {
	h.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		h.Errorf("fates:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// RFC 5321 §4.4: the copy starts with its own Return-Path and Received; the
// rest is what came, to the octet.
func TestEveryCopyStartsWithItsOwnTrace(t *testing.T) {
	h := open(t)
	h.person("ann@example.org")
	h.person("bob@example.org")
	h.wantFates(h.deliver(envelope(requiretls.Required()), letter, "ann@example.org", "Bob+lists@Example.org"), "delivered", "delivered")
	for address, rcpt := range map[string]string{"ann@example.org": "ann@example.org", "bob@example.org": "Bob+lists@example.org"} {
		letters, demands := h.inbox(address)
		want := "Return-Path: <alice@sender.example>\r\n" +
			"Delivered-To: " + rcpt + "\r\n" +
			"Received: from mta.example.org ([192.0.2.7])\r\n" +
			"\tby store.example.org with LMTPS (requiretls) id q1x2\r\n" +
			"\tfor <" + rcpt + ">\r\n" +
			"\t(TLS 1.3) tls TLS_AES_128_GCM_SHA256;\r\n" +
			"\tSat, 21 Nov 2026 12:00:00 +0000\r\n" + letter
		if len(letters) != 1 || letters[0] != want {
			t.Errorf("%s has %q, want %q", address, letters, want)
		}
		if len(demands) != 1 || !demands[0].IsRequired() { // RFC 8689 §4.1: all instances in the same manner
			t.Errorf("%s has demands %v", address, demands)
		}
	}
}

func TestBounceComesWithNullReturnPath(t *testing.T) {
	h := open(t)
	h.person("ann@example.org")
	env := envelope(requiretls.Usual())
	env.From, env.Peer, env.Helo, env.TLSVersion, env.Protocol = mail.Address{}, "local", "bad helo\r\nX: y", 0, "LMTP"
	h.wantFates(h.deliver(env, letter, "ann@example.org"), "delivered")
	letters, _ := h.inbox("ann@example.org")
	want := "Return-Path: <>\r\nDelivered-To: ann@example.org\r\nReceived: from unknown (local)\r\n" +
		"\tby store.example.org with LMTP id q1x2\r\n\tfor <ann@example.org>;\r\n\tSat, 21 Nov 2026 12:00:00 +0000\r\n" + letter
	if len(letters) != 1 || letters[0] != want {
		t.Errorf("got %q, want %q", letters, want)
	}
}

func TestEachRecipientIsOneFate(t *testing.T) {
	h := open(t)
	h.person("ann@example.org")
	h.wantFates(h.deliver(envelope(requiretls.Usual()), letter, "nobody@example.org", "ann@example.org", "ann@example.org", "ann@other.example"),
		"550 5.1.1 no such user here", "delivered", "delivered", "550 5.1.1 no such user here")
	if letters, _ := h.inbox("ann@example.org"); len(letters) != 1 {
		t.Errorf("a recipient named twice got %d copies, want 1", len(letters))
	}
}

func TestWhoGetsTheLetter(t *testing.T) {
	h := open(t)
	for _, p := range []string{"zoe@example.org", "ann@example.org", "ann+own@example.org", "örjan@example.org"} {
		h.person(p)
	}
	h.alias("info@example.org", "ann@example.org", "zoe@example.org")
	h.alias("ring@example.org", "gnir@example.org")
	h.alias("gnir@example.org", "ring@example.org", "zoe@example.org")
	h.alias("dead@example.org", "gone@example.org")
	h.alias("@catch.example", "ann@example.org")
	for _, c := range []struct {
		rcpt string
		gets []string
	}{
		{"ann", []string{"ann@example.org"}},
		{"ANN+x@EXAMPLE.org", []string{"ann@example.org"}},
		{"ann+own@example.org", []string{"ann+own@example.org"}},
		{"ÖRJAN@example.org", []string{"örjan@example.org"}},
		{"info+spring@example.org", []string{"ann@example.org", "zoe@example.org"}},
		{"ring@example.org", []string{"zoe@example.org"}},
		{"dead@example.org", nil},
		{"whoever@catch.example", []string{"ann@example.org"}},
		{"whoever@example.org", nil},
		{"postmaster", []string{"zoe@example.org"}}, // the first account ever made
		{"Postmaster@example.org", []string{"zoe@example.org"}},
	} {
		before := map[string]int{}
		people := []string{"zoe@example.org", "ann@example.org", "ann+own@example.org", "örjan@example.org"}
		for _, p := range people {
			letters, _ := h.inbox(p)
			before[p] = len(letters)
		}
		err := h.sorter.Recipient(t.Context(), addr(t, c.rcpt))
		if (err == nil) != (len(c.gets) > 0) || err != nil && !errors.Is(err, reply.NoSuchUser) {
			t.Errorf("%s: RCPT says %v", c.rcpt, err)
		}
		h.deliver(envelope(requiretls.Usual()), letter, c.rcpt)
		for _, p := range people {
			letters, _ := h.inbox(p)
			want := before[p]
			for _, g := range c.gets {
				if g == p {
					want++
				}
			}
			if len(letters) != want {
				t.Errorf("%s: %s has %d letters, want %d", c.rcpt, p, len(letters), want)
			}
		}
	}
}

// RFC 6531 §3.2: SMTP has the domain of a mailbox in either spelling. Most senders
// know no SMTPUTF8 and write the A-labels.
func TestBothSpellingsOfAnInternationalizedDomainAreOneMailbox(t *testing.T) {
	h := open(t)
	people := []string{"ann@xn--bcher-kva.example", "old@bücher.example"} // that one from an earlier version
	for _, p := range people {
		h.person(p)
	}
	h.alias("info@xn--bcher-kva.example", "ann@bücher.example")
	h.alias("@kept.bücher.example", "old@xn--bcher-kva.example")
	for i, c := range []struct{ rcpt, gets string }{
		{"ann@bücher.example", people[0]},
		{"ann@xn--bcher-kva.example", people[0]},
		{"Ann+x@BÜCHER.example", people[0]},
		{"info@bücher.example", people[0]},
		{"old@xn--bcher-kva.example", people[1]},
		{"old@bücher.example", people[1]},
		{"whoever@kept.xn--bcher-kva.example", people[1]},
	} {
		if err := h.sorter.Recipient(t.Context(), addr(t, c.rcpt)); err != nil {
			t.Errorf("%s: RCPT says %v", c.rcpt, err)
		}
		before, _ := h.inbox(c.gets)
		h.deliver(envelope(requiretls.Usual()), fmt.Sprintf("X-Number: %d\r\n%s", i, letter), c.rcpt)
		if after, _ := h.inbox(c.gets); len(after) != len(before)+1 {
			t.Errorf("%s: %s has %d letters, and had %d", c.rcpt, c.gets, len(after), len(before))
		}
	}
}

// RFC 5321 §6.3: a message with very many Received fields travels in circles.
func TestLoopIsCut(t *testing.T) {
	h := open(t)
	h.person("ann@example.org")
	hop := "Received: from a by b; Sat, 21 Nov 2026 12:00:00 +0000\r\n"
	h.wantFates(h.deliver(envelope(requiretls.Usual()), strings.Repeat(hop, 99)+letter, "ann@example.org"), "delivered")
	h.wantFates(h.deliver(envelope(requiretls.Usual()), strings.Repeat(hop, 100)+letter, "ann@example.org"), "554 5.4.6 mail loop: 100 Received fields")
}

func TestAFullMailboxIsRefusedAtRCPTAlsoBehindAnAlias(t *testing.T) {
	h := open(t)
	h.person("ann@example.org")
	h.person("ben@example.org")
	h.alias("both@example.org", "ann@example.org", "ben@example.org")
	ben, err := h.store.Person(t.Context(), addr(t, "ben@example.org"))
	if err == nil {
		err = h.store.Account(ben.ID).SetLimits(t.Context(), storage.Usage{Messages: 1})
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := h.deliver(envelope(requiretls.Usual()), letter, "both@example.org"); got[0] != "delivered" {
		t.Fatalf("with room: %q", got)
	}
	for rcpt, want := range map[string]error{"ann@example.org": nil, "ben@example.org": reply.MailboxFull, "both@example.org": reply.MailboxFull} {
		if err := h.sorter.Recipient(t.Context(), addr(t, rcpt)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", rcpt, err, want)
		}
	}
}
