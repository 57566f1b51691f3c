package dialogue

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// Patience is how long a client waits for a server, from when it sends: a test
// that hangs says where.
const Patience = 30 * time.Second

// ErrBareLF is a line of a Strict client that ends in LF alone.
var ErrBareLF = errors.New("a line ends without CR")

// Client is one connection to a server.
type Client struct {
	net.Conn               // what is spoken over: TLS after StartTLS
	Raw      net.Conn      // what it was at first
	R        *bufio.Reader // over Conn
	Name     string        // for failures
	Strict   bool          // a bare LF is an error; otherwise it is inside a line

	t testing.TB
}

// Dial connects to a server. The connection is closed when the test ends.
func Dial(t testing.TB, name string, at net.Addr) *Client {
	t.Helper()
	conn, err := net.Dial(at.Network(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Raw: conn, Name: name, t: t}
	c.Use(conn)
	t.Cleanup(func() { c.Conn.Close() })
	return c
}

// Use goes on over conn, which lies over what was spoken over before.
func (c *Client) Use(conn net.Conn) {
	c.Conn, c.R = conn, bufio.NewReader(conn)
	c.wait()
}

func (c *Client) wait() { c.SetDeadline(time.Now().Add(Patience)) }

// StartTLS is the client's side of a handshake.
func (c *Client) StartTLS(config *tls.Config) {
	c.t.Helper()
	secure := tls.Client(c.Conn, config)
	if err := secure.Handshake(); err != nil {
		c.t.Fatalf("%s: handshake: %v", c.Name, err)
	}
	c.Use(secure)
}

// Send sends octets as they are.
func (c *Client) Send(octets string) {
	c.t.Helper()
	c.wait()
	if _, err := io.WriteString(c.Conn, octets); err != nil {
		c.t.Fatalf("%s: send %.60q: %v", c.Name, octets, err)
	}
}

// Line is the next line without CRLF.
func (c *Client) Line() string {
	c.t.Helper()
	line, err := c.TryLine()
	if err != nil {
		c.t.Fatalf("%s: got %q, %v; want a line", c.Name, line, err)
	}
	return line
}

// TryLine is the next line without CRLF, or what came of it and why no more did:
// [io.EOF] where the server has hung up.
func (c *Client) TryLine() (string, error) {
	var line []byte
	for {
		piece, err := c.R.ReadSlice('\n')
		line = append(line, piece...)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return string(line), err
		}
		switch {
		case bytes.HasSuffix(line, []byte("\r\n")):
			return string(line[:len(line)-2]), nil
		case c.Strict && err == nil:
			return string(line), ErrBareLF
		}
	}
}

// Closed says what is wrong where the server has not hung up, or has said
// something before; nil: it has hung up. That the connection broke counts, as it
// does where octets were sent that nobody read.
func (c *Client) Closed() error {
	rest, err := io.ReadAll(c.R)
	switch {
	case len(rest) > 0:
		return errors.New("got " + string(rest))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("the connection stays open")
	}
	return nil
}

// Exactly reads as many octets as want has.
func (c *Client) Exactly(want string) (got string, err error) {
	octets := make([]byte, len(want))
	n, err := io.ReadFull(c.R, octets)
	return string(octets[:n]), err
}
