package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// rottenLife is a store in which people get, copy, move and expunge letters until some
// values of its index rot, and what they may find afterwards.
type rottenLife struct {
	t       *testing.T
	rnd     *rand.Rand
	dir     string
	opt     Options
	s       *Store
	people  []AccountID
	letters map[AccountID]map[string]bool // that were acknowledged; false: and expunged
	leaves  map[string]bool               // that were acknowledged; false: and have left
	n       int
}

func (l *rottenLife) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *rottenLife) open() {
	l.t.Helper()
	s, err := Open(l.dir, l.opt)
	l.must(err)
	l.s = s
}

func (l *rottenLife) someone() AccountID { return l.people[l.rnd.IntN(len(l.people))] }

// letters come, to some or to one, who may have them redirected; what is answered no
// has not come.
func (l *rottenLife) mail() {
	l.n++
	subject := fmt.Sprint("letter", l.n)
	switch l.rnd.IntN(3) {
	case 0:
		a := l.someone()
		if subject += "-forward"; forward(l.t, l.s, subject, a) == nil {
			l.letters[a][subject], l.leaves[subject] = true, true
		}
	case 1:
		a := l.someone()
		subject += "-append"
		body, sum := letter(subject)
		if _, _, err := l.s.Account(a).Append(context.Background(), inbox, []Letter{{Body: body, Summary: sum, Demand: requiretls.Usual()}}); err == nil {
			l.letters[a][subject] = true
		}
	default:
		var to []AccountID
		for _, a := range l.people {
			if l.rnd.IntN(2) == 0 {
				to = append(to, a)
			}
		}
		for i, err := range commit(l.t, l.s, subject, to...) {
			if err == nil {
				l.letters[to[i]][subject] = true
			}
		}
	}
}

// change does something to the mail of somebody while all is whole.
func (l *rottenLife) change() {
	ctx, a := context.Background(), l.someone()
	box := []string{inbox, "Archive", "Trash"}[l.rnd.IntN(3)]
	v := view(l.t, l.s.Account(a), box)
	if v.Len() == 0 {
		return
	}
	e, id := v.At(l.rnd.IntN(v.Len())), v.Mailbox().ID
	uid := []UID{e.UID}
	switch l.rnd.IntN(5) {
	case 0:
		_, err := l.s.Account(a).Copy(ctx, id, uid, "Archive")
		l.must(err)
	case 1:
		_, err := l.s.Account(a).Move(ctx, id, uid, "Trash")
		l.must(err)
	case 2:
		sum, err := l.s.Account(a).Summary(ctx, id, uid[0], release(l.t, e.Flags.Demand()))
		l.must(err)
		l.letters[a][sum.Subject] = false
		l.must(l.s.Account(a).Expunge(ctx, id, uid))
	case 3:
		_, err := l.s.Account(a).StoreFlags(ctx, id, uid, AddFlags, []string{`\Seen`, "word"}, 0)
		l.must(err)
	case 4:
		for q, err := range l.s.Outbox(ctx) {
			l.must(err)
			l.must(l.s.SettleOut(ctx, q.ID, OutSettlement{End: Ended}))
			l.leaves[q.To.Local] = false
			break
		}
	}
}

// tend does what the server does by itself; in an index that rots some of it fails.
func (l *rottenLife) tend() error {
	switch ctx := context.Background(); l.rnd.IntN(4) {
	case 0:
		return l.s.Checkpoint(ctx)
	case 1:
		return errors.Join(l.s.reap(ctx), l.s.log.Roll(ctx), l.s.passTo(ctx, l.s.log.Segments()), l.s.collect(ctx, 1, 1<<40))
	case 2:
		err := l.s.Close()
		l.open()
		return err
	}
	return nil
}

// rot changes an octet of some values below everything, or takes them away.
func (l *rottenLife) rot() (what []string) {
	for range 1 + l.rnd.IntN(3) {
		shard := l.rnd.IntN(len(l.s.shards))
		var keys [][]byte
		err := l.s.journal.View(context.Background(), shard, func(r kv.Reader) error {
			kinds := make(map[byte]bool)
			for k := range r.Range(nil, nil, kv.Options{}) {
				if letter := k[keyHead-1]; spared(k) && letter != keyOutText {
					kinds[letter] = true
					keys = append(keys, slices.Clone(k))
				}
			}
			kind := one(l.rnd, kinds)
			keys = slices.DeleteFunc(keys, func(k []byte) bool { return k[keyHead-1] != kind })
			return nil
		})
		l.must(err)
		if len(keys) == 0 {
			continue
		}
		k := keys[l.rnd.IntN(len(keys))]
		what = append(what, fmt.Sprintf("%d: %c of %d", shard, k[keyHead-1], keyAccountOf(k)))
		l.must(l.s.journal.Update(context.Background(), shard, func(tx kv.Tx) error {
			v := slices.Clone(tx.Get(k))
			if len(v) > 0 { // and not gone meanwhile
				v[len(v)-1] ^= 1
				tx.Put(k, v)
			}
			return nil
		}))
	}
	return what
}

