package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/seal"
	"letterlock/storage/segment"
)

// A store that was put back to an older backup goes on otherwise: its files are
// not taken for those of the backup that is newer.
func TestBackupIsNotMixedWithThatOfARestoredStore(t *testing.T) {
	ctx, dir, older, newer := context.Background(), t.TempDir(), filepath.Join(t.TempDir(), "older"), filepath.Join(t.TempDir(), "newer")
	s := openStore(t, filepath.Join(dir, "one"), Options{SegmentSize: 64 << 10})
	ann := addPerson(t, s, "ann").ID
	deliver(t, s, "one", requiretls.Usual(), ann)
	if err := s.Backup(ctx, older); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, "two", requiretls.Usual(), ann)
	if err := errors.Join(s.Backup(ctx, newer), s.Backup(ctx, newer)); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(dir, "two")
	if err := Restore(ctx, older, restored); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, restored, Options{SegmentSize: 64 << 10})
	deliver(t, again, "other", requiretls.Usual(), ann)
	if err := again.Backup(ctx, newer); !errors.Is(err, errOtherStore) {
		t.Errorf("backup over a newer one: %v", err)
	}
	if err := again.Backup(ctx, filepath.Join(dir, "fresh")); err != nil {
		t.Error(err)
	}
}

// A segment that has other octets under the same name, since somebody put the
// whole data folder back, is copied again.
func TestBackupComparesWhatItHas(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	kept := make(sealedFiles)
	for i, text := range []string{"one", "two"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		same, err := kept.has("x", filepath.Dir(name))
		if err != nil || same {
			t.Errorf("%d: %v, %v: it has not got it", i, same, err)
		}
		if kept["x"], err = fingerprint(name); err != nil {
			t.Fatal(err)
		}
		if same, err = kept.has("x", filepath.Dir(name)); err != nil || !same {
			t.Errorf("%d: %v, %v: it has got it", i, same, err)
		}
	}
}

// midway is a context in which something happens when a copy of an index is
// whole and nothing of the log is copied yet.
type midway struct {
	context.Context
	dir  string // where the copy goes
	then func()
}

func (c *midway) Err() error {
	if _, err := os.Stat(filepath.Join(c.dir, indexDir+".new", "00.db")); err == nil && c.then != nil {
		then := c.then
		c.then = nil
		then()
	}
	return c.Context.Err()
}

// begun is a context in which something happens when a restore has copied its
// first file.
type begun struct {
	context.Context
	dir  string
	then func()
}

func (c *begun) Err() error {
	if names, err := filepath.Glob(filepath.Join(c.dir, "*", "0*")); err == nil && len(names) > 0 && c.then != nil {
		then := c.then
		c.then = nil
		then()
	}
	return c.Context.Err()
}

// A big letter may come, and another one be expunged, between the copy of the
// index and that of the log: what a backup knows of is in it.
func TestBackupHasEveryBigBodyItKnowsOf(t *testing.T) {
	text := strings.Repeat("0123456789abcde\n", segment.BigBody/16+1)
	sum := &mail.Summary{Root: mail.Part{End: int64(len(text))}}
	ctx, dir, dest := context.Background(), t.TempDir(), filepath.Join(t.TempDir(), "backup")
	s := openStore(t, dir, Options{Shards: 1})
	a := s.Account(addPerson(t, s, "ann").ID)
	come := func() error {
		return s.Commit(ctx, &mail.Envelope{Demand: requiretls.Required()}, newBody(text), sum, plansFor(inbox, a.id))[0]
	}
	if err := come(); err != nil {
		t.Fatal(err)
	}
	mailbox(t, a, inbox)
	happens := &midway{ctx, dest, func() {
		if err := errors.Join(come(), a.Expunge(ctx, inboxID, []UID{1}), s.reap(ctx)); err != nil {
			t.Error(err)
		}
	}}
	if err := s.Backup(happens, dest); err != nil || happens.then != nil {
		t.Fatal(err, happens.then != nil)
	}
	restored := filepath.Join(t.TempDir(), "data")
	if err := Restore(ctx, dest, restored); err != nil {
		t.Fatal(err)
	}
	r := openStore(t, restored, Options{})
	if n := mailbox(t, r.Account(a.id), inbox).Messages; n != 2 {
		t.Errorf("%d messages, want both", n)
	}
	if got := findings(t, r); len(got) > 0 {
		t.Errorf("the restored store: %q", got)
	}
	if names, err := filepath.Glob(filepath.Join(dir, segmentDir, "*.big")); err != nil || len(names) != 1 {
		t.Errorf("after the backup: %q, %v, want one", names, err)
	}
}

