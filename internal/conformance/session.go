package conformance

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	ourName     = "conformance.invalid" // RFC 2606 §2: nobody's
	maxLine     = 4096                  // octets of one reply line
	maxLines    = 100                   // of one reply
	maxDialogue = 100                   // lines kept of one duty
	shownLine   = 200                   // octets kept of each
)

// session is one connection to the server. The first error stays: whatever is
// asked after it is answered with it.
type session struct {
	p        *probe
	conn     net.Conn
	in       *bufio.Reader
	keywords []string // of the last greeting
	greeting string
	err      error
}

// answer is one reply, or why there is none.
type answer struct {
	code  int      // 0: none
	lines []string // without code
	err   error
}

func (a answer) taken() bool   { return a.code >= 200 && a.code < 300 }
func (a answer) goOn() bool    { return a.code >= 300 && a.code < 400 }
func (a answer) refused() bool { return a.code >= 400 && a.code < 600 }
func (a answer) later() bool   { return a.code >= 400 && a.code < 500 }

// String is the reply's last line, or what happened instead.
func (a answer) String() string {
	switch {
	case a.code != 0:
		return strings.TrimSpace(strconv.Itoa(a.code) + " " + a.lines[len(a.lines)-1])
	case a.err == nil:
		return ""
	case errors.Is(a.err, os.ErrDeadlineExceeded):
		return "(no answer)"
	case errors.Is(a.err, io.EOF), errors.Is(a.err, io.ErrUnexpectedEOF), errors.Is(a.err, syscall.ECONNRESET):
		return "(connection closed)"
	}
	return "(" + a.err.Error() + ")"
}

// silent says that the server let the time pass, which proves nothing.
func (a answer) silent() bool { return errors.Is(a.err, os.ErrDeadlineExceeded) }

func (s *session) close() {
	if s.err == nil {
		s.ask("QUIT")
	}
	s.conn.Close()
}

// begin is the deadline of one step.
func (s *session) begin() { s.conn.SetDeadline(time.Now().Add(s.p.target.Step)) }

// send writes octets and shows them in the dialogue line by line.
func (s *session) send(octets string) {
	for line := range strings.Lines(octets) {
		s.p.note("C: " + strings.TrimRight(line, "\r\n"))
	}
	if s.err != nil {
		return
	}
	s.begin()
	_, s.err = io.WriteString(s.conn, octets)
}

// ask sends one command and reads its reply.
func (s *session) ask(command string) answer {
	s.send(command + "\r\n")
	return s.reply()
}

// reply reads one reply (RFC 5321 §4.2).
func (s *session) reply() answer {
	var a answer
	for more := true; more && s.err == nil; {
		var line string
		if line, s.err = s.line(); s.err != nil {
			break
		}
		s.p.note("S: " + line)
		a.code, more, s.err = parseReply(line)
		a.lines = append(a.lines, strings.TrimSpace(line[min(4, len(line)):]))
		if len(a.lines) > maxLines {
			s.err = errors.New("a reply without end")
		}
	}
	if s.err != nil {
		a = answer{err: s.err}
		s.p.note("S: " + a.String())
	}
	return a
}

func (s *session) line() (string, error) {
	b, err := s.in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func parseReply(line string) (code int, more bool, err error) {
	if len(line) >= 3 {
		code, err = strconv.Atoi(line[:3])
	}
	if err != nil || code < 200 || code > 599 {
		return 0, false, fmt.Errorf("no reply of the protocol: %s", clip(line, 60))
	}
	return code, len(line) > 3 && line[3] == '-', nil
}

// hello greets and learns the keywords.
func (s *session) hello() error {
	a := s.ask(s.p.target.Protocol.hello() + " " + ourName)
	if !a.taken() {
		return fmt.Errorf("greeting is answered %s", a)
	}
	s.keywords = a.lines[1:]
	return nil
}

// has finds a keyword of the greeting and what follows it.
func (s *session) has(keyword string) (line string, ok bool) {
	i := slices.IndexFunc(s.keywords, func(l string) bool {
		word, _, _ := strings.Cut(l, " ")
		return strings.EqualFold(word, keyword)
	})
	if i < 0 {
		return "", false
	}
	return s.keywords[i], true
}

// secure turns the connection into a TLS one; nothing is greeted yet.
func (s *session) secure() error {
	s.begin()
	secure, err := s.p.at.handshake(s.conn, &tls.Config{MinVersion: tls.VersionTLS12})
	if err != nil {
		s.err = fmt.Errorf("TLS handshake: %w", err)
		return s.err
	}
	s.p.note("   (TLS)")
	s.conn, s.in = secure, bufio.NewReaderSize(secure, maxLine)
	return nil
}

// startTLS is secure after asking for it.
func (s *session) startTLS() error {
	if a := s.ask("STARTTLS"); a.code != 220 {
		return fmt.Errorf("STARTTLS is answered %s", a)
	}
	return s.secure()
}
