//go:build linux

package powercut

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"letterlock/internal/mail"
	"letterlock/storage"
)

const (
	workers = 6
	// fill is how many octets of letters the child writes before it rests.
	fill = 40 << 20
)

// flushing says whether the child's flushes reach the kernel.
type flushing string

const (
	flushed flushing = "flushed"
	leftOut flushing = "left out" // the control
)

// childDir names the variable that makes the test binary the child.
const childDir = "LETTERLOCK_POWER_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		seed, _ := strconv.ParseUint(os.Getenv("LETTERLOCK_POWER_SEED"), 10, 64)
		err := child(dir, seed, flushing(os.Getenv("LETTERLOCK_POWER_FLUSHING")))
		fmt.Fprintln(os.Stderr, "powercut child:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child loads a store until the process is killed, and says on its output what
// was acknowledged.
func child(dir string, seed uint64, how flushing) error {
	if how == leftOut {
		if err := leaveOutFlushes(); err != nil {
			return fmt.Errorf("leave out flushes: %w", err)
		}
	}
	s, err := storage.Open(dir, options)
	if err != nil {
		return err
	}
	people, err := moveIn(s, seed)
	if err != nil {
		return err
	}
	if how == leftOut {
		unix.Sync() // so that what is lost is mail, and not the store
	}
	var written atomic.Int64
	failed := make(chan error, workers)
	for i := range people {
		go func() { failed <- work(s, people[i], i, seed, &written) }()
	}
	return <-failed
}

// options are those the store has in the child and when it is checked: small
// segments, so that many begin and end.
var options = storage.Options{SegmentSize: 2 << 20}

// moveIn makes two accounts for each worker and says who they are.
func moveIn(s *storage.Store, seed uint64) (people [workers][2]storage.AccountID, err error) {
	for i := range people {
		for k := range people[i] {
			p, err := s.AddPerson(context.Background(), mail.Address{Local: fmt.Sprintf("p%d.%d.%d", seed, i, k), Domain: "example.org"}, nil)
			if err != nil {
				return people, err
			}
			people[i][k] = p.ID
		}
		fmt.Println("ready", i, people[i][0], people[i][1])
	}
	return people, nil
}

// work carries out a worker's operations, one after the other.
func work(s *storage.Store, people [2]storage.AccountID, i int, seed uint64, written *atomic.Int64) error {
	w := newWorld(seed + uint64(i))
	for written.Load() < fill {
		op := w.next()
		if err := op.carryOut(context.Background(), s, people); err != nil {
			return fmt.Errorf("worker %d, operation %d: %w", i, w.done, err)
		}
		fmt.Println("done", i, w.done+1)
		w.take(op)
		written.Add(int64(len(op.text)))
	}
	fmt.Println("full", i, 0)
	select {}
}

// leaveOutFlushes has the kernel answer every flush of this process with
// success and do nothing.
func leaveOutFlushes() error {
	calls := []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_MSYNC, unix.SYS_SYNC_FILE_RANGE}
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for i, call := range calls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jt: uint8(len(calls) - i)})
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO}) // with error 0: success
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}

// told is one line of a worker: that so many of its operations were
// acknowledged when the recording had come so far.
type told struct {
	worker, done, recorded int
}

// account is what the child told before it was killed.
type account struct {
	people map[int][2]storage.AccountID // by worker
	ready  map[int]int                  // when a worker's accounts were acknowledged
	told   []told
	end    int // events recorded when it was killed
}

// runChild loads a store in dir, which lies on d, for so long.
func runChild(t *testing.T, d *disk, dir string, seed uint64, how flushing, during time.Duration) *account {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("LETTERLOCK_POWER_SEED=%d", seed), "LETTERLOCK_POWER_FLUSHING="+string(how))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var killed atomic.Bool
	kill := sync.OnceFunc(func() { killed.Store(true); _ = cmd.Process.Kill() })
	t.Cleanup(kill)
	defer time.AfterFunc(during, kill).Stop()
	a := &account{people: make(map[int][2]storage.AccountID), ready: make(map[int]int)}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		a.hear(lines.Text(), d.recorded(), kill)
	}
	a.end = d.recorded()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || !killed.Load() {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return a
}

// hear takes one line. It was true when it was written, so it is true of a
// recording that has come as far as it has now.
func (a *account) hear(line string, recorded int, full func()) {
	word, worker, n, m := "", 0, 0, 0
	_, _ = fmt.Sscan(line, &word, &worker, &n, &m) // the last line may be torn
	switch word {
	case "ready":
		a.people[worker], a.ready[worker] = [2]storage.AccountID{storage.AccountID(n), storage.AccountID(m)}, recorded
	case "done":
		a.told = append(a.told, told{worker, n, recorded})
	case "full":
		full()
	}
}

// acknowledged is how many operations a worker had been told are durable when
// the recording had come so far; ok is false where it had no accounts yet.
func (a *account) acknowledged(worker, recorded int) (done int, ok bool) {
	at, there := a.ready[worker]
	if !there || at > recorded {
		return 0, false
	}
	for _, l := range a.told {
		if l.worker == worker && l.recorded <= recorded {
			done = l.done
		}
	}
	return done, true
}
