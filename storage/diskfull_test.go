//go:build linux

package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"letterlock/internal/requiretls"
)

// smallDisk is a file system of some MiB of its own.
func smallDisk(t *testing.T, octets int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", octets)); err != nil {
		t.Skipf("no small file system can be had here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A full disk refuses everything, loses nothing that was acknowledged, and when
// there is room again the store takes changes at once: flags, scripts and
// letters, without being opened anew.
func TestStoreRecoversByItselfWhenTheDiskHasRoomAgain(t *testing.T) {
	ctx, disk := context.Background(), smallDisk(t, 24<<20)
	s := openStore(t, filepath.Join(disk, "store"), Options{Shards: 1, SegmentSize: 1 << 20})
	a := s.Account(addPerson(t, s, "ann").ID)
	deliver(t, s, "first", requiretls.Usual(), a.id)
	view(t, a, inbox)

	ballast := filepath.Join(disk, "ballast")
	fillUp(t, ballast)
	refused, scripts := 0, 0
	for i := range 2000 {
		_, err := a.StoreFlags(ctx, inboxID, []UID{1}, ReplaceFlags, []string{fmt.Sprint("k", i%40)}, 0)
		perr := a.PutScript(ctx, fmt.Sprint("s", scripts), make([]byte, 200<<10), nil)
		if perr == nil {
			scripts++
		}
		for _, err := range []error{err, perr} {
			if err != nil && !errors.Is(err, ErrUnavailable) {
				t.Fatalf("refused with %v, want ErrUnavailable", err)
			}
			if err != nil {
				refused++
			}
		}
		if refused > 20 {
			break
		}
	}
	if refused == 0 {
		t.Fatal("a full disk took everything")
	}
	body, sum := letter("while full")
	for range 200 {
		if _, _, err := a.Append(ctx, inbox, []Letter{{Body: body, Summary: sum, Demand: requiretls.Usual()}}); err != nil {
			if !errors.Is(err, ErrUnavailable) {
				t.Fatalf("append: %v, want ErrUnavailable", err)
			}
			break
		}
	}
	if s.Trouble() == nil {
		t.Error("the store says that it is in good health")
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	// A shard that was left in doubt copies itself, once a second at most.
	patience, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err := a.StoreFlags(ctx, inboxID, []UID{1}, ReplaceFlags, []string{"after"}, 0)
	for err != nil && patience.Err() == nil {
		_, err = a.StoreFlags(ctx, inboxID, []UID{1}, ReplaceFlags, []string{"after"}, 0)
	}
	if err != nil {
		t.Fatalf("STORE where there is room again: %v", err)
	}
	if err := a.PutScript(ctx, "after", []byte("keep;"), nil); err != nil {
		t.Fatalf("a script where there is room again: %v", err)
	}
	deliver(t, s, "after", requiretls.Usual(), a.id)
	before := view(t, a, inbox).Len()
	if err := s.Trouble(); err != nil {
		t.Errorf("trouble: %v", err)
	}
	if all := findings(t, s); len(all) > 0 {
		t.Errorf("check found %q", all)
	}
	if n := view(t, a, inbox).Len(); n != before || n < 2 {
		t.Errorf("%d messages, %d before", n, before)
	}
}

// fillUp writes a file until nothing fits any more.
func fillUp(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 64<<10); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
