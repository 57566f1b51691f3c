package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
	"letterlock/storage/kv/journal"
	"letterlock/storage/seal"
)

// ruin overwrites the middle of a file.
func ruin(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(strings.Repeat("ruin", 8<<10)), 0); err != nil {
		t.Fatal(err)
	}
}

// deliverTo is deliver with the recipient's address, as a real envelope has it.
func deliverTo(t *testing.T, s *Store, p Person, subject string, d requiretls.Demand) {
	t.Helper()
	b, sum := letter(subject)
	plans := plansFor(inbox, p.ID)
	plans[0].Rcpt = p.Address
	if errs := s.Commit(context.Background(), &mail.Envelope{Demand: d}, b, sum, plans); errs[0] != nil {
		t.Fatal(errs[0])
	}
}

func repair(t *testing.T, dir string) (said string) {
	t.Helper()
	var lines []string
	if err := Repair(context.Background(), dir, Options{}, func(line string) { lines = append(lines, line) }); err != nil {
		t.Fatalf("%v after %q", err, lines)
	}
	return strings.Join(lines, "\n")
}

// subjects is what lies in a mailbox, with the demand where it is not usual.
func subjects(t *testing.T, a *Account, name string) (all []string) {
	t.Helper()
	m := mailbox(t, a, name)
	for _, e := range view(t, a, name).All(0, int(m.Messages)) {
		d := e.Flags.Demand()
		sum, err := a.Summary(context.Background(), m.ID, e.UID, release(t, d))
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, a, m.ID, e.UID, d)
		word := sum.Subject
		if d != requiretls.Usual() {
			word += "/" + d.String()
		}
		all = append(all, word)
	}
	return all
}

