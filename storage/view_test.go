package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"testing/quick"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// grown is a store with n small messages in INBOX.
func grown(t testing.TB, n int) (*Store, *Account) {
	t.Helper()
	s := openStore(t, t.TempDir(), Options{})
	p := addPerson(t, s, "ann")
	fill(t, s, p.ID, n)
	return s, s.Account(p.ID)
}

func TestLaterViewSharesWhatDidNotChange(t *testing.T) {
	ctx := context.Background()
	_, a := grown(t, 1000)
	old := view(t, a, inbox)
	if again := view(t, a, inbox); again != old {
		t.Error("two looks at the same mailbox made two views")
	}
	if _, err := a.StoreFlags(ctx, inboxID, []UID{300}, AddFlags, []string{`\Seen`}, 0); err != nil {
		t.Fatal(err)
	}
	if err := a.Expunge(ctx, inboxID, []UID{1000}); err != nil {
		t.Fatal(err)
	}
	deliver(t, a.store, "late", requiretls.Usual(), a.id)
	v := view(t, a, inbox)
	shared := 0
	for _, c := range v.chunks {
		if slices.Contains(old.chunks, c) {
			shared++
		}
	}
	if shared != 2 || len(v.chunks) != 4 {
		t.Errorf("%d of %d chunks are shared, want 2 of 4", shared, len(v.chunks))
	}
	var got []Change
	for c := range Diff(old, v) {
		got = append(got, c)
	}
	want := []Change{
		{Changed, 299, Entry{300, v.At(299).ModSeq, Seen}},
		{Gone, 999, old.At(999)},
		{Added, 999, Entry{1001, v.At(999).ModSeq, 0}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("diff %+v, want %+v", got, want)
	}
}

// viewOf makes a view of any entries, in chunks of three.
func viewOf(entries []Entry) *View {
	var chunks []*chunk
	for some := range slices.Chunk(entries, 3) {
		c := &chunk{first: some[0].UID}
		for _, e := range some {
			c.uids, c.modseqs, c.flags = append(c.uids, e.UID), append(c.modseqs, e.ModSeq), append(c.flags, e.Flags)
		}
		chunks = append(chunks, c)
	}
	return newView(Mailbox{}, chunks)
}

func TestDiffAndKeepOfAnyTwoViews(t *testing.T) {
	check := func(seed uint64) bool {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var before, after, kept []Entry
		for uid := UID(1); uid < 60; uid++ {
			e := Entry{uid, 1, Flags(rnd.IntN(2))}
			changed := Entry{uid, 2, Flags(rnd.IntN(2))}
			switch where := rnd.IntN(4); {
			case uid > 40: // only new ones come behind
				if where > 0 {
					after, kept = append(after, e), append(kept, e)
				}
			case where == 0: // gone
				before, kept = append(before, e), append(kept, e)
			case where == 1:
				before, after, kept = append(before, e), append(after, changed), append(kept, changed)
			case where == 2:
				before, after, kept = append(before, e), append(after, e), append(kept, e)
			}
		}
		old, now := viewOf(before), viewOf(after)
		var rebuilt []Entry
		changes := make(map[UID]Change)
		for c := range Diff(old, now) {
			changes[c.Entry.UID] = c
		}
		for i, e := range old.All(0, old.Len()) {
			c, differs := changes[e.UID]
			if differs && c.Index != i {
				return false
			}
			switch {
			case !differs:
				rebuilt = append(rebuilt, e)
			case c.Kind == Changed:
				rebuilt = append(rebuilt, c.Entry)
			}
		}
		for i, e := range now.All(0, now.Len()) {
			if c := changes[e.UID]; c.Kind == Added && c.Entry.UID == e.UID {
				rebuilt = append(rebuilt, e)
				if c.Index != i {
					return false
				}
			}
			if j, found := now.Find(e.UID); j != i || !found || now.At(i) != e {
				return false
			}
		}
		keep := Keep(old, now)
		var got []Entry
		for _, e := range keep.All(0, keep.Len()) {
			got = append(got, e)
		}
		return slices.Equal(rebuilt, after) && slices.Equal(got, kept)
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func TestConditionalStoreAnswersWhatWasModified(t *testing.T) {
	ctx := context.Background()
	_, a := grown(t, 3)
	before := view(t, a, inbox).Mailbox().Highest
	if _, err := a.StoreFlags(ctx, inboxID, []UID{2}, AddFlags, []string{"$a"}, 0); err != nil {
		t.Fatal(err)
	}
	done, err := a.StoreFlags(ctx, inboxID, []UID{1, 2, 3, 9}, AddFlags, []string{"$A", `\Seen`}, before)
	if err != nil || !slices.Equal(done.Modified, []UID{2}) {
		t.Errorf("modified %v, %v, want [2] (RFC 7162 §3.1.3)", done.Modified, err)
	}
	v := view(t, a, inbox)
	if got := v.Mailbox().Keywords; !slices.Equal(got, []string{"$a"}) {
		t.Errorf("keywords %q: case makes no second one", got)
	}
	for i, want := range []Flags{Seen | Keyword(0), Keyword(0), Seen | Keyword(0)} {
		if got := v.At(i).Flags; got != want {
			t.Errorf("flags of %d: %b, want %b", i+1, got, want)
		}
	}
}

func TestKeywordsOfAMailboxAreBounded(t *testing.T) {
	ctx := context.Background()
	_, a := grown(t, 1)
	for i := range MaxKeywords {
		if _, err := a.StoreFlags(ctx, inboxID, []UID{1}, AddFlags, []string{"k" + string(rune('A'+i/26)) + string(rune('a'+i%26)) + "x"}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.StoreFlags(ctx, inboxID, []UID{1}, AddFlags, []string{"one-more"}, 0); !errors.Is(err, ErrLimit) {
		t.Errorf("keyword %d: %v", MaxKeywords+1, err)
	}
	v := view(t, a, inbox)
	if got := (&box{Mailbox: v.Mailbox()}).wordsOf(v.At(0).Flags); len(got) != MaxKeywords || v.At(0).Flags.Demand() != requiretls.Usual() {
		t.Errorf("%d keywords are set, demand %v", len(got), v.At(0).Flags.Demand())
	}
}

// walks counts how often an Update walks the messages of a mailbox.
type walks struct {
	kv.Engine
	n atomic.Int64
}

func (e *walks) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	return e.Engine.Update(ctx, shard, func(tx kv.Tx) error { return fn(walkedTx{tx, e}) })
}

type walkedTx struct {
	kv.Tx
	all *walks
}

func (tx walkedTx) Range(lo, hi []byte, o kv.Options) iter.Seq2[[]byte, []byte] {
	if len(lo) > 8 && lo[8] == keyBlock && o == (kv.Options{}) {
		tx.all.n.Add(1)
	}
	return tx.Tx.Range(lo, hi, o)
}

// TestKeywordsWithoutRoomCostOneWalk: where letters come with keywords for which a
// mailbox has no room, its messages are looked at once for all of them.
func TestKeywordsWithoutRoomCostOneWalk(t *testing.T) {
	ctx, e := context.Background(), new(walks)
	s := openStore(t, t.TempDir(), Options{Shards: 1, wrap: func(below kv.Engine) kv.Engine { e.Engine = below; return e }})
	a := s.Account(addPerson(t, s, "ann").ID)
	carry := func(name string, letters, keywords int) {
		t.Helper()
		all := make([]Letter, letters)
		for i := range all {
			all[i] = tokenLetter(name)
			for k := range keywords {
				all[i].Flags = append(all[i].Flags, fmt.Sprint(name, i, "-", k))
			}
		}
		if _, _, err := a.Append(ctx, inbox, all); err != nil {
			t.Fatal(err)
		}
	}
	carry("fills", 1, MaxKeywords)
	view(t, a, inbox)
	e.n.Store(0)
	carry("more", 20, 100)
	v := view(t, a, inbox)
	if n := e.n.Load(); v.Len() != 21 || n > 1 {
		t.Errorf("%d messages, the mailbox was walked %d times, want 21 and once", v.Len(), n)
	}
	if got := v.Mailbox().Keywords; len(got) != MaxKeywords || got[0] != "fills0-0" {
		t.Errorf("keywords %q", got)
	}
}

// A keyword that nobody carries any more makes room for another, also in the
// mailbox it is copied to; those who look at an older view are not misled.
func TestKeywordNobodyCarriesIsFreed(t *testing.T) {
	ctx := context.Background()
	_, a := grown(t, 2)
	store := func(uid UID, op FlagOp, names ...string) error {
		_, err := a.StoreFlags(ctx, inboxID, []UID{uid}, op, names, 0)
		return err
	}
	for i := range MaxKeywords {
		if err := store(UID(i%2+1), AddFlags, fmt.Sprint("k", i)); err != nil {
			t.Fatal(err)
		}
	}
	before := view(t, a, inbox)
	if err := store(1, RemoveFlags, "k0", "k2"); err != nil {
		t.Fatal(err)
	}
	if err := store(2, AddFlags, "new", "k1", "newer"); err != nil {
		t.Fatalf("where two were freed: %v", err)
	}
	if err := store(2, AddFlags, "newest"); !errors.Is(err, ErrLimit) {
		t.Fatalf("where none is free: %v", err)
	}
	now := view(t, a, inbox)
	words := func(v *View, i int) []string { return (&box{Mailbox: v.Mailbox()}).wordsOf(v.At(i).Flags) }
	if got := words(now, 1); !slices.Contains(got, "new") || !slices.Contains(got, "newer") || slices.Contains(got, "k0") {
		t.Errorf("the second has %q", got)
	}
	if got := words(now, 0); slices.Contains(got, "new") || slices.Contains(got, "k0") || !slices.Contains(got, "k4") {
		t.Errorf("the first has %q", got)
	}
	if got := words(before, 0); !slices.Contains(got, "k0") || slices.Contains(got, "new") {
		t.Errorf("in the older view the first has %q", got)
	}
}

func TestSinceTellsWhatMoved(t *testing.T) {
	ctx := context.Background()
	_, a := grown(t, 3*blockSize)
	before := view(t, a, inbox).Mailbox().Highest
	if _, err := a.StoreFlags(ctx, inboxID, []UID{5, 700}, AddFlags, []string{`\Seen`}, 0); err != nil {
		t.Fatal(err)
	}
	v := view(t, a, inbox)
	var got []int
	for i, e := range v.Since(before) {
		if v.At(i) != e {
			t.Errorf("message %d is %+v there and %+v here", i, v.At(i), e)
		}
		got = append(got, i)
	}
	if !slices.Equal(got, []int{4, 699}) {
		t.Errorf("moved since %d: %v, want 4 and 699", before, got)
	}
	n := 0
	for range v.Since(0) {
		n++
	}
	if n != v.Len() {
		t.Errorf("since 0: %d, want all %d", n, v.Len())
	}
}

// A session that may not hear of an EXPUNGE yet hears of all else.
func TestSinceTellsWhatMovedBesideAMessageThatIsKept(t *testing.T) {
	ctx := context.Background()
	_, a := grown(t, 3)
	old := view(t, a, inbox)
	if err := a.Expunge(ctx, inboxID, []UID{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.StoreFlags(ctx, inboxID, []UID{2}, AddFlags, []string{`\Seen`}, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Append(ctx, inbox, []Letter{replacement("new", requiretls.Usual())}); err != nil {
		t.Fatal(err)
	}
	var got []int
	for i := range Keep(old, view(t, a, inbox)).Since(old.Mailbox().Highest) {
		got = append(got, i)
	}
	if !slices.Equal(got, []int{1, 3}) {
		t.Errorf("moved: %v, want 1, which is seen, and 3, which is new", got)
	}
}

func TestVanishedTellsWhatLeft(t *testing.T) {
	ctx := context.Background()
	_, a := grown(t, 600)
	start := view(t, a, inbox).Mailbox().Highest
	if err := a.Expunge(ctx, inboxID, []UID{1, 2, 3, 300, 599, 700}); err != nil {
		t.Fatal(err)
	}
	middle := view(t, a, inbox).Mailbox().Highest
	if _, err := a.Move(ctx, inboxID, []UID{4, 5}, "Trash"); err != nil {
		t.Fatal(err)
	}
	gone, complete, err := a.Vanished(ctx, inboxID, start)
	want := []UIDRange{{1, 3}, {300, 300}, {599, 599}, {4, 5}}
	if err != nil || !complete || !slices.Equal(gone, want) {
		t.Errorf("since %d: %v, %v, %v, want %v", start, gone, complete, err, want)
	}
	gone, complete, err = a.Vanished(ctx, inboxID, middle)
	if err != nil || !complete || !slices.Equal(gone, want[3:]) {
		t.Errorf("since %d: %v, %v, %v, want %v", middle, gone, complete, err, want[3:])
	}
}

func TestRecentIsClaimedOnce(t *testing.T) {
	ctx := context.Background()
	_, a := grown(t, 2)
	for _, step := range []struct{ told, want UID }{{0, 1}, {2, 1}, {3, 2}, {2, 3}, {0, 3}} {
		if got, err := a.ClaimRecent(ctx, inboxID, step.told); err != nil || got != step.want {
			t.Errorf("told up to %d: %d, %v, want %d", step.told, got, err, step.want)
		}
	}
}

// TestRecentIsClaimedOnceWhileClaimsAreWritten: who has read how a mailbox stood is
// not told of messages that another session was told of since, be it that the claim
// is in the record by now.
func TestRecentIsClaimedOnceWhileClaimsAreWritten(t *testing.T) {
	ctx, slow := context.Background(), &slowReader{of: keyBox}
	s := openStore(t, t.TempDir(), Options{Shards: 1, wrap: func(e kv.Engine) kv.Engine { slow.Engine = e; return slow }})
	a := s.Account(addPerson(t, s, "ann").ID)
	fill(t, s, a.id, 3)
	view(t, a, inbox)
	happens := func() {
		if first, err := a.ClaimRecent(ctx, inboxID, 4); first != 1 || err != nil {
			t.Errorf("the other session: %d, %v, want 1", first, err)
		}
		if err := s.writeClaims(ctx); err != nil {
			t.Error(err)
		}
	}
	slow.meanwhile.Store(&happens)
	if first, err := a.ClaimRecent(ctx, inboxID, 4); first != 4 || err != nil {
		t.Errorf("%d, %v, want 4: the other session was told of them", first, err)
	}
}

// TestRecentClaimIsKept: a claim waits for no disk, but is there when the store was
// closed, and after a crash if the mailbox was changed since.
func TestRecentClaimIsKept(t *testing.T) {
	ctx := context.Background()
	s, a := grown(t, 2)
	claimed := func(when string, want UID) {
		t.Helper()
		if got, err := a.ClaimRecent(ctx, inboxID, 0); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", when, got, err, want)
		}
	}
	reopen := func() {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, s.dir, Options{})
		a = s.Account(a.id)
	}
	if _, err := a.ClaimRecent(ctx, inboxID, 3); err != nil {
		t.Fatal(err)
	}
	reopen()
	claimed("after a restart", 3)
	deliver(t, s, "another", requiretls.Usual(), a.id)
	view(t, a, inbox)
	if _, err := a.ClaimRecent(ctx, inboxID, 4); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, "and one more", requiretls.Usual(), a.id)
	view(t, a, inbox)
	s.claims = claims{} // as a crash would
	claimed("after a crash behind a delivery", 4)
	if _, err := a.ClaimRecent(ctx, inboxID, 5); err != nil {
		t.Fatal(err)
	}
	s.claims = claims{}
	claimed("after a crash behind nothing", 4)
}

// TestManyClaimsAreWritten: what waits to be written is bounded.
func TestManyClaimsAreWritten(t *testing.T) {
	ctx := context.Background()
	s, a := grown(t, 1)
	for i := range MailboxID(maxClaims) {
		s.claims.claim(boxID{a.id, inboxID + 1000 + i}, 1, 2, s.claims.settled()) // of mailboxes that are gone
	}
	if _, err := a.ClaimRecent(ctx, inboxID, 2); err != nil {
		t.Fatal(err)
	}
	if n := len(s.claims.told); n != 0 {
		t.Errorf("%d claims wait, want none", n)
	}
	if got, err := a.ClaimRecent(ctx, inboxID, 0); err != nil || got != 2 {
		t.Errorf("%d, %v, want 2", got, err)
	}
}

// TestClaimsOfManyMailboxesAreWritten: they may be more than one transaction writes.
func TestClaimsOfManyMailboxesAreWritten(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{Shards: 1, wrap: strictly})
	const mailboxes = MailboxID(900)
	var all []*Account
	for i := range kv.MaxTxWrites/mailboxes + 1 {
		a := s.Account(addPerson(t, s, fmt.Sprint("ann", i)).ID)
		err := a.change(ctx, func(t *txn, c *account) error {
			for k := range mailboxes {
				t.create(a.id, c, fmt.Sprint("box", k), "")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	for _, a := range all {
		for id := range mailboxes {
			if _, err := a.ClaimRecent(ctx, inboxID+id, 2); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	s = openStore(t, s.dir, Options{})
	for _, a := range all {
		if got, err := s.Account(a.id).ClaimRecent(ctx, inboxID+mailboxes-1, 0); err != nil || got != 2 {
			t.Errorf("account %d: %d, %v, want 2", a.id, got, err)
		}
	}
}

func TestWatchWakesWhenALetterIsShown(t *testing.T) {
	_, a := grown(t, 0)
	v := view(t, a, inbox)
	moved, stop := a.Watch(inboxID)
	defer stop()
	deliver(t, a.store, "news", requiretls.Usual(), a.id)
	select {
	case <-moved:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody woke the watcher")
	}
	if got := view(t, a, inbox).Len(); got != v.Len()+1 {
		t.Errorf("%d messages after the signal", got)
	}
}

func TestRepliesJoinTheirThread(t *testing.T) {
	ctx := context.Background()
	s, a := grown(t, 0)
	b, sum := letter("question")
	answer := *sum
	answer.MessageID, answer.References = "<answer@test>", []string{"<older@test>", sum.MessageID}
	other := *sum
	other.MessageID = "<other@test>"
	for _, sum := range []*mail.Summary{sum, &answer, &other} {
		if errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plansFor(inbox, a.id)); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	rows, err := a.Rows(ctx, inboxID, []UID{1, 2, 3})
	if err != nil || len(rows) != 3 {
		t.Fatal(err)
	}
	if rows[0].ThreadID != rows[1].ThreadID || rows[0].ThreadID == rows[2].ThreadID {
		t.Errorf("threads %x, %x, %x", rows[0].ThreadID, rows[1].ThreadID, rows[2].ThreadID)
	}
	if rows[0].EmailID == rows[2].EmailID {
		t.Error("two letters of the same octets have one EMAILID")
	}
}

// A reader in clear sees the threads of open mail: what only a message that
// requires TLS says must not be seen in them (RFC 8689 §4.4).
func TestThreadsOfOpenMailSayNothingOfWhatRequiresTLS(t *testing.T) {
	ctx := context.Background()
	s, a := grown(t, 0)
	b, first := letter("first")
	referring := func(id string, to ...string) *mail.Summary {
		sum := *first
		sum.MessageID, sum.References = id, to
		return &sum
	}
	for _, one := range []struct {
		sum    *mail.Summary
		demand requiretls.Demand
	}{
		{first, requiretls.Usual()},
		{referring("<held@test>", first.MessageID), requiretls.Required()},
		{referring("<open@test>", "<held@test>"), requiretls.Usual()},
		{referring("<again@test>", "<held@test>"), requiretls.Required()},
		{referring("<held@test>"), requiretls.Usual()},
	} {
		if errs := s.Commit(ctx, &mail.Envelope{Demand: one.demand}, b, one.sum, plansFor(inbox, a.id)); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	rows, err := a.Rows(ctx, inboxID, []UID{1, 2, 3, 4, 5})
	if err != nil || len(rows) != 5 {
		t.Fatal(err)
	}
	if rows[1].ThreadID != rows[0].ThreadID || rows[3].ThreadID != rows[0].ThreadID {
		t.Errorf("what requires TLS is in threads %x and %x, not %x", rows[1].ThreadID, rows[3].ThreadID, rows[0].ThreadID)
	}
	if rows[2].ThreadID == rows[0].ThreadID || rows[4].ThreadID == rows[0].ThreadID {
		t.Errorf("open mail joined thread %x by way of what requires TLS: %x, %x", rows[0].ThreadID, rows[2].ThreadID, rows[4].ThreadID)
	}
}

func TestSummaryOfThousandsOfPartsComesBackWhole(t *testing.T) {
	ctx := context.Background()
	s, a := grown(t, 0)
	b, sum := letter("many")
	for range 3000 {
		sum.Root.Parts = append(sum.Root.Parts, mail.Part{Type: "text", Subtype: "plain", Params: []mail.Param{{Name: "name", Value: "a long file name.txt"}}, Encoding: "base64"})
	}
	inner := &mail.Summary{Subject: "inside", Sent: time.Date(2020, 1, 2, 3, 4, 5, 0, time.FixedZone("", -7200)), From: []mail.Addr{{Name: "n", Mailbox: "m", Host: "h", Group: mail.GroupEnd}}}
	sum.Root.Parts[7].Message = inner
	if errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plansFor(inbox, a.id)); errs[0] != nil {
		t.Fatal(errs[0])
	}
	prefix := int64(len(plansFor(inbox, a.id)[0].Prefix))
	got, err := a.Summary(ctx, inboxID, 1, release(t, requiretls.Usual()))
	if err != nil || !reflect.DeepEqual(got, sum.Shift(prefix)) {
		t.Errorf("%v: it came back otherwise", err)
	}
}

func TestFullDiskRefusesAndTheStoreRecovers(t *testing.T) {
	ctx := context.Background()
	disk := &fullDisk{}
	s := openStore(t, t.TempDir(), Options{files: disk})
	p := addPerson(t, s, "ann")
	b, sum := letter("x")
	commit := func() error {
		return s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plansFor(inbox, p.ID))[0]
	}
	disk.full.Store(true)
	if err := commit(); !errors.Is(err, ErrUnavailable) || !errors.Is(err, reply.DiskFull) {
		t.Errorf("commit on a full disk: %v", err)
	}
	if _, _, err := s.Account(p.ID).Append(ctx, inbox, []Letter{{Body: b, Summary: sum, Demand: requiretls.Usual()}}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("append on a full disk: %v", err)
	}
	if err := s.Trouble(); !errors.Is(err, ErrUnavailable) || !errors.Is(err, reply.DiskFull) {
		t.Errorf("trouble on a full disk: %v", err)
	}
	disk.full.Store(false)
	if err := commit(); err != nil {
		t.Errorf("commit when there is room again: %v", err)
	}
	if err := s.Trouble(); err != nil {
		t.Errorf("trouble when there is room again: %v", err)
	}
	if got := view(t, s.Account(p.ID), inbox).Len(); got != 1 {
		t.Errorf("%d messages, want the one that was acknowledged", got)
	}
}

func FuzzStoredValues(f *testing.F) {
	_, sum := letter("seed")
	f.Add(encodeSummary(sum))
	f.Add((&block{entries: []entry{{uid: 1, number: 9}, {uid: 5, number: 1 << 40}}}).encode())
	f.Add((&row{peer: "192.0.2.1"}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		// A checksum stands before all of these; even without it nothing may
		// panic or take memory beyond what is there.
		if got, err := decodeSummary(string(b), wholeSummary, 0); err == nil {
			if again, err := decodeSummary(string(encodeSummary(got)), wholeSummary, 0); err != nil || !reflect.DeepEqual(again.Root, got.Root) {
				t.Errorf("%+v became %+v, %v", got, again, err)
			}
		}
		if len(b) > valueHeader {
			b = sealValue(slices.Clone(b))
		}
		if got, err := decodeBlock(b); err == nil && len(got.entries) > 0 {
			if again, err := decodeBlock(got.encode()); err != nil || !reflect.DeepEqual(again.entries, got.entries) {
				t.Errorf("%+v became %+v, %v", got, again, err)
			}
		}
		if got, err := decodeRow(b); err == nil {
			if again, err := decodeRow(got.encode()); err != nil || again != got {
				t.Errorf("%+v became %+v, %v", got, again, err)
			}
		}
		_, _ = decodeBox(1, b)
		_, _ = decodeMore(b)
		_, _ = decodeOut(b)
	})
}
