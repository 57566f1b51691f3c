package segment

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkAppend measures durable appends in clear, sealed, and compressed at
// once instead of when they are collected, beside what the disk can do at best, round by round in the same run, so that a disk that
// changes its mood changes it for all: the ratios are what counts, each the
// median of its rounds. Set TMPDIR to the disk in question, and -benchtime=4000x
// or so.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		for _, writers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, writers), func(b *testing.B) {
				n := max(b.N, 2*writers)
				if size == 1<<20 {
					n = min(n, 300)
				}
				var ceiling, clear, sealed, packed []float64
				for range 5 {
					best := measureDisk(b, size, writers, n)
					plain := measureLog(b, Options{}, Raw, size, writers, n)
					ceiling = append(ceiling, best)
					clear = append(clear, plain/best)
					sealed = append(sealed, measureLog(b, Options{Keys: openKeys(b, keyFile(b))}, Raw, size, writers, n)/plain)
					packed = append(packed, measureLog(b, Options{}, Zstd, size, writers, n)/plain)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(median(ceiling), "ceiling/s")
				b.ReportMetric(median(clear), "clear/ceiling")
				b.ReportMetric(median(sealed), "sealed/clear")
				b.ReportMetric(median(packed), "compressed/clear")
			})
		}
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// perSecond shares n calls of fn between writers.
func perSecond(writers, n int, fn func()) float64 {
	var next atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range writers {
		all.Go(func() {
			for int(next.Add(1)) <= n {
				fn()
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(start).Seconds()
}

// measureDisk appends and flushes, one flush for all who wait.
func measureDisk(b *testing.B, size, writers, n int) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "ceiling"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	octets := []byte(noise(size))
	queue := make(chan chan struct{}, writers)
	go func() {
		at := int64(0)
		for first := range queue {
			waiting := []chan struct{}{first}
			for len(queue) > 0 {
				waiting = append(waiting, <-queue)
			}
			for range waiting {
				if _, err := f.WriteAt(octets, at); err != nil {
					panic(err)
				}
				at += int64(size)
			}
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				panic(err)
			}
			for _, w := range waiting {
				close(w)
			}
		}
	}()
	defer close(queue)
	return perSecond(writers, n, func() {
		done := make(chan struct{})
		queue <- done
		<-done
	})
}

func noise(size int) string {
	octets, x := make([]byte, size), uint64(1)
	for i := range octets {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		octets[i] = byte(x)
	}
	return string(octets)
}

func measureLog(b *testing.B, opt Options, codec Codec, size, writers, n int) float64 {
	l, _, _ := openLog(b, b.TempDir(), opt)
	defer closeLog(b, l)
	s := newScribe(1)
	var text []byte
	for len(text) < size {
		text = append(text, s.letter()...)
	}
	text = text[:size]
	return perSecond(writers, n, func() {
		r := record(1, "Return-Path: <a@b>\r\nDelivered-To: x\r\n")
		r.Summary, r.Codec = text[:min(600, size)], codec
		if err := l.Append(context.Background(), Letter{r, octets{bytes.NewReader(text)}}); err != nil {
			panic(err)
		}
	})
}