// A big letter may come while the segments are copied: a backup that ends before its
// body is there, too, leaves the one before without a letter that has none.
func TestBackupThatIsCutShortHasNoLetterWithoutItsBody(t *testing.T) {
	text := strings.Repeat("0123456789abcde\n", segment.BigBody/16+1)
	sum := &mail.Summary{Root: mail.Part{End: int64(len(text))}}
	ctx, dest := context.Background(), filepath.Join(t.TempDir(), "backup")
	s := openStore(t, t.TempDir(), Options{Shards: 1})
	a := s.Account(addPerson(t, s, "ann").ID)
	deliver(t, s, "small", requiretls.Usual(), a.id)
	if err := s.Backup(ctx, dest); err != nil {
		t.Fatal(err)
	}
	ends, stop := context.WithCancel(ctx)
	defer stop()
	happens := &midway{Context: ends, dir: dest}
	happens.then = func() { // there is no big body yet: the segment is next
		if err := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, newBody(text), sum, plansFor(inbox, a.id))[0]; err != nil {
			t.Error(err)
		}
		happens.then = stop
	}
	if err := s.Backup(happens, dest); !errors.Is(err, context.Canceled) {
		t.Fatalf("ended with %v", err)
	}
	restored := filepath.Join(t.TempDir(), "data")
	if err := Restore(ctx, dest, restored); err != nil {
		t.Fatal(err)
	}
	r := openStore(t, restored, Options{})
	if n := mailbox(t, r.Account(a.id), inbox).Messages; n != 1 {
		t.Errorf("%d messages, want the small one", n)
	}
	if got := findings(t, r); len(got) > 0 {
		t.Errorf("the restored store: %q", got)
	}
	if left, err := filepath.Glob(filepath.Join(dest, segmentDir, "*.new")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// What is written while a segment is copied may lie behind octets that were read before
// they were: it is not in the backup, which would tell of damaged mail.
func TestBackupHasOfTheLogWhatWasFlushedBefore(t *testing.T) {
	dir, dest := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	s := openStore(t, dir, Options{Shards: 1})
	deliver(t, s, "flushed", requiretls.Usual(), addPerson(t, s, "ann").ID)
	active := s.log.Segments()[0].Name
	f, err := os.OpenFile(active, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	end := s.flushed().Offset
	if _, err := f.WriteAt([]byte("under way"), int64(end)+64<<10); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(context.Background(), dest); err != nil {
		t.Fatal(err)
	}
	copied, err := os.Stat(filepath.Join(dest, segmentDir, filepath.Base(active)))
	if err != nil || copied.Size() != int64(end) {
		t.Errorf("%d octets, want %d; %v", copied.Size(), end, err)
	}
}

// A server that is started in the middle of a restore, by hand or since it is
// started again whenever it ends, leaves the folder alone; and so does one that is
// started after a restore was cut short.
func TestStoreIsNotOpenedBeforeItIsRestored(t *testing.T) {
	ctx, backup := context.Background(), filepath.Join(t.TempDir(), "backup")
	s := openStore(t, t.TempDir(), Options{Shards: 1})
	ann := addPerson(t, s, "ann").ID
	deliver(t, s, "one", requiretls.Usual(), ann)
	if err := s.Backup(ctx, backup); err != nil {
		t.Fatal(err)
	}
	for name, cut := range map[string]bool{"under way": false, "cut short": true} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			ctx, stop := context.WithCancel(ctx)
			opened := func(want error) {
				if s, err := Open(dir, Options{}); err == nil || want != nil && !errors.Is(err, want) {
					t.Errorf("opened %v, %v", s != nil, err)
				}
			}
			happens := &begun{ctx, dir, func() {
				opened(ErrLocked)
				if cut {
					stop()
				}
			}}
			if err := Restore(happens, backup, dir); (err != nil) != cut || happens.then != nil {
				t.Fatal(err, happens.then != nil)
			}
			if cut {
				opened(nil)
				return
			}
			stop()
			if got := subjects(t, openStore(t, dir, Options{}).Account(ann), inbox); len(got) != 1 {
				t.Errorf("%q", got)
			}
		})
	}
}

