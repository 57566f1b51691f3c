package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

// BenchmarkDurableDelivery measures durable deliveries beside what the disk can
// do at best, in the same run: append and fdatasync with the same sharing. The
// ratio is what the goals are about (0.9, 0.85, 0.55 at 4 KiB with 1, 8 and 32
// writers). Set TMPDIR to the disk in question, and -benchtime=5000x or so.
func BenchmarkDurableDelivery(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		for _, writers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, writers), func(b *testing.B) {
				n := max(b.N, writers)
				if size == 1<<20 {
					n = min(n, 500)
				}
				ceiling := measureCeiling(b, size, writers, n)
				before, objects := cpuTime(b), mallocs()
				rate, waits := measureStore(b, size, writers, n)
				b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(n), "cpu-µs")
				b.ReportMetric(float64(mallocs()-objects)/float64(n), "mallocs")
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(ceiling, "ceiling/s")
				b.ReportMetric(rate, "msg/s")
				b.ReportMetric(rate/ceiling, "ratio")
				slices.Sort(waits)
				b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-µs")
			})
		}
	}
}

// cpuTime is what the process has used, kernel included.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// mallocs is how many objects were ever allocated.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// eachWriter shares n calls of fn between writers and says how long all took.
func eachWriter(writers, n int, fn func(w, i int)) (time.Duration, []time.Duration) {
	var next atomic.Int64
	var all sync.WaitGroup
	waits := make([]time.Duration, n)
	start := time.Now()
	for w := range writers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				t := time.Now()
				fn(w, i)
				waits[i] = time.Since(t)
			}
		})
	}
	all.Wait()
	return time.Since(start), waits
}

// measureCeiling appends and flushes, one flush for all who wait.
func measureCeiling(b *testing.B, size, writers, n int) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "ceiling"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	octets := noise(size)
	queue := make(chan chan struct{}, writers)
	go func() {
		at := int64(0)
		for first := range queue {
			waiting := []chan struct{}{first}
			for len(queue) > 0 && len(waiting) < writers {
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
	took, _ := eachWriter(writers, n, func(int, int) {
		done := make(chan struct{})
		queue <- done
		<-done
	})
	close(queue)
	return float64(n) / took.Seconds()
}

func noise(size int) []byte {
	octets, x := make([]byte, size), uint64(1)
	for i := range octets {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		octets[i] = byte(x)
	}
	return octets
}

// measureStore delivers to fifty accounts and counts until all is applied.
func measureStore(b *testing.B, size, writers, n int) (float64, []time.Duration) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var people []Person
	for i := range 50 {
		people = append(people, addPerson(b, s, fmt.Sprint("user", i)))
	}
	octets := noise(size)
	_, sum := letter("bench")
	took, waits := eachWriter(writers, n, func(w, i int) {
		own := *sum
		own.MessageID = fmt.Sprint("<", i, "@bench>")
		body := body{bytes.NewReader(octets)}
		errs := s.Commit(context.Background(), &mail.Envelope{Demand: requiretls.Usual()}, body, &own, plansFor(inbox, people[i%len(people)].ID))
		if errs[0] != nil {
			panic(errs[0])
		}
	})
	start := time.Now()
	for _, sh := range s.shards {
		if err := sh.drain(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	took += time.Since(start)
	return float64(n) / took.Seconds(), waits
}

// fill puts n small messages into INBOX.
func fill(b testing.TB, s *Store, a AccountID, n int) {
	b.Helper()
	body, sum := letter("x")
	_, _ = eachWriter(64, n, func(w, i int) {
		own := *sum
		own.MessageID = fmt.Sprint("<", i, "@bench>")
		if errs := s.Commit(context.Background(), &mail.Envelope{Demand: requiretls.Usual()}, body, &own, plansFor(inbox, a)); errs[0] != nil {
			panic(errs[0])
		}
	})
}

// BenchmarkWholeMailbox changes all 10,000 messages of a mailbox at once.
func BenchmarkWholeMailbox(b *testing.B) {
	const n = 10000
	ctx := context.Background()
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	p := addPerson(b, s, "ann")
	a := s.Account(p.ID)
	fill(b, s, p.ID, n)
	v, err := a.View(ctx, inboxID)
	if err != nil {
		b.Fatal(err)
	}
	uids := uidsOf(v)
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("store", func(b *testing.B) {
		for i := range b.N {
			_, err := a.StoreFlags(ctx, inboxID, uids, FlagOp(i%2), []string{`\Flagged`}, 0)
			must(err)
		}
	})
	b.Run("copy", func(b *testing.B) {
		for range b.N {
			_, err := a.Copy(ctx, inboxID, uids, "Archive")
			must(err)
		}
	})
	b.Run("move and back", func(b *testing.B) {
		for range b.N {
			_, err := a.Move(ctx, inboxID, uids, "Trash")
			must(err)
			trash := mailbox(b, a, "Trash").ID
			v, err := a.View(ctx, trash)
			must(err)
			_, err = a.Move(ctx, trash, uidsOf(v), inbox)
			must(err)
			v, err = a.View(ctx, inboxID)
			must(err)
			uids = uidsOf(v)
		}
	})
	b.Run("view", func(b *testing.B) {
		for range b.N {
			s.views = viewCache{}
			_, err := a.View(ctx, inboxID)
			must(err)
		}
	})
	b.Run("rows", func(b *testing.B) {
		for range b.N {
			_, err := a.Rows(ctx, inboxID, uids)
			must(err)
		}
	})
	b.Run("expunge of a copy", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			done, err := a.Copy(ctx, inboxID, uids, "Junk")
			must(err)
			b.StartTimer()
			must(a.Expunge(ctx, mailbox(b, a, "Junk").ID, done.To))
		}
	})
}

// BenchmarkCollection gives back what the dead hold, of 8,000 letters every second
// one, as fast as it goes: the octets are those of the segments it reads, cpu-µs is
// for each letter that lives and is moved. It works at 32 MiB a second in the house.
func BenchmarkCollection(b *testing.B) {
	const n = 8000
	ctx, octets, cpu := context.Background(), int64(0), time.Duration(0)
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for range b.N {
		b.StopTimer()
		s, err := Open(b.TempDir(), Options{SegmentSize: 4 << 20})
		must(err)
		a := s.Account(addPerson(b, s, "ann").ID)
		body, sum := newBody("Subject: x\r\n\r\n"+string(noise(4<<10))), &mail.Summary{Subject: "x"}
		_, _ = eachWriter(64, n, func(w, i int) {
			must(errors.Join(s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, body, sum, plansFor(inbox, a.id))...))
		})
		var gone []UID
		for uid := UID(1); uid <= n; uid += 2 {
			gone = append(gone, uid)
		}
		must(a.Expunge(ctx, inboxID, gone))
		must(s.reap(ctx))
		octets = 0
		for _, seg := range s.log.Sealed() {
			octets += int64(s.log.Used(seg))
		}
		before := cpuTime(b)
		b.StartTimer()
		must(s.collect(ctx, collectDead, 0))
		b.StopTimer()
		cpu += cpuTime(b) - before
		must(s.Close())
	}
	b.SetBytes(octets)
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N)/(n/2), "cpu-µs")
}

