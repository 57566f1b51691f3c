package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/seal"
)

// forward delivers a letter that is kept and redirected.
func forward(t *testing.T, s *Store, subject string, a AccountID) error {
	t.Helper()
	b, sum := letter(subject)
	env := &mail.Envelope{Demand: requiretls.Usual(), From: elsewhere("sender")}
	plans := plansFor(inbox, a)
	plans[0].Outbound = []*mail.Outbound{env.Redirect(mail.Redirect{To: elsewhere(strings.ReplaceAll(subject, " ", "-"))})}
	return s.Commit(context.Background(), env, b, sum, plans)[0]
}

// waiting is to whom something is to leave.
func waiting(t *testing.T, s *Store) (all []string) {
	t.Helper()
	for q, err := range s.Outbox(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.OpenOut(context.Background(), q.ID)
		if err != nil {
			t.Errorf("what leaves for %s: %v", q.To, err)
			continue
		}
		l.Close()
		all = append(all, q.To.Local)
	}
	slices.Sort(all)
	return all
}

// A repair of single values begins again the accounts alone that they are of: what
// others did since the checkpoint stays, and what was taken for a stopped account
// comes once, into its mailbox and out again.
func TestRepairOfRottenValuesLeavesOtherAccountsAsTheyAre(t *testing.T) {
	for _, checkpoint := range []string{"checkpoint", "nothing", "cut short"} {
		for name, keys := range map[string]*seal.Keys{"clear": nil, "sealed": first(newKeys(t))} {
			t.Run(checkpoint+" "+name, func(t *testing.T) {
				ctx, dir := context.Background(), t.TempDir()
				opt := Options{Shards: 1, Keys: keys}
				s, err := Open(dir, opt)
				if err != nil {
					t.Fatal(err)
				}
				ann, bob := addPerson(t, s, "ann"), addPerson(t, s, "bob").ID
				deliver(t, s, "first", requiretls.Required(), ann.ID, bob)
				if err := forward(t, s, "sent before", ann.ID); err != nil {
					t.Fatal(err)
				}
				if checkpoint != "nothing" {
					if err := s.Checkpoint(ctx); err != nil {
						t.Fatal(err)
					}
				}
				for _, subject := range []string{"sent", "waits"} {
					if err := forward(t, s, subject, ann.ID); err != nil {
						t.Fatal(err)
					}
				}
				equal(t, "to leave", waiting(t, s), "sent", "sent-before", "waits")
				for q := range s.Outbox(ctx) {
					if strings.HasPrefix(q.To.Local, "sent") {
						if err := s.SettleOut(ctx, q.ID, OutSettlement{End: Ended}); err != nil {
							t.Fatal(err)
						}
					}
				}
				if _, err := s.Account(bob).StoreFlags(ctx, inboxID, []UID{1}, AddFlags, []string{`\Flagged`}, 0); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Account(bob).Create(ctx, "Bob's", ""); err != nil {
					t.Fatal(err)
				}
				anns, bobs := mailbox(t, s.Account(ann.ID), inbox), mailbox(t, s.Account(bob), inbox)

				rotValues(t, s, 0, blocksKey(ann.ID, inboxID))
				if err := forward(t, s, "meanwhile", ann.ID); err != nil {
					t.Fatal(err)
				}
				deliver(t, s, "second", requiretls.Usual(), bob)
				equal(t, "bob has", subjects(t, s.Account(bob), inbox), "first/required", "second")
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if checkpoint == "cut short" {
					if _, err := repairIndex(ctx, dir, &opt, func(line string) { t.Log(line) }); err != nil {
						t.Fatal(err)
					}
					if s, err := Open(dir, opt); err == nil {
						t.Fatalf("opened %v in the midst of a repair", s)
					}
				}
				var said []string
				if err := Repair(ctx, dir, opt, func(line string) { said = append(said, line) }); err != nil {
					t.Fatalf("%v after %q", err, said)
				}
				from := strings.Replace(checkpoint, "cut short", "checkpoint", 1)
				if want := fmt.Sprintf("account %d is begun again from: %s", ann.ID, from); !slices.Contains(said, want) {
					t.Errorf("said %q, want %q", said, want)
				}
				if kept, err := filepath.Glob(filepath.Join(dir, indexDir, "*.damaged-*")); err != nil || len(kept) == 0 {
					t.Errorf("nothing was kept of what was damaged: %v", err)
				}

				s = openStore(t, dir, opt)
				folder := inbox
				if from == "nothing" {
					folder = recoveredName
				}
				equal(t, "ann has", subjects(t, s.Account(ann.ID), folder), "first/required", "sent before", "sent", "waits", "meanwhile")
				equal(t, "to leave", waiting(t, s), "meanwhile", "waits")
				if m := mailbox(t, s.Account(ann.ID), inbox); m.UIDValidity <= anns.UIDValidity {
					t.Errorf("ann's UIDVALIDITY is %d, was %d", m.UIDValidity, anns.UIDValidity)
				}
				if m := mailbox(t, s.Account(bob), inbox); m.UIDValidity != bobs.UIDValidity {
					t.Errorf("bob's UIDVALIDITY is %d, was %d", m.UIDValidity, bobs.UIDValidity)
				}
				if flags := view(t, s.Account(bob), inbox).At(0).Flags; flags&Flagged == 0 {
					t.Error("what bob flagged is not any more")
				}
				mailbox(t, s.Account(bob), "Bob's")
				if p, err := s.Person(ctx, ann.Address); err != nil || string(p.Credentials) != "secret" {
					t.Errorf("ann is %+v, %v", p, err)
				}
				deliver(t, s, "later", requiretls.Usual(), ann.ID)
				if got := findings(t, s); len(got) > 0 {
					t.Errorf("after the repair: %q", got)
				}
				if err := s.Checkpoint(ctx); err != nil {
					t.Errorf("checkpoint: %v", err)
				}
				if _, err := os.Stat(filepath.Join(dir, indexDir, repairName)); err == nil {
					t.Error("the repair is not finished")
				}
			})
		}
	}
}

