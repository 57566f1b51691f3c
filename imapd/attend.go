package imapd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"letterlock/storage"
)

const (
	// lookEvery is how often a long command looks whether its client is there.
	lookEvery = 250 * time.Millisecond
	// halfClosed is how long a command goes on for a client that said it sends
	// no more: it may still read, or it may have left.
	halfClosed = 2 * time.Second
)

// errLeft ends the command, and the session, of a client that is gone.
var errLeft = fmt.Errorf("%w: the client left", errLost)

// attended runs a command that may take long. Its context ends when the client
// leaves: what is computed then is for nobody. The connection is asked, not
// read, so commands that wait in it stay where they are.
func (s *session) attended(ctx context.Context, do func(context.Context) (answer, error)) (answer, error) {
	ctx, stop := s.attend(ctx)
	defer stop()
	got, err := do(ctx)
	if err != nil && ctx.Err() != nil && !ends(err) {
		return answer{}, context.Cause(ctx)
	}
	return got, err
}

func (s *session) attend(ctx context.Context) (attended context.Context, stop func()) {
	attended, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	long := time.AfterFunc(lookEvery, func() { // most commands end before
		defer close(ended)
		if leaves(attended, s.conn.Conn) {
			cancel(errLeft)
		}
	})
	return attended, func() {
		cancel(nil)
		if !long.Stop() {
			<-ended
		}
	}
}

// presence is what the kernel knows of a peer.
type presence uint8

const (
	present     presence = iota
	sendsNoMore          // it closed its side; whether it reads is not known
	gone
)

// leaves waits until the peer has left, or ctx is done.
func leaves(ctx context.Context, conn net.Conn) bool {
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	clock := time.NewTicker(lookEvery)
	defer clock.Stop()
	var silent time.Time
	for ctx.Err() == nil {
		switch presenceOf(raw) {
		case gone:
			return true
		case sendsNoMore:
			if silent.IsZero() {
				silent = time.Now()
			}
			if time.Since(silent) >= halfClosed {
				return true
			}
		}
		select {
		case <-ctx.Done():
		case <-clock.C:
		}
	}
	return false
}

// attentive is an open message whose reading ends with the command it is read
// for. Whatever decodes, filters or searches reads in small steps, so each loop
// over content ends here.
type attentive struct {
	storage.Message
	ctx  context.Context // of the command
	read int64           // octets asked for so far
}

func attentively(ctx context.Context, m storage.Message) *attentive {
	return &attentive{Message: m, ctx: ctx}
}

// readStep is how much is read between two looks at the command.
const readStep = 64 << 10

// ReadAt reads as the message does, and fails when the command has ended. What
// came with an error does not count: whoever has all he asked for, as
// [io.ReadFull], would not look at the error, and send damaged octets.
func (a *attentive) ReadAt(p []byte, off int64) (n int, err error) {
	for err == nil && n < len(p) {
		if a.ctx.Err() != nil {
			return n, context.Cause(a.ctx)
		}
		var k int
		k, err = a.Message.ReadAt(p[n:min(len(p), n+readStep)], off+int64(n))
		if err == nil || errors.Is(err, io.EOF) {
			n += k
		}
	}
	a.read += int64(n)
	return n, err
}

// fill reads all of p from off.
func (a *attentive) fill(p []byte, off int64) error {
	n, err := a.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}
