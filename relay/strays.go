package relay

import "io"

// strayReader reads what leaves: a CR or LF that is not half of a CRLF leaves as
// a space. RFC 5321 §2.3.8: a client MUST NOT send one. Hosts that take it for the
// end of a line would find a dot where we saw text, and commands behind it. Nothing
// grows or shrinks by it.
type strayReader struct {
	r     io.Reader
	buf   []byte
	ready []byte // of buf
	held  bool   // the octet behind ready is a CR, and the next one is not known
	err   error  // what comes after ready
}

func withoutStrays(r io.Reader) io.Reader { return &strayReader{r: r, buf: make([]byte, 32<<10)} }

func (s *strayReader) Read(p []byte) (int, error) {
	for len(s.ready) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.fill()
	}
	n := copy(p, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// fill reads the next block. No CRLF is ever in two.
func (s *strayReader) fill() {
	n := 0
	if s.held {
		s.buf[0], n = '\r', 1
	}
	more, err := s.r.Read(s.buf[n:])
	n, s.err = n+more, err
	s.held = err == nil && n > 0 && s.buf[n-1] == '\r'
	if s.held {
		n--
	}
	s.ready = s.buf[:n]
	for i, c := range s.ready {
		if c == '\r' && (i+1 == n || s.ready[i+1] != '\n') || c == '\n' && (i == 0 || s.ready[i-1] != '\r') {
			s.ready[i] = ' '
		}
	}
}
