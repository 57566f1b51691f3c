package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/disk"
	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
	"letterlock/storage/segment"
)

// inForms is a letter that two rules have edited: who gets which form into which
// mailbox, and what leaves.
type inForms struct {
	env   *mail.Envelope
	body  mail.Body
	sum   *mail.Summary
	plans []mail.Delivery
	want  []map[string][]string // texts, by plan and mailbox
}

// inThreeForms is a letter for the people: the first has all three forms, and has
// it sent on; the others have two, or one.
func inThreeForms(subject, padding string, people ...AccountID) *inForms {
	env := &mail.Envelope{ID: subject, From: elsewhere("sender"), Demand: requiretls.Usual()}
	texts, variants := make([]string, 3), make([]*mail.Variant, 3)
	for i := range texts {
		texts[i] = fmt.Sprintf("Message-ID: <%s@x>\r\nX-Form: %d\r\n\r\n%s", subject, i, padding)
		if i > 0 {
			variants[i] = &mail.Variant{Body: newBody(texts[i]), Summary: crashSummary(texts[i])}
		}
	}
	l := &inForms{env: env, body: newBody(texts[0]), sum: crashSummary(texts[0])}
	for i, a := range people {
		p := mail.Delivery{Account: uint64(a), Rcpt: elsewhere(fmt.Sprint("p", i)), Prefix: fmt.Appendf(nil, "Delivered-To: %d\r\n", a)}
		want := make(map[string][]string)
		forms := [][]int{{2, 0}, {0}, {2}}[i%3]
		if i == 0 {
			forms = []int{1, 2, 0}
		}
		for j, form := range forms {
			p.Copies = append(p.Copies, mail.Copy{Mailbox: crashBoxes[j], Variant: variants[form]})
			want[crashBoxes[j]] = []string{string(p.Prefix) + texts[form]}
		}
		l.plans, l.want = append(l.plans, p), append(l.want, want)
	}
	l.plans[0].Outbound = []*mail.Outbound{env.Redirect(mail.Redirect{To: elsewhere("away")})}
	return l
}

func (l *inForms) commit(s *Store) error {
	return errors.Join(s.Commit(context.Background(), l.env, l.body, l.sum, l.plans)...)
}

// haveOnly checks that people have each form of the letters once, and nothing
// else.
func haveOnly(t *testing.T, s *Store, people []AccountID, letters ...*inForms) {
	t.Helper()
	want, leaving := make(map[AccountID]map[string][]string), 0
	for _, id := range people {
		want[id] = make(map[string][]string)
	}
	for _, l := range letters {
		for i, p := range l.plans {
			for box, texts := range l.want[i] {
				want[AccountID(p.Account)][box] = append(want[AccountID(p.Account)][box], texts...)
			}
			leaving += len(p.Outbound)
		}
	}
	for _, id := range people {
		a := s.Account(id)
		for _, box := range crashBoxes {
			var got []string
			m := mailbox(t, a, box)
			for _, uid := range uidsOf(view(t, a, box)) {
				got = append(got, readAll(t, a, m.ID, uid, requiretls.Usual()))
			}
			if !slices.Equal(got, want[id][box]) {
				t.Errorf("account %d, %s: %d letters %.60q, want %d %.60q", id, box, len(got), got, len(want[id][box]), want[id][box])
			}
		}
	}
	if rows := due(t, s); len(rows) != leaving {
		t.Errorf("%d letters leave, want %d", len(rows), leaving)
	}
	if all := findings(t, s); len(all) > 0 {
		t.Errorf("check found %q", all)
	}
}

// stoppable is an index whose shards stop after some transactions, as a machine
// does that loses its power.
type stoppable struct {
	kv.Engine
	left [2]atomic.Int64 // transactions of each shard
	gone chan struct{}   // closed: they go on
}

func newStoppable() *stoppable {
	e := &stoppable{gone: make(chan struct{})}
	e.allow(1<<40, 1<<40)
	return e
}

func (e *stoppable) allow(left ...int) {
	for i, n := range left {
		e.left[i].Store(int64(n))
	}
}

func (e *stoppable) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	if e.left[shard].Add(-1) < 0 {
		<-e.gone
	}
	return e.Engine.Update(ctx, shard, fn)
}

// A power cut may come when one shard has applied some of the recipients of a
// letter in several forms, and another one others: wherever that was, each has
// all of his forms afterwards, and has them once. A second crash changes nothing.
func TestEachFormIsThereOnceWhereverTheIndexWasCutShort(t *testing.T) {
	var within atomic.Int64
	t.Run("after", func(t *testing.T) {
		for first := range 5 { // of four of each shard
			t.Run(fmt.Sprint(first), func(t *testing.T) {
				t.Parallel()
				cutShort(t, first, 4-first, &within)
			})
		}
	})
	if n := within.Load(); n < 4 {
		t.Errorf("%d marks lay within the group: this test is about them", n)
	}
}

