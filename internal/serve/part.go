package serve

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	lingerTime   = time.Second
	closeTime    = 50 * time.Millisecond // between the peer's goodbye in TLS and its closing
	lingerOctets = 256 << 10
)

var partTime = 2 * time.Second // a variable for the tests

var (
	errTalksOn = errors.New("the peer talks on behind the end")
	errUntaken = errors.New("the peer did not take all that was written")
)

// Part ends the connection after the last answer, and says whether the peer took
// all that was written: nil where it has ended the connection on its side, and in
// peace. A peer that dies with octets before it that it has not read resets the
// connection, and so does one that is gone when they come. What a peer does behind
// the end of its side is not seen, and a proxy in between answers for itself alone.
//
// Part waits two seconds at most, and longer only where a goodbye in TLS finds no
// room. Nobody may read or write behind it.
func (c *Conn) Part() error {
	c.parted = true
	end := time.Now().Add(partTime)
	if s := c.secure.Load(); s != nil {
		// Our goodbye in TLS is octets, too: a peer that closes without waiting for
		// them would reset the connection, whatever it has read before. One that has
		// said its own and does not close waits for ours.
		half := end.Add(-partTime / 2)
		err := c.hear(s, half)
		if soon := time.Now().Add(closeTime); err == nil && soon.Before(half) {
			half = soon
		}
		if err == nil {
			err = c.outlast(half)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			_ = c.goodbye() // to a peer that still listens
			return err
		}
	}
	if err := c.goodbye(); err != nil {
		return err
	}
	return c.outlast(end)
}

// outlast waits until the peer has ended the connection on its side and nothing is
// under way to it: nil.
func (c *Conn) outlast(end time.Time) error {
	if err := c.hearOut(end); err != nil {
		return err
	}
	return c.settle(end)
}

// goodbye says that we write no more.
func (c *Conn) goodbye() error {
	if s := c.secure.Load(); s != nil {
		if err := s.CloseWrite(); err != nil { // close_notify
			return err
		}
	}
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// hearOut reads and forgets what the peer says until it has ended the connection
// on its side: nil.
func (c *Conn) hearOut(end time.Time) error { return c.hear(c.Conn, end) }

// hear does so above or below TLS; above it, the peer's goodbye there is an end.
func (c *Conn) hear(from io.Reader, end time.Time) error {
	for {
		if err := c.Conn.SetReadDeadline(end); err != nil {
			return err
		}
		_, err := io.CopyN(io.Discard, from, lingerOctets)
		switch {
		case err == io.EOF:
			return nil
		case err == nil:
			return errTalksOn
		case !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(end): // otherwise a draining server woke us
			return err
		}
	}
}

// settle waits until nothing is under way to a peer that has ended its side.
func (c *Conn) settle(end time.Time) error {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	for wait := time.Millisecond; ; wait *= 2 {
		n, err := untaken(raw)
		if err != nil || n == 0 {
			return err
		}
		if !time.Now().Add(wait).Before(end) {
			return errUntaken
		}
		time.Sleep(wait)
	}
}
