package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/internal/config"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// A server that took the folder while a restore was about to begin keeps it.
func TestRestoreThatFailedLeavesTheFolderOfAnotherAlone(t *testing.T) {
	saved, dir := filepath.Join(t.TempDir(), "saved"), t.TempDir()
	s, err := storage.Open(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Backup(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Data = dir
	_, err = putBack(t.Context(), cfg, saved)
	if !errors.Is(err, storage.ErrLocked) {
		t.Errorf("restored into a store that is in use: %v", err)
	}
	if err := empty(dir, err); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "FORMAT")); err != nil {
		t.Errorf("the store is gone: %v", err)
	}
}

// A restore that ends before certificates and secrets are there has made no store: a
// server that started on it would make others, which no MTA trusts and no bounce
// finds back to.
func TestRestoreCutShortBeforeTheSecretsMakesNoStore(t *testing.T) {
	saved := filepath.Join(t.TempDir(), "saved")
	s, err := storage.Open(t.TempDir(), storage.Options{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	person, err := s.AddPerson(t.Context(), mail.Address{Local: "ann", Domain: "example.org"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	letter := storage.Letter{Body: strings.NewReader("Subject: kept\r\n\r\n"), Summary: &mail.Summary{}, Demand: requiretls.Usual()}
	if _, _, err := s.Account(person.ID).Append(t.Context(), "INBOX", []storage.Letter{letter}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Backup(t.Context(), saved), s.Close()); err != nil {
		t.Fatal(err)
	}
	// a folder cannot be read as a file: the restore ends here
	if err := os.Mkdir(filepath.Join(saved, "srs.secret"), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	if _, err := putBack(t.Context(), cfg, saved); err == nil {
		t.Fatal("restored without a secret")
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, "FORMAT")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is a store already: %v", err)
	}
	_, _, opened := openDesk(cfg)
	for what, err := range map[string]error{"restored once more": emptyFolder(cfg.Data), "opened": opened} {
		if hintOf(err) != restoreAgain {
			t.Errorf("%s: %v, hint: %s", what, err, hintOf(err))
		}
	}
}

// Three MTAs deliver while two backups are made into one folder. What was
// answered 250 before the second began is in the restored store, once.
func TestBackupWhileMailComesInHasEveryLetterAcknowledgedBefore(t *testing.T) {
	w := newTown(t, "ann", "ben")
	m := &mails{town: w, more: make(chan struct{}, 1), stop: make(chan struct{})}
	var mtas sync.WaitGroup
	for n := range 3 {
		conn, err := w.mta()
		if err != nil {
			t.Fatal(err)
		}
		mtas.Go(func() { m.deliver(n, conn) })
	}
	stop := sync.OnceFunc(func() { close(m.stop); mtas.Wait() })
	defer stop()
	m.await(40)
	w.letterlock("backup", "saved")
	m.await(120)
	before := m.soFar()
	w.letterlock("backup", "saved")
	stop()
	w.kill()

	elsewhere := filepath.Join(w.dir, "elsewhere.toml")
	if err := os.WriteFile(elsewhere, []byte("data = \"elsewhere\"\n"+testConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	w.letterlock("restore", "saved", "--config", elsewhere)
	w.letterlock("fsck", "--config", elsewhere)
	w.start("--config", elsewhere)
	found := map[string]map[string]int{"ann": w.subjects("ann"), "ben": w.subjects("ben")}
	for _, l := range before {
		if n := found[l.to][l.subject]; n != 1 {
			t.Errorf("letter %s to %s is there %d times, want once", l.subject, l.to, n)
		}
	}
	if all := m.soFar(); len(found["ann"])+len(found["ben"]) > len(all) {
		t.Errorf("%d letters were restored, %d were sent", len(found["ann"])+len(found["ben"]), len(all))
	}
}

// letterlock runs a verb in the town's folder.
func (w *town) letterlock(words ...string) {
	w.t.Helper()
	verb := exec.Command("letterlock", words...)
	verb.Dir = w.dir
	if out, err := verb.CombinedOutput(); err != nil {
		w.t.Fatalf("letterlock %s: %v\n%s", strings.Join(words, " "), err, out)
	}
}

// mails is what MTAs deliver until stop is closed.
type mails struct {
	*town
	more chan struct{} // room for one: there is one more
	stop chan struct{}

	mu   sync.Mutex // guards sent
	sent []posted
}

type posted struct{ to, subject string }

func (m *mails) deliver(mta int, conn *line) {
	defer conn.conn.Close()
	for n := 0; ; n++ {
		select {
		case <-m.stop:
			return
		default:
		}
		l := posted{m.people[n%2], fmt.Sprintf("%d-%d", mta, n)}
		if err := conn.post(l.to, l.subject); err != nil {
			m.t.Error(err)
			return
		}
		m.mu.Lock()
		m.sent = append(m.sent, l)
		m.mu.Unlock()
		select {
		case m.more <- struct{}{}:
		default:
		}
	}
}

func (m *mails) soFar() []posted {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sent[:len(m.sent):len(m.sent)]
}

// await waits until that many letters were acknowledged.
func (m *mails) await(letters int) {
	m.t.Helper()
	over := time.After(patience)
	for len(m.soFar()) < letters {
		select {
		case <-m.more:
		case <-over:
			m.t.Fatalf("%d letters were acknowledged, want %d", len(m.soFar()), letters)
		}
	}
}

// A file system of its own has a folder of its own: it is no data folder in use.
func TestRestoreTakesAFreshFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := emptyFolder(dir); err != nil {
		t.Error(err)
	}
	if err := empty(dir, os.ErrInvalid); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "lost+found")); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "index"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := emptyFolder(dir); err == nil {
		t.Error("a folder with an index is taken for an empty one")
	}
}
