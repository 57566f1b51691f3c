package conformance

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// reader is one connection to the mailbox: as much of IMAP as looking takes. It
// changes nothing: EXAMINE opens the mailbox, PEEK sets no flag.
type reader struct {
	conn net.Conn
	in   *bufio.Reader
	step time.Duration
	tag  int
	text string // of the last response, literals included
}

const maxResponse = 1 << 20 // octets of one response, literals included

// cover says whether a mailbox is read inside TLS.
type cover uint8

const (
	inTLS cover = iota
	inClear
)

var (
	errNoClear  = errors.New("the address speaks TLS from the start")
	errDisabled = errors.New("LOGINDISABLED is listed")
)

// login opens the mailbox's door. In clear, errDisabled says that the password
// was not even tried (RFC 9051 §6.2.3).
func (r *run) login(how cover) (*reader, error) {
	if how == inClear && r.mailbox.implicit {
		return nil, errNoClear
	}
	conn, err := r.mailbox.dial(r.ctx, r.target.Step)
	if err != nil {
		return nil, err
	}
	m := &reader{conn: conn, in: bufio.NewReaderSize(conn, maxLine), step: r.target.Step}
	if err := m.enter(r, how); err != nil {
		m.conn.Close()
		return nil, err
	}
	return m, nil
}

func (m *reader) enter(r *run, how cover) error {
	if how == inTLS && r.mailbox.implicit {
		if err := m.secure(r); err != nil {
			return err
		}
	}
	m.begin()
	if _, err := m.line(); err != nil {
		return err
	}
	if how == inTLS && !r.mailbox.implicit {
		if err := m.do("STARTTLS"); err != nil {
			return err
		}
		if err := m.secure(r); err != nil {
			return err
		}
	}
	if err := m.do("CAPABILITY"); err != nil {
		return err
	}
	if strings.Contains(strings.ToUpper(m.text), "LOGINDISABLED") {
		return errDisabled
	}
	return m.do("LOGIN " + quote(r.target.User) + " " + quote(r.target.Password))
}

// secure makes the connection a TLS one, and minds the certificate: a password
// follows.
func (m *reader) secure(r *run) error {
	m.begin()
	secure, err := r.mailbox.handshake(m.conn, &tls.Config{MinVersion: tls.VersionTLS12})
	if err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	if r.target.Trust != AnyCertificate {
		if err := r.target.judge(secure.ConnectionState(), r.mailbox.name); err != nil {
			return fmt.Errorf("the password is kept back: %w", err)
		}
	}
	m.conn, m.in = secure, bufio.NewReaderSize(secure, maxLine)
	return nil
}

func (m *reader) close() {
	m.do("LOGOUT")
	m.conn.Close()
}

func (m *reader) begin() { m.conn.SetDeadline(time.Now().Add(m.step)) }

// do carries out one command; an answer other than OK is an error.
func (m *reader) do(command string) error {
	m.tag++
	tag := "c" + strconv.Itoa(m.tag) + " "
	m.begin()
	if _, err := io.WriteString(m.conn, tag+command+"\r\n"); err != nil {
		return err
	}
	var all strings.Builder
	for {
		line, err := m.line()
		if err != nil {
			return err
		}
		if status, ours := strings.CutPrefix(line, tag); ours {
			m.text = all.String()
			if strings.HasPrefix(strings.ToUpper(status), "OK") {
				return nil
			}
			return refusal(status)
		}
		all.WriteString(line + "\n")
		if all.Len() > maxResponse {
			return errors.New("a response without end")
		}
	}
}

// refusal is a NO or BAD as it was said.
type refusal string

func (r refusal) Error() string { return string(r) }

// line reads one line and the literals in it (RFC 9051 §4.3).
func (m *reader) line() (string, error) {
	var all strings.Builder
	for {
		b, err := m.in.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		text := strings.TrimRight(string(b), "\r\n")
		all.WriteString(text)
		n, literal := announced(text)
		if !literal {
			return all.String(), nil
		}
		if n > maxResponse-all.Len() {
			return "", errors.New("a literal too long")
		}
		if _, err := io.CopyN(&all, m.in, int64(n)); err != nil {
			return "", err
		}
	}
}

// announced reads the "{123}" that ends a line.
func announced(text string) (n int, ok bool) {
	open := strings.LastIndexByte(text, '{')
	if open < 0 || !strings.HasSuffix(text, "}") {
		return 0, false
	}
	n, err := strconv.Atoi(text[open+1 : len(text)-1])
	return n, err == nil && n >= 0
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// find looks for the letter with a Message-ID, again and again until the step
// has passed: a server may queue it first. It wants at least so many copies.
func (m *reader) find(ctx context.Context, id string, copies int) (uids []string, err error) {
	const between = 200 * time.Millisecond
	for end := time.Now().Add(m.step); ; {
		if err := m.do("EXAMINE INBOX"); err != nil {
			return nil, err
		}
		if err := m.do("UID SEARCH HEADER Message-ID " + quote(id)); err != nil {
			return nil, err
		}
		if uids = searched(m.text); len(uids) >= copies || time.Now().After(end) {
			return uids, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(between):
		}
	}
}

// searched reads the untagged SEARCH of IMAP4rev1 (RFC 3501 §7.2.5).
func searched(text string) (uids []string) {
	for line := range strings.Lines(text) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "* SEARCH"); ok {
			uids = append(uids, strings.Fields(list)...)
		}
	}
	return uids
}