// A backup that fails on its way, since the disk is full or somebody ends it, leaves
// the one before.
func TestBackupThatIsCutShortLeavesTheOneBefore(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "backup")
	s := openStore(t, t.TempDir(), Options{Shards: 1, SegmentSize: 64 << 10})
	a := s.Account(addPerson(t, s, "ann").ID)
	fill(t, s, a.id, 300)
	if err := s.Backup(context.Background(), dest); err != nil {
		t.Fatal(err)
	}
	fill(t, s, a.id, 900)
	if err := a.Expunge(context.Background(), inboxID, uidsOf(view(t, a, inbox))[:250]); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.reap(context.Background()), s.collect(context.Background(), collectDead, 1<<30)); err != nil {
		t.Fatal(err)
	}
	for _, files := range []int{0, 1, 2} {
		ctx, stop := context.WithCancel(context.Background())
		ends := &midway{Context: ctx, dir: dest}
		var asked func() // before each file that is copied
		asked = func() {
			ends.then = asked
			if files--; files < 0 {
				stop()
			}
		}
		ends.then = asked
		if err := s.Backup(ends, dest); !errors.Is(err, context.Canceled) {
			t.Fatalf("ended with %v", err)
		}
		stop()
		restored := filepath.Join(t.TempDir(), "data")
		if err := Restore(context.Background(), dest, restored); err != nil {
			t.Fatal(err)
		}
		r := openStore(t, restored, Options{})
		if n := mailbox(t, r.Account(a.id), inbox).Messages; n < 300 {
			t.Errorf("%d messages, want 300 at least", n)
		}
		if got := findings(t, r); len(got) > 0 {
			t.Errorf("the restored store: %q", got)
		}
	}
	if err := s.Backup(context.Background(), dest); err != nil {
		t.Error(err)
	}
}

// RFC 9051 §2.3.1.1: a UID that was shown after the backup is not given to another
// message of the same UIDVALIDITY.
func TestRestoredMailboxGivesNoUIDTwice(t *testing.T) {
	ctx, backup, dir := context.Background(), filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "data")
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	deliver(t, s, "one", requiretls.Usual(), a.id)
	if err := s.Backup(ctx, backup); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, "shown", requiretls.Usual(), a.id)
	old := mailbox(t, a, inbox)
	if err := Restore(ctx, backup, dir); err != nil {
		t.Fatal(err)
	}
	given := uint32(0)
	for i := range 2 { // the second time it is a store like any other
		r, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		now := mailbox(t, r.Account(a.id), inbox)
		if now.UIDValidity <= old.UIDValidity || now.Messages != 1 {
			t.Errorf("UIDVALIDITY %d with %d messages, it was %d", now.UIDValidity, now.Messages, old.UIDValidity)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if i > 0 && now.UIDValidity != given {
			t.Errorf("UIDVALIDITY %d when it was opened again, it was %d", now.UIDValidity, given)
		}
		given = now.UIDValidity
	}
}

// What somebody took out of a backup, or cut short, comes again with the next.
func TestBackupBringsAgainWhatItLost(t *testing.T) {
	ctx, dest := context.Background(), filepath.Join(t.TempDir(), "backup")
	s := openStore(t, t.TempDir(), Options{SegmentSize: 64 << 10})
	ann := addPerson(t, s, "ann").ID
	fill(t, s, ann, 500)
	if err := s.Backup(ctx, dest); err != nil {
		t.Fatal(err)
	}
	all := s.log.Sealed()
	if len(all) < 2 {
		t.Fatal("two segments are wanted")
	}
	in := func(i int) string { return filepath.Join(dest, segmentDir, filepath.Base(all[i].Name)) }
	if err := errors.Join(os.Remove(in(0)), os.Truncate(in(1), 5000)); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(ctx, dest); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		got, err := os.ReadFile(in(i))
		want, werr := os.ReadFile(all[i].Name)
		if err != nil || werr != nil || !bytes.Equal(got, want) {
			t.Errorf("segment %d: %d octets in the backup, %d in the store, %v", i, len(got), len(want), errors.Join(err, werr))
		}
	}
}

