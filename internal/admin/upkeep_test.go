package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// Whoever carries them out, the operations that take long answer alike.
func TestLongOperationsAnswerAlikeOverTheSocket(t *testing.T) {
	play := func(o Operations, dir string) (said []string) {
		ctx := t.Context()
		note := func(v any, err error) {
			said = append(said, strings.ReplaceAll(fmt.Sprintf("%v | %v", v, err), dir, "…"))
		}
		none := uint64(0)
		five := uint64(5)
		_, err := o.AddUser(ctx, Login{Address: "ann"})
		note("", err)
		note(o.Quota(ctx, "ann"))
		note(o.SetQuota(ctx, Limits{Address: "ann", MaxBytes: &five}))
		note(o.SetQuota(ctx, Limits{Address: "ann", MaxBytes: &none, MaxMessages: &five}))
		note(o.SetQuota(ctx, Limits{Address: "nobody", MaxBytes: &none}))
		note(o.Release(ctx, "ann"))
		note(o.SetRelease(ctx, Release{"ann", ReleaseBound}))
		note(o.Release(ctx, "ann"))
		note(o.SetRelease(ctx, Release{"ann", "local"}))
		note(o.SetRelease(ctx, Release{"ann", ReleaseInherit}))
		note("", o.CheckSteps(ctx, func(n CheckNews) {
			if n.Finding != nil {
				note(*n.Finding, nil)
			}
		}))
		note("", o.Backup(ctx, filepath.Join(dir, "saved"), func(Progress) {}))
		note("", o.Backup(ctx, filepath.Join(dir, "saved"), func(Progress) {}))
		note("", o.Backup(ctx, "saved", func(Progress) {}))
		note("", o.Backup(ctx, filepath.Join(dir, "data", "saved"), func(Progress) {}))
		return said
	}
	direct, over := t.TempDir(), t.TempDir()
	want := play(newDesk(t, filepath.Join(direct, "data")), direct)
	data := filepath.Join(over, "data")
	listen(t, data, newDesk(t, data))
	client := Dial(data)
	defer client.Close()
	got := play(client, over)
	if !slices.Equal(got, want) {
		t.Errorf("over the socket:\n%s\ndirectly:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, folder := range []string{direct, over} {
		if err := storage.Restore(t.Context(), filepath.Join(folder, "saved"), filepath.Join(folder, "back")); err != nil {
			t.Error(err)
		}
	}
}

// Who restores what is finished finds certificates and secrets in it.
func TestBackupIsFinishedWithItsSecretsOrNotAtAll(t *testing.T) {
	data, saved := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "saved")
	desk := newDesk(t, data)
	if err := os.Mkdir(filepath.Join(data, "srs.secret"), 0o700); err != nil { // cannot be copied
		t.Fatal(err)
	}
	if err := desk.Backup(t.Context(), saved, func(Progress) {}); err == nil {
		t.Fatal("backed up without a secret")
	}
	if _, err := os.Stat(filepath.Join(saved, FormatName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is a backup already: %v", err)
	}
}

func TestCheckSaysHowFarItIs(t *testing.T) {
	of := newOffice(t, nil)
	of.forward(t, "e1", requiretls.Usual())
	for _, o := range []Operations{of.Desk, of.over(t)} {
		steps := 0
		err := o.CheckSteps(t.Context(), func(n CheckNews) {
			switch {
			case n.Finding != nil:
				t.Errorf("wrong: %v", n.Finding)
			case n.Steps == nil || n.Steps.Total < 1 || n.Steps.Done > n.Steps.Total:
				t.Errorf("a step of %+v", n.Steps)
			default:
				steps++
			}
		})
		if err != nil || steps == 0 {
			t.Errorf("%d steps, %v", steps, err)
		}
	}
}

func TestBackupLeavesTheBackupOfAnotherStoreAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "saved")
	if err := newDesk(t, folder(t)).Backup(t.Context(), dir, func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	err := newDesk(t, folder(t)).Backup(t.Context(), dir, func(Progress) {})
	if err == nil || !strings.Contains(err.Error(), "the backup of another store") {
		t.Errorf("a second store went into the same folder: %v", err)
	}
}

// The store has come to a newer version since the last backup: it is the same one.
func TestBackupOfAnOlderVersionIsBroughtUpToDate(t *testing.T) {
	dir, desk := filepath.Join(t.TempDir(), "saved"), newDesk(t, folder(t))
	if err := desk.Backup(t.Context(), dir, func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "FORMAT")
	now, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	older := regexp.MustCompile(`version \d+`).ReplaceAll(now, []byte("version 1"))
	if err := os.WriteFile(name, older, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := desk.Backup(t.Context(), dir, func(Progress) {}); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != string(now) {
		t.Errorf("FORMAT is %q, %v, want %q", got, err, now)
	}
}

func TestCertificatesAndSecretsGoWithTheBackup(t *testing.T) {
	data, saved := folder(t), filepath.Join(t.TempDir(), "saved")
	desk := newDesk(t, data)
	if err := os.Mkdir(filepath.Join(data, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string]os.FileMode{"tls/ca.pem": 0o644, "tls/ca-key.pem": 0o600, "srs.secret": 0o600}
	for name, mode := range files {
		if err := os.WriteFile(filepath.Join(data, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // a second time into the same folder
		if err := desk.Backup(t.Context(), saved, func(Progress) {}); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range files {
		text, err := os.ReadFile(filepath.Join(saved, name))
		if err != nil || string(text) != name {
			t.Errorf("%s is %q, %v", name, text, err)
		}
		if info, err := os.Stat(filepath.Join(saved, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s has mode %v, %v, want %v", name, info.Mode(), err, mode)
		}
	}
}

// slow is a desk whose check ends only when it is told to.
type slow struct {
	*Desk
	begun, ended chan struct{}
}

func (s slow) CheckSteps(ctx context.Context, told func(CheckNews)) error {
	told(CheckNews{Finding: &Finding{What: "the first of many"}})
	close(s.begun)
	<-ctx.Done()
	close(s.ended)
	return ctx.Err()
}

func TestWhoHangsUpEndsALongOperation(t *testing.T) {
	dir := folder(t)
	desk := slow{newDesk(t, dir), make(chan struct{}), make(chan struct{})}
	listen(t, dir, desk)
	client := Dial(dir)
	defer client.Close()
	ctx, hangUp := context.WithCancel(t.Context())
	var heard []string
	err := client.CheckSteps(ctx, func(n CheckNews) {
		heard = append(heard, n.Finding.What)
		<-desk.begun
		hangUp()
	})
	if !errors.Is(err, context.Canceled) || !slices.Equal(heard, []string{"the first of many"}) {
		t.Errorf("heard %q, then %v", heard, err)
	}
	<-desk.ended
}

func TestAStoppingServerEndsLongOperationsBeforeTheStoreCloses(t *testing.T) {
	dir := folder(t)
	desk := slow{newDesk(t, dir), make(chan struct{}), make(chan struct{})}
	socket, err := ListenSocket(dir, desk, silent)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		<-desk.begun
		stop()
	}()
	client, asked := Dial(dir), make(chan error, 1)
	defer client.Close()
	go func() { asked <- client.CheckSteps(t.Context(), func(CheckNews) {}) }()
	if err := socket.Run(ctx); err != nil {
		t.Error(err)
	}
	select {
	case <-desk.ended:
	default:
		t.Error("the socket ended, and the check goes on")
	}
	if err := <-asked; err == nil {
		t.Error("the client takes it for done")
	}
}
