package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc (USER_HZ, 100 on every Linux).
const tick = 10 * time.Millisecond

// tree is a process and all that descend from it.
type tree struct{ root int }

// procStat is what we read of /proc/PID/stat (proc_pid_stat(5)).
type procStat struct {
	pid, parent int
	cpu         time.Duration // user and system, with the children it has waited for
}

func readStat(file string) (s procStat, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	name := bytes.LastIndexByte(text, ')') // the command's name may hold anything
	fields := strings.Fields(string(text[name+1:]))
	if name < 0 || len(fields) < 15 {
		return s, fmt.Errorf("%s: not understood", file)
	}
	s.pid, _ = strconv.Atoi(strings.Fields(string(text[:name]))[0])
	s.parent, _ = strconv.Atoi(fields[1])
	for _, f := range fields[11:15] {
		n, _ := strconv.Atoi(f)
		s.cpu += time.Duration(n) * tick
	}
	return s, nil
}

// members are the processes of the tree that live now.
func (t tree) members() []procStat {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	children := make(map[int][]procStat)
	var members []procStat
	for _, f := range files {
		s, err := readStat(f)
		if err != nil {
			continue // it has ended
		}
		children[s.parent] = append(children[s.parent], s)
		if s.pid == t.root {
			members = append(members, s)
		}
	}
	for i := 0; i < len(members); i++ {
		members = append(members, children[members[i].pid]...)
	}
	return members
}

// cpu is what the tree has used since it was started, to 10 ms.
func (t tree) cpu() (sum time.Duration) {
	for _, m := range t.members() {
		sum += m.cpu
	}
	return sum
}

// memory is the tree's proportional set size in octets: what is shared between
// its processes counts once.
func (t tree) memory() (octets int64) {
	for _, m := range t.members() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", m.pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "Pss:" {
				n, _ := strconv.ParseInt(fields[1], 10, 64)
				octets += n << 10
			}
		}
	}
	return octets
}