// lived is a store in which the index has values of nearly every kind, for ann. bob
// has mail, too.
func lived(t *testing.T, dir string, opt Options) (ann, bob Person) {
	t.Helper()
	ctx := context.Background()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	ann, bob = addPerson(t, s, "ann"), addPerson(t, s, "bob")
	a := s.Account(ann.ID)
	for i := range filterMessages + 2 {
		deliver(t, s, fmt.Sprint("letter ", i), requiretls.Usual(), ann.ID)
	}
	deliver(t, s, "bob's", requiretls.Required(), bob.ID)
	_, err = a.Copy(ctx, inboxID, []UID{1}, "Archive")
	errs := []error{
		err,
		forward(t, s, "leaves", ann.ID),
		a.Remember(ctx, mail.Memory{Key: [32]byte{1}, Until: time.Now().Add(time.Hour)}),
		a.PutScript(ctx, "rules", []byte("keep;"), nil),
		a.ActivateScript(ctx, "rules"),
		a.Annotate(ctx, inboxID, []Annotation{{"/private/comment", []byte("mine")}}),
		s.SetAlias(ctx, Alias{elsewhere("sales"), []mail.Address{ann.Address}}),
		a.Rename(ctx, "Drafts", "Sketches"),
		a.Expunge(ctx, inboxID, []UID{2}),
	}
	b, _ := letter("unheard")
	errs = append(errs, s.Unanswered(ctx, &mail.Envelope{Demand: requiretls.Usual()}, b, []mail.Address{ann.Address}), s.reap(ctx))
	indexed(t, s)
	if err := errors.Join(append(errs, s.Checkpoint(ctx), a.Expunge(ctx, inboxID, []UID{3}), s.Close())...); err != nil {
		t.Fatal(err)
	}
	return ann, bob
}

