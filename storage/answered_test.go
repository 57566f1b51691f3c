package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// answered is where somebody was told that a letter is.
type answered struct {
	stays    bool // in a mailbox that nobody deletes
	validity uint32
	uid      UID
	token    string // its text
}

// standstill is an index whose changes wait while it is stopped, and each that is
// [halted].
type standstill struct {
	kv.Engine
	mu      sync.Mutex // guards stopped
	stopped chan struct{}
}

func (e *standstill) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	if h, ok := ctx.Value(halt).(*halted); ok {
		close(h.came)
		<-h.goOn
	}
	e.mu.Lock()
	stopped := e.stopped
	e.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
	return e.Engine.Update(ctx, shard, fn)
}

// halted is a change that comes as far as the index and waits there; halt is the key
// under which its context has it.
type halted struct{ came, goOn chan struct{} }

type haltKey struct{}

var halt haltKey

// stop keeps changes from the index until goOn is called.
func (e *standstill) stop() (goOn func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	stopped := make(chan struct{})
	e.stopped = stopped
	return sync.OnceFunc(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.stopped = nil
		close(stopped)
	})
}

// openStoppable opens a store of one shard with an index that can be stopped.
func openStoppable(t *testing.T, dir string) (*Store, *standstill) {
	t.Helper()
	e := new(standstill)
	return openStore(t, dir, Options{Shards: 1, wrap: func(below kv.Engine) kv.Engine { e.Engine = below; return e }}), e
}

func tokenLetter(token string) Letter {
	b, sum := letter(token)
	return Letter{Body: b, Summary: sum, Demand: requiretls.Usual()}
}

// upload appends one letter for each token.
func upload(a *Account, box string, tokens ...string) (all []answered, err error) {
	var letters []Letter
	for _, token := range tokens {
		letters = append(letters, tokenLetter(token))
	}
	validity, uids, err := a.Append(context.Background(), box, letters)
	for i, uid := range uids {
		all = append(all, answered{box != "Shared", validity, uid, tokens[i]})
	}
	return all, err
}

func mustUpload(t *testing.T, a *Account, box string, tokens ...string) []answered {
	t.Helper()
	all, err := upload(a, box, tokens...)
	if err != nil || len(all) != len(tokens) {
		t.Fatalf("append to %s answered %v, %v", box, all, err)
	}
	return all
}

// holds looks for every letter where it was said to be, in mailboxes that are still
// there.
func holds(t *testing.T, a *Account, all []answered) {
	t.Helper()
	ctx := context.Background()
	boxes, err := a.Mailboxes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	given := make(map[[2]uint64]string)
	for _, at := range all {
		place := [2]uint64{uint64(at.validity), uint64(at.uid)}
		if other, twice := given[place]; twice {
			t.Errorf("UID %d of %d was answered for %q and for %q", at.uid, at.validity, other, at.token)
		}
		given[place] = at.token
		i := slices.IndexFunc(boxes, func(b Mailbox) bool { return b.UIDValidity == at.validity })
		if i < 0 {
			if at.stays {
				t.Errorf("no mailbox has the UIDVALIDITY %d that was answered for %q", at.validity, at.token)
			}
			continue
		}
		m, err := a.Message(ctx, boxes[i].ID, at.uid, release(t, requiretls.Usual()))
		if err != nil {
			t.Errorf("%q was answered to be UID %d of %s, %d: %v", at.token, at.uid, boxes[i].Name, at.validity, err)
			continue
		}
		text, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
		if cerr := m.Close(); err != nil || cerr != nil || !strings.Contains(string(text), "Subject: "+at.token+"\r\n") {
			t.Errorf("UID %d of %s, %d is %q, want %q; %v, %v", at.uid, boxes[i].Name, at.validity, text, at.token, err, cerr)
		}
	}
}

