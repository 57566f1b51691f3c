package disk

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// File is what is needed of a file.
type File interface {
	io.ReaderAt
	io.WriterAt
	Datasync() error           // flushes the octets and what is needed to read them
	Allocate(size int64) error // reserves space from the start, without changing what is there
	Truncate(size int64) error
	Close() error
}

// Files is a file system. Names are paths.
type Files interface {
	Create(name string) (File, error) // a new file, 0600; an old one of that name is an error
	Open(name string) (File, error)   // for reading and writing
	Rename(old, new string) error
	Remove(name string) error
	SyncDir(dir string) error
}

// OS is the real file system.
type OS struct{}

// Create makes a file of mode 0600.
func (OS) Create(name string) (File, error) {
	return openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// Open opens a file for reading and writing.
func (OS) Open(name string) (File, error) { return openFile(name, os.O_RDWR) }

// Rename moves a file within one file system.
func (OS) Rename(old, new string) error { return os.Rename(old, new) }

// Remove deletes a file.
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir makes the names in dir durable.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func openFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

type osFile struct{ *os.File }

func (f osFile) Datasync() error           { return datasync(f.File) }
func (f osFile) Allocate(size int64) error { return allocate(f.File, size) }

// NoSpace says whether err is a full disk or a full quota: a state that passes.
func NoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
