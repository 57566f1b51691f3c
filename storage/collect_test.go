package storage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/disk"
	"letterlock/storage/segment"
)

// removals is a disk that says when a segment is removed.
type removals struct {
	disk.Files
	removed func()
}

func (r *removals) Remove(name string) error {
	if strings.HasSuffix(name, ".seg") {
		r.removed()
	}
	return r.Files.Remove(name)
}

// Of a log with much to collect each segment is a turn: a backup or a check that comes
// meanwhile waits for one of them.
func TestCollectionLetsOthersHaveTheirTurn(t *testing.T) {
	ctx := context.Background()
	files := &removals{Files: disk.OS{}, removed: func() {}}
	s := openStore(t, t.TempDir(), Options{SegmentSize: 64 << 10, files: files})
	p := addPerson(t, s, "ann")
	a := s.Account(p.ID)
	for i := range 300 {
		deliver(t, s, strings.Repeat(fmt.Sprintf("line of letter %d\r\n", i), 200), requiretls.Usual(), p.ID)
	}
	if err := a.Expunge(ctx, inboxID, uidsOf(view(t, a, inbox))); err != nil {
		t.Fatal(err)
	}
	if err := s.reap(ctx); err != nil {
		t.Fatal(err)
	}
	before, left := len(s.log.Sealed()), make(chan int, 1)
	files.removed = sync.OnceFunc(func() {
		comes := make(chan struct{})
		go func() {
			close(comes)
			if err := s.takeTurn(ctx); err != nil {
				t.Error(err)
			}
			defer s.endTurn()
			left <- len(s.log.Sealed())
		}()
		<-comes
	})
	if err := s.collect(ctx, collectDead, 0); err != nil {
		t.Fatal(err)
	}
	if n := <-left; n == 0 || n >= before {
		t.Errorf("whoever came while the first of %d segments was collected had his turn when %d were left", before, n)
	}
	if n := len(s.log.Sealed()); n > 0 {
		t.Errorf("%d dead segments are left", n)
	}
}

func TestCollectionKeepsTheLivingAndTheirDemand(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	opt := Options{SegmentSize: 256 << 10, wrap: strictly}
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	ann, bob := addPerson(t, s, "ann"), addPerson(t, s, "bob")
	text := func(i int) string { return "\r\n" + strings.Repeat(fmt.Sprintf("line of letter %d\r\n", i), 600+i) }
	demands := []requiretls.Demand{requiretls.Usual(), requiretls.Required(), requiretls.Waived()}
	const n = 120
	for i := range n {
		body := text(i)
		if i == 50 {
			body = strings.Repeat(body, 120) // a file of its own
		}
		sum := &mail.Summary{Subject: fmt.Sprint(i), Root: mail.Part{Body: 2, End: int64(len(body))}}
		for _, err := range s.Commit(ctx, &mail.Envelope{Demand: demands[i%3]}, newBody(body), sum, plansFor(inbox, ann.ID, bob.ID)) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	before := len(s.log.Segments())
	size := diskUse(t, dir)
	// Bob keeps every fifth letter, Ann every third.
	expunge := func(p Person, keep int) {
		var gone []UID
		for uid := UID(1); uid <= n; uid++ {
			if int(uid)%keep != 0 {
				gone = append(gone, uid)
			}
		}
		if err := s.Account(p.ID).Expunge(ctx, inboxID, gone); err != nil {
			t.Fatal(err)
		}
	}
	expunge(ann, 3)
	expunge(bob, 5)
	if err := s.reap(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.collect(ctx, 10, 1<<30); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for p, keep := range map[*Person]int{&ann: 3, &bob: 5} {
			a := s.Account(p.ID)
			for _, uid := range uidsOf(view(t, a, inbox)) {
				i := int(uid) - 1
				want := text(i)
				if i == 50 {
					want = strings.Repeat(want, 120)
				}
				if got := readAll(t, a, inboxID, uid, demands[i%3]); !strings.HasSuffix(got, "\r\n"+want) || int(uid)%keep != 0 {
					t.Errorf("letter %d came back as %d octets", i, len(got))
				}
				if sum, err := a.Summary(ctx, inboxID, uid, release(t, demands[i%3])); err != nil || sum.Subject != fmt.Sprint(i) {
					t.Errorf("letter %d: summary %+v, %v", i, sum, err)
				}
			}
		}
	}
	check()
	if got := diskUse(t, dir); got > size/2 || len(s.log.Segments()) >= before {
		t.Errorf("%d octets before, %d after; %d segments before, %d after", size, got, before, len(s.log.Segments()))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, opt)
	check()
	deliver(t, s, "after", requiretls.Usual(), ann.ID)
	if got := view(t, s.Account(ann.ID), inbox).Len(); got != n/3+1 {
		t.Errorf("%d messages, want %d", got, n/3+1)
	}
}

// A big letter that is expunged and forgotten while its segment is being collected
// is no reason to stop; one whose body is missing while somebody has it is.
func TestCollectionPassesOverWhatDiedSinceItLooked(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	ann := addPerson(t, s, "ann")
	a := s.Account(ann.ID)
	for _, id := range []string{"dies", "lives"} {
		text := "Message-ID: <" + id + ">\r\n\r\n" + strings.Repeat("a long line\r\n", 100000)
		commitText(t, s, text, []AccountID{ann.ID})
	}
	uids := uidsOf(view(t, a, inbox))
	var looked []*segment.Record
	if _, err := s.log.Scan(s.log.Segments()[0], func(r *segment.Record) error {
		looked = append(looked, r)
		return nil
	}); err != nil || len(looked) != 2 {
		t.Fatalf("%d records, %v", len(looked), err)
	}
	if err := a.Expunge(ctx, inboxID, uids[:1]); err != nil {
		t.Fatal(err)
	}
	if err := s.reap(ctx); err != nil {
		t.Fatal(err)
	}
	if big, err := s.moveRecord(ctx, looked[0], []int{0}); err != nil || big != looked[0].Big {
		t.Errorf("a letter that died: body %d, %v, want %d", big, err, looked[0].Big)
	}
	if err := s.log.RemoveBig(looked[1].Big); err != nil {
		t.Fatal(err)
	}
	if _, err := s.moveRecord(ctx, looked[1], []int{0}); !errors.Is(err, segment.ErrGone) {
		t.Errorf("a living letter without its body: %v, want %v", err, segment.ErrGone)
	}
}

// diskUse is the octets of the segments, free ones left out.
func diskUse(t *testing.T, dir string) (n int64) {
	t.Helper()
	for _, pattern := range []string{"*.seg", "*.big"} {
		names, err := filepath.Glob(filepath.Join(dir, segmentDir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		n += int64(len(names)) * 256 << 10
	}
	return n
}
