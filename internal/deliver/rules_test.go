package deliver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// shelf joins the store's scripts to the sorting room.
type shelf struct {
	*storage.Store
	read *int // texts of scripts that were read
}

func (s shelf) Turn(account uint64) uint64 { return s.ScriptTurn(storage.AccountID(account)) }

func (s shelf) Active(ctx context.Context, account uint64, known deliver.Known) (deliver.Script, bool, error) {
	found, text, err := s.Store.Account(storage.AccountID(account)).ActiveScript(ctx, func(v storage.ScriptVersion) bool { return known(v) })
	return s.script(found, text, err)
}

func (s shelf) Script(ctx context.Context, account uint64, name string, known deliver.Known) (deliver.Script, bool, error) {
	found, text, err := s.Store.Account(storage.AccountID(account)).Script(ctx, name, func(v storage.ScriptVersion) bool { return known(v) })
	return s.script(found, text, err)
}

func (s shelf) script(found storage.Script, text []byte, err error) (deliver.Script, bool, error) {
	if text != nil {
		*s.read++
	}
	return deliver.Script{Name: found.Name, Version: found.Version, Text: text}, err == nil, ours(err)
}

func (s shelf) Owner(ctx context.Context, account uint64) (mail.Address, error) {
	p, err := s.PersonByID(ctx, storage.AccountID(account))
	return p.Address, err
}

func (s shelf) Mailboxes(ctx context.Context, account uint64) (list []deliver.Mailbox, err error) {
	all, err := s.Store.Account(storage.AccountID(account)).Mailboxes(ctx)
	for _, m := range all {
		list = append(list, deliver.Mailbox{Name: m.Name, Use: m.SpecialUse, ID: fmt.Sprint(m.ObjectID)})
	}
	return list, err
}

func (s shelf) Annotation(ctx context.Context, account uint64, mailbox, name string) (string, bool, error) {
	a := s.Store.Account(storage.AccountID(account))
	var id storage.MailboxID
	if mailbox != "" {
		m, err := a.Mailbox(ctx, mailbox)
		if err != nil {
			return "", false, ours(err)
		}
		id = m.ID
	}
	list, err := a.Annotations(ctx, id, []string{name}, storage.DepthZero)
	if err != nil || len(list) == 0 {
		return "", false, err
	}
	return string(list[0].Value), true, nil
}

func (s shelf) Lands(ctx context.Context, account uint64, c mail.Copy) (string, error) {
	return s.Store.Account(storage.AccountID(account)).Lands(ctx, c)
}

func (s shelf) Remembered(ctx context.Context, account uint64, key [32]byte) (time.Time, bool, error) {
	return s.Store.Account(storage.AccountID(account)).Remembered(ctx, key)
}

// office is a sorting room with rules, its log, and ann.
type office struct {
	*house
	log  bytes.Buffer
	read int
}

func openOffice(t *testing.T, way deliver.Preflight, change ...func(*deliver.Options)) *office {
	t.Helper()
	return openOfficeIn(t, t.TempDir(), way, change...)
}

func openOfficeIn(t *testing.T, dir string, way deliver.Preflight, change ...func(*deliver.Options)) *office {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 11, 21, 12, 0, 1, 0, time.UTC) }
	store, err := storage.Open(filepath.Join(dir, "store"), storage.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	o := &office{house: &house{T: t, store: store}}
	opt := deliver.Options{
		Store:     vault{store},
		Hostname:  "store.example.org",
		Addresses: deliver.Addresses{Domain: "example.org", Delimiter: "+", Fold: true},
		Rules:     shelf{store, &o.read},
		Way:       way,
		Log:       maillog.New(slog.New(slog.NewTextHandler(&o.log, nil))),
	}
	for _, f := range change {
		f(&opt)
	}
	o.sorter = deliver.New(opt)
	o.person("ann@example.org")
	return o
}

func (o *office) account(address string) *storage.Account {
	o.Helper()
	p, err := o.store.Person(o.Context(), addr(o, address))
	if err != nil {
		o.Fatal(err)
	}
	return o.store.Account(p.ID)
}

// rule makes text somebody's active script.
func (o *office) rule(address, text string) {
	o.Helper()
	o.put(o.account(address), "rules", text)
	if err := o.account(address).ActivateScript(o.Context(), "rules"); err != nil {
		o.Fatal(err)
	}
}

func (o *office) put(a *storage.Account, name, text string) {
	o.Helper()
	if err := a.PutScript(o.Context(), name, []byte(text), nil); err != nil {
		o.Fatal(err)
	}
}

func (o *office) global(name, text string) {
	o.Helper()
	o.put(o.store.Account(0), name, text)
}

