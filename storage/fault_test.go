package storage

import (
	"sync/atomic"
	"syscall"

	"letterlock/storage/disk"
)

// fullDisk has no room for new files while full is set.
type fullDisk struct {
	disk.OS
	full atomic.Bool
}

func (d *fullDisk) Create(name string) (disk.File, error) {
	if d.full.Load() {
		return nil, syscall.ENOSPC
	}
	return d.OS.Create(name)
}
