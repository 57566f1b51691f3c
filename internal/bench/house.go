package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience is how long a house may take for anything at all.
const patience = 2 * time.Minute

// house is one mail server that is measured.
type house struct {
	name              string
	command           []string // runs in the foreground, ends at SIGTERM
	mail              string   // the folder to wipe
	empty             string   // a copy of mail as it was before any letter came; "": an empty folder
	lmtp, imap, imaps string   // addresses; imap takes logins in clear
	password          string
	log               string // where its output goes

	process *exec.Cmd
}

// user is the address of account i.
func user(i int) string { return fmt.Sprintf("u%d@bench.test", i) }

func (h *house) tree() tree { return tree{h.process.Process.Pid} }

// start starts the house and waits until both doors greet. It ends when ctx
// does.
func (h *house) start(ctx context.Context) error {
	out, err := os.OpenFile(h.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	process := exec.CommandContext(ctx, h.command[0], h.command[1:]...)
	process.Stdout, process.Stderr = out, out
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a ^C is for us to hand on
	process.Cancel = func() error { return process.Process.Signal(syscall.SIGTERM) }
	process.WaitDelay = patience
	if err := process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", h.name, err)
	}
	h.process = process
	for _, addr := range []string{h.lmtp, h.imap} {
		if err := awaitGreeting(addr); err != nil {
			return errors.Join(fmt.Errorf("start %s: %w; see %s", h.name, err, h.log), h.stop())
		}
	}
	return nil
}

// awaitGreeting tries for 20 seconds until a server says something.
func awaitGreeting(addr string) (err error) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for range 400 {
		if err = greeted(addr); err == nil {
			return nil
		}
		<-again.C
	}
	return err
}

func greeted(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	_, err = bufio.NewReader(c).ReadString('\n')
	return err
}

// stop ends the house and waits for it.
func (h *house) stop() error {
	if h.process == nil {
		return nil
	}
	if err := h.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	kill := time.AfterFunc(patience, func() { _ = h.process.Process.Kill() })
	defer kill.Stop()
	err := h.process.Wait()
	h.process = nil
	if err != nil {
		return fmt.Errorf("stop %s: %w; see %s", h.name, err, h.log)
	}
	return nil
}

// wipe starts the house anew, without a letter.
func (h *house) wipe(ctx context.Context) error {
	if err := h.stop(); err != nil {
		return err
	}
	if err := clearFolder(h.mail); err != nil {
		return err
	}
	if h.empty != "" {
		if out, err := exec.Command("cp", "-a", "--sparse=always", h.empty+"/.", h.mail).CombinedOutput(); err != nil {
			return fmt.Errorf("wipe %s: %w: %s", h.name, err, out)
		}
	}
	syscall.Sync()
	return h.start(ctx)
}

func clearFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// cool starts the house anew with nothing in the page cache.
func (h *house) cool(ctx context.Context) error {
	if err := h.stop(); err != nil {
		return err
	}
	syscall.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0o200); err != nil {
		return fmt.Errorf("drop the page cache: %w", err)
	}
	return h.start(ctx)
}

// openLetterlock makes a Letterlock house in dir with so many accounts.
func openLetterlock(ctx context.Context, binary, dir string, accounts int) (*house, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	h := &house{
		name: "letterlock", mail: filepath.Join(dir, "data"), password: "correct horse battery staple",
		log: filepath.Join(dir, "letterlock.log"),
	}
	for _, addr := range []*string{&h.lmtp, &h.imap, &h.imaps} {
		if *addr, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(dir, "letterlock.toml")
	text := fmt.Sprintf(letterlockConfig, h.mail, h.lmtp, h.imap, h.imaps)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	h.command = []string{binary, "serve", "--config", config}
	if err := h.start(ctx); err != nil {
		return nil, err
	}
	for i := range accounts {
		add := exec.Command(binary, "user", "add", "--config", config, user(i), "--password-stdin")
		add.Stdin = strings.NewReader(h.password + "\n")
		if out, err := add.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("add %s: %w: %s", user(i), err, bytes.TrimSpace(out)), h.stop())
		}
	}
	if err := h.stop(); err != nil {
		return nil, err
	}
	empty := filepath.Join(dir, "empty")
	if out, err := exec.Command("cp", "-a", "--sparse=always", h.mail, empty).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy %s: %w: %s", h.mail, err, out)
	}
	h.empty = empty
	return h, h.start(ctx)
}

const letterlockConfig = `hostname = "store.bench.test"
data     = %q
[lmtp]
listen = [%q]
[imap]
listen = [%q, "tls:%s"]
cleartext_auth = "local"
[address]
domain = "bench.test"
[managesieve]
listen = []
[admin]
listen = []
`

// freeAddress is one on loopback that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