// usual delivers the letter to somebody, who must get it.
func (o *office) usual(text string, rcpts ...string) {
	o.Helper()
	for i, fate := range o.deliver(envelope(requiretls.Usual()), text, rcpts...) {
		if fate != "delivered" {
			o.Errorf("%s: %s", rcpts[i], fate)
		}
	}
}

// lies checks where somebody's mail lies: "INBOX 1, Lists 2 required", by what
// the last message of each demands.
func (o *office) lies(address, want string) {
	o.Helper()
	a := o.account(address)
	all, err := a.Mailboxes(o.Context())
	if err != nil {
		o.Fatal(err)
	}
	var got []string
	for _, m := range all {
		if m.Messages == 0 {
			continue
		}
		view, err := a.View(o.Context(), m.ID)
		if err != nil {
			o.Fatal(err)
		}
		place := fmt.Sprintf("%s %d", m.Name, m.Messages)
		if e := view.At(view.Len() - 1); e.Flags.Demand().IsRequired() {
			place += " required"
		}
		got = append(got, place)
	}
	if s := strings.Join(got, ", "); s != want {
		o.Errorf("%s has %q, want %q\nlog:\n%s", address, s, want, o.log.String())
	}
}

// view opens a mailbox that has a message.
func (o *office) view(address, mailbox string) *storage.View {
	o.Helper()
	a := o.account(address)
	box, err := a.Mailbox(o.Context(), mailbox)
	if err != nil {
		o.Fatal(mailbox, err)
	}
	view, err := a.View(o.Context(), box.ID)
	if err != nil || view.Len() == 0 {
		o.Fatal(mailbox, view.Len(), err)
	}
	return view
}

