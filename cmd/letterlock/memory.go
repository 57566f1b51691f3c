package main

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// spendMemory lets the heap grow to five times what is in use before garbage is
// collected: it is small, and collecting was an eighth of the work. Where it is not
// small, half of the memory we may have is the brake. GOGC and GOMEMLIMIT in the
// environment win.
func spendMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if most := memory(); os.Getenv("GOMEMLIMIT") == "" && most < math.MaxInt64 {
		debug.SetMemoryLimit(int64(most / 2))
	}
}

// memory is how many octets we may have; math.MaxUint64 where nobody can tell.
func memory() uint64 {
	most := memoryLent(os.DirFS("/"))
	var machine syscall.Sysinfo_t
	if syscall.Sysinfo(&machine) == nil {
		most = min(most, uint64(machine.Totalram)*uint64(machine.Unit))
	}
	return most
}

// memoryLent is how many octets the control groups we are in let us have: those of
// systemd's MemoryMax= and MemoryHigh=, or of a container. Who takes more is killed.
// root is the file system; math.MaxUint64 where nobody sets a bound.
func memoryLent(root fs.FS) uint64 {
	most := uint64(math.MaxUint64)
	text, _ := fs.ReadFile(root, "proc/self/cgroup") // none: another system
	for line := range strings.Lines(string(text)) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(line, ":")
		switch {
		case controllers == "": // version 2
			most = min(most, leastOf(root, "sys/fs/cgroup", group, "memory.max"), leastOf(root, "sys/fs/cgroup", group, "memory.high"))
		case strings.Contains(","+controllers+",", ",memory,"):
			most = min(most, leastOf(root, "sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
		}
	}
	return most
}

// leastOf is the smallest number in a group's file and those of the groups above it.
// A container may see its own group as the topmost one, whatever its name is.
func leastOf(root fs.FS, top, group, file string) uint64 {
	least := uint64(math.MaxUint64)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		text, err := fs.ReadFile(root, path.Join(top, group, file))
		if n, notNumber := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && notNumber == nil { // "max" is none
			least = min(least, n)
		}
		if group == "/" {
			return least
		}
	}
}

// leaveRoomForDisks runs two goroutines more at a time than there are processors:
// one that waits in fdatasync holds its place for most of that time, and the log and
// the index each have one there under load. Without it half of two processors stood
// still. GOMAXPROCS in the environment wins.
func leaveRoomForDisks() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
}
