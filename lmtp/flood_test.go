package lmtp_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/serve"
	"letterlock/lmtp"
)

// TestBigBodiesDoNotGrowTheHeap: many connections at once, each with a body of
// 50 MB. LETTERLOCK_FLOOD sets how many; the default keeps the test short.
func TestBigBodiesDoNotGrowTheHeap(t *testing.T) {
	clients, size := 4, 10_000_000
	if s := os.Getenv("LETTERLOCK_FLOOD"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		clients, size = n, 50_000_000
	}
	const memory = 8 << 20
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) { o.Memory, o.MaxSize = memory, 60_000_000 })
	d.box.big = true

	piece := bytes.Repeat([]byte("a line of a body that is big and of no interest to anybody\r\n"), 5000)
	sum := crc64.New(crc64.MakeTable(crc64.ECMA))
	for n := 0; n < size; n += len(piece) {
		sum.Write(piece)
	}
	runtime.GC()
	var before, during runtime.MemStats
	runtime.ReadMemStats(&before)

	var halfway, done sync.WaitGroup
	halfway.Add(clients)
	goOn := make(chan struct{})
	for i := range clients {
		cl := d.dial(t, []string{"tcp", "unix"}[i%2])
		cl.SetDeadline(time.Now().Add(10 * time.Minute))
		done.Go(func() {
			cl.greet()
			cl.ask(oneLetter, "250 *", "250 *", "354 *")
			for n := 0; n < size; n += len(piece) {
				if n <= size/2 && n+len(piece) > size/2 {
					halfway.Done()
					<-goOn
				}
				if _, err := cl.Write(piece); err != nil {
					t.Error(err)
				}
			}
			cl.ask(".\r\nQUIT\r\n", "250 *", "221 *")
		})
	}
	halfway.Wait()
	runtime.GC()
	runtime.ReadMemStats(&during)
	close(goOn)
	done.Wait()

	grown := int64(during.HeapAlloc) - int64(before.HeapAlloc)
	if limit := int64(memory + clients*256<<10); grown > limit {
		t.Errorf("with %d bodies of %d octets half way in, the heap grew by %d octets; want at most %d", clients, size, grown, limit)
	}
	for _, l := range d.box.taken() {
		if l.sum != sum.Sum64() {
			t.Errorf("a body of %d octets came as another one", l.size)
		}
	}
	if got := len(d.box.taken()); got != clients {
		t.Errorf("%d of %d bodies were delivered", got, clients)
	}
}

// BenchmarkDialogue is what the dialogue itself costs: a small message, all
// commands in one write, nobody who keeps it.
func BenchmarkDialogue(b *testing.B) {
	for _, network := range []string{"unix", "tcp", "tls"} {
		for _, size := range []int{4 << 10, 256 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", network, size>>10), func(b *testing.B) {
				d := openDoor(b, func(o *lmtp.Options, _ *serve.Options) { o.Deliver = nobody{} })
				body := bytes.Repeat([]byte("sixty octets of text, and that is how long this line will be\r\n"), size/62)
				message := append(append([]byte("MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n"), body...), ".\r\n"...)
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					cl := d.dial(b, network)
					cl.SetDeadline(time.Time{})
					cl.greet()
					for pb.Next() {
						if _, err := cl.Write(message); err != nil {
							b.Error(err)
							return
						}
						for range 4 {
							if _, err := cl.R.ReadSlice('\n'); err != nil {
								b.Error(err)
								return
							}
						}
					}
					io.WriteString(cl.Conn, "QUIT\r\n")
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}

// nobody takes everything and keeps nothing.
type nobody struct{}

func (nobody) Recipient(context.Context, mail.Address) error { return nil }
func (nobody) Deliver(_ context.Context, _ *mail.Envelope, _ mail.Body, rcpts []mail.Address) []error {
	return make([]error, len(rcpts))
}
