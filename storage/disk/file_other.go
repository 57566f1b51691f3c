//go:build !linux

package disk

import "os"

func datasync(f *os.File) error { return f.Sync() }

// allocate does nothing where there is no fallocate: the file grows as written.
func allocate(*os.File, int64) error { return nil }
