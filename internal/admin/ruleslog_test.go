package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// noted keeps what rules could not do, by account.
type noted struct {
	mu   sync.Mutex
	text map[uint64]string
}

func (n *noted) Text(_ context.Context, account uint64) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text[account], nil
}

func (n *noted) SetText(_ context.Context, account uint64, text string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text[account] = text
	return nil
}

// sorting is the store as the sorting room asks for it.
type sorting struct{ *storage.Store }

func found(err error) (bool, error) {
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (s sorting) Account(ctx context.Context, addr mail.Address) (uint64, bool, error) {
	p, err := s.Person(ctx, addr)
	ok, err := found(err)
	return uint64(p.ID), ok, err
}

func (s sorting) Alias(ctx context.Context, from mail.Address) ([]mail.Address, bool, error) {
	a, err := s.Store.Alias(ctx, from)
	ok, err := found(err)
	return a.To, ok, err
}

func (s sorting) Eldest(ctx context.Context) (uint64, bool, error) {
	p, err := s.Store.Eldest(ctx)
	ok, err := found(err)
	return uint64(p.ID), ok, err
}

func (sorting) Room(context.Context, uint64) error { return nil }

// ruling is the store where the sorting room asks for people's rules.
type ruling struct {
	deliver.Rules // what no test here asks for
	store         *storage.Store
}

// Turn never moves: each letter gets a sorting room of its own.
func (ruling) Turn(uint64) uint64 { return 1 }

func (r ruling) Active(ctx context.Context, account uint64, _ deliver.Known) (deliver.Script, bool, error) {
	s, text, err := r.store.Account(storage.AccountID(account)).ActiveScript(ctx, nil)
	ok, err := found(err)
	return deliver.Script{Name: s.Name, Version: s.Version, Text: text}, ok, err
}

func (r ruling) Script(ctx context.Context, account uint64, name string, _ deliver.Known) (deliver.Script, bool, error) {
	s, text, err := r.store.Account(storage.AccountID(account)).Script(ctx, name, nil)
	ok, err := found(err)
	return deliver.Script{Name: s.Name, Version: s.Version, Text: text}, ok, err
}

func (r ruling) Owner(ctx context.Context, account uint64) (mail.Address, error) {
	p, err := r.store.PersonByID(ctx, storage.AccountID(account))
	return p.Address, err
}

func (r ruling) Remembered(ctx context.Context, account uint64, key [32]byte) (time.Time, bool, error) {
	return r.store.Account(storage.AccountID(account)).Remembered(ctx, key)
}

// letter delivers one to ann.
func (of *office) letter(t *testing.T, way deliver.Preflight, log *deliver.RuleLog) {
	t.Helper()
	sorter := deliver.New(deliver.Options{
		Store: sorting{of.opt.Store}, Hostname: "mail.example.org", Addresses: of.opt.Addresses, Rules: ruling{store: of.opt.Store}, Way: way, RuleLog: log,
	})
	env := &mail.Envelope{ID: "e9", From: mail.Address{Local: "carl", Domain: "from.example"}, Demand: requiretls.Usual(), Protocol: "LMTP", Helo: "mta", Peer: "local"}
	body := text{strings.NewReader("From: carl@from.example\r\nTo: ann@example.org\r\nSubject: news\r\nMessage-ID: <1@from.example>\r\n\r\nHello\r\n")}
	if _, err := mime.Summarize(body); err != nil {
		t.Fatal(err)
	}
	if errs := sorter.Deliver(t.Context(), env, body, []mail.Address{{Local: "ann", Domain: "example.org"}}); errs[0] != nil {
		t.Fatal(errs[0])
	}
}

// stored is how many messages lie in ann's INBOX.
func (of *office) stored(t *testing.T) uint32 {
	t.Helper()
	p, err := of.person(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	box, err := of.opt.Store.Account(p.ID).Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return box.Messages
}

// What the commands promise, by the sorting room's own doing.
func TestForwardAndVacationWorkBesideTheOwnersScript(t *testing.T) {
	for name, c := range map[string]struct {
		keep bool
		own  string
		want uint32
	}{
		"forward":                         {false, "keep;", 0},
		"forward and keep":                {true, "keep;", 1},
		"forward and keep, not the rules": {true, "discard;", 0},
		"no own script, forward":          {false, "", 0},
		"no own script, forward and keep": {true, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			of := newOffice(t, nil)
			ctx := t.Context()
			if c.own != "" {
				if _, err := of.PutScript(ctx, ScriptPut{Address: "ann", Name: "mine", Text: []byte(c.own), Activate: true}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := of.AddForward(ctx, Forward{Address: "ann", To: "bob@far.example", Keep: c.keep, RequireTLS: true}); err != nil {
				t.Fatal(err)
			}
			m, err := of.SetVacation(ctx, Vacation{Address: "ann", Text: "Away", Until: "2999-12-31"})
			if err != nil || m.Note != "" {
				t.Fatalf("%+v, %v", m, err)
			}
			of.letter(t, of.opt.Relay, nil)
			all := rows(t, of, Selection{})
			var left []string
			for _, r := range all {
				left = append(left, r.Kind+" "+r.To+" "+r.Demand)
			}
			if got, want := fmt.Sprint(left), "[answer <carl@from.example> usual redirect <bob@far.example> required]"; got != want {
				t.Errorf("left %s, want %s", got, want)
			}
			if got := of.stored(t); got != c.want {
				t.Errorf("%d messages stay, want %d", got, c.want)
			}
		})
	}
}

// No mail is lost to a forward that cannot leave, and its owner is told.
func TestForwardKeepsMailWhereTheRelayIsOff(t *testing.T) {
	of := newOffice(t, func(o *Options) {
		o.Relay = nil
		o.RuleLog = deliver.NewRuleLog(&noted{text: map[uint64]string{}})
	})
	m, err := of.AddForward(t.Context(), Forward{Address: "ann", To: "bob@far.example"})
	if err != nil || !strings.Contains(m.Note, "the relay is off") {
		t.Fatalf("%+v, %v; want a note about the relay", m, err)
	}
	for _, o := range []Operations{of.Desk, of.over(t)} {
		if log, err := o.RulesLog(t.Context(), "ann"); err != nil || log.Address != "ann@example.org" || len(log.Lines) != 0 {
			t.Errorf("the log before is %+v, %v", log, err)
		}
	}
	of.letter(t, nil, of.opt.RuleLog)
	if got := of.stored(t); got < 1 {
		t.Errorf("%d messages stay, want the letter", got)
	}
	of.check(t, of)
	log, err := of.RulesLog(t.Context(), "ann")
	if err != nil || len(log.Lines) != 1 || !strings.Contains(log.Lines[0], "redirect not sent") || !strings.Contains(log.Lines[0], deliver.Managed) {
		t.Errorf("the log is %+v, %v; want why the forward was not made", log, err)
	}
}