// BenchmarkReading reads the summary of 10,000 messages, one by one and at
// once, and opens them all: at most 40 ms for the summaries and 80 ms for the
// messages on two cores.
func BenchmarkReading(b *testing.B) {
	const n = 10000
	ctx := context.Background()
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	p := addPerson(b, s, "ann")
	a := s.Account(p.ID)
	fill(b, s, p.ID, n)
	v, err := a.View(ctx, inboxID)
	if err != nil {
		b.Fatal(err)
	}
	uids, rel := uidsOf(v), release(b, requiretls.Usual())
	b.Run("summary", func(b *testing.B) {
		for range b.N {
			for _, uid := range uids {
				if _, err := a.Summary(ctx, inboxID, uid, rel); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("summaries", func(b *testing.B) {
		for range b.N {
			for one, err := range a.Summaries(ctx, inboxID, uids, overTLS) {
				if err != nil || one.Err != nil {
					b.Fatal(err, one.Err)
				}
			}
		}
	})
	b.Run("envelopes", func(b *testing.B) {
		for range b.N {
			for one, err := range a.Envelopes(ctx, inboxID, uids, overTLS) {
				if err != nil || one.Err != nil {
					b.Fatal(err, one.Err)
				}
			}
		}
	})
	b.Run("messages", func(b *testing.B) {
		buf := make([]byte, 64<<10)
		for range b.N {
			for o, err := range a.Messages(ctx, inboxID, uids, overTLS) {
				if err != nil || o.Err != nil {
					b.Fatal(err, o.Err)
				}
				if _, err := o.Message.ReadAt(buf[:o.Message.Size()], 0); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("message", func(b *testing.B) {
		for range b.N {
			for _, uid := range uids {
				m, err := a.Message(ctx, inboxID, uid, rel)
				if err != nil {
					b.Fatal(err)
				}
				if err := m.Close(); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