// An APPEND waits for the log alone, and the UIDs it was answered hold: while the
// store runs, and when it was killed before the index had any of it.
func TestAppendIsAnsweredWhenTheLogHasIt(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, index := openStoppable(t, dir+"/store")
	a, b := s.Account(addPerson(t, s, "ann").ID), s.Account(addPerson(t, s, "bob").ID)
	var all, others []answered
	for _, box := range []string{"Sent", inbox} {
		all = append(all, mustUpload(t, a, box, "first of "+box)...)
	}
	others = mustUpload(t, b, "Sent", "bob's first")
	trashID, sentID := mailbox(t, a, "Trash").ID, mailbox(t, a, "Sent").ID
	goOn := index.stop()
	defer goOn()
	for i := range 40 {
		all = append(all, mustUpload(t, a, []string{"Sent", inbox}[i%2], fmt.Sprint("one ", i), fmt.Sprint("two ", i))...)
		others = append(others, mustUpload(t, b, "Sent", fmt.Sprint("bob's ", i))...)
	}
	if id, err := a.Destination(ctx, "inbox"); id != inboxID || err != nil {
		t.Errorf("INBOX is mailbox %d, %v", id, err)
	}
	trash, err := a.View(ctx, trashID) // nothing is on its way there
	if err != nil || trash.Mailbox().Name != "Trash" {
		t.Errorf("a look at another mailbox: %+v, %v", trash, err)
	}
	image := crashImage(t, dir+"/store")
	goOn()
	for i := range 20 {
		one := mustUpload(t, a, "Sent", fmt.Sprint("seen ", i))[0]
		v, err := a.View(ctx, sentID)
		if err != nil {
			t.Fatal(err)
		}
		if _, found := v.Find(one.uid); !found {
			t.Errorf("a view after the answer has no UID %d, %d messages", one.uid, v.Len())
		}
	}
	if id, err := a.Destination(ctx, "Nowhere"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a mailbox that is not there: %d, %v", id, err)
	}
	after := openStore(t, image, Options{})
	for name, s := range map[string]*Store{"running": s, "killed": after} {
		holds(t, s.Account(a.id), all)
		holds(t, s.Account(b.id), others)
		if found := findings(t, s); len(found) > 0 {
			t.Errorf("%s: check found %q", name, found)
		}
	}
}