func TestRepairTakesTheCheckpointAndReplaysWhatCameAfter(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := Open(dir, Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	deliverTo(t, s, ann, "before", requiretls.Required())
	deliverTo(t, s, ann, "expunged later", requiretls.Usual())
	if _, err := a.Copy(ctx, inboxID, []UID{1}, "Archive"); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	deliverTo(t, s, ann, "after", requiretls.Required())
	b, sum := letter("appended")
	if _, _, err := a.Append(ctx, "Drafts", []Letter{{Body: b, Summary: sum, Demand: requiretls.Usual()}}); err != nil {
		t.Fatal(err)
	}
	if err := a.Expunge(ctx, inboxID, []UID{2}); err != nil {
		t.Fatal(err)
	}
	old := mailbox(t, a, inbox)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ruin(t, bolt.ShardFile(filepath.Join(dir, indexDir), 0))
	if s, err := Open(dir, Options{}); err == nil {
		t.Fatalf("a ruined index was opened: %v", s)
	}

	said := repair(t, dir)
	if !strings.Contains(said, "shard 0 cannot be read") || !strings.Contains(said, "checkpoint") {
		t.Errorf("said %q", said)
	}
	s = openStore(t, dir, Options{})
	a = s.Account(ann.ID)
	if got := subjects(t, a, inbox); !slices.Equal(got, []string{"before/required", "expunged later", "after/required"}) {
		t.Errorf("INBOX has %q", got)
	}
	if got := subjects(t, a, "Archive"); !slices.Equal(got, []string{"before/required"}) {
		t.Errorf("Archive has %q", got)
	}
	if got := subjects(t, a, "Drafts"); !slices.Equal(got, []string{"appended"}) {
		t.Errorf("Drafts has %q", got)
	}
	if m := mailbox(t, a, inbox); m.UIDValidity <= old.UIDValidity {
		t.Errorf("UIDVALIDITY %d, was %d: UIDs that nobody can vouch for", m.UIDValidity, old.UIDValidity)
	}
	if got, err := s.Person(ctx, ann.Address); err != nil || string(got.Credentials) != "secret" {
		t.Errorf("ann is %+v, %v", got, err)
	}
	if got := findings(t, s); len(got) > 0 {
		t.Errorf("after the repair: %q", got)
	}
}

// The journal of the index has rotted, the index itself is whole: nothing is
// opened, the repair says so, and goes on from the index as it had settled. All
// mail is there.
func TestRepairWithADamagedJournal(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openStore(t, dir, Options{Shards: 1})
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	deliverTo(t, s, ann, "one", requiretls.Required())
	deliverTo(t, s, ann, "two", requiretls.Usual())
	old := mailbox(t, a, inbox)
	for _, flag := range []string{`\Seen`, `\Flagged`, `\Answered`} {
		if _, err := a.StoreFlags(ctx, inboxID, []UID{1}, AddFlags, []string{flag}, 0); err != nil {
			t.Fatal(err)
		}
	}
	image := crashImage(t, dir)
	rotJournal(t, image)
	if s, err := Open(image, Options{}); !errors.Is(err, journal.ErrDamaged) {
		t.Fatalf("opened: %v, %v; want %v", s != nil, err, journal.ErrDamaged)
	}
	said := repair(t, image)
	if !strings.Contains(said, "shard 0") || !strings.Contains(said, "journal") || !strings.Contains(said, "UIDVALIDITY is") {
		t.Errorf("said %q", said)
	}
	s = openStore(t, image, Options{})
	a = s.Account(ann.ID)
	if got := subjects(t, a, inbox); !slices.Equal(got, []string{"one/required", "two"}) {
		t.Errorf("INBOX has %q", got)
	}
	if m := mailbox(t, a, inbox); m.UIDValidity <= old.UIDValidity {
		t.Errorf("UIDVALIDITY %d, was %d: UIDs that nobody can vouch for", m.UIDValidity, old.UIDValidity)
	}
	if got := findings(t, s); len(got) > 0 {
		t.Errorf("after the repair: %q", got)
	}
	aside, err := filepath.Glob(filepath.Join(image, indexDir, "*.journal.damaged-*"))
	if err != nil || len(aside) == 0 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
}

// A value of the index rots while the server runs. The next checkpoint does not
// take the place of the last good one, nor does a backup: the repair that follows
// has every folder, and not one of Recovered.
func TestRottenIndexTakesThePlaceOfNoCopy(t *testing.T) {
	ctx, dir, saved := context.Background(), t.TempDir(), t.TempDir()
	s, err := Open(dir, Options{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	people := peopleOfTwoShards(t, s)
	for _, id := range people {
		deliver(t, s, "before", requiretls.Required(), id)
		if _, err := s.Account(id).Copy(ctx, inboxID, []UID{1}, "Archive"); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Checkpoint(ctx), s.Backup(ctx, saved)); err != nil {
		t.Fatal(err)
	}
	k := rowKey(people[0], 0)
	lo := k[:len(k)-8]
	err = s.journal.Update(ctx, placeAccount(people[0], 2), func(tx kv.Tx) error {
		for k, v := range tx.Range(lo, kv.After(lo), kv.Options{Limit: 1}) {
			v = slices.Clone(v)
			v[len(v)-1] ^= 1
			defer tx.Put(slices.Clone(k), v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range people {
		deliver(t, s, "after", requiretls.Usual(), id)
	}
	for name, err := range map[string]error{"checkpoint": s.Checkpoint(ctx), "backup": s.Backup(ctx, saved)} {
		if err == nil || !strings.Contains(err.Error(), "fsck --repair") {
			t.Errorf("%s of a rotten index: %v", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(t.TempDir(), "data")
	if err := Restore(ctx, saved, restored); err != nil {
		t.Errorf("the older backup: %v", err)
	}
	if said := repair(t, dir); !strings.Contains(said, "begun again from: checkpoint") {
		t.Errorf("said %q", said)
	}
	s = openStore(t, dir, Options{})
	for _, id := range people {
		if got := subjects(t, s.Account(id), inbox); !slices.Equal(got, []string{"before/required", "after"}) {
			t.Errorf("INBOX has %q", got)
		}
		if got := subjects(t, s.Account(id), "Archive"); !slices.Equal(got, []string{"before/required"}) {
			t.Errorf("Archive has %q", got)
		}
	}
	if got := findings(t, s); len(got) > 0 {
		t.Errorf("after the repair: %q", got)
	}
}

// rotJournal harms the first record of shard 0.
func rotJournal(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, indexDir, "00.a.journal")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[2*512+9] ^= 1 // in its number
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A journal that the disk does not give any more is damaged like one that rotted.
func TestRepairWithAJournalThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{Shards: 1})
	ann := addPerson(t, s, "ann")
	deliverTo(t, s, ann, "one", requiretls.Usual())
	subjects(t, s.Account(ann.ID), inbox)
	image := crashImage(t, dir)
	name := filepath.Join(image, indexDir, "00.a.journal")
	if err := errors.Join(os.Remove(name), os.Mkdir(name, 0o700)); err != nil {
		t.Fatal(err)
	}
	if said := repair(t, image); !strings.Contains(said, "shard 0") {
		t.Errorf("said %q", said)
	}
	s = openStore(t, image, Options{})
	if got := subjects(t, s.Account(ann.ID), inbox); !slices.Equal(got, []string{"one"}) {
		t.Errorf("INBOX has %q", got)
	}
}

// The repair of a rotten journal is cut short, in a store without a checkpoint: the
// next one has the whole index still, with its people and folders.
func TestRepairOfAJournalThatWasCutShortKeepsTheIndex(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openStore(t, dir, Options{Shards: 1})
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	if _, err := a.Create(ctx, "Letters", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.SetCredentials(ctx, ann.Address, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	deliverTo(t, s, ann, "one", requiretls.Usual())
	if err := s.index.Copy(ctx, 0, io.Discard); err != nil { // it settles
		t.Fatal(err)
	}
	for _, flag := range []string{`\Seen`, `\Flagged`, `\Answered`} {
		if _, err := a.StoreFlags(ctx, inboxID, []UID{1}, AddFlags, []string{flag}, 0); err != nil {
			t.Fatal(err)
		}
	}
	image := crashImage(t, dir)
	rotJournal(t, image)
	for range 2 {
		if _, err := repairIndex(ctx, image, &Options{}, func(string) {}); err != nil {
			t.Fatal(err)
		}
	}
	if said := repair(t, image); strings.Contains(said, "nil") {
		t.Errorf("said %q", said)
	}
	s = openStore(t, image, Options{})
	if got := subjects(t, s.Account(ann.ID), inbox); !slices.Equal(got, []string{"one"}) {
		t.Errorf("INBOX has %q", got)
	}
	if got, err := s.Person(ctx, ann.Address); err != nil || string(got.Credentials) != "secret" {
		t.Errorf("ann is %+v, %v", got, err)
	}
	mailbox(t, s.Account(ann.ID), "Letters")
	if got := findings(t, s); len(got) > 0 {
		t.Errorf("after the repair: %q", got)
	}
}

func TestRepairWithoutACheckpointRecoversEveryMessage(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := Open(dir, Options{Shards: 2, SegmentSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	people := []Person{addPerson(t, s, "ann"), addPerson(t, s, "bob"), addPerson(t, s, "cid")}
	want := make(map[string][]string)
	for i := range 30 {
		p := people[i%3]
		d := []requiretls.Demand{requiretls.Usual(), requiretls.Required()}[i/3%2]
		word := fmt.Sprint("letter", i)
		deliverTo(t, s, p, word, d)
		if d.IsRequired() {
			word += "/required"
		}
		want[p.Address.Local] = append(want[p.Address.Local], word)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		if err := os.Remove(bolt.ShardFile(filepath.Join(dir, indexDir), n)); err != nil {
			t.Fatal(err)
		}
	}
	said := repair(t, dir)
	s = openStore(t, dir, Options{})
	for _, p := range people {
		got, err := s.Person(ctx, p.Address)
		if err != nil {
			t.Fatalf("%v; said %q", err, said)
		}
		if len(got.Credentials) > 0 || !strings.Contains(said, p.Address.String()) {
			t.Errorf("%s got a password from somewhere, or nobody was told: %q", p.Address, said)
		}
		if got := subjects(t, s.Account(got.ID), recoveredName); !slices.Equal(got, want[p.Address.Local]) {
			t.Errorf("%s has %q, want %q", p.Address, got, want[p.Address.Local])
		}
	}
	if next := addPerson(t, s, "dan"); next.ID <= people[2].ID {
		t.Errorf("account id %d was given a second time", next.ID)
	}
	if got := findings(t, s); len(got) > 0 {
		t.Errorf("after the repair: %q", got)
	}
}

func TestRepairAfterACollectionSinceTheCheckpoint(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	opt := Options{Shards: 1, SegmentSize: 64 << 10}
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	long := func(i int) {
		body := newBody("\r\n" + strings.Repeat(fmt.Sprint("line ", i, "\r\n"), 1000))
		sum := &mail.Summary{Subject: fmt.Sprint(i), Root: mail.Part{Body: 2, End: body.Size()}}
		if errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Required()}, body, sum, plansFor(inbox, ann.ID)); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	for i := range 20 {
		long(i)
	}
	if err := s.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		long(20 + i)
	}
	var gone []UID // all but every fifth
	for uid := UID(1); uid <= 40; uid++ {
		if uid%5 != 0 {
			gone = append(gone, uid)
		}
	}
	if err := a.Expunge(ctx, inboxID, gone); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.reap(ctx), s.collect(ctx, 1, 1<<30)); err != nil {
		t.Fatal(err)
	}
	want := subjects(t, a, inbox)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ruin(t, bolt.ShardFile(filepath.Join(dir, indexDir), 0))
	repair(t, dir)
	s = openStore(t, dir, opt)
	got := subjects(t, s.Account(ann.ID), inbox)
	for _, word := range want {
		if n := len(slices.DeleteFunc(slices.Clone(got), func(g string) bool { return g != word })); n != 1 {
			t.Errorf("%s is there %d times in %q", word, n, got)
		}
	}
	if got := findings(t, s); len(got) > 0 {
		t.Errorf("after the repair: %q", got)
	}
}

func TestRepairThatWasCutShortIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	ann := addPerson(t, s, "ann")
	deliverTo(t, s, ann, "one", requiretls.Usual())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := writeRepair(dir, &restoration{shards: map[int]origin{0: fromNothing}}); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(dir, Options{}); err == nil {
		t.Fatalf("opened %v", s)
	}
	repair(t, dir)
	s = openStore(t, dir, Options{})
	if got := subjects(t, s.Account(ann.ID), recoveredName); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestBackupIsRestoredWholeAndIncremental(t *testing.T) {
	ctx := context.Background()
	dir, dest := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	s := openStore(t, dir, Options{SegmentSize: 64 << 10})
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	fill(t, s, ann.ID, 300)
	if err := s.Backup(ctx, dest); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(dest, segmentDir, filepath.Base(s.log.Segments()[0].Name))
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	deliverTo(t, s, ann, "late", requiretls.Required())
	if err := a.Expunge(ctx, inboxID, []UID{1}); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // the server goes on meanwhile
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				deliver(t, s, fmt.Sprint("meanwhile", i), requiretls.Usual(), ann.ID)
			}
		}
	}()
	if err := s.Backup(ctx, dest); err != nil {
		t.Fatal(err)
	}
	close(stop)
	<-done
	if after, err := os.Stat(first); err != nil || !os.SameFile(before, after) {
		t.Errorf("a sealed segment was copied a second time: %v", err)
	}

	restored := filepath.Join(t.TempDir(), "data")
	if err := Restore(ctx, dest, restored); err != nil {
		t.Fatal(err)
	}
	if err := Restore(ctx, dest, restored); !errors.Is(err, ErrExists) {
		t.Errorf("restore over a store: %v", err)
	}
	r := openStore(t, restored, Options{})
	got := subjects(t, r.Account(ann.ID), inbox)
	if len(got) < 300 || got[299] != "late/required" {
		t.Errorf("%d messages came back", len(got))
	}
	if got := findings(t, r); len(got) > 0 {
		t.Errorf("the restored store: %q", got)
	}
}

// A message whose segment somebody has removed was not expunged: a repair does not
// say so.
func TestRepairTellsLostMessagesFromExpungedOnes(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	ann := addPerson(t, s, "ann").ID
	fill(t, s, ann, 500)
	lost := s.log.Segments()[1].Name
	if err := errors.Join(s.Close(), os.Remove(lost)); err != nil {
		t.Fatal(err)
	}
	if said := repair(t, dir); strings.Contains(said, "expunged") || !strings.Contains(said, "look for them in a backup") {
		t.Errorf("said %q", said)
	}
}

// A checkpoint whose key is not there is no reason to begin from nothing.
func TestRepairAsksForTheKeyOfTheCheckpoint(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	keys, name := newKeys(t)
	s, err := Open(dir, Options{Shards: 1, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	deliverTo(t, s, addPerson(t, s, "ann"), "one", requiretls.Usual())
	if err := errors.Join(s.Checkpoint(ctx), s.Close()); err != nil {
		t.Fatal(err)
	}
	index := bolt.ShardFile(filepath.Join(dir, indexDir), 0)
	ruin(t, index)
	other, _ := newKeys(t)
	if err := Repair(ctx, dir, Options{Keys: other}, func(line string) { t.Error(line) }); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("without its key: %v", err)
	}
	var said string
	err = Repair(ctx, dir, Options{Keys: openKeys(t, name)}, func(line string) { said += line })
	if err != nil || !strings.Contains(said, "begun again from: checkpoint") {
		t.Errorf("with its key: %v, said %q", err, said)
	}
}

// An index that may not be opened is not one that is damaged: it stays.
func TestRepairLeavesAnIndexThatItMayNotRead(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	s, err := Open(dir, Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	index := bolt.ShardFile(filepath.Join(dir, indexDir), 0)
	if err := errors.Join(s.Close(), os.Chmod(index, 0)); err != nil {
		t.Fatal(err)
	}
	err = Repair(context.Background(), dir, Options{}, func(line string) { t.Error(line) })
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("said %v", err)
	}
	if _, err := os.Stat(index); err != nil {
		t.Error(err)
	}
}

// An index that was put back to its checkpoint does not know what has left since: all
// that waits in it is held, and nothing leaves a second time.
func TestRepairFromTheCheckpointSendsNothingAgain(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := Open(dir, Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	ann := addPerson(t, s, "ann")
	for _, subject := range []string{"stands in checkpoint", "sent since"} {
		if err := forward(t, s, subject, ann.ID); err != nil {
			t.Fatal(err)
		}
		waiting(t, s)
		if subject[:6] == "stands" {
			if err := s.Checkpoint(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	for q := range s.Outbox(ctx) {
		if err := s.SettleOut(ctx, q.ID, OutSettlement{End: Ended}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ruin(t, bolt.ShardFile(filepath.Join(dir, indexDir), 0))
	if said := repair(t, dir); !strings.Contains(said, "2 letters that wait to leave are held") {
		t.Errorf("said %q", said)
	}
	s = openStore(t, dir, Options{})
	rows, _, err := s.DueOut(ctx, time.Now().Add(time.Hour), 10, func(OutRow) bool { return false })
	if err != nil || len(rows) > 0 {
		t.Errorf("%d letters leave a second time, %v", len(rows), err)
	}
	equal(t, "held", waiting(t, s), "sent-since", "stands-in-checkpoint")
}