// Whatever value of the index rots: nobody else is hurt while the server runs, and
// after a repair everybody has all of his mail.
func TestWhateverValueRotsIsMendedForWhoseItIs(t *testing.T) {
	for name, keys := range map[string]*seal.Keys{"clear": nil, "sealed": first(newKeys(t))} {
		opt := withFilters(Options{Shards: 1, Keys: keys})
		whole := filepath.Join(t.TempDir(), "whole")
		ann, bob := lived(t, whole, opt)
		for _, k := range kindsIn(t, whole, opt, ann.ID) {
			if keys != nil && hide(k) == 0 && !slices.Contains([]byte{keyAccount, keyBlock, keyOut, keyDeadBytes, keyNextOut}, k[keyHead-1]) {
				continue // as in clear
			}
			t.Run(fmt.Sprintf("%s %c of %d", name, k[keyHead-1], keyAccountOf(k)), func(t *testing.T) {
				dir := crashImage(t, whole)
				s, err := Open(dir, opt)
				if err != nil {
					t.Fatal(err)
				}
				rotOne(t, s, k)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = Open(dir, opt); err != nil {
					t.Fatalf("not opened: %v", err)
				}
				want := []string{"bob's/required"}
				fates := commit(t, s, "meanwhile", ann.ID, bob.ID)
				if fates[1] != nil {
					t.Errorf("bob's letter: %v", fates[1])
				} else {
					want = append(want, "meanwhile")
				}
				equal(t, "bob has", subjects(t, s.Account(bob.ID), inbox), want...)
				if err := forward(t, s, "leaves, too", bob.ID); err != nil {
					t.Errorf("bob's forward: %v", err)
				}
				want = append(want, "leaves, too")
				equal(t, "bob has", subjects(t, s.Account(bob.ID), inbox), want...)
				stopped := s.Stopped()
				if delete(stopped, ann.ID); len(stopped) > 0 {
					t.Errorf("stopped are %v", stopped)
				}
				if err := errors.Join(s.reap(context.Background()), s.collect(context.Background(), collectDead, 1<<30)); err != nil && !isDamaged(err) {
					t.Errorf("nothing is collected: %v", err)
				}
				if err := s.Trouble(); err != nil {
					t.Errorf("trouble: %v", err)
				}
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
				var said []string
				if err := Repair(context.Background(), dir, opt, func(line string) { said = append(said, line) }); err != nil {
					t.Fatalf("repair: %v after %q", err, said)
				}
				s = openStore(t, dir, opt)
				equal(t, "bob has", subjects(t, s.Account(bob.ID), inbox), want...)
				n := filterMessages + 1
				if fates[0] == nil {
					n++
				}
				if slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, "begun again") }) {
					n++ // what she has expunged since the checkpoint
				}
				if got := subjects(t, s.Account(ann.ID), inbox); len(got) != n || slices.Contains(got, "letter 1") {
					t.Errorf("ann has %d letters, want %d: %q; said %q", len(got), n, got, said)
				}
				if p, err := s.Person(context.Background(), ann.Address); err != nil || string(p.Credentials) != "secret" {
					t.Errorf("ann is %+v, %v", p, err)
				}
				if got := waiting(t, s); len(got) != 2 {
					t.Errorf("to leave %q", got)
				}
				if got := findings(t, s); len(got) > 0 {
					t.Errorf("after the repair: %q; said %q", got, said)
				}
				if err := s.Checkpoint(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// kindsIn is one key of each kind, as it is stored, of an account and of the system.
func kindsIn(t *testing.T, dir string, opt Options, a AccountID) (keys [][]byte) {
	t.Helper()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	err = s.reap(context.Background()) // what is about to go is not chosen
	if err != nil {
		t.Fatal(err)
	}
	err = s.journal.View(context.Background(), 0, func(r kv.Reader) error {
		known := make(map[string]bool)
		for k := range r.Range(nil, nil, kv.Options{}) {
			if of := keyAccountOf(k); !known[string(k[:keyHead])] && (of == a || of == systemAccount) {
				known[string(k[:keyHead])] = true
				keys = append(keys, slices.Clone(k))
			}
		}
		return nil
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return keys
}

// rotOne changes an octet of one value, below the seal.
func rotOne(t *testing.T, s *Store, k []byte) {
	t.Helper()
	err := s.journal.Update(context.Background(), 0, func(tx kv.Tx) error {
		v := slices.Clone(tx.Get(k))
		v[len(v)-1] ^= 1
		tx.Put(k, v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