// While something else may give UIDs, an APPEND waits for the index as it did
// before: what it is answered is what it gets.
func TestAppendWaitsForUIDsThatNobodyKnows(t *testing.T) {
	ctx := context.Background()
	s, index := openStoppable(t, t.TempDir())
	a := s.Account(addPerson(t, s, "ann").ID)
	mustUpload(t, a, "Sent", "first")
	for name, meddle := range map[string]func() error{
		"a delivery": func() error { return offer(s, "Sent", a.id) },
		"a copy":     func() error { _, err := a.Copy(ctx, mailbox(t, a, "Sent").ID, []UID{1}, "Sent"); return err },
		"a replacement": func() error {
			_, _, err := a.Replace(ctx, mailbox(t, a, "Sent").ID, 2, "Sent", tokenLetter("second"))
			return err
		},
		"a mailbox anew": func() error {
			_, err := a.Create(ctx, "Other", "")
			return errors.Join(a.Rename(ctx, "Sent", "Was"), err, a.Rename(ctx, "Other", "Sent"), a.Delete(ctx, "Was"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			all := mustUpload(t, a, "Sent", "before")
			goOn := index.stop()
			defer goOn()
			var others sync.WaitGroup
			var mu sync.Mutex // guards all
			for i := range 6 {
				others.Go(func() {
					if i == 3 {
						if err := meddle(); err != nil {
							t.Error(err)
						}
						return
					}
					more, err := upload(a, "Sent", fmt.Sprint("meanwhile ", i))
					if err != nil && !errors.Is(err, ErrNotFound) { // Sent is renamed
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, more...)
				})
			}
			goOn()
			others.Wait()
			if name == "a replacement" {
				all = all[1:] // its victim may be among them
			}
			for i := range all {
				all[i].stays = false
			}
			holds(t, a, all)
		})
	}
}

// Letters for several mailboxes, each applied by itself, leave none of them where it
// was.
func TestAppendKnowsOfDeliveriesElsewhere(t *testing.T) {
	index := new(standstill)
	s := openStore(t, t.TempDir(), Options{Shards: 1, items: 1, wrap: func(below kv.Engine) kv.Engine { index.Engine = below; return index }})
	a := s.Account(addPerson(t, s, "ann").ID)
	all := append(mustUpload(t, a, "Sent", "first"), mustUpload(t, a, inbox, "first too")...)
	goOn := index.stop()
	defer goOn()
	for _, box := range []string{"Sent", inbox} {
		if err := offer(s, box, a.id); err != nil {
			t.Fatal(err)
		}
	}
	goOn()
	view(t, a, inbox)
	for _, box := range []string{"Sent", inbox, "Sent"} {
		all = append(all, mustUpload(t, a, box, "then to "+box)...)
	}
	holds(t, a, all)
}

// Nothing is promised as long as a change is under way that may give UIDs: it comes
// before what is appended meanwhile, or behind.
func TestNothingIsPromisedWhileAChangeIsUnderWay(t *testing.T) {
	s, _ := openStoppable(t, t.TempDir())
	a := s.Account(addPerson(t, s, "ann").ID)
	all := mustUpload(t, a, "Sent", "first")
	sent := mailbox(t, a, "Sent").ID
	change := &halted{came: make(chan struct{}), goOn: make(chan struct{})}
	copied := make(chan error)
	go func() {
		_, err := a.Copy(context.WithValue(context.Background(), halt, change), sent, []UID{1}, "Sent")
		copied <- err
	}()
	<-change.came
	for i := range 3 {
		all = append(all, mustUpload(t, a, "Sent", fmt.Sprint("meanwhile ", i))...)
	}
	close(change.goOn)
	if err := <-copied; err != nil {
		t.Fatal(err)
	}
	all = append(all, mustUpload(t, a, "Sent", "behind")...)
	all = append(all, mustUpload(t, a, "Sent", "last")...)
	holds(t, a, all)
}

// What was answered and is not in the index counts for the quota.
func TestQuotaCountsAppendsOnTheirWay(t *testing.T) {
	ctx := context.Background()
	s, index := openStoppable(t, t.TempDir())
	a := s.Account(addPerson(t, s, "ann").ID)
	if err := a.SetLimits(ctx, Usage{Messages: 4}); err != nil {
		t.Fatal(err)
	}
	mustUpload(t, a, "Sent", "first")
	goOn := index.stop()
	defer goOn()
	mustUpload(t, a, "Sent", "second", "third")
	over := make(chan error)
	go func() {
		_, err := upload(a, "Sent", "fourth", "fifth") // waits for the index before it is refused
		over <- err
	}()
	mustUpload(t, a, "Sent", "fourth")
	goOn()
	if err := <-over; !errors.Is(err, ErrOverQuota) {
		t.Errorf("two letters where one had room: %v", err)
	}
	if u, err := a.Usage(ctx); err != nil || u.Messages != 4 {
		t.Errorf("%d messages, %v, want 4", u.Messages, err)
	}
	if err := a.Expunge(ctx, mailbox(t, a, "Sent").ID, []UID{1}); err != nil {
		t.Fatal(err)
	}
	if err := a.CheckQuota(ctx, Usage{Messages: 1}); err != nil {
		t.Errorf("where one has gone: %v", err)
	}
	if sh := s.shardOf(a.id); len(sh.held) > 0 || sh.sight.letters != 0 || sh.sight.octets != 0 || len(sh.sight.changing) > 0 {
		t.Errorf("something is held of nothing on its way: %v, %+v", sh.held, sh.sight)
	}
}

// One who uploads faster than the index follows waits for it in the end.
func TestWhatIsPromisedIsBounded(t *testing.T) {
	ctx := context.Background()
	s, index := openStoppable(t, t.TempDir())
	a := s.Account(addPerson(t, s, "ann").ID)
	mustUpload(t, a, "Sent", "first")
	goOn := index.stop()
	defer goOn()
	letters := make([]Letter, 900)
	for i := range letters {
		letters[i] = tokenLetter("x")
	}
	upTo := maxPromised / len(letters)
	for range upTo {
		if _, _, err := a.Append(ctx, "Sent", letters); err != nil {
			t.Fatal(err)
		}
	}
	waits := make(chan error)
	go func() {
		_, uids, err := a.Append(ctx, "Sent", letters)
		if want := UID(2 + upTo*len(letters)); err == nil && uids[0] != want {
			err = fmt.Errorf("UID %d, want %d", uids[0], want)
		}
		waits <- err
	}()
	select {
	case err := <-waits:
		t.Errorf("answered while the index stands still: %v", err)
	default:
	}
	goOn()
	if err := <-waits; err != nil {
		t.Error(err)
	}
}

// What waits for the index in memory is bounded by all that a client may send with a
// letter, its keywords, too.
func TestKeywordsOfPromisedLettersCount(t *testing.T) {
	s, index := openStoppable(t, t.TempDir())
	a := s.Account(addPerson(t, s, "ann").ID)
	mustUpload(t, a, "Sent", "first")
	goOn := index.stop()
	defer goOn()
	l, octets := tokenLetter("second"), 0
	for i := range 1000 {
		l.Flags = append(l.Flags, fmt.Sprintf("%0*d", maxKeyword, i))
		octets += maxKeyword
	}
	if _, _, err := a.Append(context.Background(), "Sent", []Letter{l}); err != nil {
		t.Fatal(err)
	}
	sh := s.shardOf(a.id)
	sh.mu.Lock()
	got := sh.sight.octets
	sh.mu.Unlock()
	if got < octets || got > maxPromisedOctets {
		t.Errorf("a letter with %d octets of keywords counts as %d", octets, got)
	}
	goOn()
	view(t, a, "Sent")
	if left := s.shardOf(a.id).sight.octets; left != 0 {
		t.Errorf("%d octets are kept of nothing", left)
	}
}

// A record that rots before the index had it leaves its UIDs to those behind it:
// their clients are told that all UIDs are new.
func TestUIDsBehindALostRecordAreSaidToBeNew(t *testing.T) {
	dir := t.TempDir()
	s, index := openStoppable(t, dir+"/store")
	a := s.Account(addPerson(t, s, "ann").ID)
	first := mustUpload(t, a, "Sent", "first")[0]
	other := mustUpload(t, a, inbox, "other")[0]
	goOn := index.stop()
	defer goOn()
	mustUpload(t, a, "Sent", "rots")
	last := mustUpload(t, a, "Sent", "last")[0]
	image := crashImage(t, dir+"/store")
	goOn()
	rotIn(t, image, "Hello rots")
	after := openStore(t, image, Options{}).Account(a.id)
	sent := mailbox(t, after, "Sent")
	if sent.UIDValidity <= last.validity || sent.Messages != 2 {
		t.Errorf("%d messages, UIDVALIDITY %d, want 2 and more than %d: UID %d was answered for the last", sent.Messages, sent.UIDValidity, last.validity, last.uid)
	}
	if text := readAll(t, after, sent.ID, first.uid, requiretls.Usual()); !strings.Contains(text, "first") {
		t.Errorf("UID %d is %q", first.uid, text)
	}
	holds(t, after, []answered{other})
}

// firstShardOnly is a standstill of the first shard: the others go on.
type firstShardOnly struct{ *standstill }

func (e firstShardOnly) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	if shard != 0 {
		return e.Engine.Update(ctx, shard, fn)
	}
	return e.standstill.Update(ctx, shard, fn)
}