// What is acknowledged and not in the index yet counts, too.
func TestQuotaCountsWhatIsOnItsWay(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	mailbox(t, a, inbox)
	if err := a.SetLimits(ctx, Usage{Messages: 10}); err != nil {
		t.Fatal(err)
	}
	taken := make(chan error)
	for range 40 {
		go func() {
			b, sum := letter("x")
			taken <- s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plansFor(inbox, a.id))[0]
		}()
	}
	n := 0
	for range 40 {
		if err := <-taken; err == nil {
			n++
		} else if !errors.Is(err, ErrOverQuota) {
			t.Error(err)
		}
	}
	if u, err := a.Usage(ctx); err != nil || n != 10 || u.Messages != 10 {
		t.Errorf("%d were taken, %d are there, %v, want 10", n, u.Messages, err)
	}
	if err := a.Expunge(ctx, inboxID, []UID{1}); err != nil {
		t.Fatal(err)
	}
	if err := a.CheckQuota(ctx, Usage{Messages: 1}); err != nil {
		t.Errorf("where one has gone: %v", err)
	}
	deliver(t, s, "fits", requiretls.Usual(), a.id)
}

// redirected redirects a letter and answers its row of the outbox.
func redirected(t *testing.T, s *Store, from AccountID, subject string) OutID {
	t.Helper()
	ctx, env := context.Background(), &mail.Envelope{ID: "x", From: elsewhere("sender"), Demand: requiretls.Usual()}
	b, sum := letter(subject)
	plan := mail.Delivery{Account: uint64(from), Outbound: []*mail.Outbound{env.Redirect(mail.Redirect{To: elsewhere("to")})}}
	if err := s.Commit(ctx, env, b, sum, []mail.Delivery{plan})[0]; err != nil {
		t.Fatal(err)
	}
	if err := s.IndexIdle(ctx); err != nil {
		t.Fatal(err)
	}
	rows, _, err := s.DueOut(ctx, far, 10, all)
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	return rows[0].ID
}

// A letter that leaves and whose octets rotted is parked: trying it for ever
// helps nobody.
func TestRowWhoseOctetsRottedIsParked(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	id := redirected(t, s, p.ID, "rots")
	rot(t, s, "Hello rots")
	l, err := s.OpenOut(ctx, id)
	if err == nil {
		_, err = io.ReadAll(io.NewSectionReader(l.Body, 0, l.Body.Size()))
		l.Close()
	}
	if err == nil {
		t.Fatal("the octets were read as if nothing was")
	}
	if err := s.SettleOut(ctx, id, OutSettlement{End: Stays, Due: far, History: History{Tries: 1}}); err != nil {
		t.Fatal(err)
	}
	if rows, _, err := s.DueOut(ctx, far, 10, all); err != nil || len(rows) != 0 {
		t.Errorf("it is due again: %v, %v", rows, err)
	}
	for q, err := range s.Outbox(ctx) {
		if err != nil || !q.Parked {
			t.Errorf("%+v, %v: not parked", q, err)
		}
	}
}

// Octets that are put back from a backup are not lost: the letter leaves when it
// is retried.
func TestParkedRowLeavesWhenItsOctetsAreBack(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openStore(t, dir, Options{})
	p := addPerson(t, s, "ann")
	id := redirected(t, s, p.ID, "comes back")
	if err := s.SettleOut(ctx, id, OutSettlement{End: Parks, History: History{Error: "damaged"}}); err != nil {
		t.Fatal(err)
	}
	if rows := due(t, s); len(rows) != 0 {
		t.Fatalf("due while it is parked: %+v", rows)
	}
	if err := s.RetryOut(ctx, id); err != nil {
		t.Fatal(err)
	}
	if rows := due(t, s); len(rows) != 1 || rows[0].ID != id {
		t.Errorf("due after the retry: %+v, want row %d", rows, id)
	}
	for q, err := range s.Outbox(ctx) {
		if err != nil || q.Parked {
			t.Errorf("%+v, %v: still parked", q, err)
		}
	}
}

