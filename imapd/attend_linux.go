package imapd

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// presenceOf asks the kernel, which knows of an end that lies behind octets
// nobody has read yet.
func presenceOf(conn syscall.Conn) presence {
	raw, err := conn.SyscallConn()
	if err != nil {
		return gone // closed by us
	}
	what := present
	err = raw.Control(func(fd uintptr) {
		ask := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(ask, 0); n <= 0 || err != nil {
			return
		}
		switch got := ask[0].Revents; {
		case got&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0:
			what = gone
		case got&unix.POLLRDHUP != 0:
			what = sendsNoMore
		}
	})
	if err != nil {
		return gone
	}
	return what
}
