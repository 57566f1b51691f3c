package storage

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"letterlock/internal/requiretls"
)

// A machine that crashes, comes up and crashes again has replayed twice: a
// shard that was ahead of the others at the first crash files nothing again at
// the second.
func TestLetterIsFiledOnceAfterASecondCrash(t *testing.T) {
	for round := range 2 {
		dir := filepath.Join(t.TempDir(), "store")
		s := openStore(t, dir, Options{})
		var people []Person
		for i := range 8 { // more than there are shards
			people = append(people, addPerson(t, s, fmt.Sprintf("p%d", i)))
		}
		for i, p := range people {
			deliver(t, s, fmt.Sprintf("letter %d", i), requiretls.Usual(), p.ID)
		}
		view(t, s.Account(people[7].ID), "INBOX") // its shard is ahead now
		first := crashImage(t, dir)

		again := openStore(t, first, Options{})
		view(t, again.Account(people[7].ID), "INBOX")
		second := crashImage(t, first)

		last := openStore(t, second, Options{})
		for i, p := range people {
			if n := view(t, last.Account(p.ID), "INBOX").Len(); n != 1 {
				t.Errorf("round %d: person %d has %d letters after two crashes, want 1", round, i, n)
			}
		}
	}
}

// crashImage is the store in dir as a crash right now would leave it.
func crashImage(t *testing.T, dir string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command("cp", "-a", dir, image).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v\n%s", dir, err, out)
	}
	return image
}