// The time of one row can rot as well. The letters beside it leave, and that one too:
// all that was lost is the name of its domain.
func TestDamagedTimeOfARowDoesNotStopTheOutbox(t *testing.T) {
	ctx := context.Background()
	keys, _ := newKeys(t)
	for name, keys := range map[string]*seal.Keys{"in clear": nil, "sealed": keys} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir(), Options{Keys: keys, Shards: 2})
			ann, bob := addPerson(t, s, "ann"), addPerson(t, s, "bob")
			send(t, s, ann.ID, "first", requiretls.Usual(), nil, "carl")
			rotten := due(t, s)[0]
			send(t, s, ann.ID, "second", requiretls.Usual(), nil, "dora")
			send(t, s, bob.ID, "third", requiretls.Usual(), nil, "emil")
			err := s.journal.Update(ctx, rotten.ID.shard(), func(tx kv.Tx) error { // below the seal
				v := slices.Clone(tx.Get(dueKey(rotten.Due, rotten.ID)))
				v[len(v)-1] ^= 1
				tx.Put(dueKey(rotten.Due, rotten.ID), v)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			rows, _, err := s.DueOut(ctx, far, 10, all)
			var leave []string
			for _, row := range rows {
				to, _, _ := strings.Cut(leaves(t, s, row.ID), " ")
				leave = append(leave, to)
			}
			equal(t, "what leaves", leave, "carl", "dora", "emil")
			if keys != nil && !isDamaged(err) {
				t.Errorf("said %v, want the damage named", err)
			}
		})
	}
}