// flags are those of the latest message of a mailbox.
func (o *office) flags(address, mailbox string) string {
	o.Helper()
	view := o.view(address, mailbox)
	bits := view.At(view.Len() - 1).Flags
	var names []string
	if bits&storage.Seen != 0 {
		names = append(names, `\Seen`)
	}
	for i, name := range view.Mailbox().Keywords {
		if bits&storage.Keyword(i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// latest reads the last message of a mailbox.
func (o *office) latest(address, mailbox string) string {
	o.Helper()
	view := o.view(address, mailbox)
	e := view.At(view.Len() - 1)
	rel, err := e.Flags.Demand().Release(requiretls.Reader{TLS: true}, requiretls.PolicyTLS)
	if err != nil {
		o.Fatal(err)
	}
	m, err := o.account(address).Message(o.Context(), view.Mailbox().ID, e.UID, rel)
	if err != nil {
		o.Fatal(err)
	}
	defer m.Close()
	text, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
	if err != nil {
		o.Fatal(err)
	}
	return string(text)
}

// says checks that the log has a line with all of these words.
func (o *office) says(words ...string) {
	o.Helper()
next:
	for line := range strings.Lines(o.log.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		return
	}
	o.Errorf("no line says %q:\n%s", words, o.log.String())
}

func TestRulesFileWithFlags(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", `require ["fileinto", "mailbox", "imap4flags", "copy", "special-use"];
		fileinto :create :flags ["\\Seen", "tea"] "Drinks/Tea";
		fileinto :copy :specialuse "\\Junk" "Unwanted";`)
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "Drinks/Tea 1, Junk 1")
	if got := o.flags("ann@example.org", "Drinks/Tea"); got != `\Seen tea` {
		t.Errorf("flags %q", got)
	}
	o.says("msg=filed", `mailboxes="[Drinks/Tea Junk]"`, `rules="[rules, line 2 rules, line 3]"`)
}

// A mailbox that is missing is INBOX: the log says so as well, and its owner is told.
func TestMissingMailboxIsInboxInTheLogToo(t *testing.T) {
	for _, c := range []struct{ rule, lies, mailboxes, told string }{
		{`fileinto "Gone";`, "INBOX 2", "[INBOX]", "filed in Gone,"},
		{`fileinto "INBOX.Spam";`, "INBOX 2", "[INBOX]", "filed in INBOX.Spam, and there is no such mailbox (levels are parted by / here: INBOX/Spam)."},
		{`fileinto :create "Gone/";`, "INBOX 2", "[INBOX]", "filed in Gone/,"},
		{`fileinto :flags "tea" "Gone"; keep :flags "fresh";`, "INBOX 2", "[INBOX]", "filed in Gone,"},
		{`fileinto :specialuse "\\Flagged" "Gone"; fileinto "Archive";`, "Archive 1, INBOX 2", `"[INBOX Archive]"`, "filed in Gone,"},
		{`fileinto "Gone"; fileinto :create "Gone";`, "Gone 1", "[Gone]", ""},
		{"fileinto \"inbox/Gru\u0308n\"; fileinto \"INBOX/Gr\u00fcn\";", "INBOX/Gr\u00fcn 1", "[INBOX/Gr\u00fcn]", ""},
		{"if mailboxexists \"inbox/Gru\u0308n\" { fileinto \"Archive\"; }", "Archive 1", "[Archive]", ""},
	} {
		o := openOffice(t, unknown{})
		if _, err := o.account("ann@example.org").Create(t.Context(), "INBOX/Gr\u00fcn", ""); err != nil {
			t.Fatal(err)
		}
		o.rule("ann@example.org", `require ["fileinto", "mailbox", "special-use", "imap4flags"]; `+c.rule)
		o.usual(letter, "ann@example.org")
		o.lies("ann@example.org", c.lies)
		o.says("msg=filed", "mailboxes="+c.mailboxes)
		if c.told == "" {
			if strings.Contains(o.log.String(), "msg=noted") {
				t.Errorf("%s: noted, though it is there:\n%s", c.rule, o.log.String())
			}
			continue
		}
		o.says("msg=noted", `what="mailbox missing"`, `rule="rules, line 1"`)
		if got := o.latest("ann@example.org", "INBOX"); !strings.Contains(got, c.told) {
			t.Errorf("%s: ann is told:\n%s\nwant %q", c.rule, got, c.told)
		}
	}
}

// A mailbox that a rule makes is subscribed, once: clients that show subscribed ones
// alone, as Thunderbird does, would hide it with all its letters.
func TestMailboxThatARuleMakesIsSubscribed(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", `require ["fileinto", "mailbox"]; fileinto :create "Lists/Tea";`)
	a := o.account("ann@example.org")
	subscribed := func(want bool) {
		t.Helper()
		o.usual(letter, "ann@example.org")
		names, err := a.Subscriptions(t.Context())
		if err != nil || slices.Contains(names, "Lists/Tea") != want {
			t.Errorf("subscribed: %q, %v; want Lists/Tea among them: %v", names, err, want)
		}
	}
	subscribed(true)
	if err := a.Unsubscribe(t.Context(), "Lists/Tea"); err != nil {
		t.Fatal(err)
	}
	subscribed(false)
}

// Who has all the mailboxes that one can have gets no more by :create, and is told
// once a day, not with every letter.
func TestMailboxThatCannotBeMadeIsInbox(t *testing.T) {
	log := deliver.NewRuleLog(texts{t.TempDir()})
	o := openOffice(t, nil, func(opt *deliver.Options) { opt.RuleLog = log })
	a := o.account("ann@example.org")
	for i := 0; ; i++ {
		all, err := a.Mailboxes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rest := storage.MaxMailboxes - len(all)
		if rest == 0 {
			break
		}
		if _, err := a.Create(t.Context(), fmt.Sprintf("%d", i)+strings.Repeat("/x", min(rest, 32)-1), ""); err != nil {
			t.Fatal(err)
		}
	}
	o.rule("ann@example.org", `require ["fileinto", "mailbox"]; fileinto :create "One/more";`)
	o.usual(letter, "ann@example.org")
	o.usual(letter+"again", "ann@example.org")
	o.lies("ann@example.org", "INBOX 3")
	o.says("msg=filed", "mailboxes=[INBOX]")
	p, err := o.store.Person(t.Context(), addr(t, "ann@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := log.Read(t.Context(), uint64(p.ID))
	if want := "One/more, and there is no such mailbox, nor can it be made."; err != nil || strings.Count(got, want) != 1 {
		t.Errorf("ann's log: %v\n%s\nwant once: %s", err, got, want)
	}
}

// The copy of an answer lies in INBOX where its mailbox is missing, and that is told.
func TestMissingMailboxOfAnAnswersCopyIsTold(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require ["vacation", "fcc"]; vacation :fcc "Answers" "Away.";`)
	o.usual("From: alice@sender.example\r\nTo: ann@example.org\r\nSubject: tea\r\n\r\n", "ann@example.org")
	o.lies("ann@example.org", "INBOX 3")
	if got := o.latest("ann@example.org", "INBOX"); !strings.Contains(got, "A copy of what was sent was to be filed in Answers,") {
		t.Errorf("ann is told:\n%s", got)
	}
}

// Each letter is sorted by its own header, however many lie on the table.
func TestLettersThatComeAtOnceAreSortedByTheirOwnHeaders(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", `require ["fileinto", "mailbox", "variables"]; if header :matches "Subject" "*" { fileinto :create "${1}"; }`)
	o.usual(letter, "ann@example.org")
	want := []string{"tea 1"}
	var all sync.WaitGroup
	for _, subject := range []string{"a", "b", "c", "d", "e", "f"} {
		want = slices.Insert(want, len(want)-1, subject+" 4")
		text := "From: alice@sender.example\r\nSubject: " + subject + "\r\n\r\nhello\r\n"
		all.Go(func() {
			for range 4 {
				o.usual(text, "ann@example.org")
			}
		})
	}
	all.Wait()
	o.lies("ann@example.org", strings.Join(want, ", "))
}

func TestIncludeOfPersonalAndGlobalScripts(t *testing.T) {
	o := openOffice(t, nil)
	o.put(o.account("ann@example.org"), "mine", `require ["fileinto", "mailbox"]; fileinto :create "Mine";`)
	o.global("theirs", `require ["fileinto", "mailbox"]; fileinto :create "Theirs";`)
	o.rule("ann@example.org", `require "include"; include "mine"; include :global "theirs"; include :optional "missing";`)
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "Mine 1, Theirs 1")
	o.says("msg=filed", "mine, line 1", "global/theirs, line 1")
}

func TestAdminsScriptsRunBeforeAndAfter(t *testing.T) {
	o := openOffice(t, nil)
	o.person("bob@example.org") // has no rules of his own
	o.global(deliver.Before, `require ["fileinto"]; if header :contains "Subject" "spam" { fileinto "Junk"; }`)
	o.global(deliver.After, `require ["fileinto"]; if header :contains "Subject" "tea" { fileinto "Archive"; }`)
	o.rule("ann@example.org", `require ["fileinto", "mailbox"]; if header :contains "Subject" ["spam", "work"] { fileinto :create "Ann"; }`)
	for _, subject := range []string{"spam", "work tea", "tea", "hello"} {
		o.usual("Subject: "+subject+"\r\n\r\n", "ann@example.org", "bob@example.org")
	}
	o.lies("ann@example.org", "Ann 1, Archive 1, INBOX 1, Junk 1")
	o.lies("bob@example.org", "Archive 2, INBOX 1, Junk 1")
}

// A keep that a script asks for leaves the letter to the next one, as the implicit
// one does: nobody has it twice, and what the next one says holds.
func TestKeepThatWasAskedForIsDecidedByTheNextScript(t *testing.T) {
	for _, c := range []struct{ before, own, after, want string }{
		{`keep; stop;`, `fileinto "Archive";`, ``, "Archive 1"},
		{`keep;`, `discard;`, ``, ""},
		{`keep;`, `redirect "carl@elsewhere.example";`, ``, ""},
		{`keep :flags "fresh";`, ``, ``, "INBOX 1 fresh"},
		{`keep :flags "fresh";`, `keep :flags "stale";`, ``, "INBOX 1 stale"},
		{``, `keep;`, `fileinto "Junk";`, "Junk 1"},
		{``, `keep :flags "fresh";`, `if header "Subject" "coffee" { fileinto "Junk"; }`, "INBOX 1 fresh"},
		{`keep :flags "fresh";`, `fileinto "Archive"; error "no";`, ``, "INBOX 2 fresh"}, // and the notice
		{`fileinto :copy "INBOX";`, `fileinto "Archive";`, ``, "Archive 1, INBOX 1"},
		{`fileinto :copy "INBOX";`, `keep;`, ``, "INBOX 1"},
		{`fileinto "Archive"; keep;`, `discard;`, `keep;`, "Archive 1"},
	} {
		o := openOffice(t, unknown{})
		const need = `require ["fileinto", "copy", "imap4flags", "ihave"]; `
		o.global(deliver.Before, need+c.before)
		o.rule("ann@example.org", need+c.own)
		o.global(deliver.After, need+c.after)
		o.usual(letter, "ann@example.org")
		want, flag := c.want, ""
		for _, f := range []string{"fresh", "stale"} {
			if rest, has := strings.CutSuffix(want, " "+f); has {
				want, flag = rest, f
			}
		}
		o.lies("ann@example.org", want)
		if flag != "" && o.view("ann@example.org", "INBOX").Mailbox().Keywords[0] != flag {
			t.Errorf("%+v: flags %q", c, o.view("ann@example.org", "INBOX").Mailbox().Keywords)
		}
		if t.Failed() {
			t.Fatalf("%+v", c)
		}
	}
	o := openOffice(t, nil)
	o.global(deliver.Before, `keep;`)
	o.rule("ann@example.org", `require "ereject"; ereject "no tea";`)
	o.wantFates(o.deliver(envelope(requiretls.Usual()), letter, "ann@example.org"), "550 5.7.1 no tea")
}

// What the admin wrote wrong keeps the mail, runs the user's rules, and is told
// to the admin.
func TestBrokenGlobalScriptIsTheAdminsToKnow(t *testing.T) {
	o := openOffice(t, nil)
	o.global(deliver.Before, "require [\"ihave\"];\ndiscard;\nerror \"no birdseed\";")
	o.rule("ann@example.org", `require ["fileinto"]; fileinto "Archive";`)
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "Archive 1")
	o.says("msg=noted", `what="script broke"`, `rule="global/before, line 3"`)
}

