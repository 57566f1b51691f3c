package disk

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func datasync(f *os.File) error {
	return interrupted(func() error { return syscall.Fdatasync(int(f.Fd())) })
}

// allocate reserves blocks, so that a disk that is full says so now and the octets
// of a segment lie together. The first flush into each still marks it as
// written. A file system that cannot reserve gets a file that grows as written.
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

// WriteVector writes pieces one behind the other, from off on.
func (f osFile) WriteVector(pieces [][]byte, off int64) (n int, err error) {
	err = interrupted(func() (err error) {
		n, err = unix.Pwritev(int(f.Fd()), pieces, off)
		return err
	})
	if err != nil {
		return 0, &os.PathError{Op: "pwritev", Path: f.Name(), Err: err}
	}
	done := n
	for _, p := range pieces { // what is left of a call that was cut short
		skip := min(done, len(p))
		if skip < len(p) {
			c, err := f.WriteAt(p[skip:], off+int64(skip))
			if n += c; err != nil {
				return n, err
			}
		}
		done, off = done-skip, off+int64(len(p))
	}
	return n, nil
}
