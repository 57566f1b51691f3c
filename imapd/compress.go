package imapd

import (
	"bytes"
	"io"

	"letterlock/imapd/syntax"
)

var (
	errCompression       = bad("DEFLATE is the compression that is known here")
	errAlreadyCompressed = bad("COMPRESS is active already")
)

// compress is COMPRESS (RFC 4978 §3): all that comes behind its tagged OK is
// compressed, both ways. What the client sent behind the command is compressed,
// too: it has to wait for the OK, so nothing of it can be meant in clear.
func (s *session) compress(a *syntax.Compress) error {
	switch {
	case s.conn.Compressed():
		return errAlreadyCompressed
	case a.Algorithm != "DEFLATE":
		return errCompression
	}
	s.tagged("OK", "", "DEFLATE active")
	if s.w.Flush() != nil {
		return errCut
	}
	if err := s.conn.Compress(s.r.Take()); err != nil {
		s.log.Error("cannot compress", "err", err)
		return errCut
	}
	s.bad = 0
	return errAnswered
}

// uncompress ends compression with UNAUTHENTICATE (RFC 8437 §4.1): our side
// behind the tagged OK, the client's behind the command. More than that in what
// it compressed is no command of anybody's.
func (s *session) uncompress() error {
	if s.r.Buffered() > 0 {
		s.bye("Closing: compression ends with UNAUTHENTICATE")
		return errCut
	}
	s.tagged("OK", "", "UNAUTHENTICATE completed")
	if s.w.Flush() != nil {
		return errCut
	}
	if err := s.conn.Uncompress(); err != nil {
		s.log.Info("compression does not end", "err", err)
		return errCut
	}
	s.bad, s.flushed = 0, true
	return errAnswered
}

// passFlush passes over the end of what the client compressed, where that comes
// behind all that had to be understood: the empty stored block of a flush, whose
// octets are zero, or one, and at last two of 255 (RFC 1951 §3.2.4). No command
// begins so.
func (s *session) passFlush() error {
	s.flushed = false
	c, err := s.r.Peek()
	if err != nil || c > 1 {
		return err
	}
	end := []byte{0xff, 0xff}
	octets := make([]byte, 0, maxFlush)
	for !bytes.HasSuffix(octets, end) {
		if len(octets) == maxFlush {
			s.bye("Closing: compression ends with UNAUTHENTICATE")
			return errCut
		}
		octets = octets[:len(octets)+1]
		if _, err := io.ReadFull(s.r, octets[len(octets)-1:]); err != nil {
			return err
		}
	}
	return nil
}

// maxFlush is the octets of an empty stored block, with the end of the block
// before it.
const maxFlush = 6
