package main

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// measureDisk is what the disk under dir can do at best for a store that says
// yes only to what is flushed: so many writers hand letters of one size to one
// appender, which writes all that wait and flushes once for them.
func measureDisk(dir string, size, writers int, during time.Duration) (load, error) {
	f, err := os.Create(filepath.Join(dir, "ceiling"))
	if err != nil {
		return load{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	octets := noise(size)
	queue := make(chan chan error, writers)
	go appendInGroups(f, octets, queue)
	defer close(queue)

	results := make([]load, writers)
	start := time.Now()
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { results[i] = waitInLine(queue, start.Add(during)) })
	}
	all.Wait()
	return sum(results, time.Since(start))
}

func waitInLine(queue chan<- chan error, until time.Time) (l load) {
	done := make(chan error)
	for t := time.Now(); t.Before(until) && l.err == nil; t = time.Now() {
		queue <- done
		l.err = <-done
		l.waits = append(l.waits, time.Since(t))
	}
	return l
}

func appendInGroups(f *os.File, octets []byte, queue <-chan chan error) {
	at := int64(0)
	for first := range queue {
		waiting := []chan error{first}
		for len(queue) > 0 {
			waiting = append(waiting, <-queue)
		}
		var err error
		for range waiting {
			if err == nil {
				_, err = f.WriteAt(octets, at)
			}
			at += int64(len(octets))
		}
		if err == nil {
			err = syscall.Fdatasync(int(f.Fd()))
		}
		for _, w := range waiting {
			w <- err
		}
	}
}
