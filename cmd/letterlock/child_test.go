package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

// child is letterlock serve in a process of its own.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
	lmtp  string        // where it listens, in clear at first
	imap  string
	imaps string
	admin string
	sieve string // empty where nobody listens

	mu    sync.Mutex // guards log, read and more
	log   []string
	read  int           // lines of log that were awaited already
	more  chan struct{} // closed when a line comes
	whole bool          // no further line comes
}

// startServer runs letterlock serve in dir until it is ready.
func startServer(dir string, env []string, args ...string) (*child, error) {
	out, err := os.Create(filepath.Join(dir, "serve.out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	c := &child{cmd: exec.Command("letterlock", append([]string{"serve"}, args...)...), ended: make(chan struct{}), more: make(chan struct{})}
	c.cmd.Dir, c.cmd.Env, c.cmd.Stdout = dir, env, out
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go c.listen(stderr)
	line, err := c.await(`"msg":"ready"`)
	if err != nil {
		c.kill()
		return nil, err
	}
	c.read = 0 // what was said while it started can be awaited again
	return c, c.noteAddresses(line)
}

func (c *child) noteAddresses(line string) error {
	var ready struct{ LMTP, IMAP, ManageSieve, Admin []string }
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		return fmt.Errorf("ready line %q: %w", line, err)
	}
	if len(ready.LMTP) < 1 || len(ready.IMAP) < 2 || len(ready.Admin) < 1 {
		return fmt.Errorf("the test wants more listeners: %s", line)
	}
	c.lmtp, c.imap, c.imaps, c.admin = ready.LMTP[0], ready.IMAP[0], ready.IMAP[1], ready.Admin[0]
	if len(ready.ManageSieve) > 0 {
		c.sieve = ready.ManageSieve[0]
	}
	return nil
}

// listen keeps the log until the process ends.
func (c *child) listen(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		c.note(lines.Text(), false)
	}
	c.note("", true)
	c.cmd.Wait()
	close(c.ended)
}

func (c *child) note(text string, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !last {
		c.log = append(c.log, text)
	}
	c.whole = last
	close(c.more)
	c.more = make(chan struct{})
}

// await waits for a line with text behind those awaited before.
func (c *child) await(text string) (string, error) {
	over := time.After(patience)
	for {
		line, found, whole, more := c.next(text)
		switch {
		case found:
			return line, nil
		case whole:
			return "", fmt.Errorf("the server ended without saying %s:\n%s", text, c.said())
		}
		select {
		case <-more:
		case <-over:
			return "", fmt.Errorf("the server did not say %s:\n%s", text, c.said())
		}
	}
}

func (c *child) next(text string) (line string, found, whole bool, more chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := c.read; i < len(c.log); i++ {
		if strings.Contains(c.log[i], text) {
			c.read = i + 1
			return c.log[i], true, false, nil
		}
	}
	return "", false, c.whole, c.more
}

func (c *child) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.log, "\n")
}

func (c *child) signal(s syscall.Signal) error { return c.cmd.Process.Signal(s) }

// end waits for the process and answers its exit code, -1 after a signal.
func (c *child) end() (int, error) {
	select {
	case <-c.ended:
		return c.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, errors.New("the server did not end:\n" + c.said())
	}
}

// kill ends the process as a power cut would, as far as it can tell.
func (c *child) kill() {
	c.cmd.Process.Kill()
	<-c.ended
}
