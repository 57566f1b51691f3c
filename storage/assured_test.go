package storage

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"letterlock/internal/requiretls"
	"letterlock/storage/disk"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// recovers lets the index be written again, and waits until it is.
func (s *stuck) recovers(t *testing.T, store *Store) {
	t.Helper()
	s.is.Store(false)
	for {
		sh := store.shards[0]
		sh.mu.Lock()
		failing, moved := sh.failing, sh.moved
		sh.mu.Unlock()
		if failing == nil {
			return
		}
		select {
		case <-moved:
		case <-time.After(10 * time.Second):
			t.Fatal(failing)
		}
	}
}

// RFC 9051 §6.3.12: an APPEND that is refused leaves nothing. One that the log has
// when the index fails will be there: to refuse it would have the client send it again.
func TestAppendThatMeetsAFailingIndexIsNotRefused(t *testing.T) {
	s, x := openStuck(t)
	a := s.Account(addPerson(t, s, "ann").ID)
	ctx := context.Background()
	x.is.Store(true)
	if validity, uids, err := a.Append(ctx, inbox, []Letter{tokenLetter("once")}); err != nil || len(uids) > 0 {
		t.Errorf("%d, %v, %v: want it taken, with no UID yet", validity, uids, err)
	}
	if _, _, err := a.Append(ctx, inbox, []Letter{tokenLetter("refused")}); err == nil {
		t.Error("taken by a store that is known to be in trouble")
	}
	x.recovers(t, s)
	if got := subjects(t, a, inbox); !slices.Equal(got, []string{"once"}) {
		t.Errorf("%q, want it once", got)
	}
}

// RFC 8508 §3: both or neither, also for one that was answered while the index failed.
func TestReplaceThatMeetsAFailingIndexReplaces(t *testing.T) {
	s, x := openStuck(t)
	a := s.Account(addPerson(t, s, "ann").ID)
	at := mustUpload(t, a, inbox, "draft")[0]
	mailbox(t, a, inbox)
	x.is.Store(true)
	if _, uid, err := a.Replace(context.Background(), inboxID, at.uid, inbox, tokenLetter("final")); err != nil || uid != 0 {
		t.Errorf("UID %d, %v: want it taken, with no UID yet", uid, err)
	}
	x.recovers(t, s)
	if got := subjects(t, a, inbox); !slices.Equal(got, []string{"final"}) {
		t.Errorf("%q, want the last one alone", got)
	}
}

// RFC 8508 §3: what was taken while the index failed is there after a crash as well,
// also where what it replaces has gone meanwhile.
func TestReplaceThatWasTakenOutlivesACrash(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, x := openStuckIn(t, dir)
	a := s.Account(addPerson(t, s, "ann").ID)
	group, need := replacesGone(t, a)
	x.is.Store(true)
	if _, uids, err := a.file(ctx, group, need); err != nil || len(uids) > 0 {
		t.Fatalf("%v, %v: want it taken, with no UID yet", uids, err)
	}
	again := openStore(t, crashImage(t, dir), Options{})
	equal(t, "after a crash", subjects(t, again.Account(a.id), inbox), "final")
	x.recovers(t, s)
}

// unflushed is a disk that fails to flush the journal of the index while it is on.
type unflushed struct {
	disk.OS
	on atomic.Bool
}

type unflushedFile struct {
	disk.File
	of *unflushed
}

func (d *unflushed) Create(name string) (disk.File, error) {
	f, err := d.OS.Create(name)
	if err == nil && filepath.Ext(name) == ".journal" {
		f = unflushedFile{f, d}
	}
	return f, err
}

func (f unflushedFile) Datasync() error {
	if f.of.on.Load() {
		return syscall.EIO
	}
	return f.File.Datasync()
}

// stuckOnceItFails is an index that takes nothing more once it has failed.
type stuckOnceItFails struct{ *stuck }

func (e stuckOnceItFails) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	err := e.stuck.Update(ctx, shard, fn)
	if errors.Is(err, kv.ErrFailed) {
		e.is.Store(true)
	}
	return err
}

// What a failing flush has left in the journal is read after a crash. A letter that it
// files nowhere must not have been taken.
func TestWhatAFailedFlushRefusesIsNotTaken(t *testing.T) {
	ctx, dir, files := context.Background(), t.TempDir(), new(unflushed)
	x := &stuck{tries: make(chan struct{})}
	defer close(x.tries)
	go func() {
		for range x.tries {
		}
	}()
	s := openStore(t, dir, Options{Shards: 1, files: files, wrap: func(e kv.Engine) kv.Engine { x.Engine = e; return stuckOnceItFails{x} }})
	a := s.Account(addPerson(t, s, "ann").ID)
	group, need := replacesGone(t, a)
	if err := s.reap(ctx); err != nil { // or it comes between
		t.Fatal(err)
	}
	files.on.Store(true)
	_, _, err := a.file(ctx, group, need)
	again := openStore(t, crashImage(t, dir), Options{})
	if got := subjects(t, again.Account(a.id), inbox); err == nil && len(got) == 0 || err != nil && !errors.Is(err, ErrExpunged) {
		t.Errorf("answered %v; after a crash: %q", err, got)
	}
	files.on.Store(false)
	x.recovers(t, s)
	if got := subjects(t, a, inbox); len(got) > 0 {
		t.Errorf("%q, and it was refused", got)
	}
}

// A client that leaves while its letter is on its way into the index has sent it.
func TestAppendThatTheLogHasOutlivesItsContext(t *testing.T) {
	s, index := openStoppable(t, t.TempDir())
	a := s.Account(addPerson(t, s, "ann").ID)
	deliver(t, s, "blind", requiretls.Usual(), a.id) // nobody knows which UID comes next
	goOn := index.stop()
	ctx, leave := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, _, err := a.Append(ctx, inbox, []Letter{tokenLetter("sent")})
		done <- err
	}()
	sh := s.shards[0]
	for queued := uint64(0); queued < 2; {
		sh.mu.Lock()
		queued = sh.queued - sh.applied
		sh.mu.Unlock()
		runtime.Gosched()
	}
	leave()
	goOn()
	if err := <-done; err != nil {
		t.Errorf("%v: it is there, and would be sent again", err)
	}
	if got := subjects(t, a, inbox); !slices.Equal(got, []string{"blind", "sent"}) {
		t.Errorf("%q", got)
	}
}

// replacesGone is the records of a REPLACE whose message another client has expunged
// after this one had looked.
func replacesGone(t *testing.T, a *Account) (group []segment.Letter, need Usage) {
	t.Helper()
	ctx := context.Background()
	at := mustUpload(t, a, inbox, "draft")[0]
	group, need, err := a.records(ctx, inbox, []Letter{tokenLetter("final")})
	if err != nil {
		t.Fatal(err)
	}
	group[0].Record.Recipients[0].More = encodeReplaces(place{inboxID, at.uid})
	if err := a.Expunge(ctx, inboxID, []UID{at.uid}); err != nil {
		t.Fatal(err)
	}
	return group, need
}
