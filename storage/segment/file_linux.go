package segment

import (
	"errors"
	"os"
	"syscall"
)

func datasync(f *os.File) error {
	return interrupted(func() error { return syscall.Fdatasync(int(f.Fd())) })
}

// allocate reserves blocks, so that appending grows nothing and a flush writes
// no metadata. A file system that cannot gets a file that grows as written.
func allocate(f *os.File, size int64) error {
	err := interrupted(func() error { return syscall.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return nil
	}
	return err
}

func interrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
