package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A logger that is started anew, journald among them, leaves a broken pipe.
func TestServerOutlivesTheReaderOfItsLog(t *testing.T) {
	w := newTown(t, "ann")
	w.kill()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	c := &child{cmd: exec.Command("letterlock", "serve"), ended: make(chan struct{}), more: make(chan struct{})}
	c.cmd.Dir, c.cmd.Stderr = w.dir, write
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	go func() {
		defer close(c.ended)
		c.cmd.Wait()
	}()
	write.Close() // the server has it
	lines := bufio.NewScanner(read)
	for lines.Scan() && !strings.Contains(lines.Text(), `"msg":"ready"`) {
	}
	if err := c.noteAddresses(lines.Text()); err != nil {
		t.Fatal(err)
	}
	read.Close()
	w.child = c

	mta, err := w.mta()
	if err != nil {
		t.Fatal(err)
	}
	defer mta.conn.Close()
	if err := mta.post("ann", "unlogged"); err != nil {
		t.Fatalf("the letter was not taken: %v", err)
	}
	if got := w.subjects("ann"); got["unlogged"] != 1 {
		t.Errorf("ann reads %v, want the letter", got)
	}
	if err := c.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, err := c.end(); code != 0 || err != nil {
		t.Errorf("it ended with %d, %v", code, err)
	}
}
