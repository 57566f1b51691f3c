package storage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestAFolderOfSomebodyElseStaysAsItIs: what an admin names by mistake may have a
// tmp or an index of its own, and a store empties both.
func TestAFolderOfSomebodyElseStaysAsItIs(t *testing.T) {
	for name, files := range map[string][]string{
		"a system":          {"tmp/somebody/work", "etc/passwd"},
		"a web site":        {"index/page.html", "seg"},
		"another's FORMAT":  {"FORMAT", "tmp/work"},
		"one that once was": {"LOCK", "tmp/work"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte("mine\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := names(t, dir)
			for verb, use := range map[string]func() error{
				"open": func() error {
					s, err := Open(dir, Options{})
					if err == nil {
						err = errors.Join(s.Close(), errors.New("it became a store"))
					}
					return err
				},
				"repair": func() error { return Repair(context.Background(), dir, Options{}, func(string) {}) },
			} {
				err := use()
				if want := ErrForeign; err == nil || name != "another's FORMAT" && !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", verb, err, want)
				}
				if after := names(t, dir); after != before {
					t.Errorf("%s left %q of %q", verb, after, before)
				}
			}
		})
	}
}

// names is every file in a folder.
func names(t *testing.T, dir string) (all string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			all += name[len(dir):] + " "
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestACreationThatWasCutShortIsBegunAgain(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"LOCK", "index/00.db", "index/00.a.journal", "seg/x", "tmp/x"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(file) == "x" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte("cut"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := openStore(t, dir, Options{})
	addPerson(t, s, "ann")
}
