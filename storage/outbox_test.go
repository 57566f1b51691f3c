package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
)

// far is later than anything these tests queue.
var far = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

func elsewhere(local string) mail.Address { return mail.Address{Local: local, Domain: local + ".test"} }

// send commits a letter about subject that is redirected to people elsewhere,
// filed in INBOX only where file says so.
func send(t testing.TB, s *Store, a AccountID, subject string, d requiretls.Demand, file []mail.Copy, to ...string) {
	t.Helper()
	b, sum := letter(subject)
	env := &mail.Envelope{ID: subject, From: elsewhere("sender"), Demand: d, Received: time.Now()}
	plans := plansFor(inbox, a)
	plans[0].Copies = file
	var out []*mail.Outbound
	for _, local := range to {
		out = append(out, env.Redirect(mail.Redirect{To: elsewhere(local), Prefix: []byte("Received: by us for " + local + "\r\n")}))
	}
	plans[0].Outbound = out
	if errs := s.Commit(context.Background(), env, b, sum, plans); errs[0] != nil {
		t.Fatal(errs[0])
	}
	settleAppliers(t, s)
}

// settleAppliers waits until the index follows the log.
func settleAppliers(t testing.TB, s *Store) {
	t.Helper()
	for _, sh := range s.shards {
		if err := sh.drain(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

var inInbox = []mail.Copy{{Mailbox: inbox}}

func all(OutRow) bool { return false }

func due(t testing.TB, s *Store) []OutRow {
	t.Helper()
	rows, _, err := s.DueOut(context.Background(), far, math.MaxInt, all)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// outbox is what would leave, in the order of its names: to whom, the demand,
// and all octets.
func outbox(t testing.TB, s *Store) (list []string) {
	t.Helper()
	for _, row := range due(t, s) {
		list = append(list, leaves(t, s, row.ID))
	}
	slices.Sort(list)
	return list
}

func leaves(t testing.TB, s *Store, id OutID) string {
	t.Helper()
	l, err := s.OpenOut(context.Background(), id)
	if err != nil {
		t.Fatalf("row %d: %v", id, err)
	}
	defer l.Close()
	r, size := l.Reader(l.Body, mail.FullForm)
	text, err := io.ReadAll(r)
	if err != nil || int64(len(text)) != size {
		t.Fatalf("row %d: %d octets of %d, %v", id, len(text), size, err)
	}
	return fmt.Sprintf("%s %s %s", l.To.Local, l.Outbound.Demand(), text)
}

// sent is what outbox shows of a redirected letter about subject.
func sent(to, subject string, d requiretls.Demand) string {
	b, _ := letter(subject)
	text, err := io.ReadAll(b.(body).Reader)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%s %s Received: by us for %s\r\n%s", to, d, to, text)
}

func equal(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestWhatLeavesIsThereWithItsCopiesAfterACrash(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
	s := openStore(t, dir, Options{wrap: strictly})
	ann, bob := addPerson(t, s, "ann"), addPerson(t, s, "bob")
	b, sum := letter("news")
	env := &mail.Envelope{ID: "e1", From: elsewhere("sender"), Demand: requiretls.Required(), SMTPUTF8: true, Received: time.Now()}
	redirect := env.Redirect(mail.Redirect{To: elsewhere("carl"), Prefix: []byte("Received: by us for carl\r\n"), DSN: mail.DSN{Notify: mail.NotifyFailure, EnvID: "x", ORcptType: "rfc822", ORcpt: "y"}})
	answer := env.Answer(mail.Answer{Kind: mail.Answered, To: elsewhere("sender"), Text: []byte("Subject: away\r\n\r\n" + strings.Repeat("long\r\n", 30000))})
	plans := plansFor(inbox, ann.ID, bob.ID)
	plans[0].Outbound = []*mail.Outbound{redirect, answer}
	plans[1].Copies, plans[1].Outbound = nil, []*mail.Outbound{env.Redirect(mail.Redirect{To: elsewhere("dora"), Prefix: []byte("Received: by us for dora\r\n")})}
	for _, err := range s.Commit(ctx, env, b, sum, plans) {
		if err != nil {
			t.Fatal(err)
		}
	}
	image := crashImage(t, dir)
	check := func(s *Store) {
		t.Helper()
		settleAppliers(t, s)
		equal(t, "the outbox", outbox(t, s), sent("carl", "news", requiretls.Required()), sent("dora", "news", requiretls.Required()),
			"sender required Subject: away\r\n\r\n"+strings.Repeat("long\r\n", 30000))
		if n := view(t, s.Account(ann.ID), inbox).Len(); n != 1 {
			t.Errorf("ann has %d letters, want 1", n)
		}
		if n := view(t, s.Account(bob.ID), inbox).Len(); n != 0 {
			t.Errorf("bob has %d letters, want none", n)
		}
	}
	check(s)
	select {
	case <-s.SendsChanged():
	default:
		t.Error("nobody was told of the rows")
	}
	again := openStore(t, image, Options{wrap: strictly})
	check(again)
	for _, row := range due(t, again) {
		l, err := again.OpenOut(ctx, row.ID)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		want := *redirect
		if l.To == want.To {
			want.Created = l.Created // to the microsecond
			if got, w := fmt.Sprintf("%+v", l.Slip), fmt.Sprintf("%+v", want.Slip); got != w {
				t.Errorf("the slip came back as\n%s\nwant\n%s", got, w)
			}
		}
	}
	for _, f := range findings(t, again) {
		t.Error(f)
	}
}

func TestSettledRowIsGoneForEverAndOneDeferredComesAgain(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
	s := openStore(t, dir, Options{wrap: strictly})
	ann := addPerson(t, s, "ann")
	send(t, s, ann.ID, "news", requiretls.Usual(), inInbox, "carl", "dora")
	rows := due(t, s)
	if len(rows) != 2 || rows[0].Domain != "carl.test" || rows[1].Domain != "dora.test" {
		t.Fatalf("due: %+v", rows)
	}
	later := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	history := History{Tries: 1, Last: later.Add(-time.Hour), Error: "450 4.2.0 greylisted", Host: "mx.dora.test", Delayed: true}
	if err := errors.Join(
		s.SettleOut(ctx, rows[0].ID, OutSettlement{End: Ended}),
		s.SettleOut(ctx, rows[1].ID, OutSettlement{End: Stays, Due: later, History: history}),
	); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, crashImage(t, dir), Options{wrap: strictly})
	if _, err := s.OpenOut(ctx, rows[0].ID); !errors.Is(err, ErrRowGone) {
		t.Errorf("the row that was sent: %v", err)
	}
	if err := s.SettleOut(ctx, rows[0].ID, OutSettlement{End: Stays, Due: later}); !errors.Is(err, ErrRowGone) {
		t.Errorf("settled again: %v", err)
	}
	if got, next, err := s.DueOut(ctx, later.Add(-time.Second), 10, all); err != nil || len(got) != 0 || !next.Equal(later) {
		t.Errorf("due before its time: %+v, next %v, %v; want none, %v", got, next, err, later)
	}
	if got, next, err := s.DueOut(ctx, later, 10, all); err != nil || len(got) != 1 || got[0] != (OutRow{rows[1].ID, "dora.test", later}) || !next.IsZero() {
		t.Errorf("due at its time: %+v, next %v, %v", got, next, err)
	}
	l, err := s.OpenOut(ctx, rows[1].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if fmt.Sprint(l.History) != fmt.Sprint(history) {
		t.Errorf("history %+v, want %+v", l.History, history)
	}
	equal(t, "the deferred letter", outbox(t, s), sent("dora", "news", requiretls.Usual()))
}

func TestWhatAClockAheadPutOffIsRecalled(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly, Shards: 2})
	ann, bob := addPerson(t, s, "ann"), addPerson(t, s, "bob")
	for n := range duePage/50 + 1 {
		send(t, s, ann.ID, fmt.Sprint("many ", n), requiretls.Usual(), nil, slices.Repeat([]string{"carl"}, 50)...)
	}
	send(t, s, bob.ID, "one", requiretls.Usual(), nil, "dora")
	soon := time.Now().Add(time.Hour)
	rows := due(t, s)
	for i, row := range rows {
		at := far.Add(-time.Hour)
		if i < 3 {
			at = soon
		}
		if err := s.SettleOut(ctx, row.ID, OutSettlement{End: Stays, Due: at}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RecallOut(ctx, soon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	now, _, err := s.DueOut(ctx, time.Now(), len(rows), all)
	if err != nil || len(now) != len(rows)-3 {
		t.Errorf("%d rows of %d are due, %v; want all but the three that have time", len(now), len(rows), err)
	}
	if all := due(t, s); len(all) != len(rows) {
		t.Errorf("%d rows are left of %d", len(all), len(rows))
	}
}

func TestBodyStaysAsLongAsItsRows(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{SegmentSize: 64 << 10, wrap: strictly})
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	send(t, s, ann.ID, "kept", requiretls.Required(), inInbox, "carl", "dora")
	send(t, s, ann.ID, "sent on", requiretls.Waived(), nil, "carl")
	fill(t, s, ann.ID, 300) // the next segment
	if err := a.Expunge(ctx, inboxID, uidsOf(view(t, a, inbox))); err != nil {
		t.Fatal(err)
	}
	collect := func() {
		t.Helper()
		if err := errors.Join(s.reap(ctx), s.collect(ctx, 1, 1<<30)); err != nil {
			t.Fatal(err)
		}
		for _, f := range findings(t, s) {
			t.Error(f)
		}
	}
	collect()
	collect()
	if segs := s.log.Segments(); segs[0].Number == 1 {
		t.Fatalf("the first segment was not collected: %+v", segs)
	}
	equal(t, "after the collection", outbox(t, s),
		sent("carl", "kept", requiretls.Required()), sent("carl", "sent on", requiretls.Waived()), sent("dora", "kept", requiretls.Required()))
	if err := s.RemovePerson(ctx, ann.Address); err != nil {
		t.Fatal(err)
	}
	if n := len(outbox(t, s)); n != 3 {
		t.Errorf("%d letters leave after their owner did, want 3", n)
	}
	for _, row := range due(t, s) {
		if err := s.SettleOut(ctx, row.ID, OutSettlement{End: Ended}); err != nil {
			t.Fatal(err)
		}
	}
	collect()
	err := s.index.View(ctx, s.shardOf(ann.ID).number, func(r kv.Reader) error {
		for k := range r.Range(accountPrefix(ann.ID), kv.After(accountPrefix(ann.ID)), kv.Options{}) {
			if k[8] != keyAccount {
				t.Errorf("key %x was left behind", k)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReportsAreMadeInTheTransactionThatEndsTheRow(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
	s := openStore(t, dir, Options{wrap: strictly})
	ann := addPerson(t, s, "ann")
	send(t, s, ann.ID, "whole", requiretls.Usual(), nil, "carl")
	row := due(t, s)[0]
	l, err := s.OpenOut(ctx, row.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bounce, ok := l.Bounce(mail.Report{Text: []byte("It failed:\r\n"), Suffix: []byte("--end--\r\n"), Whole: mail.WholeMessage, Now: time.Now()})
	if !ok {
		t.Fatal("no bounce")
	}
	if err := s.SettleOut(ctx, row.ID, OutSettlement{End: Ended, Reports: []*mail.Outbound{bounce}}); err != nil {
		t.Fatal(err)
	}
	if err := s.reap(ctx); err != nil { // the bounce wants the body still
		t.Fatal(err)
	}
	s = openStore(t, crashImage(t, dir), Options{wrap: strictly})
	want := strings.Replace(sent("carl", "whole", requiretls.Usual()), "carl usual Received: by us for carl", "sender usual It failed:", 1) + "--end--\r\n"
	equal(t, "the bounce", outbox(t, s), want)
	if err := s.SettleOut(ctx, due(t, s)[0].ID, OutSettlement{End: Ended, Reports: []*mail.Outbound{{}}}); !errors.Is(err, errNotStated) {
		t.Errorf("a report without a demand: %v", err)
	}
	if n := len(due(t, s)); n != 1 {
		t.Errorf("%d rows after a settlement that failed, want the one", n)
	}
}

// spoil changes an octet of a row's value behind its checksum.
func spoil(t *testing.T, s *Store, k []byte, shard, at int, octet byte, reseal bool) {
	t.Helper()
	err := s.index.Update(context.Background(), shard, func(tx kv.Tx) error {
		v := slices.Clone(tx.Get(k))
		v[at] = octet
		if reseal {
			sealValue(v)
		}
		tx.Put(k, v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// RFC 8689 §4.1: the tag is kept with every copy; a letter that lost it is sent
// by nobody.
func TestRequireTLSRowWhoseDemandCannotBeReadIsParked(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	ann := addPerson(t, s, "ann")
	for name, reseal := range map[string]bool{"an unknown octet": true, "a broken checksum": false} {
		send(t, s, ann.ID, "news", requiretls.Required(), inInbox, "carl")
		row := due(t, s)[0]
		spoil(t, s, outKey(row.ID), row.ID.shard(), 5, 0x77, reseal)
		l, err := s.OpenOut(ctx, row.ID)
		if !errors.Is(err, mail.ErrParked) || l == nil || l.Outbound == nil || l.Outbound.Demand().Stated() {
			t.Fatalf("%s: %+v, %v", name, l, err)
		}
		l.Close()
		if err := s.SettleOut(ctx, row.ID, OutSettlement{End: Parks, History: History{Error: err.Error()}}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if rows := due(t, s); len(rows) != 0 {
			t.Errorf("%s: due %+v", name, rows)
		}
		for q, err := range s.Outbox(ctx) {
			if err != nil || q.ID == row.ID && !q.Parked {
				t.Errorf("%s: listed as %+v, %v", name, q, err)
			}
		}
		if err := s.RetryOut(ctx, row.ID); !errors.Is(err, mail.ErrParked) {
			t.Errorf("%s: retried: %v, want %v", name, err, mail.ErrParked)
		}
		if rows := due(t, s); len(rows) != 0 {
			t.Errorf("%s: due after a retry: %+v", name, rows)
		}
	}
}

func TestRequireTLSDisagreementIsSentAsRequired(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	ann := addPerson(t, s, "ann")
	send(t, s, ann.ID, "lowered row", requiretls.Required(), inInbox, "carl")
	row := due(t, s)[0]
	spoil(t, s, outKey(row.ID), row.ID.shard(), 5, requiretls.Usual().Byte(), true)
	equal(t, "the row says usual", outbox(t, s), sent("carl", "lowered row", requiretls.Required()))
}

func TestRequireTLSWhatLeavesCannotDemandLess(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	ann := addPerson(t, s, "ann")
	demands := []requiretls.Demand{requiretls.Usual(), requiretls.Required(), requiretls.Waived()}
	for _, d := range demands {
		for _, other := range append(demands, requiretls.Demand{}) {
			b, sum := letter("x")
			env := &mail.Envelope{ID: "x", From: elsewhere("sender"), Demand: d}
			o := (&mail.Envelope{ID: "x", From: elsewhere("sender"), Demand: other}).Redirect(mail.Redirect{To: elsewhere("carl")})
			plans := plansFor(inbox, ann.ID)
			plans[0].Outbound = []*mail.Outbound{o}
			err := s.Commit(ctx, env, b, sum, plans)[0]
			if ok := other == d || other.IsRequired(); ok != (err == nil) {
				t.Errorf("a message %v, what leaves %v: %v", d, other, err)
			}
		}
	}
	settleAppliers(t, s)
	if got, want := len(due(t, s)), view(t, s.Account(ann.ID), inbox).Len(); got != 5 || want != 5 {
		t.Errorf("%d rows, %d copies, want 5 of each: both or neither", got, want)
	}
}

func TestAdminHoldsRetriesAndDeletesRows(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	ann := addPerson(t, s, "ann")
	send(t, s, ann.ID, "news", requiretls.Waived(), inInbox, "carl")
	id := due(t, s)[0].ID
	state := func() string {
		t.Helper()
		for q, err := range s.Outbox(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%v %v %s %v, held %v, parked %v, %d due", q.ID == id, q.Account == ann.ID, q.To.Local, q.Outbound.Demand(), q.Held, q.Parked, len(due(t, s)))
		}
		return "none"
	}
	for _, step := range []struct {
		do   func(context.Context, OutID) error
		want string
	}{
		{s.HoldOut, "true true carl waived, held true, parked false, 0 due"}, {s.RetryOut, "true true carl waived, held false, parked false, 1 due"}, {s.DeleteOut, "none"},
	} {
		if err := step.do(ctx, id); err != nil {
			t.Fatal(err)
		}
		if got := state(); got != step.want {
			t.Errorf("%q, want %q", got, step.want)
		}
		if step.want == "none" && !errors.Is(step.do(ctx, id), ErrRowGone) {
			t.Error("an ended row can be changed")
		}
	}
	if _, err := s.OpenOut(ctx, 63); !errors.Is(err, ErrRowGone) {
		t.Errorf("a row of a shard that is not there: %v", err)
	}
}

func TestDueWalksAllShardsByTimeAndCostsWhatItReturns(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	grow := func(from, to int) {
		t.Helper()
		for shard := range s.shards {
			for lo := from; lo < to; lo += 1000 {
				err := s.index.Update(ctx, shard, func(tx kv.Tx) error {
					x := newTxn(tx, s)
					x.shard = shard
					for i := lo; i < min(to, lo+1000); i++ {
						n := i*len(s.shards) + shard
						w := &outRow{demand: requiretls.Usual().Byte(), due: start.Add(time.Duration(n) * time.Second)}
						w.slip.To = elsewhere(fmt.Sprint("d", n))
						if _, err := x.putOut(w); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	cost := func() uint64 {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rows, _, err := s.DueOut(ctx, far, 10, func(r OutRow) bool { return strings.HasPrefix(r.Domain, "d1") })
		runtime.ReadMemStats(&after)
		if err != nil || len(rows) != 10 {
			t.Fatalf("%+v, %v", rows, err)
		}
		for i, want := range []int{0, 2, 3, 4, 5, 6, 7, 8, 9, 20} {
			if rows[i].Domain != fmt.Sprintf("d%d.test", want) || !rows[i].Due.Equal(start.Add(time.Duration(want)*time.Second)) {
				t.Errorf("row %d is %+v, want d%d", i, rows[i], want)
			}
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	grow(0, 250)
	few := cost()
	grow(250, 6000)
	if many := cost(); many > 2*few+64<<10 {
		t.Errorf("looking at 24,000 rows took %d octets, at 1,000 %d", many, few)
	}
	rows := due(t, s)
	if len(rows) != 6000*len(s.shards) || !slices.IsSortedFunc(rows, func(x, y OutRow) int { return x.Due.Compare(y.Due) }) {
		t.Errorf("%d rows, want %d by time", len(rows), 6000*len(s.shards))
	}
}

func TestRepairHoldsWhatMayHaveLeft(t *testing.T) {
	ctx := context.Background()
	for _, checkpoint := range []bool{false, true} {
		dir := t.TempDir()
		s, err := Open(dir, Options{Shards: 1})
		if err != nil {
			t.Fatal(err)
		}
		ann := addPerson(t, s, "ann")
		send(t, s, ann.ID, "before", requiretls.Required(), inInbox, "carl")
		if checkpoint {
			if err := s.Checkpoint(ctx); err != nil {
				t.Fatal(err)
			}
		}
		send(t, s, ann.ID, "after", requiretls.Usual(), nil, "dora")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		ruin(t, bolt.ShardFile(filepath.Join(dir, indexDir), 0))
		repair(t, dir)
		s = openStore(t, dir, Options{})
		// Nothing tells what was sent since: an admin has to.
		var held []OutID
		for q, err := range s.Outbox(ctx) {
			if err != nil || !q.Held {
				t.Errorf("%+v, %v: not held", q, err)
			}
			held = append(held, q.ID)
		}
		if len(due(t, s)) != 0 || len(held) != 2 {
			t.Errorf("due %+v, held %v", due(t, s), held)
		}
		for _, id := range held {
			if err := s.RetryOut(ctx, id); err != nil {
				t.Error(err)
			}
		}
		equal(t, "after the repair", outbox(t, s), sent("carl", "before", requiretls.Required()), sent("dora", "after", requiretls.Usual()))
		for _, f := range findings(t, s) {
			t.Error(f)
		}
	}
}

func TestRestoredStoreSendsNothingUnasked(t *testing.T) {
	ctx := context.Background()
	backup, dir := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "store")
	s := openStore(t, t.TempDir(), Options{})
	ann := addPerson(t, s, "ann")
	for i := range 2*duePage + 1 {
		o := (&mail.Envelope{ID: "r", Demand: requiretls.Usual()}).Answer(mail.Answer{Kind: mail.Reported, To: elsewhere(fmt.Sprint("r", i)), Text: []byte("report")})
		if err := s.Submit(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	send(t, s, ann.ID, "news", requiretls.Required(), nil, "carl")
	if n := len(due(t, s)); n != 2*duePage+2 {
		t.Fatalf("%d rows", n)
	}
	if err := errors.Join(s.Backup(ctx, backup), Restore(ctx, backup, dir)); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{wrap: strictly})
	if rows := due(t, s); len(rows) != 0 {
		t.Errorf("due after the restore: %d rows", len(rows))
	}
	for q, err := range s.Outbox(ctx) {
		if err != nil || !q.Held {
			t.Fatalf("%+v, %v: not held", q, err)
		}
		if q.To == elsewhere("carl") {
			if err := s.RetryOut(ctx, q.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	equal(t, "what was asked for", outbox(t, s), sent("carl", "news", requiretls.Required()))
	fresh := (&mail.Envelope{Demand: requiretls.Usual()}).Redirect(mail.Redirect{To: elsewhere("x")})
	if err := s.Submit(ctx, fresh); err == nil {
		t.Error("a redirect without its message was queued")
	}
}

func TestMemoriesLastUntilTheirTimeAndAreTrimmed(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	opt := Options{Now: func() time.Time { return now }, wrap: strictly}
	s := openStore(t, dir, opt)
	ann, bob := addPerson(t, s, "ann"), addPerson(t, s, "bob")
	until := now.Add(7 * 24 * time.Hour)
	answered := mail.Memory{Key: [32]byte{1}, Until: until}
	for i, copies := range [][]mail.Copy{inInbox, nil} { // a discarded letter is remembered, too
		b, sum := letter("x")
		plans := plansFor(inbox, ann.ID)
		plans[0].Copies, plans[0].Remember = copies, []mail.Memory{{Key: [32]byte{byte(i + 1)}, Until: until}}
		if errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plans); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	s = openStore(t, crashImage(t, dir), opt)
	remembered := func(a AccountID, key byte) bool {
		t.Helper()
		got, ok, err := s.Account(a).Remembered(ctx, [32]byte{key})
		if err != nil || ok && !got.Equal(until) {
			t.Errorf("remembered until %v, %v, %v", got, ok, err)
		}
		return ok
	}
	if !remembered(ann.ID, 1) || !remembered(ann.ID, 2) || remembered(ann.ID, 3) || remembered(bob.ID, 1) {
		t.Error("another memory than was committed")
	}
	if n := view(t, s.Account(ann.ID), inbox).Len(); n != 1 {
		t.Errorf("%d letters, want 1", n)
	}
	now = until
	if remembered(ann.ID, 1) {
		t.Error("remembered beyond its time")
	}
	until = now.Add(time.Hour)
	answered.Until = until
	for range 2 { // anew, twice: its first time must not forget it
		if err := s.Account(ann.ID).Remember(ctx, answered); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	if !remembered(ann.ID, 1) || remembered(ann.ID, 2) {
		t.Error("another memory than was renewed")
	}
	keys := 0
	err := s.index.View(ctx, s.shardOf(ann.ID).number, func(r kv.Reader) error {
		for k := range r.Range(accountPrefix(ann.ID), kv.After(accountPrefix(ann.ID)), kv.Options{}) {
			if k[8] == keyMemory || k[8] == keyForget {
				keys++
			}
		}
		return nil
	})
	if err != nil || keys != 2 {
		t.Errorf("%d keys of memories, %v, want 2", keys, err)
	}
	if err := s.Account(ann.ID).Remember(ctx, make([]mail.Memory, maxMemories+1)...); !errors.Is(err, ErrLimit) {
		t.Errorf("too many at once: %v", err)
	}
}