// one is one of some kinds of values, each as likely as another.
func one(rnd *rand.Rand, kinds map[byte]bool) byte {
	var all []byte
	for k := range kinds {
		all = append(all, k)
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[rnd.IntN(len(all))]
}

// state is what somebody has, by mailbox.
func (l *rottenLife) state(a AccountID) map[string][]string {
	boxes, err := l.s.Account(a).Mailboxes(context.Background())
	l.must(err)
	all := make(map[string][]string)
	for _, m := range boxes {
		v := view(l.t, l.s.Account(a), m.Name)
		for i, subject := range subjects(l.t, l.s.Account(a), m.Name) {
			e := v.At(i)
			all[m.Name] = append(all[m.Name], fmt.Sprint(m.UIDValidity, " ", e.UID, " ", e.ModSeq, " ", e.Flags, " ", subject))
		}
	}
	return all
}

func (l *rottenLife) live() (what, said []string) {
	ctx := context.Background()
	for range 10 + l.rnd.IntN(30) {
		switch l.rnd.IntN(8) {
		case 0, 1, 2:
			l.mail()
		case 3:
			l.must(l.tend())
		default:
			l.change()
		}
	}
	before := make(map[AccountID]map[string][]string)
	for _, a := range l.people {
		before[a] = l.state(a)
	}
	what = l.rot()
	for range l.rnd.IntN(12) {
		if l.rnd.IntN(4) == 0 {
			_ = l.tend()
		} else {
			l.mail()
		}
	}
	if l.rnd.IntN(2) == 0 {
		killed := crashImage(l.t, l.dir)
		_ = l.s.Close()
		l.dir = killed
	} else {
		_ = l.s.Close()
	}
	say := func(line string) { said = append(said, line) }
	for range l.rnd.IntN(4) {
		_ = Repair(&askedOften{ctx, l.rnd.IntN(600)}, l.dir, l.opt, say)
	}
	if err := Repair(ctx, l.dir, l.opt, say); err != nil {
		l.t.Errorf("repair: %v", err)
		return what, said
	}
	l.open()
	defer l.s.Close()
	begun := func(a AccountID) bool {
		return slices.ContainsFunc(said, func(line string) bool { return strings.HasPrefix(line, fmt.Sprintf("account %d is begun", a)) })
	}
	for _, a := range l.people {
		after, have := l.state(a), make(map[string]bool)
		for box, letters := range after {
			copies := len(before[a][box]) > 0 && box != inbox // of one letter there may have been several
			here := make(map[string]bool)
			for _, one := range letters {
				subject, _, _ := strings.Cut(one[strings.LastIndexByte(one, ' ')+1:], "/")
				if here[subject] && !copies {
					l.t.Errorf("account %d has %s twice in %s", a, subject, box)
				}
				here[subject], have[subject] = true, true
				if _, known := l.letters[a][subject]; !known && !strings.HasSuffix(subject, "append") { // such a one may come back
					l.t.Errorf("account %d has %s, which it was answered no for", a, subject)
				}
			}
			if was := before[a][box]; !begun(a) && (len(letters) < len(was) || !slices.Equal(letters[:len(was)], was)) {
				l.t.Errorf("account %d, %s: %q, was %q", a, box, letters, was)
			}
		}
		for subject, there := range l.letters[a] {
			if there && !have[subject] {
				l.t.Errorf("account %d has lost %s", a, subject)
			}
		}
	}
	var leaves []string
	for subject, waits := range l.leaves {
		if waits {
			leaves = append(leaves, subject)
		}
	}
	slices.Sort(leaves)
	if !slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, "it is lost, and neither") }) {
		equal(l.t, "to leave", waiting(l.t, l.s), leaves...)
	}
	for _, f := range findings(l.t, l.s) {
		l.t.Error(f)
	}
	if err := l.s.Checkpoint(ctx); err != nil {
		l.t.Error(err)
	}
	return what, said
}

// Whatever rots, and whenever the process or the repair of it ends: what was
// acknowledged is there, once, and of those whose values are whole nothing has changed.
func TestNothingIsLostInAnIndexThatRots(t *testing.T) {
	lives := uint64(10)
	if testing.Short() {
		lives = 2
	}
	keys := first(newKeys(t))
	for seed := range lives {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := &rottenLife{
				t: t, rnd: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), opt: Options{Shards: int(1 + 3*(seed%2)), SegmentSize: 64 << 10},
				letters: make(map[AccountID]map[string]bool), leaves: make(map[string]bool),
			}
			if seed%4 >= 2 {
				l.opt.Keys = keys
			}
			l.open()
			for _, name := range []string{"ann", "bob", "carl", "dora"} {
				a := addPerson(t, l.s, name).ID
				l.people, l.letters[a] = append(l.people, a), make(map[string]bool)
			}
			if what, said := l.live(); t.Failed() {
				t.Logf("rotten were %q; said %s", what, strings.Join(said, "\n"))
			}
		})
	}
}

// A letter that was moved while nobody knew yet that its account is rotten leaves once.
func TestLetterThatWasMovedForARottenAccountLeavesOnce(t *testing.T) {
	ctx, dir, opt := context.Background(), t.TempDir(), Options{Shards: 1}
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	ann := addPerson(t, s, "ann").ID
	if err := s.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	if err := forward(t, s, "waits", ann); err != nil {
		t.Fatal(err)
	}
	settleAppliers(t, s)
	rotValues(t, s, 0, accountKey(ann))
	if err := errors.Join(s.log.Roll(ctx), s.passTo(ctx, s.log.Segments()), s.collect(ctx, 0, 1<<40)); err != nil && !isDamaged(err) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Repair(ctx, dir, opt, func(line string) { t.Log(line) }); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, opt)
	equal(t, "to leave", waiting(t, s), "waits")
	equal(t, "ann has", subjects(t, s.Account(ann), inbox), "waits")
}
