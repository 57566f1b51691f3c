package serve

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// untaken is how many octets of what was written the peer's system has not
// acknowledged, or the peer on a UNIX socket has not read; or the error that broke
// the connection since it was read to its end.
func untaken(raw syscall.RawConn) (n int, err error) {
	var broken int
	failed := raw.Control(func(fd uintptr) {
		if n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			broken, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR) // behind n: what was lost is not under way
		}
	})
	switch {
	case failed != nil:
		return 0, failed
	case err != nil:
		return 0, os.NewSyscallError("ioctl", err)
	case broken != 0:
		return 0, syscall.Errno(broken)
	}
	return n, nil
}
