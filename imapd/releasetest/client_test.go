package releasetest

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// client is one connection. Once something has gone wrong on it, nothing more
// is sent and read.
type client struct {
	conn net.Conn
	raw  net.Conn // where conn is compressed: what is below
	in   *bufio.Reader
	err  error
}

func newClient(conn net.Conn) *client { return &client{conn: conn, in: bufio.NewReader(conn)} }

func (c *client) close() {
	c.conn.Close()
	if c.raw != nil {
		c.raw.Close()
	}
}

func (c *client) send(octets string) {
	if c.err != nil {
		return
	}
	c.conn.SetDeadline(time.Now().Add(30 * time.Second)) // ends a test whose server does not answer
	_, c.err = io.WriteString(c.conn, octets)
}

// line is the next line with its CRLF. A bare LF does not end it.
func (c *client) line() string {
	var line []byte
	for c.err == nil {
		piece, err := c.in.ReadSlice('\n')
		line = append(line, piece...)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			c.err = fmt.Errorf("read: %w after %q", err, line)
		}
		if bytes.HasSuffix(line, []byte("\r\n")) {
			break
		}
	}
	return string(line)
}

// until reads up to a line that begins or ends so, and gives all.
func (c *client) until(done func(line string) bool) string {
	var text strings.Builder
	for c.err == nil {
		line := c.line()
		text.WriteString(line)
		if done(line) {
			return text.String()
		}
	}
	c.err = fmt.Errorf("%w behind %q", c.err, text.String())
	return text.String()
}

func tagged(tag string) func(string) bool {
	return func(line string) bool { return strings.HasPrefix(line, tag+" ") }
}

// do gives a command and reads the answer to it.
func (c *client) do(tag, command string) string {
	c.send(tag + " " + command + "\r\n")
	return c.until(tagged(tag))
}

// compress goes on compressed (RFC 4978).
func (c *client) compress() {
	above := &compressed{Conn: c.conn, in: flate.NewReader(c.in)}
	if above.out, c.err = flate.NewWriter(&above.flushed, flate.BestSpeed); c.err != nil {
		return
	}
	c.raw, c.conn = c.conn, above
	c.in = bufio.NewReader(c.conn)
}

// compressed is a connection through DEFLATE.
type compressed struct {
	net.Conn
	in      io.Reader
	out     *flate.Writer
	flushed bytes.Buffer // what out has written, to be sent in one piece
}

func (c *compressed) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *compressed) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	if err = errors.Join(err, c.out.Flush()); err != nil {
		return n, err
	}
	_, err = c.flushed.WriteTo(c.Conn)
	return n, err
}
