package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// crowd is the other program: it opens $CROWD_SIZE connections to $CROWD_ADDR,
// says so, and holds them until its standard input ends.
func crowd() {
	n, err := strconv.Atoi(os.Getenv("CROWD_SIZE"))
	if err != nil {
		panic(err)
	}
	held := make([]net.Conn, 0, n)
	for range n {
		c, err := net.Dial("tcp", os.Getenv("CROWD_ADDR"))
		if err != nil {
			fmt.Println("only", len(held), err)
			os.Exit(1)
		}
		held = append(held, c)
	}
	fmt.Println("here")
	io.Copy(io.Discard, os.Stdin)
	for _, c := range held {
		c.Close()
	}
	os.Exit(0)
}

const (
	crowdSize  = 5000
	perVisitor = 32 << 10 // octets of memory one silent connection may cost
)

func TestFiveThousandConnectionsHarmNobodyElse(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max < 2*crowdSize {
		t.Skipf("a process may open %d files here (%v), the crowd alone needs %d", limit.Max, err, 2*crowdSize)
	}
	w := newTown(t, "ann")
	for i, door := range []struct{ name, addr string }{{"lmtp", w.lmtp}, {"imap", w.imap}} {
		t.Run(door.name, func(t *testing.T) {
			before := resident(t, w.child)
			leave := gather(t, door.addr)
			defer leave()
			mta, err := w.mta()
			if err != nil {
				t.Fatal(err)
			}
			defer mta.conn.Close()
			if err := mta.post("ann", door.name); err != nil {
				t.Fatal(err)
			}
			if got := w.subjects("ann"); got[door.name] != 1 || len(got) != i+1 {
				t.Errorf("in the crowd ann reads %v, want the letter %s", got, door.name)
			}
			grown := resident(t, w.child) - before
			t.Logf("a silent connection costs %d octets", grown/crowdSize)
			if !raced && grown > crowdSize*perVisitor {
				t.Errorf("%d connections cost %d octets each, want at most %d", crowdSize, grown/crowdSize, perVisitor)
			}
		})
	}
}

// gather brings the crowd to addr; leave sends it home.
func gather(t *testing.T, addr string) (leave func()) {
	t.Helper()
	cmd := exec.Command("crowd")
	cmd.Env = append(os.Environ(), "CROWD_ADDR="+addr, "CROWD_SIZE="+strconv.Itoa(crowdSize))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	leave = func() {
		stdin.Close()
		cmd.Wait()
	}
	if word, _ := bufio.NewReader(stdout).ReadString('\n'); word != "here\n" {
		leave()
		t.Fatalf("the crowd says %q", word)
	}
	return leave
}

// resident is how much memory the server holds, in octets.
func resident(t *testing.T, c *child) int {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(c.cmd.Process.Pid), "status"))
	if err != nil {
		t.Skipf("no /proc to ask: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatal("no VmRSS in status")
	return 0
}
