package main

import (
	"math"
	"testing"
	"testing/fstest"
)

// A heap that may grow to half of the machine is killed in a container that has less.
func TestMemoryIsWhatTheControlGroupLends(t *testing.T) {
	const v2 = "0::/system.slice/letterlock.service\n"
	const v1 = "9:name=systemd:/a\n4:cpu,memory:/docker/4f0f\n1:cpu:/\n0::/\n"
	for name, c := range map[string]struct {
		self  string
		files map[string]string
		want  uint64
	}{
		"no control groups": {"", nil, math.MaxUint64},
		"systemd's MemoryMax": {v2, map[string]string{
			"sys/fs/cgroup/system.slice/letterlock.service/memory.max":  "536870912\n",
			"sys/fs/cgroup/system.slice/letterlock.service/memory.high": "max\n",
		}, 512 << 20},
		"MemoryHigh below it": {v2, map[string]string{
			"sys/fs/cgroup/system.slice/letterlock.service/memory.max":  "536870912\n",
			"sys/fs/cgroup/system.slice/letterlock.service/memory.high": "268435456\n",
		}, 256 << 20},
		"of the slice": {v2, map[string]string{
			"sys/fs/cgroup/system.slice/letterlock.service/memory.max": "max\n",
			"sys/fs/cgroup/system.slice/memory.max":                    "1073741824\n",
		}, 1 << 30},
		"no bound": {v2, map[string]string{"sys/fs/cgroup/system.slice/letterlock.service/memory.max": "max\n"}, math.MaxUint64},
		"version 1": {v1, map[string]string{
			"sys/fs/cgroup/memory/docker/4f0f/memory.limit_in_bytes": "167772160\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":             "9223372036854771712\n",
		}, 160 << 20},
		"version 1 seen from inside a container": {v1, map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "167772160\n"}, 160 << 20},
		"version 2 seen from inside a container": {"0::/\n", map[string]string{"sys/fs/cgroup/memory.max": "167772160\n"}, 160 << 20},
	} {
		root := fstest.MapFS{"proc/self/cgroup": {Data: []byte(c.self)}}
		for file, text := range c.files {
			root[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := memoryLent(root); got != c.want {
			t.Errorf("%s: %d octets, want %d", name, got, c.want)
		}
	}
}
