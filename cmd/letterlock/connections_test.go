package main

import "testing"

func TestConnectionsFollowFromFilesAndMemory(t *testing.T) {
	for name, c := range map[string]struct {
		files, memory     uint64
		readers, visitors int
	}{
		"a site of 100,000 accounts": {1 << 20, 64 << 30, 419430, 10000},
		"systemd's limit of files":   {524288, 256 << 30, 393216, 10000},
		"a small machine":            {524288, 1 << 30, 6553, 10000},
		"a login shell":              {1024, 16 << 30, 768, 768},
		"next to nothing":            {64, 16 << 20, 200, 200},
	} {
		readers, visitors := connections(c.files, c.memory)
		if readers != c.readers || visitors != c.visitors {
			t.Errorf("%s: %d readers, %d others; want %d and %d", name, readers, visitors, c.readers, c.visitors)
		}
	}
}