// A row that cannot be read in the index comes as one that is to be parked.
func TestRowWithoutItsMessageIsParked(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	id := redirected(t, s, p.ID, "gone")
	err := s.index.Update(ctx, s.shardOf(p.ID).number, func(tx kv.Tx) error {
		tx.DeleteRange(key(p.ID, keyRow), kv.After(key(p.ID, keyRow)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if l, err := s.OpenOut(ctx, id); !errors.Is(err, mail.ErrParked) || l == nil {
		t.Errorf("%+v, %v, want it parked", l, err)
	}
}

// RFC 9051 §2.3.1.1: a name that showed a UIDVALIDITY shows a greater one when
// another mailbox gets it; its own mailbox may come back with what it had.
func TestRenamedMailboxNeverLowersTheUIDValidityOfItsName(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	for _, name := range []string{"Old", "New"} {
		if _, err := a.Create(ctx, name, ""); err != nil {
			t.Fatal(err)
		}
	}
	old, shown := mailbox(t, a, "Old"), mailbox(t, a, "New").UIDValidity
	if err := errors.Join(a.Rename(ctx, "Old", "Other"), a.Rename(ctx, "Other", "Old")); err != nil {
		t.Fatal(err)
	}
	if m := mailbox(t, a, "Old"); m.UIDValidity != old.UIDValidity {
		t.Errorf("there and back UIDVALIDITY is %d, was %d", m.UIDValidity, old.UIDValidity)
	}
	if err := errors.Join(a.Delete(ctx, "New"), a.Rename(ctx, "Old", "New")); err != nil {
		t.Fatal(err)
	}
	if m := mailbox(t, a, "New"); m.ID != old.ID || m.UIDValidity <= shown {
		t.Errorf("UIDVALIDITY of New is %d, it was %d with another mailbox", m.UIDValidity, shown)
	}
}

func TestRowThatCannotBeReadCanBeDeleted(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	id := redirected(t, s, p.ID, "x")
	err := s.index.Update(ctx, id.shard(), func(tx kv.Tx) error {
		tx.Put(outKey(id), []byte("rotten"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteOut(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteOut(ctx, id); !errors.Is(err, ErrRowGone) {
		t.Errorf("once more: %v", err)
	}
	if err := s.reap(ctx); err != nil {
		t.Fatal(err)
	}
	if rows, _, err := s.DueOut(ctx, far, 10, all); err != nil || len(rows) > 0 {
		t.Errorf("due: %v, %v", rows, err)
	}
	err = s.index.View(ctx, id.shard(), func(r kv.Reader) error {
		for k := range r.Range(key(p.ID, keyRow), kv.After(key(p.ID, keyRow)), kv.Options{}) {
			t.Errorf("%x: its message stays for ever", k)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// firstKey is the first key of an index from lo on that starts with it.
func firstKey(t *testing.T, s *Store, shard int, lo []byte) (k []byte) {
	t.Helper()
	err := s.index.View(context.Background(), shard, func(r kv.Reader) error {
		for found := range r.Range(lo, kv.After(lo), kv.Options{Limit: 1}) {
			k = bytes.Clone(found)
		}
		return nil
	})
	if err != nil || k == nil {
		t.Fatalf("no key from %x on: %v", lo, err)
	}
	return k
}

// The dead of one account that cannot be read do not keep those of all others.
func TestDeadAreForgottenBesideADamagedAccount(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{Shards: 1})
	ann, bob := s.Account(addPerson(t, s, "ann").ID), s.Account(addPerson(t, s, "bob").ID)
	s.reaper.stop() // it works when we say so
	for _, subject := range []string{"one", "two", "three"} {
		deliver(t, s, subject, requiretls.Usual(), ann.id, bob.id)
	}
	mailbox(t, ann, inbox)
	broken, dead := firstKey(t, s, 0, blocksKey(ann.id, inboxID)), deadBytesKey(1)
	if err := errors.Join(ann.Expunge(ctx, inboxID, []UID{1}), s.reap(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := ann.Expunge(ctx, inboxID, []UID{2}); err != nil {
		t.Fatal(err)
	}
	spoil(t, s, broken, 0, 3, 0x55, false)
	spoil(t, s, dead, 0, 3, 0x55, false) // and what the segment has for nobody
	if err := bob.Expunge(ctx, inboxID, []UID{1}); err != nil {
		t.Fatal(err)
	}
	if err := s.reap(ctx); !isDamaged(err) {
		t.Errorf("said %v, want the damage named", err)
	}
	if n := int(tailUint64(firstKey(t, s, 0, key(bob.id, keyRow)))); n < 4 { // two recipients each
		t.Errorf("the letter %d that bob expunged is still known", n)
	}
}

// A damaged segment stays, and the others are collected.
func TestSegmentsAreCollectedBesideADamagedOne(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{Shards: 1, SegmentSize: 64 << 10})
	a := s.Account(addPerson(t, s, "ann").ID)
	deliver(t, s, "rotten", requiretls.Usual(), a.id)
	fill(t, s, a.id, 800)
	rot(t, s, "Hello rotten")
	before := len(s.log.Segments())
	if err := errors.Join(a.Expunge(ctx, inboxID, uidsOf(view(t, a, inbox))), s.reap(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := s.collect(ctx, collectDead, 1<<30); err != nil && !isDamaged(err) {
		t.Fatal(err)
	}
	all := s.log.Segments()
	if len(all) > 2 || all[0].Number != 1 || before < 4 {
		t.Errorf("%d segments of %d are left, from %d on; want the damaged one and the last", len(all), before, all[0].Number)
	}
}

// What is kept for convenience does not keep a store from opening.
func TestStoreOpensWithADamagedMemoryOfRetries(t *testing.T) {
	keys, _ := newKeys(t)
	for at, keys := range map[int]*seal.Keys{5: nil, 60: keys} { // the octet that is damaged
		t.Run(fmt.Sprint("octet ", at), func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(dir, Options{Shards: 1, Keys: keys})
			if err != nil {
				t.Fatal(err)
			}
			b, _ := letter("x")
			err = s.Unanswered(context.Background(), &mail.Envelope{Demand: requiretls.Usual()}, b, []mail.Address{addPerson(t, s, "ann").Address})
			if err != nil {
				t.Fatal(err)
			}
			whole := s.index
			s.index = kv.Remember(s.journal, keyHead, remembered) // below the seal
			spoil(t, s, firstKey(t, s, 0, key(systemAccount, keyRetry)), 0, at, 0x77, false)
			s.index = whole
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			openStore(t, dir, Options{Keys: keys})
		})
	}
}