func TestDiscardIsLogged(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", "\ndiscard;")
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "")
	o.says("msg=dropped", `why="rules, line 2"`, "to=<ann@example.org>")
}

// RFC 5429 §2.1.1: a refusal goes into the dialogue, for the one who refuses.
func TestRejectToOneRecipientOfTwo(t *testing.T) {
	o := openOffice(t, nil)
	o.person("bob@example.org")
	o.rule("ann@example.org", `require "ereject"; ereject "I take no tea";`)
	o.wantFates(o.deliver(envelope(requiretls.Usual()), letter, "ann@example.org", "bob@example.org"),
		"550 5.7.1 I take no tea", "delivered")
	o.lies("ann@example.org", "")
	o.lies("bob@example.org", "INBOX 1")
}

// What a rule says to the sender may quote the letter: the log says which rule it was,
// and not what it said.
func TestReasonOfARefusalIsNotLogged(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", `require ["ereject", "variables"];
		if header :matches "Subject" "*" { ereject "I do not want to hear of ${1}"; }`)
	err := o.sorter.Deliver(t.Context(), envelope(requiretls.Required()), bytes.NewReader([]byte("Subject: secrets\r\n"+letter)), []mail.Address{addr(t, "ann@example.org")})[0]
	got := reply.From(err)
	if want := "550 5.7.1 I do not want to hear of secrets"; got.Line() != want {
		t.Errorf("the sender hears %q, want %q", got.Line(), want)
	}
	maillog.New(slog.New(slog.NewTextHandler(&o.log, nil))).Refused(t.Context(), "q1x2", "local", mail.Address{}, addr(t, "ann@example.org"), got)
	o.says("msg=refused", "rules, line 2")
	if strings.Contains(o.log.String(), "secrets") {
		t.Errorf("the log has what the letter says:\n%s", o.log.String())
	}
}

// RFC 5429 §2.5: a reason of several lines MUST be a reply of several.
func TestRejectWithReasonOfSeveralLines(t *testing.T) {
	for _, verb := range []string{"reject", "ereject"} {
		o := openOffice(t, nil)
		o.rule("ann@example.org", "require \""+verb+"\"; "+verb+" text:\r\nAntiSpam engine thinks your message is spam.\r\n\r\nPlease call 1-900-PAY-US.\r\n.\r\n;")
		err := o.sorter.Deliver(t.Context(), envelope(requiretls.Usual()), bytes.NewReader([]byte(letter)), []mail.Address{addr(t, "ann@example.org")})[0]
		want := []string{"550-5.7.1 AntiSpam engine thinks your message is spam.", "550 5.7.1 Please call 1-900-PAY-US."}
		if got := reply.From(err).Lines(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", verb, got, want)
		}
	}
}

// RFC 5429 §2.1.1: non-ASCII reasons of ereject MUST be replaced; §2.2: those of
// reject go in a message of their own or not at all.
func TestRejectWithReasonThatCannotBeSaid(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", `require "ereject"; ereject "Kein Tee für mich";`)
	o.wantFates(o.deliver(envelope(requiretls.Usual()), letter, "ann@example.org"), "550 5.7.1 refused by the recipient's mail filter")
	o.rule("ann@example.org", `require "reject"; reject "Kein Tee für mich";`)
	o.wantFates(o.deliver(envelope(requiretls.Usual()), letter, "ann@example.org"), "delivered")
	o.says("msg=noted", `what="message not rejected"`)
	o.lies("ann@example.org", "INBOX 2") // the letter and the notice
}

// An alias has one answer: where others take the message it cannot be refused.
func TestRejectBehindAnAliasThatOthersTake(t *testing.T) {
	o := openOffice(t, nil)
	o.person("bob@example.org")
	o.alias("team@example.org", "ann@example.org", "bob@example.org")
	o.rule("ann@example.org", `require "ereject"; ereject "not me";`)
	o.usual(letter, "team@example.org")
	o.lies("ann@example.org", "INBOX 2")
	o.lies("bob@example.org", "INBOX 1")
	o.rule("bob@example.org", `require "ereject"; ereject "nor me";`)
	o.wantFates(o.deliver(envelope(requiretls.Usual()), letter, "team@example.org"), "550 5.7.1 not me")
}

// RFC 5228 §2.10.6: a script that breaks keeps the message, and its owner is
// told, once a day.
func TestBrokenScriptKeepsAndTellsItsOwner(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", "require [\"fileinto\", \"ihave\"];\nfileinto \"Junk\";\nerror \"out of tea\";")
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "INBOX 2")
	o.says("msg=noted", `what="script broke"`, `rule="rules, line 3"`)
	notice := o.latest("ann@example.org", "INBOX")
	for _, want := range []string{"rules, line 3: out of tea", "To: <ann@example.org>", "Auto-Submitted: auto-generated"} {
		if !strings.Contains(notice, want) {
			t.Errorf("the notice lacks %q:\n%s", want, notice)
		}
	}
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "INBOX 3") // no second notice today
}

func TestScriptThatDoesNotCompileKeepsAndTells(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", "keep;\nfile into;")
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "INBOX 2")
	o.says("msg=noted", `what="script does not compile"`, `rule="rules, line 2"`)
}

func TestRedirectWithoutRelayKeepsAndSaysSo(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", `redirect "ann@elsewhere.example";`)
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "INBOX 2")
	o.says("msg=noted", `what="redirect not sent"`)
	if notice := o.latest("ann@example.org", "INBOX"); !strings.Contains(notice, "ann@elsewhere.example") {
		t.Errorf("the notice does not name the target:\n%s", notice)
	}
}

// RFC 8689 §6: what the notice quotes is as protected as what it quotes.
func TestNoticeHasTheDemandOfTheMessage(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", `redirect "ann@elsewhere.example";`)
	o.wantFates(o.deliver(envelope(requiretls.Required()), letter, "ann@example.org"), "delivered")
	o.lies("ann@example.org", "INBOX 2 required")
}

// Short scripts whose patterns are large do not all stay in memory.
func TestScriptsAreKeptCompiledByWhatTheyTake(t *testing.T) {
	o := openOffice(t, nil)
	var main strings.Builder
	main.WriteString(`require "include";`)
	const scripts = 24 // of 7 MiB
	for i := range scripts {
		fmt.Fprintf(&main, `include "part%d";`, i)
		o.put(o.account("ann@example.org"), fmt.Sprintf("part%d", i), fmt.Sprintf(`require "regex"; if header :regex "X-Part" [
"%[1]d(a?){800}(b?){800}(c?){800}", "%[1]d(d?){800}(e?){800}(f?){800}", "%[1]d(g?){800}(h?){800}(i?){800}"] { discard; }`, i))
	}
	o.rule("ann@example.org", main.String())
	o.usual(letter, "ann@example.org")
	first := o.read
	o.usual(letter, "ann@example.org")
	if again := o.read - first; first != scripts+1 || again == 0 {
		t.Errorf("%d scripts were read for the first letter and %d for the second, want %d and some", first, again, scripts+1)
	}
	o.lies("ann@example.org", "INBOX 2")
}

func TestDuplicateIsSeenTheSecondTime(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", `require "duplicate"; if duplicate { discard; }`)
	text := "Message-ID: <1@x.example>\r\n" + letter
	o.usual(text, "ann@example.org")
	o.usual(text, "ann@example.org")
	o.usual("Message-ID: <2@x.example>\r\n"+letter, "ann@example.org")
	o.lies("ann@example.org", "INBOX 2")
}

// RFC 8689 §4.1: all copies are tagged alike, wherever the rules put them, and
// no script can tag or untag.
func TestTagIsKeptInEveryCopy(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", `require ["fileinto", "mailbox", "imap4flags", "environment", "editheader"];
		setflag ["$RequireTLS", "note"];
		deleteheader "TLS-Required";
		if environment "vnd.letterlock.requiretls" "required" { fileinto :create "Confidential"; keep; stop; }
		if environment "vnd.letterlock.requiretls" "waived" { fileinto :create "Open"; }
		if environment :contains "vnd.letterlock.requiretls" "" { stop; }
		if environment "vnd.letterlock.tls" "TLSv1.3" { fileinto :create "Usual"; }`)
	o.wantFates(o.deliver(envelope(requiretls.Required()), letter, "ann@example.org"), "delivered")
	o.lies("ann@example.org", "Confidential 1 required, INBOX 1 required")
	o.usual(letter, "ann@example.org")
	o.wantFates(o.deliver(envelope(requiretls.Waived()), "TLS-Required: No\r\n"+letter, "ann@example.org"), "delivered")
	o.lies("ann@example.org", "Confidential 1 required, INBOX 1 required, Open 1, Usual 1")
	if got := o.flags("ann@example.org", "Usual"); got != "note" {
		t.Errorf("a script set flags %q", got)
	}
	if got := o.latest("ann@example.org", "Open"); !strings.Contains(got, "TLS-Required: No\r\n") {
		t.Errorf("TLS-Required was removed:\n%s", got)
	}
}

func TestScriptMadeActiveTakesEffectWithTheNextMessage(t *testing.T) {
	o := openOffice(t, nil)
	o.usual(letter, "ann@example.org")
	o.rule("ann@example.org", `require ["fileinto"]; fileinto "Archive";`)
	o.usual(letter, "ann@example.org")
	o.rule("ann@example.org", `require ["fileinto"]; fileinto "Junk";`)
	o.usual(letter, "ann@example.org")
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "Archive 1, INBOX 1, Junk 2")
	if o.read != 2 {
		t.Errorf("the text of two scripts was read %d times", o.read)
	}
	if err := o.account("ann@example.org").ActivateScript(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "Archive 1, INBOX 2, Junk 2")
}

// RFC 5293: the copy is filed with the header as the script left it, its own
// trace in front, the rest to the octet.
func TestEditedHeaderIsFiled(t *testing.T) {
	o := openOffice(t, nil)
	o.person("bob@example.org")
	o.rule("ann@example.org", `require ["editheader", "fileinto"];
		fileinto "Archive";
		addheader "X-Sorted" "by Ann"; deleteheader "Subject"; deleteheader "Received"; addheader "Delivered-To" "x"; keep;`)
	o.usual(letter, "ann@example.org", "bob@example.org")
	before, after := o.latest("ann@example.org", "Archive"), o.latest("ann@example.org", "INBOX")
	trace, ok := strings.CutSuffix(before, letter)
	if !ok || !strings.HasPrefix(trace, "Return-Path: <alice@sender.example>\r\nDelivered-To: ann@example.org\r\nReceived: ") {
		t.Errorf("the copy filed before the change: %q", before)
	}
	if want := trace + "X-Sorted: by Ann\r\nFrom: Alice <alice@sender.example>\r\n\r\nAt five?\r\n"; after != want {
		t.Errorf("got %q, want %q", after, want)
	}
	if got := o.latest("bob@example.org", "INBOX"); !strings.HasSuffix(got, letter) {
		t.Errorf("bob has %q", got)
	}
}

// A script reads the message as it is filed, its trace included.
func TestRulesReadTraceAndEnvelope(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", `require ["fileinto", "envelope", "subaddress", "variables", "mailbox"];
		if allof (header "Delivered-To" "ann+lists@example.org", header "Return-Path" "<alice@sender.example>",
			envelope :domain "from" "sender.example", envelope :detail :matches "to" "*") { fileinto :create "${1}"; }`)
	o.usual(letter, "ann+lists@example.org")
	o.lies("ann@example.org", "lists 1")
}

// counted counts how often octets of a body are read.
type counted struct {
	*bytes.Reader
	reads int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	return c.Reader.ReadAt(p, off)
}

func TestThousandRecipientsShareOneParse(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a thousand accounts")
	}
	o := openOffice(t, nil)
	const n = 1000
	var rcpts []mail.Address
	for i := range n {
		who := fmt.Sprintf("p%d@example.org", i)
		o.person(who)
		o.rule(who, fmt.Sprintf(`require ["fileinto"]; if header "Subject" "tea" { fileinto "Archive"; } # %d`, i))
		rcpts = append(rcpts, addr(t, who))
	}
	read := func(rcpts []mail.Address) int {
		body := &counted{Reader: bytes.NewReader([]byte(letter))}
		for i, err := range o.sorter.Deliver(t.Context(), envelope(requiretls.Usual()), body, rcpts) {
			if err != nil {
				t.Fatal(rcpts[i], err)
			}
		}
		return body.reads
	}
	one := read(rcpts[:1])
	if all := read(rcpts); all > one {
		t.Errorf("for %d recipients the body was read %d times, for one %d", n, all, one)
	}
	o.lies("p0@example.org", "Archive 2")
	o.lies("p999@example.org", "Archive 1")
}

