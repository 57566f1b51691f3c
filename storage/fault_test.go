package storage

import (
	"sync/atomic"
	"syscall"

	"letterlock/storage/segment"
)

// fullDisk has no room for new files while full is set.
type fullDisk struct {
	segment.OS
	full atomic.Bool
}

func (d *fullDisk) Create(name string) (segment.File, error) {
	if d.full.Load() {
		return nil, syscall.ENOSPC
	}
	return d.OS.Create(name)
}
