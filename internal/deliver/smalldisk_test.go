//go:build linux

package deliver_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"letterlock/internal/requiretls"
)

// A disk that has room for one form of a letter and not for the next refuses the
// letter: nobody finds half of what his rules make of it, and when it comes again
// each form is there once.
func TestDiskThatFillsUpBetweenTwoFormsLeavesNone(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64m,mode=0700"); err != nil {
		t.Skipf("no small file system can be had here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	o := openOfficeIn(t, disk, unknown{})
	o.rule("ann@example.org", forms)
	big := toAnn + strings.Repeat("a line of a letter that is not small\r\n", 160000) // 6 MB
	var fs syscall.Statfs_t
	if err := syscall.Statfs(disk, &fs); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(disk, "ballast")
	leave(t, ballast, int64(fs.Bavail)*fs.Bsize-int64(len(big))*3/2)

	if got := o.deliver(envelope(requiretls.Usual()), big, "ann@example.org"); len(got) != 1 || !strings.HasPrefix(got[0], "452 4.3.1") {
		t.Fatalf("a disk without room says %q", got)
	}
	o.hasForms("", "")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	o.usual(big, "ann@example.org")
	o.hasForms("Answers 1, Came 1, INBOX 1, One 1", "redirect away, answer alice")
}

// leave writes octets to a file.
func leave(t *testing.T, name string, octets int64) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(f, zeros{}, octets)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