// texts keeps a text for each account, in files.
type texts struct{ dir string }

func (k texts) path(account uint64) string { return filepath.Join(k.dir, fmt.Sprint(account)) }

func (k texts) Text(_ context.Context, account uint64) (string, error) {
	text, err := os.ReadFile(k.path(account))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return string(text), err
}

func (k texts) SetText(_ context.Context, account uint64, text string) error {
	return os.WriteFile(k.path(account), []byte(text), 0o600)
}

// However much a script wants beside a letter, the letter is filed at once: it
// does not wait outside for what no store would take.
func TestLetterIsFiledWhateverItsRulesWantBeside(t *testing.T) {
	o := openOffice(t, unknown{})
	var many strings.Builder
	many.WriteString(`require "duplicate"; `)
	for i := range 80 {
		fmt.Fprintf(&many, "if duplicate :handle \"%d\" { keep; }\n", i)
	}
	long := strings.Repeat("All work and no play.\n", 40_000)
	for i, c := range []struct{ rule, said string }{
		{many.String(), "duplicate not remembered"},
		{`require "vacation"; vacation :handle "h" text:` + "\n" + long + ".\n;", "answer not sent"},
		{`require "reject"; reject text:` + "\n\u00e9" + long + ".\n;", "message not rejected"},
	} {
		o.rule("ann@example.org", c.rule)
		o.log.Reset()
		o.usual(fmt.Sprintf("Message-ID: <%d@far.example>\r\nTo: ann@example.org\r\n", i)+letter, "ann@example.org")
		o.says("msg=noted", c.said)
		o.says("msg=filed", "INBOX")
		if out, _ := o.left(); len(out) != 0 {
			t.Errorf("rule %d: left %+v", i, out)
		}
	}
}

