package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"letterlock/internal/requiretls"
)

// A store of an earlier version opens with its mail, and says from then on which
// program it needs; one of a later version is left alone.
func TestAnOlderStoreIsTakenOverAndANewerOneRefused(t *testing.T) {
	for version := 1; version < formatVersion; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			ann := addPerson(t, s, "ann")
			deliver(t, s, "kept", requiretls.Required(), ann.ID)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			sayVersion(t, dir, version)
			s = openStore(t, dir, Options{})
			if got := subjects(t, s.Account(ann.ID), inbox); len(got) != 1 || !strings.HasPrefix(got[0], "kept") {
				t.Errorf("got %q, want the letter that was kept", got)
			}
			if said, err := readFormat(dir); err != nil || said.version != formatVersion {
				t.Errorf("FORMAT says %+v, %v; want version %d", said, err, formatVersion)
			}
		})
	}
	t.Run("a later one", func(t *testing.T) {
		dir := t.TempDir()
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		sayVersion(t, dir, formatVersion+1)
		if s, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "reads versions up to") {
			t.Errorf("got %v, %v; want the version named that this program reads", s, err)
		}
	})
}

func sayVersion(t *testing.T, dir string, version int) {
	t.Helper()
	name := filepath.Join(dir, formatName)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), fmt.Sprintf("version %d\n", formatVersion), fmt.Sprintf("version %d\n", version), 1)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
