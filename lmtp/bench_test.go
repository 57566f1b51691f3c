package lmtp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/serve"
	"letterlock/lmtp"
)

// nowhere takes everything and keeps nothing.
type nowhere struct{}

func (nowhere) Recipient(context.Context, mail.Address) error { return nil }

func (nowhere) Deliver(_ context.Context, _ *mail.Envelope, _ mail.Body, rcpts []mail.Address) []error {
	return make([]error, len(rcpts))
}

// BenchmarkData is what the front door itself costs for a letter, its log lines
// included.
func BenchmarkData(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10} {
		for _, declared := range []string{"", fmt.Sprintf(" SIZE=%d", size)} {
			b.Run(fmt.Sprintf("%d%s", size, declared), func(b *testing.B) {
				d := openDoor(b, func(o *lmtp.Options, _ *serve.Options) {
					o.Deliver = nowhere{}
					o.Mail = maillog.New(slog.New(slog.NewTextHandler(io.Discard, nil)))
				})
				cl := d.dial(b, "unix")
				cl.greet()
				text := strings.Repeat("A line of a letter that is as long as most of them are, more or less.\r\n", size/71)
				letter := []byte("MAIL FROM:<a@b.example>" + declared + "\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n" + text + ".\r\n")
				b.SetBytes(int64(len(letter)))
				b.ReportAllocs()
				answer := make([]byte, 4096)
				for b.Loop() {
					if _, err := cl.Raw.Write(letter); err != nil {
						b.Fatal(err)
					}
					for lines := 0; lines < 4; {
						n, err := cl.Raw.Read(answer)
						if err != nil {
							b.Fatal(err)
						}
						lines += bytes.Count(answer[:n], []byte("\n"))
					}
				}
			})
		}
	}
}
