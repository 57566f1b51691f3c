package imapd

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/serve"
)

// connected is both ends of a TCP connection.
func connected(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

// TestCommandEndsWhenItsClientLeaves: also where commands that the client sent
// at once wait unread before its end.
func TestCommandEndsWhenItsClientLeaves(t *testing.T) {
	t.Parallel()
	server, client := connected(t)
	if _, err := io.WriteString(client, "a1 SEARCH TEXT x\r\na2 LOGOUT\r\n"); err != nil {
		t.Fatal(err)
	}
	s := &session{conn: &serve.Conn{Conn: server}}
	_, err := s.attended(t.Context(), func(ctx context.Context) (answer, error) {
		client.Close()
		<-ctx.Done()
		return answer{}, ctx.Err()
	})
	if !errors.Is(err, errLeft) || !ends(err) {
		t.Errorf("got %v, want %v, which ends the session", err, errLeft)
	}
	waiting := make([]byte, 100)
	if n, err := server.Read(waiting); !strings.HasPrefix(string(waiting[:n]), "a1 SEARCH") {
		t.Errorf("what was sent at once reads as %q, %v", waiting[:n], err)
	}
}

// TestReadingEndsWithItsCommand: whoever decodes a big message notices within
// 64 KiB.
func TestReadingEndsWithItsCommand(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	text := strings.NewReader(strings.Repeat("QUJD", 1<<18))
	m := attentively(ctx, &cancelling{ReaderAt: text, size: text.Size(), after: 10, cancel: func() { cancel(errLeft) }})
	part := &mail.Part{Type: "application", Encoding: "base64"}
	var got octetCount
	if err := decode(m, extent{0, m.Size()}, part, &got); !errors.Is(err, errLeft) {
		t.Errorf("decoded %d octets: %v, want %v", got.n, err, errLeft)
	}
	if most := int64(11 * readStep); m.read > most {
		t.Errorf("%d octets were read, want at most %d", m.read, most)
	}
}

// cancelling is a message whose reader leaves after some reads.
type cancelling struct {
	io.ReaderAt
	size   int64
	after  int
	cancel func()
}

func (c *cancelling) ReadAt(p []byte, off int64) (int, error) {
	if c.after--; c.after == 0 {
		c.cancel()
	}
	return c.ReaderAt.ReadAt(p, off)
}

func (c *cancelling) Size() int64  { return c.size }
func (c *cancelling) Close() error { return nil }
