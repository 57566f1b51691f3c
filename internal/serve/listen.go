package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// socketMode is who may connect to a UNIX socket: the owner and the group, in
// which the admin puts the MTA.
const socketMode = 0o660

// bind opens the endpoint's socket.
func (e Endpoint) bind() (net.Listener, error) {
	if e.Network == "unix" {
		return bindUnix(e.Address)
	}
	ln, err := net.Listen("tcp", e.Address)
	return ln, Explain(err)
}

// Explain adds the way out to what the system says of an address it does not let us
// listen at; see Hint() there.
func Explain(err error) error {
	var name *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return hint(err, "another process listens there; \"ss -ltnp\" names it")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return hint(err, "the address is none of this machine's (\"ip addr\" shows them); 0.0.0.0 is all of them")
	case errors.Is(err, syscall.EACCES):
		return hint(err, "ports below 1024 need CAP_NET_BIND_SERVICE, or choose a higher one")
	case errors.As(err, &name):
		return hint(err, "write an address of this machine, which needs no DNS")
	}
	return err
}

func bindUnix(path string) (net.Listener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	ln, err := unixConfig.Listen(context.Background(), "unix", path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, hint(err, "the folder of the socket must be there, writable for letterlock")
	case err != nil:
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil { // undoes the umask
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// unixConfig sets the mode before the name appears, so that no moment is open
// to everybody. Where the system does not know how, the chmod behind it does.
var unixConfig = net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), socketMode) })
}}

// checkPath refuses the path of a socket that the system could not name.
func checkPath(path string) error {
	longest := len(syscall.RawSockaddrUnix{}.Path) - 1 // sun_path ends with a NUL
	if len(path) <= longest {
		return nil
	}
	return hint(fmt.Errorf("the path of the socket is %d octets long, this system allows %d: %s", len(path), longest, path),
		"choose a shorter one, such as unix:/run/letterlock/lmtp.sock")
}

// removeStale removes the socket a process that died has left behind. One that
// somebody listens at, and anything that is no socket, stays and is an error.
func removeStale(path string) error {
	left, err := stale(path)
	if err == nil && left {
		err = os.Remove(path)
	}
	return err
}

// stale says whether a socket is there that nobody listens at.
func stale(path string) (left bool, err error) {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.Mode().Type() != os.ModeSocket {
		return false, hint(fmt.Errorf("%s is there and is no socket", path), "remove it, or choose another path")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return false, hint(fmt.Errorf("another process listens at %s", path), "stop it, or choose another path")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return false, fmt.Errorf("is somebody listening at %s? %w", path, err)
	}
	return true, nil
}