// cutShort stops the shards after so many recipients.
func cutShort(t *testing.T, first, second int, within *atomic.Int64) {
	dir, engine := filepath.Join(t.TempDir(), "store"), newStoppable()
	s := openStore(t, dir, Options{Shards: 2, items: 1, wrap: func(e kv.Engine) kv.Engine { engine.Engine = e; return engine }})
	var shards [2][]AccountID
	for i := 0; len(shards[0]) < 4 || len(shards[1]) < 4; i++ {
		p := addPerson(t, s, fmt.Sprint("p", i))
		n := s.shardOf(p.ID).number
		shards[n] = append(shards[n], p.ID)
	}
	var people []AccountID
	for i := range 4 {
		people = append(people, shards[i%2][i], shards[1-i%2][i])
	}
	letter := inThreeForms("one", "hello", people...)
	var target [2]uint64
	for i, n := range []int{first, second} {
		target[i] = s.shards[i].queued + uint64(n)
	}
	engine.allow(first, second)
	if err := letter.commit(s); err != nil {
		t.Fatal(err)
	}
	for i, sh := range s.shards {
		if err := sh.reach(t.Context(), target[i]); err != nil {
			t.Fatal(err)
		}
	}
	image := crashImage(t, dir)
	for _, sh := range s.shards {
		sh.mu.Lock()
		if sh.mark.EndSerial != 0 {
			within.Add(1)
		}
		sh.mu.Unlock()
	}
	close(engine.gone)
	haveOnly(t, s, people, letter)

	again := openStore(t, image, Options{items: 1})
	next := inThreeForms("two", "again", people...)
	if err := next.commit(again); err != nil {
		t.Fatal(err)
	}
	last := openStore(t, crashImage(t, image), Options{})
	haveOnly(t, last, people, letter, next)
	haveOnly(t, again, people, letter, next)
}

