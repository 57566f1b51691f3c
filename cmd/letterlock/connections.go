package main

import "syscall"

const (
	sessionOctets = 40 << 10 // of memory: an IMAP session over TLS that waits has a few less
	fewestReaders = 200
	mostVisitors  = 10000
)

// connections is how many may be open at IMAP, and at each other server, whose
// visitors do not stay. People leave IMAP open all day: as many of them as the files
// that a process may open and a quarter of the memory let in.
func connections(files, memory uint64) (readers, visitors int) {
	fit := files / 4 * 3 // mail has to be stored, too
	return int(max(fewestReaders, min(fit, memory/4/sessionOctets))), int(max(fewestReaders, min(fit, mostVisitors)))
}

// openFiles is how many files we may have open, connections among them.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return limit.Cur
}
