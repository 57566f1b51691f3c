package imapd

import "letterlock/imapd/syntax"

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
	s.bad = 0
	return errAnswered
}