// A mark that an older program has written says nothing of where its group ends.
// It is as good as it was.
func TestMarkOfAnOlderProgramIsGoodStill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openStore(t, dir, Options{Shards: 2})
	to := peopleOfTwoShards(t, s)
	to = append(to, to[0], to[1])
	commitText(t, s, "Message-ID: <1@x>\r\n\r\none", to)
	checkTexts(t, s, to[:2], "Message-ID: <1@x>\r\n\r\none", "Message-ID: <1@x>\r\n\r\none")
	stripped := 0
	older := func(e kv.Engine) kv.Engine {
		for i := range e.Shards() {
			err := e.Update(context.Background(), i, func(tx kv.Tx) error {
				m, err := getMark(tx)
				if m.EndSerial != 0 {
					stripped++
				}
				putMark(tx, segment.Mark{At: m.At, Serial: m.Serial})
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		return e
	}
	s = openStore(t, crashImage(t, dir), Options{wrap: older})
	if stripped != 1 {
		t.Fatalf("%d marks lay within the record, want 1", stripped)
	}
	commitText(t, s, "Message-ID: <2@x>\r\n\r\ntwo", to[:2])
	checkTexts(t, s, to[:2], "Message-ID: <1@x>\r\n\r\none", "Message-ID: <1@x>\r\n\r\none", "Message-ID: <2@x>\r\n\r\ntwo")
}

// stumbling is a disk that fails at the nth file of the log that is made, or flush.
type stumbling struct {
	disk.OS
	left atomic.Int64
}

var errStumbled = syscall.EIO

func (d *stumbling) step() error {
	if d.left.Add(-1) == 0 {
		return errStumbled
	}
	return nil
}

func (d *stumbling) Create(name string) (disk.File, error) {
	if filepath.Ext(name) == ".journal" {
		return d.OS.Create(name)
	}
	if err := d.step(); err != nil {
		return nil, err
	}
	f, err := d.OS.Create(name)
	return &stumblingFile{f, d}, err
}

type stumblingFile struct {
	disk.File
	disk *stumbling
}

func (f *stumblingFile) Datasync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	return f.File.Datasync()
}

// Whichever step of it the disk fails at, nobody has any form of the letter,
// nothing leaves and nothing of the quota is taken; offered again, each form is
// there once.
func TestDiskThatFailsLeavesNoFormOfALetter(t *testing.T) {
	disk, failed := &stumbling{}, 0
	dir := t.TempDir()
	s := openStore(t, dir, Options{files: disk})
	people := peopleOfTwoShards(t, s)
	for _, id := range people {
		if err := s.Account(id).SetLimits(context.Background(), Usage{Messages: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	var letters []*inForms
	for _, padding := range []string{"hello", strings.Repeat("a long line\r\n", 100000)} { // in the segment, in files of their own
		for step := int64(1); ; step++ {
			letter := inThreeForms(fmt.Sprint(len(letters)), padding, people...)
			disk.left.Store(step)
			err := letter.commit(s)
			if err != nil && !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			if err == nil && disk.left.Load() > 0 { // all of it went without stumbling
				letters = append(letters, letter)
				break
			}
			if disk.left.Store(0); err == nil { // it stumbled over a file that could be done without
				letters = append(letters, letter)
				continue
			}
			failed++
			haveOnly(t, s, people, letters...)
			if err := letter.commit(s); err != nil {
				t.Fatalf("offered again: %v", err)
			}
			letters = append(letters, letter)
			haveOnly(t, s, people, letters...)
		}
	}
	if failed < 4 {
		t.Errorf("the disk failed %d times", failed)
	}
	for _, sh := range s.shards {
		if err := sh.drain(context.Background()); err != nil || len(sh.held) > 0 {
			t.Errorf("shard %d holds %v of quotas, %v", sh.number, sh.held, err)
		}
	}
	names, err := os.ReadDir(filepath.Join(dir, tempDir))
	if err != nil || len(names) > 0 {
		t.Errorf("left in %s: %v, %v", tempDir, names, err)
	}
}

// RFC 1047: the answer was lost, the letter comes again, and the rules edit it
// again. It is known by what came.
func TestRetryOfAnEditedLetterIsNoSecondCopyOfAnyForm(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	people := peopleOfTwoShards(t, s)
	letter := inThreeForms("once", "hello", people...)
	if err := letter.commit(s); err != nil {
		t.Fatal(err)
	}
	var rcpts []mail.Address
	for _, p := range letter.plans {
		rcpts = append(rcpts, p.Rcpt)
	}
	if err := s.Unanswered(context.Background(), letter.env, letter.body, rcpts); err != nil {
		t.Fatal(err)
	}
	if err := inThreeForms("once", "hello", people...).commit(s); err != nil {
		t.Fatal(err)
	}
	haveOnly(t, s, people, letter)
}

// What an older program has remembered of a letter that nobody heard of is its
// hash alone.
func TestRetryIsKnownThatAnOlderProgramHasRemembered(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	people := peopleOfTwoShards(t, s)
	letter := inThreeForms("once", "hello", people...)
	own, err := hashLetter(letter.env, letter.body)
	if err != nil {
		t.Fatal(err)
	}
	err = s.system(ctx, func(tx kv.Tx) error {
		tx.Put(retryKey(own(letter.plans[0].Rcpt)), sealValue(segment.AppendTime(newValue(), time.Now().Add(time.Hour))))
		return nil
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{})
	if err := letter.commit(s); err != nil {
		t.Fatal(err)
	}
	letter.plans, letter.want = letter.plans[1:], letter.want[1:]
	haveOnly(t, s, people, letter)
}

// Where no room is left for one of the forms there is none of them.
func TestQuotaIsOfAllFormsTogether(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	people := peopleOfTwoShards(t, s)
	if err := s.Account(people[0]).SetLimits(ctx, Usage{Messages: 2}); err != nil {
		t.Fatal(err)
	}
	letter := inThreeForms("much", "hello", people...)
	errs := s.Commit(ctx, letter.env, letter.body, letter.sum, letter.plans)
	if !errors.Is(errs[0], ErrOverQuota) || errs[1] != nil {
		t.Fatalf("fates %v, want over quota for the first alone", errs)
	}
	if u, err := s.Account(people[0]).Usage(ctx); err != nil || u != (Usage{}) || len(due(t, s)) != 0 {
		t.Errorf("the first has %+v, %v, %d letters leave; want nothing of it", u, err, len(due(t, s)))
	}
	if err := s.Account(people[0]).SetLimits(ctx, Usage{Messages: 3}); err != nil {
		t.Fatal(err)
	}
	letter.plans, letter.want = letter.plans[:1], letter.want[:1]
	if err := letter.commit(s); err != nil {
		t.Fatal(err)
	}
	haveOnly(t, s, people[:1], letter)
}

// What many have each in a form of his own is written in several groups, and
// nobody is cut in two between them, even where the disk fails there.
func TestManyFormsAreWrittenInSeveralGroups(t *testing.T) {
	disk := &stumbling{}
	s := openStore(t, t.TempDir(), Options{files: disk})
	padding := strings.Repeat("a long line\r\n", 70000) // twenty of these are more than one group
	came := "Message-ID: <m@x>\r\n\r\n" + padding
	l := &inForms{env: &mail.Envelope{Demand: requiretls.Usual()}, body: newBody(came), sum: crashSummary(came)}
	var people []AccountID
	for i := range 20 {
		a := addPerson(t, s, fmt.Sprint("p", i)).ID
		text := fmt.Sprintf("Message-ID: <m@x>\r\nX-For: %d\r\n\r\n%s", i, padding)
		l.plans = append(l.plans, mail.Delivery{Account: uint64(a), Rcpt: elsewhere(fmt.Sprint("p", i)), Prefix: []byte("X: y\r\n"), Copies: []mail.Copy{
			{Mailbox: inbox, Variant: &mail.Variant{Body: newBody(text), Summary: crashSummary(text)}}, {Mailbox: "Trash"},
		}})
		l.want = append(l.want, map[string][]string{inbox: {"X: y\r\n" + text}, "Trash": {"X: y\r\n" + came}})
		people = append(people, a)
	}
	if err := l.commit(s); err != nil {
		t.Fatal(err)
	}
	haveOnly(t, s, people, l)

	disk.left.Store(2) // the flush of the second group
	done := 0
	for i, err := range s.Commit(context.Background(), l.env, l.body, l.sum, l.plans) {
		switch {
		case err != nil && !errors.Is(err, ErrUnavailable):
			t.Fatal(err)
		case err == nil && done < i:
			t.Errorf("recipient %d was served after one who was not", i)
		case err == nil:
			done++
		}
	}
	if done == 0 || done == len(people) {
		t.Fatalf("%d of %d were served, want some", done, len(people))
	}
	haveOnly(t, s, people, l, &inForms{plans: l.plans[:done], want: l.want[:done]})
}

// Where the index is lost and the log is all there is, each has every form of his
// in Recovered, also where collection has moved the records one by one.
func TestRepairFromTheLogAloneFindsEveryForm(t *testing.T) {
	for _, moved := range []bool{false, true} {
		ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
		s := openStore(t, dir, Options{Shards: 2})
		people := peopleOfTwoShards(t, s)
		letter := inThreeForms("lost", "hello", people...)
		if err := letter.commit(s); err != nil {
			t.Fatal(err)
		}
		if moved {
			if err := s.log.Roll(ctx); err != nil {
				t.Fatal(err)
			}
			if err := s.passTo(ctx, s.log.Segments()); err != nil {
				t.Fatal(err)
			}
			if err := s.collect(ctx, 0, 0); err != nil || len(s.log.Sealed()) > 0 {
				t.Fatalf("%d sealed segments, %v: the first was to be collected", len(s.log.Sealed()), err)
			}
			haveOnly(t, s, people, letter)
		}
		image := crashImage(t, dir)
		for i := range 2 {
			ruin(t, bolt.ShardFile(filepath.Join(image, indexDir), i))
		}
		repair(t, image)
		s = openStore(t, image, Options{})
		for i, id := range people {
			var got, want []string
			a := s.Account(id)
			m := mailbox(t, a, recoveredName)
			for _, uid := range uidsOf(view(t, a, recoveredName)) {
				got = append(got, readAll(t, a, m.ID, uid, requiretls.Usual()))
			}
			for _, box := range crashBoxes {
				want = append(want, letter.want[i][box]...)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("moved %v, account %d: recovered %.60q, want %.60q", moved, id, got, want)
			}
		}
	}
}

// One rotten octet in one form of a letter costs that form alone: whoever had
// another one has it after a repair from the log.
func TestDamageOfOneFormLeavesTheOthers(t *testing.T) {
	for form := range 3 {
		t.Run(fmt.Sprint("form ", form), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			s, err := Open(dir, Options{Shards: 1})
			if err != nil {
				t.Fatal(err)
			}
			people := []AccountID{addPerson(t, s, "a").ID, addPerson(t, s, "b").ID, addPerson(t, s, "c").ID}
			l := inThreeForms("one", "hello", people...)
			l.plans[0].Outbound = nil
			if err := l.commit(s); err != nil {
				t.Fatal(err)
			}
			commitText(t, s, "Message-ID: <2@x>\r\n\r\nlater", people[:1])
			rotten := fmt.Sprint("X-Form: ", form)
			rot(t, s, rotten)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			ruin(t, bolt.ShardFile(filepath.Join(dir, indexDir), 0))
			repair(t, dir)
			s = openStore(t, dir, Options{})
			for i, id := range people {
				want := 0
				for _, texts := range l.want[i] {
					for _, text := range texts {
						if !strings.Contains(text, rotten) {
							want++
						}
					}
				}
				if i == 0 {
					want++ // the later letter
				}
				got := 0
				boxes, err := s.Account(id).Mailboxes(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				for _, box := range boxes {
					for _, uid := range uidsOf(view(t, s.Account(id), box.Name)) {
						if text := readAll(t, s.Account(id), box.ID, uid, requiretls.Usual()); strings.Contains(text, rotten) {
							t.Errorf("account %d has the rotten form: %q", i, text)
						}
						got++
					}
				}
				if got != want {
					t.Errorf("account %d has %d letters after the repair, want %d", i, got, want)
				}
			}
		})
	}
}
