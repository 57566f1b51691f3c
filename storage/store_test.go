package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/storage/segment"
)

// body is a message in memory.
type body struct{ *bytes.Reader }

func newBody(s string) body { return body{bytes.NewReader([]byte(s))} }

// letter is a small message about subject and its summary.
func letter(subject string) (mail.Body, *mail.Summary) {
	head := "Subject: " + subject + "\r\nMessage-ID: <" + subject + "@test>\r\n\r\n"
	text := head + "Hello " + subject + "\r\n"
	return newBody(text), &mail.Summary{
		Subject: subject, MessageID: "<" + subject + "@test>", Has: mail.HasSubject | mail.HasMessageID,
		Root: mail.Part{Type: "text", Subtype: "plain", Encoding: "7bit", Body: int64(len(head)), End: int64(len(text)), Lines: 1},
	}
}

func openStore(t testing.TB, dir string, opt Options) *Store {
	t.Helper()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func addPerson(t testing.TB, s *Store, local string) Person {
	t.Helper()
	p, err := s.AddPerson(context.Background(), mail.Address{Local: local, Domain: "example.org"}, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// deliver commits one letter to INBOX of each account.
func deliver(t testing.TB, s *Store, subject string, demand requiretls.Demand, to ...AccountID) {
	t.Helper()
	b, sum := letter(subject)
	for i, err := range s.Commit(context.Background(), &mail.Envelope{ID: subject, Demand: demand, Peer: "192.0.2.1"}, b, sum, plansFor(inbox, to...)) {
		if err != nil {
			t.Fatalf("plan %d: %v", i, err)
		}
	}
}

func plansFor(mailbox string, to ...AccountID) (plans []mail.Delivery) {
	for _, a := range to {
		plans = append(plans, mail.Delivery{Account: uint64(a), Prefix: fmt.Appendf(nil, "Delivered-To: %d\r\n", a), Copies: []mail.Copy{{Mailbox: mailbox}}})
	}
	return plans
}

func mailbox(t testing.TB, a *Account, name string) Mailbox {
	t.Helper()
	m, err := a.Mailbox(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func view(t testing.TB, a *Account, name string) *View {
	t.Helper()
	v, err := a.View(context.Background(), mailbox(t, a, name).ID)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func uidsOf(v *View) (uids []UID) {
	for _, e := range v.All(0, v.Len()) {
		uids = append(uids, e.UID)
	}
	return uids
}

// release is what a session over TLS gets for a message of demand d.
func release(t testing.TB, d requiretls.Demand) requiretls.Release {
	t.Helper()
	r, err := d.Release(requiretls.Reader{TLS: true}, requiretls.PolicyTLS)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readAll(t testing.TB, a *Account, id MailboxID, uid UID, d requiretls.Demand) string {
	t.Helper()
	m, err := a.Message(context.Background(), id, uid, release(t, d))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	b, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDeliveredLetterIsReadBackWithItsPrefixAndDemand(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ann, bob := addPerson(t, s, "ann"), addPerson(t, s, "bob")
	deliver(t, s, "one", requiretls.Usual(), ann.ID, bob.ID)
	deliver(t, s, "two", requiretls.Required(), ann.ID)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = openStore(t, dir, Options{})
	a := s.Account(ann.ID)
	v := view(t, a, "inbox")
	if got, want := uidsOf(v), []UID{1, 2}; !reflect.DeepEqual(got, want) {
		t.Fatalf("UIDs %v, want %v", got, want)
	}
	if got := v.At(1).Flags.Demand(); !got.IsRequired() {
		t.Errorf("demand beside the flags: %v", got)
	}
	rows, err := a.Rows(ctx, v.Mailbox().ID, uidsOf(v))
	if err != nil || len(rows) != 2 {
		t.Fatalf("rows: %d, %v", len(rows), err)
	}
	if !rows[1].Demand.IsRequired() || rows[0].Demand != requiretls.Usual() {
		t.Errorf("demands %v and %v", rows[0].Demand, rows[1].Demand)
	}
	want := fmt.Sprintf("Delivered-To: %d\r\n", ann.ID)
	if got := readAll(t, a, inboxID, 2, requiretls.Required()); !strings.HasPrefix(got, want+"Subject: two\r\n") || int64(len(got)) != rows[1].Size {
		t.Errorf("octets %q of %d", got, rows[1].Size)
	}
	if _, err := a.Message(ctx, inboxID, 2, release(t, requiretls.Usual())); !errors.Is(err, requiretls.ErrWithheld) {
		t.Errorf("release for another demand: %v", err)
	}
	sum, err := a.Summary(ctx, inboxID, 2, release(t, requiretls.Required()))
	if err != nil || sum.Subject != "two" || sum.Root.Body != rows[1].HeaderSize {
		t.Errorf("summary %+v, %v; header %d", sum, err, rows[1].HeaderSize)
	}
}

func TestAppendAnswersItsUIDs(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	var letters []Letter
	date := time.Date(2020, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
	for i := range 3 {
		b, sum := letter(fmt.Sprint("draft", i))
		letters = append(letters, Letter{Body: b, Summary: sum, Flags: []string{`\Seen`, "$MDNSent"}, InternalDate: date, Demand: requiretls.Usual()})
	}
	validity, uids, err := a.Append(ctx, "Drafts", letters)
	if err != nil {
		t.Fatal(err)
	}
	m := mailbox(t, a, "Drafts")
	if !reflect.DeepEqual(uids, []UID{1, 2, 3}) || validity != m.UIDValidity {
		t.Errorf("UIDs %v of %d, mailbox has %d", uids, validity, m.UIDValidity)
	}
	if m.Messages != 3 || m.Unseen != 0 || !reflect.DeepEqual(m.Keywords, []string{"$MDNSent"}) {
		t.Errorf("mailbox %+v", m)
	}
	rows, err := a.Rows(ctx, m.ID, uids)
	if err != nil || len(rows) != 3 || !rows[0].InternalDate.Equal(date) {
		t.Fatalf("rows %+v, %v", rows, err)
	}
	if _, off := rows[0].InternalDate.Zone(); off != 3600 {
		t.Errorf("the internal date lost its zone: %v", rows[0].InternalDate)
	}
	if _, _, err := a.Append(ctx, "Nowhere", letters); !errors.Is(err, ErrNotFound) {
		t.Errorf("append to a mailbox that is not there: %v", err)
	}
}

func TestRequireTLSKeywordIsStoredByNobody(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	a := s.Account(p.ID)
	deliver(t, s, "one", requiretls.Usual(), p.ID)
	b, sum := letter("x")
	for _, name := range []string{"$RequireTLS", "$requiretls"} {
		plans := plansFor(inbox, p.ID)
		plans[0].Copies[0].Flags = []string{name}
		if errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plans); !errors.Is(errs[0], ErrReadOnlyFlag) {
			t.Errorf("commit with %s: %v", name, errs[0])
		}
		if _, _, err := a.Append(ctx, inbox, []Letter{{Body: b, Summary: sum, Flags: []string{name}, Demand: requiretls.Usual()}}); !errors.Is(err, ErrReadOnlyFlag) {
			t.Errorf("append with %s: %v", name, err)
		}
		for _, op := range []FlagOp{AddFlags, RemoveFlags, ReplaceFlags} {
			if _, err := a.StoreFlags(ctx, inboxID, []UID{1}, op, []string{name}, 0); !errors.Is(err, ErrReadOnlyFlag) {
				t.Errorf("store %d of %s: %v", op, name, err)
			}
		}
	}
	if got := view(t, a, inbox).Len(); got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
}

func TestDemandStaysWithCopyMoveAndRename(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	a := s.Account(p.ID)
	deliver(t, s, "tagged", requiretls.Required(), p.ID)
	deliver(t, s, "waived", requiretls.Waived(), p.ID)
	before, err := a.Rows(ctx, inboxID, []UID{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Copy(ctx, inboxID, []UID{1, 2}, "Archive"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Move(ctx, mailbox(t, a, "Archive").ID, []UID{1, 2}, "Trash"); err != nil {
		t.Fatal(err)
	}
	if err := a.Rename(ctx, "Trash", "Lists/Old"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.StoreFlags(ctx, mailbox(t, a, "Lists/Old").ID, []UID{1, 2}, ReplaceFlags, []string{`\Flagged`}, 0); err != nil {
		t.Fatal(err)
	}
	m := mailbox(t, a, "Lists/Old")
	rows, err := a.Rows(ctx, m.ID, []UID{1, 2})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, want := range []requiretls.Demand{requiretls.Required(), requiretls.Waived()} {
		if rows[i].Demand != want || view(t, a, m.Name).At(i).Flags.Demand() != want {
			t.Errorf("message %d: demand %v, want %v", i+1, rows[i].Demand, want)
		}
		if rows[i].EmailID != before[i].EmailID || rows[i].ThreadID != before[i].ThreadID {
			t.Errorf("message %d: its ids changed on the way", i+1)
		}
		readAll(t, a, m.ID, rows[i].UID, want)
	}
	if m.Required != 1 {
		t.Errorf("%d required in the counters, want 1", m.Required)
	}
}

// misflag lets bits of the first message of a mailbox fall over.
func (t *txn) misflag(b *openBox, wrong func(Flags) Flags) error {
	first, blk, err := blockAt(t.tx, b.id.account, b.ID, 1, anew)
	if err != nil {
		return err
	}
	blk.entries[0].flags, blk.changed = wrong(blk.entries[0].flags), b.bump()
	t.tx.Put(blockKey(b.id.account, b.ID, first), blk.encode())
	return nil
}

func TestDisagreeingDemandIsRequired(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	a := s.Account(p.ID)
	deliver(t, s, "one", requiretls.Required(), p.ID)
	err := a.change(ctx, func(tx *txn, _ *account) error {
		b, err := tx.mustBox(p.ID, inboxID)
		if err != nil {
			return err
		}
		return tx.misflag(b, func(f Flags) Flags { return f &^ demandBits })
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := a.Rows(ctx, inboxID, []UID{1})
	if err != nil || !rows[0].Demand.IsRequired() {
		t.Fatalf("rows %+v, %v", rows, err)
	}
	if _, err := a.Message(ctx, inboxID, 1, release(t, requiretls.Usual())); !errors.Is(err, requiretls.ErrWithheld) {
		t.Errorf("message: %v", err)
	}
	readAll(t, a, inboxID, 1, requiretls.Required())
}

func TestRenamingInboxMovesItsMessages(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	a := s.Account(p.ID)
	if _, err := a.Create(ctx, "INBOX/child", ""); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, "one", requiretls.Usual(), p.ID)
	before := mailbox(t, a, inbox)
	if err := a.Rename(ctx, "inbox", "Old/Mail"); err != nil {
		t.Fatal(err)
	}
	after := mailbox(t, a, "InBox")
	if after.Messages != 0 || after.ID != before.ID || after.UIDNext != before.UIDNext || after.UIDValidity != before.UIDValidity {
		t.Errorf("INBOX before %+v, after %+v", before, after)
	}
	if m := mailbox(t, a, "Old/Mail"); m.Messages != 1 {
		t.Errorf("%d messages moved, want 1", m.Messages)
	}
	mailbox(t, a, "INBOX/child")
	deliver(t, s, "two", requiretls.Usual(), p.ID)
	if got := uidsOf(view(t, a, inbox)); !reflect.DeepEqual(got, []UID{2}) {
		t.Errorf("UIDs in INBOX %v: the old one must not come back", got)
	}
}

func TestDeliveryIntoAMailboxThatVanishedGoesToInbox(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	a := s.Account(p.ID)
	m, err := a.Create(ctx, "Lists", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Delete(ctx, "Lists"); err != nil {
		t.Fatal(err)
	}
	b, sum := letter("late")
	// As it stands in the log when the mailbox went between commit and apply.
	r := &segment.Record{Kind: segment.Delivered, Envelope: mail.Envelope{Demand: requiretls.Required()}, Summary: encodeSummary(sum),
		Recipients: []segment.Recipient{{Account: uint64(p.ID), Copies: []segment.Copy{{Mailbox: uint32(m.ID), Name: "Lists"}}}}}
	if err := s.log.Append(ctx, segment.Letter{Record: r, Body: b}); err != nil {
		t.Fatal(err)
	}
	if got := view(t, a, inbox); got.Len() != 1 || !got.At(0).Flags.Demand().IsRequired() {
		t.Errorf("INBOX has %d messages", got.Len())
	}
	plans := plansFor("New/Place", p.ID)
	plans[0].Copies[0].Create = true
	if errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plans); errs[0] != nil {
		t.Fatal(errs[0])
	}
	if got := mailbox(t, a, "New/Place"); got.Messages != 1 {
		t.Errorf("the mailbox made for it has %d messages", got.Messages)
	}
}

func TestAFailedPlanLeavesItsNeighboursAlone(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	b, sum := letter("x")
	errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plansFor(inbox, 999, p.ID))
	if !errors.Is(errs[0], ErrNotFound) || errs[1] != nil {
		t.Fatalf("errors %v", errs)
	}
	if errs := s.Commit(ctx, &mail.Envelope{}, b, sum, plansFor(inbox, p.ID)); errs[0] == nil {
		t.Error("a letter whose demand is not stated was taken")
	}
	if got := view(t, s.Account(p.ID), inbox).Len(); got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
}

func TestBigBodyIsAFileOfItsOwnAndGoesWithItsLastMailbox(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openStore(t, dir, Options{})
	ann, bob := addPerson(t, s, "ann"), addPerson(t, s, "bob")
	f, err := s.Spool()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("0123456789abcde\n", 3<<16)
	if _, err := io.Copy(struct{ io.Writer }{f}, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	sum := &mail.Summary{Root: mail.Part{End: int64(len(text))}}
	for _, err := range s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, f, sum, plansFor(inbox, ann.ID, bob.ID)) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	files := func() int {
		names, err := filepath.Glob(filepath.Join(dir, segmentDir, "*.big"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	if got := readAll(t, s.Account(bob.ID), inboxID, 1, requiretls.Usual()); !strings.HasSuffix(got, text) || files() != 1 {
		t.Fatalf("%d octets in %d files", len(got), files())
	}
	for i, p := range []Person{ann, bob} {
		if err := s.Account(p.ID).Expunge(ctx, inboxID, []UID{1}); err != nil {
			t.Fatal(err)
		}
		if err := s.reap(ctx); err != nil {
			t.Fatal(err)
		}
		if got, want := files(), 1-i; got != want {
			t.Errorf("%d files after expunge %d, want %d", got, i+1, want)
		}
	}
}

func TestSecondProcessIsToldThePidOfTheFirst(t *testing.T) {
	dir := t.TempDir()
	if os.Getenv("LETTERLOCK_OPEN") != "" {
		_, err := Open(os.Getenv("LETTERLOCK_OPEN"), Options{})
		fmt.Println(errors.Is(err, ErrLocked), err)
		return
	}
	openStore(t, dir, Options{})
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecondProcessIsToldThePidOfTheFirst$")
	cmd.Env = append(os.Environ(), "LETTERLOCK_OPEN="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := fmt.Sprintf("by process %d", os.Getpid()); !strings.HasPrefix(string(out), "true ") || !strings.Contains(string(out), want) {
		t.Errorf("said %q, want %q", out, want)
	}
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "data"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := addPerson(t, s, "ann")
	deliver(t, s, "one", requiretls.Usual(), p.ID)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	err = filepath.Walk(filepath.Join(dir, "data"), func(name string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	loose := filepath.Join(dir, "data", "index", "00.db")
	if err := os.Chmod(loose, 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(filepath.Join(dir, "data"), Options{}); err == nil || !strings.Contains(err.Error(), loose) {
		t.Errorf("a store that others can read was opened: %v, %v", s, err)
	}
}

func TestPeopleAndAliases(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	for i := range 250 {
		addPerson(t, s, fmt.Sprintf("user%03d", i))
	}
	if _, err := s.AddPerson(ctx, mail.Address{Local: "user007", Domain: "example.org"}, nil); !errors.Is(err, ErrExists) {
		t.Errorf("a second user007: %v", err)
	}
	n, last := 0, ""
	for p, err := range s.People(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; p.Address.Local <= last {
			t.Errorf("%s after %s", p.Address.Local, last)
		}
		last = p.Address.Local
	}
	if n != 250 {
		t.Errorf("%d people, want 250", n)
	}
	all := Alias{From: mail.Address{Domain: "example.org"}, To: []mail.Address{{Local: "user001", Domain: "example.org"}, {Local: "x", Domain: "y"}}}
	if err := s.SetAlias(ctx, all); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Alias(ctx, all.From); err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("alias %+v, %v", got, err)
	}
	if err := s.RemoveAlias(ctx, all.From); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveAlias(ctx, all.From); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestRemovedPersonTakesHisMailAlong(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	deliver(t, s, "one", requiretls.Usual(), p.ID)
	if err := s.RemovePerson(ctx, p.Address); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Account(p.ID).Mailboxes(ctx); !errors.Is(err, ErrNotFound) {
		t.Errorf("mailboxes of one who is gone: %v", err)
	}
	b, sum := letter("two")
	if errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plansFor(inbox, p.ID)); !errors.Is(errs[0], ErrNotFound) {
		t.Errorf("delivery: %v", errs[0])
	}
	again := addPerson(t, s, "ann")
	if again.ID == p.ID || view(t, s.Account(again.ID), inbox).Len() != 0 {
		t.Errorf("the new ann has id %d (old %d) and old mail", again.ID, p.ID)
	}
}

func TestQuotaRefusesWhatDoesNotFit(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	a := s.Account(p.ID)
	deliver(t, s, "one", requiretls.Usual(), p.ID)
	if err := a.SetLimits(ctx, Usage{Messages: 1}); err != nil {
		t.Fatal(err)
	}
	b, sum := letter("two")
	if errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plansFor(inbox, p.ID)); !errors.Is(errs[0], ErrOverQuota) {
		t.Errorf("commit: %v", errs[0])
	}
	if _, err := a.Copy(ctx, inboxID, []UID{1}, "Trash"); !errors.Is(err, ErrOverQuota) {
		t.Errorf("copy: %v", err)
	}
	if _, err := a.Move(ctx, inboxID, []UID{1}, "Trash"); err != nil {
		t.Errorf("a move adds nothing: %v", err)
	}
	if err := a.CheckQuota(ctx, Usage{Messages: 1}); !errors.Is(err, ErrOverQuota) {
		t.Errorf("check: %v", err)
	}
}

func TestRetryOfAnUnansweredLetterIsNoSecondLetter(t *testing.T) {
	ctx, dir, now := context.Background(), t.TempDir(), time.Now()
	clock := func() time.Time { return now }
	s, err := Open(dir, Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	ann := addPerson(t, s, "ann")
	b, sum := letter("once")
	env := &mail.Envelope{From: mail.Address{Local: "x", Domain: "y"}, Demand: requiretls.Required()}
	plans := plansFor(inbox, ann.ID)
	plans[0].Rcpt = ann.Address
	offer := func(want int) {
		t.Helper()
		if errs := s.Commit(ctx, env, b, sum, plans); errs[0] != nil {
			t.Fatal(errs[0])
		}
		if got := view(t, s.Account(ann.ID), inbox).Len(); got != want {
			t.Errorf("%d copies, want %d", got, want)
		}
	}
	offer(1)
	if err := s.Unanswered(ctx, env, b, []mail.Address{ann.Address}); err != nil {
		t.Fatal(err)
	}
	offer(1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{Now: clock})
	offer(1)
	other := *env
	other.From.Local = "z"
	if errs := s.Commit(ctx, &other, b, sum, plans); errs[0] != nil {
		t.Fatal(errs[0])
	}
	now = now.Add(2 * time.Hour)
	offer(3)
}

// The process is killed between its 250 and whoever waits for it: the MTA offers the
// letter again, an alias's to all behind it, and it comes once. The same letter sent a
// second time later is another one.
func TestLetterWhoseAnswerDiedWithTheProcessComesOnce(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	people := peopleOfTwoShards(t, s)
	for _, id := range people { // and nothing before is left to be applied
		view(t, s.Account(id), inbox)
	}
	b, sum := letter("once")
	env := &mail.Envelope{From: mail.Address{Local: "x", Domain: "y"}, Demand: requiretls.Required()}
	plans := plansFor(inbox, people...)
	for i := range plans {
		plans[i].Rcpt = mail.Address{Local: "team", Domain: "z"}
	}
	offer := func(s *Store, from string, want int) {
		t.Helper()
		env := *env
		env.From.Local = from
		if err := errors.Join(s.Commit(context.Background(), &env, b, sum, plans)...); err != nil {
			t.Fatal(err)
		}
		for _, id := range people {
			if got := view(t, s.Account(id), inbox).Len(); got != want {
				t.Errorf("account %d has %d copies, want %d", id, got, want)
			}
		}
	}
	s.applying <- struct{}{} // what is acknowledged stays in the log alone
	if err := errors.Join(s.Commit(context.Background(), env, b, sum, plans)...); err != nil {
		t.Fatal(err)
	}
	image := crashImage(t, dir)
	<-s.applying

	again := openStore(t, image, Options{})
	offer(again, "x", 1)
	offer(again, "x", 2)
	offer(again, "other", 3)

	// After a clean stop everybody has heard his answer.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{})
	offer(s, "x", 2)
}

// Where somebody looks into the mailbox the index follows at once, and the process may
// be killed before whoever brought the letter has heard: it comes once there, too.
func TestLetterThatWasSeenBeforeItWasAnsweredComesOnce(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{Shards: 1})
	ann := addPerson(t, s, "ann").ID
	b, sum := letter("once")
	env := &mail.Envelope{From: mail.Address{Local: "x", Domain: "y"}, Demand: requiretls.Usual()}
	plans := plansFor(inbox, ann)
	plans[0].Rcpt = mail.Address{Local: "ann", Domain: "z"}
	offer := func(s *Store, want int) {
		t.Helper()
		if err := errors.Join(s.Commit(context.Background(), env, b, sum, plans)...); err != nil {
			t.Fatal(err)
		}
		if got := view(t, s.Account(ann), inbox).Len(); got != want {
			t.Errorf("%d copies, want %d", got, want)
		}
	}
	offer(s, 1)
	again := openStore(t, crashImage(t, dir), Options{})
	offer(again, 1)
	offer(again, 2)
}

func TestMailboxNames(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	long := strings.Repeat("ä", 480)
	for _, name := range []string{"A/B/C", long} {
		if _, err := a.Create(ctx, name, ""); err != nil {
			t.Errorf("create %.20q: %v", name, err)
		}
		if _, err := a.Create(ctx, name, ""); !errors.Is(err, ErrExists) {
			t.Errorf("create %.20q again: %v", name, err)
		}
		if got := mailbox(t, a, name).Name; got != name {
			t.Errorf("%q became %q", name, got)
		}
	}
	for _, name := range []string{"", "/", "a//b", "a/", "\x00", "\xff", strings.Repeat("x", 1001)} {
		if _, err := a.Create(ctx, name, ""); !errors.Is(err, ErrBadName) {
			t.Errorf("create %.20q: %v", name, err)
		}
	}
	if err := a.Delete(ctx, "A/B"); err != nil {
		t.Fatal(err)
	}
	mailbox(t, a, "A/B/C") // children stay
	if err := a.Delete(ctx, "A/B"); !errors.Is(err, ErrHasChildren) {
		t.Errorf("deleting a name with children alone: %v", err)
	}
	if err := a.Rename(ctx, "A", "Drafts"); !errors.Is(err, ErrExists) {
		t.Errorf("rename over another: %v", err)
	}
	if err := a.Rename(ctx, "A", "Z/Y"); err != nil {
		t.Fatal(err)
	}
	mailbox(t, a, "Z/Y/B/C")
	if _, err := a.Mailbox(ctx, "A/B/C"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the old name: %v", err)
	}
	if err := a.Delete(ctx, "inbox"); !errors.Is(err, ErrBadName) {
		t.Errorf("delete INBOX: %v", err)
	}
}

// Whatever way mailboxes are made: as many as there can be are renamed in one
// change, and no more come of that.
func TestAThousandMailboxesAreRenamedAndNoMoreAreMade(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	deep := "x" + strings.Repeat("/x", 20)
	if _, err := a.Create(ctx, deep, ""); err != nil {
		t.Fatal(err)
	}
	there, err := a.Mailboxes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var copies []mail.Copy
	for i := len(there); i < MaxMailboxes-1; i++ { // the levels above are there already
		copies = append(copies, mail.Copy{Mailbox: fmt.Sprintf("%s/%s%d", deep, strings.Repeat("y", 400), i), Create: true})
	}
	b, sum := letter("for all of them")
	for some := range slices.Chunk(copies, 200) {
		plans := []mail.Delivery{{Account: uint64(a.id), Copies: some}}
		if errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plans); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	if all, err := a.Mailboxes(ctx); err != nil || len(all) != MaxMailboxes-1 {
		t.Errorf("%d mailboxes, %v: want %d", len(all), err, MaxMailboxes-1)
	}
	if err := a.Rename(ctx, "x", "a/b/c"); !errors.Is(err, ErrLimit) {
		t.Errorf("renamed below two that are not there: %v, want ErrLimit", err)
	}
	if err := a.Rename(ctx, "x", "a/b"); err != nil {
		t.Errorf("renamed below one that is not there: %v", err)
	}
	if err := a.Rename(ctx, "a", "z"); err != nil {
		t.Errorf("renamed: %v", err)
	}
	if all, err := a.Mailboxes(ctx); err != nil || len(all) != MaxMailboxes {
		t.Errorf("%d mailboxes, %v: want %d", len(all), err, MaxMailboxes)
	}
}

func TestFullDiskIsToldInBothWays(t *testing.T) {
	err := unavailable(fmt.Errorf("%w: %w", segment.ErrUnwritten, &os.PathError{Op: "write", Err: syscall.ENOSPC}))
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, reply.DiskFull) {
		t.Errorf("%v is not both", err)
	}
	if got := reply.From(err).Line(); !strings.HasPrefix(got, "452 4.3.1 ") {
		t.Errorf("the stranger reads %q", got)
	}
}