// The UIDs that were answered for a record which rots before the index had it are
// given to no other letter: not to one that was delivered behind it, nor to one that
// comes when the store runs again, be it that the record was the last of the log.
func TestUIDsOfALostRecordAreGivenToNobody(t *testing.T) {
	for name, test := range map[string]struct {
		behind func(*Store, *Account, *Account) error
		rots   []string
	}{
		"a delivery behind it": {behind: func(s *Store, a, _ *Account) error { return offer(s, "Sent", a.id) }},
		"a letter for another": {behind: func(_ *Store, _, b *Account) error { _, err := upload(b, "Sent", "behind"); return err }},
		"the end of the log": {
			behind: func(_ *Store, _, b *Account) error {
				_, err := upload(b, "Sent", "behind")
				return errors.Join(err, b.store.shardOf(b.id).drain(context.Background()))
			},
			rots: []string{"Hello behind"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, index := t.TempDir(), new(standstill)
			s := openStore(t, dir+"/store", Options{Shards: 2, wrap: func(below kv.Engine) kv.Engine { index.Engine = below; return firstShardOnly{index} }})
			inShard := make(map[int]*Account)
			for i := 0; len(inShard) < 2; i++ {
				a := s.Account(addPerson(t, s, fmt.Sprint("ann", i)).ID)
				inShard[s.shardOf(a.id).number] = a
			}
			a, b := inShard[0], inShard[1]
			all := append(mustUpload(t, a, "Sent", "first"), mustUpload(t, a, inbox, "other")...)
			goOn := index.stop()
			defer goOn()
			lost := mustUpload(t, a, "Sent", "rots")
			if err := test.behind(s, a, b); err != nil {
				t.Fatal(err)
			}
			image := crashImage(t, dir+"/store")
			goOn()
			for _, text := range append(test.rots, "Hello rots") {
				rotIn(t, image, text)
			}
			after := openStore(t, image, Options{})
			again := after.Account(a.id)
			all = append(all, mustUpload(t, again, "Sent", "later")...)
			holds(t, again, all)
			if i, found := view(t, again, "Sent").Find(lost[0].uid); found {
				t.Errorf("UID %d was answered for what is lost, it is %+v now", lost[0].uid, view(t, again, "Sent").At(i))
			}
		})
	}
}

