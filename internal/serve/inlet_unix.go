//go:build unix

package serve

import (
	"io"
	"os"
	"syscall"
)

const canReadRaw = true

// readRaw reads what is there: 0 and no error where that is nothing yet.
func readRaw(fd uintptr, p []byte) (int, error) {
	for {
		switch n, err := syscall.Read(int(fd), p); {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
