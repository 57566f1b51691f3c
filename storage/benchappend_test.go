package storage

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"letterlock/internal/requiretls"
)

// BenchmarkAppend appends 4 KiB letters one by one, as a client does that uploads a
// folder: alone, and with seven others who do the same in folders of their own. A
// goal is what a flush of the log costs, see BenchmarkDurableDelivery. Set TMPDIR to
// the disk in question, and -benchtime=10000x.
func BenchmarkAppend(b *testing.B) {
	for _, clients := range []int{1, 8} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			s, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			var accounts []*Account
			for i := range clients {
				accounts = append(accounts, s.Account(addPerson(b, s, fmt.Sprint("user", i)).ID))
			}
			octets := string(noise(4 << 10))
			_, sum := letter("bench")
			before, n := cpuTime(b), max(b.N, clients)
			b.ResetTimer()
			took, waits := eachWriter(clients, n, func(w, i int) {
				own := *sum
				own.MessageID = fmt.Sprint("<", i, "@bench>")
				l := Letter{Body: newBody(octets), Summary: &own, Demand: requiretls.Usual()}
				if _, uids, err := accounts[w].Append(context.Background(), "Sent", []Letter{l}); err != nil || len(uids) != 1 {
					panic(fmt.Sprint(uids, err))
				}
			})
			for _, sh := range s.shards {
				if err := sh.drain(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(n), "cpu-µs")
			b.ReportMetric(float64(n)/took.Seconds(), "msg/s")
			slices.Sort(waits)
			b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-µs")
		})
	}
}
