package serve_test

import (
	"context"
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"

	"letterlock/internal/serve"
	"letterlock/internal/wire"
)

// commands answers each line with itself, after it has waited for it, as a
// session does; STARTTLS begins TLS.
func commands(ctx context.Context, c *serve.Conn) {
	in, out := wire.NewReader(c, time.Minute), wire.NewWriter(c, time.Minute)
	defer c.OnDraining(in.Interrupt)()
	for in.Await() == nil {
		line, err := in.Line(64 << 10)
		if err != nil {
			return
		}
		if string(line) == "STARTTLS" {
			out.WriteString("go ahead\r\n")
			in.Discard()
			if out.Flush() != nil || c.StartTLS(ctx) != nil {
				return
			}
			continue
		}
		out.Write(line)
		out.WriteString("\r\n")
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

// More than any buffer came in clear behind STARTTLS: RFC 3207 §4.2.
func TestWhatCameInClearIsForgottenInTLS(t *testing.T) {
	h := open(t, serve.Options{Handle: commands}, "127.0.0.1:0")
	g := h.visit(t, 0)
	g.ask("STARTTLS\r\n"+strings.Repeat("INJECTED\r\n", 1000), "go ahead")
	secure := tls.Client(g.Conn, h.trust(t))
	io.WriteString(secure, "said in TLS\r\n")
	answer := make([]byte, 100)
	n, err := secure.Read(answer)
	if got := string(answer[:n]); got != "said in TLS\r\n" {
		t.Errorf("got %q, %v; want what was said in TLS", got, err)
	}
}

// However records and lines are cut, and however many come at once, each line is
// answered: nobody waits for octets that have come.
func TestNothingThatCameIsWaitedFor(t *testing.T) {
	h := open(t, serve.Options{Handle: commands}, "tls:127.0.0.1:0", "127.0.0.1:0")
	secure := h.visit(t, 0)
	secure.Conn = tls.Client(secure.Conn, h.trust(t))
	secure.r.Reset(secure.Conn)
	for name, g := range map[string]*guest{"TLS": secure, "in clear": h.visit(t, 1)} {
		t.Run(name, func(t *testing.T) {
			g.t = t
			for _, size := range []int{0, 1, 4093, 4094, 4095, 8190, 16382, 16383, 17 << 10, 50 << 10} {
				line := strings.Repeat("x", size)
				g.ask(line, line)
				io.WriteString(g, line+"\r\nb")
				io.WriteString(g, "\r\n"+line+"\r\n")
				g.says(line)
				g.says("b")
				g.says(line)
			}
		})
	}
}
