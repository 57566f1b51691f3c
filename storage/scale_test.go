package storage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv/bolt"
)

// BenchmarkScale says how a large store fares: LETTERLOCK_SCALE is how many
// small messages there are, half of them in one mailbox (of a million at most),
// the rest spread over a thousand accounts of one in a hundred messages (of
// 100,000 at most) that there are:
//
//	LETTERLOCK_SCALE=2000000 TMPDIR=/big go test -run '^$' -bench Scale -benchtime 1x -v -timeout 2h ./storage
func BenchmarkScale(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("LETTERLOCK_SCALE"))
	if err != nil {
		b.Skip("LETTERLOCK_SCALE says how many messages")
	}
	ctx, dir := context.Background(), b.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	timed := func(what string, fn func()) {
		start := time.Now()
		fn()
		b.Logf("%-40s %v", what, time.Since(start).Round(10*time.Microsecond))
	}
	accounts, large := min(n/100, 100000), min(n/2, 1000000)
	people := make([]AccountID, accounts)
	timed(fmt.Sprint("accounts made: ", accounts), func() {
		eachWriter(64, accounts, func(_, i int) {
			p, err := s.AddPerson(ctx, mail.Address{Local: fmt.Sprint("u", i), Domain: "scale.test"}, nil)
			if err != nil {
				panic(err)
			}
			people[i] = p.ID
		})
	})
	body, sum := letter("scale")
	one := func(i int, to AccountID) {
		own := *sum
		own.MessageID = fmt.Sprint("<", i, "@scale>")
		if errs := s.Commit(ctx, &mail.Envelope{Demand: requiretls.Usual()}, body, &own, plansFor(inbox, to)); errs[0] != nil {
			panic(errs[0])
		}
	}
	const steps = 10
	for step := range steps { // each as long as the one before, were nothing slower in a large store
		first, more := step*n/steps, (step+1)*n/steps-step*n/steps
		timed(fmt.Sprintf("messages delivered: %d more", more), func() {
			eachWriter(64, more, func(_, i int) {
				i += first
				to := people[0]
				if i >= large {
					to = people[i%min(1000, accounts)]
				}
				one(i, to)
			})
		})
	}
	timed("clean stop", func() { must(s.Close()) })
	timed("open", func() { s, err = Open(dir, Options{}); must(err) })
	memory := func(what string) {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		files, _ := os.ReadDir("/proc/self/fd") // none where there is no such folder
		b.Logf("%-40s %d MiB of heap, %d files", what, m.HeapAlloc>>20, len(files))
	}
	memory("opened")
	a := s.Account(people[0])
	var v *View
	timed("SELECT first", func() { v, err = a.View(ctx, inboxID); must(err) })
	timed("SELECT again", func() { _, err = a.View(ctx, inboxID); must(err) })
	memory(fmt.Sprintf("a view of %d messages", v.Len()))
	uids := uidsOf(v)
	timed("flags of all", func() { _, err = a.StoreFlags(ctx, inboxID, uids, AddFlags, []string{`\Seen`}, 0); must(err) })
	timed("SELECT after that", func() { _, err = a.View(ctx, inboxID); must(err) })
	some := uids[:min(len(uids), maxCopy)]
	timed(fmt.Sprint("copy of ", len(some)), func() { _, err = a.Copy(ctx, inboxID, some, "Archive"); must(err) })
	timed("expunge of the copies", func() { must(a.Expunge(ctx, mailbox(b, a, "Archive").ID, uidsOf(view(b, a, "Archive")))) })
	timed("check of everything", func() {
		must(s.Check(ctx, func(f Finding) { b.Error(f) }))
	})
	memory("in the end")
	timed("checkpoint", func() { must(s.Checkpoint(ctx)) })
	for i := range 1000 {
		one(n+i, people[0])
	}
	must(s.Close())

	index, shards := filepath.Join(dir, indexDir), len(s.shards)
	must(os.Truncate(bolt.ShardFile(index, placeAccount(people[0], shards)), 0))
	lines := 0
	said := func(string) { lines++ }
	timed("repair of the large mailbox's shard", func() { must(Repair(ctx, dir, Options{}, said)) })
	for n := range shards {
		must(os.Truncate(bolt.ShardFile(index, n), 0))
		must(os.Truncate(bolt.ShardFile(filepath.Join(dir, checkpointDir), n), 0))
	}
	timed("repair of all from the segments alone", func() { must(Repair(ctx, dir, Options{}, said)) })
	b.Logf("%d lines were said about both", lines)
	s, err = Open(dir, Options{})
	must(err)
	box, err := s.Account(people[0]).Mailbox(ctx, "Recovered")
	must(err)
	if want := v.Len() + 1000; int(box.Messages) != want {
		b.Errorf("%d messages in Recovered, want %d", box.Messages, want)
	}
	must(s.Close())
}