// A script of somebody's own may be named as a global one: what it could not do
// is told to its owner all the same.
func TestOwnScriptNamedAsAGlobalOneIsItsOwners(t *testing.T) {
	o := openOffice(t, nil)
	ann := o.account("ann@example.org")
	o.put(ann, "global/before", `require "ihave"; error "no place";`)
	if err := ann.ActivateScript(t.Context(), "global/before"); err != nil {
		t.Fatal(err)
	}
	o.usual(letter, "ann@example.org")
	o.says("msg=noted", "personal/global/before, line 1")
	o.lies("ann@example.org", "INBOX 2") // the letter, and the notice
}

// What rules could not do is logged for their owner: of a required message
// without a word that may be its own (RFC 8689 §4.4), and the oldest drops out.
func TestRuleLogTellsItsOwner(t *testing.T) {
	log := deliver.NewRuleLog(texts{t.TempDir()})
	o := openOffice(t, nil, func(opt *deliver.Options) { opt.RuleLog = log })
	o.rule("ann@example.org", `require ["variables", "ihave"];
		if header :matches "Subject" "*" { set "s" "${1}"; }
		error "no place for ${s}";`)
	ann, err := o.store.Person(t.Context(), addr(t, "ann@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	account := uint64(ann.ID)
	read := func() string {
		text, err := log.Read(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if text := read(); text != "" {
		t.Errorf("nothing happened, and the log has %q", text)
	}
	o.usual("Subject: tea\r\n"+letter, "ann@example.org")
	if text := read(); !strings.HasPrefix(text, "2026-11-21 12:00:00 rules, line 3: script broke: ") || !strings.Contains(text, "no place for tea") {
		t.Errorf("the log has %q", text)
	}
	o.wantFates(o.deliver(envelope(requiretls.Required()), "Subject: secret\r\n"+letter, "ann@example.org"), "delivered")
	if text := read(); strings.Contains(text, "secret") || !strings.HasSuffix(text, "rules, line 3: script broke\n") {
		t.Errorf("the log has %q", text)
	}
	for range 200 {
		o.usual("Subject: "+strings.Repeat("x", 200)+"\r\n"+letter, "ann@example.org")
	}
	if text := read(); len(text) > 16<<10 || len(text) < 15<<10 || strings.Contains(text, "tea") || !strings.HasPrefix(text, "2026-") {
		t.Errorf("the log has %d octets and begins %.80q", len(text), text)
	}
	if err := log.Forget(t.Context(), account); err != nil || read() != "" {
		t.Errorf("forgotten: %v, %q", err, read())
	}
}

// RFC 5490 §3, §4: what is noted on a mailbox, and on the account.
func TestMetadataDecides(t *testing.T) {
	o := openOffice(t, nil)
	a := o.account("ann@example.org")
	team, err := a.Create(t.Context(), "Team", "")
	if err != nil {
		t.Fatal(err)
	}
	note := func(id storage.MailboxID, name, value string) {
		t.Helper()
		if err := a.Annotate(t.Context(), id, []storage.Annotation{{Name: name, Value: []byte(value)}}); err != nil {
			t.Fatal(err)
		}
	}
	note(team.ID, "/private/vendor/vacation", "off")
	note(0, "/private/comment", "at sea")
	o.rule("ann@example.org", `require ["mboxmetadata", "servermetadata", "fileinto"];
		if allof(metadata "Team" "/private/vendor/vacation" "off", metadataexists "Team" "/private/vendor/vacation",
			not metadataexists "Nowhere" "/private/vendor/vacation", servermetadata :contains "/private/comment" "sea") { fileinto "Team"; }`)
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "Team 1")
}
