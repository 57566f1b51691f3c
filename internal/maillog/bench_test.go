package maillog_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/requiretls"
)

// BenchmarkLetter says the two lines that nearly every letter has, to a file.
func BenchmarkLetter(b *testing.B) {
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	l := maillog.New(slog.New(maillog.NewJSONHandler(file)))
	rcpt := mail.Address{Local: "ann", Domain: "example.org"}
	env := &mail.Envelope{
		ID: "0f1g2h3i4j5k6", From: mail.Address{Local: "bob", Domain: "example.net"}, Demand: requiretls.Usual(),
		Protocol: "LMTP", Peer: "192.0.2.1", Received: time.Now(),
	}
	d := &mail.Delivery{Account: 7, Rcpt: rcpt, Copies: []mail.Copy{{Mailbox: "INBOX"}}}
	b.ReportAllocs()
	for b.Loop() {
		l.Filed(b.Context(), env, d, "implicit keep")
		l.Accepted(b.Context(), env, rcpt, 4096)
	}
}
