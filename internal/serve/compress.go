package serve

import (
	"errors"
	"fmt"
	"sync/atomic"

	"letterlock/internal/deflate"
)

// deflated is a connection's compression: the streams of both ways, which lie
// on top of TLS.
type deflated struct {
	in  *deflate.Reader
	out *deflate.Writer
}

// squeeze counts what compression did on a server.
type squeeze struct{ conns, plain, sent atomic.Uint64 }

// Compress makes further reads and writes go through DEFLATE (RFC 4978): inside
// TLS where there is TLS (§3: first compressed, then encrypted). behind is what
// was read already and not understood yet; it is the beginning of what the
// client compressed. A connection is compressed once; the second time is an
// error and changes nothing. The answer that says so must have been sent, and
// nobody else may read or write.
//
// From then on each Write is flushed: the client can read all of it. Deadlines,
// limits and the end of the connection are as before; what they measure is what
// the client has said, not how short it said it. Errors of what it sends wrap
// [deflate.ErrCorrupt].
func (c *Conn) Compress(behind []byte) error {
	if c.Compressed() {
		return errors.New("compress: compressed already")
	}
	below := layer{c}
	c.deflated.Store(&deflated{deflate.NewReader(below, behind), deflate.NewWriter(below)})
	c.squeeze.conns.Add(1)
	return nil
}

// Uncompress ends what Compress began, as UNAUTHENTICATE wants (RFC 8437 §4.1):
// call it when the answer that ends it has been sent and all that was read has
// been understood. After an error, of a client that did not stop where it said
// so, the connection is to be closed.
func (c *Conn) Uncompress() error {
	d := c.deflated.Load()
	if d == nil {
		return errors.New("uncompress: not compressed")
	}
	rest, err := d.in.Rest()
	if err != nil {
		return fmt.Errorf("uncompress: %w", err)
	}
	c.rest = rest
	c.deflated.Store(nil)
	return nil
}

// Compressed says whether the connection is compressed by us.
func (c *Conn) Compressed() bool { return c.deflated.Load() != nil }

// layer is what lies below compression: TLS, or the connection.
type layer struct{ of *Conn }

func (l layer) Read(p []byte) (int, error) { return l.of.read(p) }

func (l layer) Write(p []byte) (int, error) {
	n, err := l.of.write(p)
	l.of.squeeze.sent.Add(uint64(n))
	return n, err
}
