package main

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// systemd starts what needs us when we are ready, and not before (sd_notify(3)).
func TestSystemdHearsReadyAndStopping(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "letterlock.toml"), []byte(testConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	heard := func(want string) {
		t.Helper()
		systemd.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 256)
		n, err := systemd.Read(b)
		if got := string(b[:n]); err != nil || got != want {
			t.Fatalf("systemd hears %q, %v; want %q", got, err, want)
		}
	}
	server, err := startServer(dir, append(os.Environ(), "NOTIFY_SOCKET="+socket))
	if err != nil {
		t.Fatal(err)
	}
	defer server.kill()
	heard("READY=1")
	if err := server.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	heard("STOPPING=1")
	if code, err := server.end(); code != 0 || err != nil {
		t.Errorf("exit code %d, %v; want 0", code, err)
	}
}