// A promise that is not true any more is our mistake; whoever was promised a UID
// never finds another letter under it.
func TestABrokenPromiseIsMadeGood(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	for range 3 {
		deliver(t, s, "x", requiretls.Usual(), a.id)
	}
	was := mailbox(t, a, inbox)
	honour := func(p promise) (now Mailbox, slip error) {
		t.Helper()
		err := a.change(ctx, func(t *txn, c *account) error {
			b, err := t.mustBox(a.id, inboxID)
			if err == nil {
				slip = t.honour(c, b, p)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return mailbox(t, a, inbox), slip
	}
	if now, slip := honour(promise{inboxID, was.UIDValidity, was.UIDNext}); slip != nil || now.UIDNext != was.UIDNext || now.UIDValidity != was.UIDValidity {
		t.Errorf("a promise that holds: %v, %+v", slip, now)
	}
	if now, slip := honour(promise{inboxID, was.UIDValidity, 10}); slip == nil || now.UIDNext != 10 || now.UIDValidity != was.UIDValidity {
		t.Errorf("a later UID was promised: %v, UIDNEXT %d of %d", slip, now.UIDNext, now.UIDValidity)
	}
	if now, slip := honour(promise{inboxID, was.UIDValidity, 9}); slip == nil || now.UIDNext != 10 || now.UIDValidity <= was.UIDValidity {
		t.Errorf("a UID was promised that is taken: %v, UIDNEXT %d of %d", slip, now.UIDNext, now.UIDValidity)
	}
}

// sessions are several clients of one account at once, and the letters that come
// for it: two append, one copies, replaces and expunges, makes a mailbox anew and
// renames it. tell hears where each letter was said to be. They go on until ctx
// ends.
func sessions(ctx context.Context, s *Store, a *Account, seed uint64, tell func(...answered)) error {
	rnd := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	_, err := a.Create(ctx, "Shared", "")
	if err != nil && !errors.Is(err, ErrExists) {
		return err
	}
	failed := make(chan error)
	for i := range 2 {
		go func() { failed <- uploads(ctx, a, rnd(uint64(i)), fmt.Sprintf("a%d-%d", seed, i), tell) }()
	}
	go func() { failed <- letters(ctx, s, a, rnd(2)) }()
	go func() { failed <- meddles(ctx, a, rnd(3), fmt.Sprintf("m%d", seed), tell) }()
	for range 4 {
		err = errors.Join(err, <-failed)
	}
	return err
}

var sessionBoxes = []string{inbox, "Sent", "Shared"}

// uploads appends, several times to one mailbox mostly.
func uploads(ctx context.Context, a *Account, rnd *rand.Rand, name string, tell func(...answered)) error {
	for n := 0; ctx.Err() == nil; {
		box := sessionBoxes[rnd.IntN(3)]
		for range 1 + rnd.IntN(12) {
			var tokens []string
			for range 1 + rnd.IntN(2) {
				tokens = append(tokens, fmt.Sprintf("%s-%d", name, n))
				n++
			}
			all, err := upload(a, box, tokens...)
			if err != nil && !isNotFound(err) {
				return fmt.Errorf("append to %s: %w", box, err)
			}
			tell(all...)
		}
	}
	return nil
}

// letters delivers now and then.
func letters(ctx context.Context, s *Store, a *Account, rnd *rand.Rand) error {
	for ctx.Err() == nil {
		b, sum := letter("delivered")
		plans := plansFor(sessionBoxes[rnd.IntN(3)], a.id)
		if err := s.Commit(context.Background(), &mail.Envelope{Demand: requiretls.Usual()}, b, sum, plans)[0]; err != nil {
			return err
		}
		for range rnd.IntN(20) { // some look
			if _, err := a.Mailboxes(context.Background()); err != nil {
				return err
			}
		}
	}
	return nil
}

// meddles changes mailboxes from outside the log, and leaves alone what others
// appended, unless the whole mailbox goes.
func meddles(ctx context.Context, a *Account, rnd *rand.Rand, name string, tell func(...answered)) error {
	all, err := upload(a, "Archive", name)
	if err != nil {
		return err
	}
	tell(all...)
	back := context.Background()
	archive, err := a.Mailbox(back, "Archive")
	for n := 0; ctx.Err() == nil && err == nil; n++ {
		box := sessionBoxes[rnd.IntN(3)]
		var m Mailbox
		switch rnd.IntN(6) {
		case 0:
			var done Copied
			done, err = a.Copy(back, archive.ID, []UID{all[0].uid}, box)
			for _, uid := range done.To {
				tell(answered{box != "Shared", done.UIDValidity, uid, name})
			}
		case 1: // a copy that is replaced
			if m, err = a.Mailbox(back, box); err == nil {
				err = meddleReplace(a, archive.ID, m, all[0].uid, fmt.Sprintf("%s-%d", name, n), tell)
			}
		case 2:
			if err = a.Delete(back, "Shared"); err == nil {
				_, err = a.Create(back, "Shared", "")
			}
		case 3:
			other := fmt.Sprintf("%s/%d", name, n)
			if err = a.Rename(back, "Shared", other); err == nil && rnd.IntN(2) == 0 {
				err = a.Rename(back, other, "Shared")
			} else if err == nil {
				_, err = a.Create(back, "Shared", "")
				err = errors.Join(err, a.Delete(back, other))
			}
		case 4:
			if m, err = a.Mailbox(back, box); err == nil {
				_, err = a.StoreFlags(back, m.ID, []UID{1, 2, 3}, FlagOp(rnd.IntN(3)), []string{`\Seen`}, 0)
			}
		case 5:
			for range rnd.IntN(200) { // the others have it to themselves
				if _, err = a.Destination(back, box); err != nil {
					break
				}
			}
		}
		if isNotFound(err) { // it was cut short before the mailbox was made anew
			_, err = a.Create(back, "Shared", "")
		}
	}
	return err
}

func meddleReplace(a *Account, from MailboxID, to Mailbox, uid UID, token string, tell func(...answered)) error {
	ctx := context.Background()
	done, err := a.Copy(ctx, from, []UID{uid}, to.Name)
	if err != nil || done.UIDValidity != to.UIDValidity {
		return err
	}
	validity, uid, err := a.Replace(ctx, to.ID, done.To[0], to.Name, tokenLetter(token))
	if err == nil {
		tell(answered{to.Name != "Shared", validity, uid, token})
	}
	return err
}

// Two sessions append while letters come, messages are copied and replaced, and
// mailboxes go and come: each letter is where its client was told.
func TestUIDsOfAppendsHoldAmongSessions(t *testing.T) {
	for seed := range uint64(3) {
		s := openStore(t, t.TempDir(), Options{Shards: 1, items: int(seed) * 3, wrap: strictly})
		a := s.Account(addPerson(t, s, "ann").ID)
		ctx, stop := context.WithCancel(context.Background())
		var mu sync.Mutex // guards all
		var all []answered
		err := sessions(ctx, s, a, seed, func(some ...answered) {
			mu.Lock()
			defer mu.Unlock()
			if all = append(all, some...); len(all) > 400 {
				stop()
			}
		})
		stop()
		if err != nil {
			t.Fatal(err)
		}
		holds(t, a, all)
		if found := findings(t, s); len(found) > 0 {
			t.Errorf("seed %d: check found %q", seed, found)
		}
	}
}
