package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// imapConn is one session of a client that reads answers and looks at no more
// of them than it must, so that it costs less than any server.
type imapConn struct {
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
}

// dialIMAP connects, in TLS from the start where secure is given, with buffers
// of so many octets, and reads the greeting.
func dialIMAP(addr string, secure *tls.Config, buffers int) (*imapConn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(30 * patience)); err != nil {
		return nil, err
	}
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	c := &imapConn{conn, bufio.NewReaderSize(conn, buffers), bufio.NewWriterSize(conn, buffers/2)}
	if _, err := c.in.ReadSlice('\n'); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// login connects and logs in.
func (h *house) login(account int) (*imapConn, error) {
	return h.loginAt(h.imap, nil, account, readMuch)
}

// How much a session reads at once: one that fetches, and one of a crowd.
const (
	readMuch   = 128 << 10
	readLittle = 2 << 10
)

func (h *house) loginAt(addr string, secure *tls.Config, account, buffers int) (*imapConn, error) {
	c, err := dialIMAP(addr, secure, buffers)
	if err != nil {
		return nil, err
	}
	if _, err := c.do("LOGIN %s %q", user(account), h.password); err != nil {
		return nil, errors.Join(err, c.conn.Close())
	}
	return c, nil
}

// tag is that of every command: one is answered before the next is sent, or
// they are answered in order.
const tag = "t"

// answer is what came back for one command.
type answer struct {
	untagged int    // lines that start with "* "
	octets   int64  // of everything
	last     string // the last untagged line without a number: the result of SEARCH
	status   string // the tagged line, without the tag
}

// do sends a command and reads its answer; anything but OK is an error.
func (c *imapConn) do(format string, args ...any) (answer, error) {
	if err := c.send(format, args...); err != nil {
		return answer{}, err
	}
	return c.answer()
}

func (c *imapConn) send(format string, args ...any) error {
	fmt.Fprintf(c.out, tag+" "+format+"\r\n", args...)
	return c.out.Flush()
}

// answer reads until the next tagged line.
func (c *imapConn) answer() (a answer, err error) {
	for {
		line, err := c.line(&a)
		switch {
		case err != nil:
			return a, err
		case bytes.HasPrefix(line, []byte("* ")):
			a.untagged++
			if line[2] > '9' { // no number: SEARCH, STATUS and such, few and wanted
				a.last = strings.TrimRight(string(line), "\r\n")
			}
		case bytes.HasPrefix(line, []byte(tag+" ")):
			a.status = strings.TrimSpace(string(line[2:]))
			if !strings.HasPrefix(a.status, "OK") {
				return a, fmt.Errorf("imap: %s", a.status)
			}
			return a, nil
		}
	}
}

// line reads one logical line, literals and all, and answers its first part;
// the octets of literals are thrown away. It lasts until the next read.
func (c *imapConn) line(a *answer) (first []byte, err error) {
	for {
		part, err := c.in.ReadSlice('\n')
		a.octets += int64(len(part))
		if errors.Is(err, bufio.ErrBufferFull) { // a long one: only its start is looked at
			part, err = bytes.Clone(part), nil
			var rest []byte
			for rest, err = c.in.ReadSlice('\n'); errors.Is(err, bufio.ErrBufferFull); rest, err = c.in.ReadSlice('\n') {
				a.octets += int64(len(rest))
			}
			a.octets += int64(len(rest))
			part = append(part, rest...)
		}
		if err != nil {
			return nil, err
		}
		n, literal := literalAtEnd(part)
		if first == nil {
			first = part
			if literal {
				first = bytes.Clone(part)
			}
		}
		if !literal {
			return first, nil
		}
		a.octets += n
		if _, err := c.in.Discard(int(n)); err != nil {
			return nil, err
		}
	}
}

// literalAtEnd says whether a line announces a literal (RFC 9051 §4.3).
func literalAtEnd(line []byte) (octets int64, ok bool) {
	line, ok = bytes.CutSuffix(line, []byte("}\r\n"))
	open := bytes.LastIndexByte(line, '{')
	if !ok || open < 0 {
		return 0, false
	}
	octets, err := strconv.ParseInt(string(line[open+1:]), 10, 64)
	return octets, err == nil
}

// sendAppend sends an APPEND that waits for nothing (LITERAL+, RFC 7888), of
// one letter or more (MULTIAPPEND, RFC 3502).
func (c *imapConn) sendAppend(mailbox string, letters ...letter) {
	fmt.Fprintf(c.out, "%s APPEND %s", tag, mailbox)
	for _, l := range letters {
		fmt.Fprintf(c.out, " (%s) %q {%d+}\r\n", l.flags, l.date.Format("02-Jan-2006 15:04:05 -0700"), len(l.text))
		c.out.Write(l.text)
	}
	c.out.WriteString("\r\n")
}

// appendAll appends letters with up to so many on their way.
func (c *imapConn) appendAll(mailbox string, letters []letter, window int) error {
	answered := make(chan error)
	slots := make(chan struct{}, window)
	go func() {
		for range letters {
			_, err := c.answer()
			if err != nil {
				answered <- err
				return
			}
			<-slots
		}
		answered <- nil
	}()
	for _, l := range letters {
		select {
		case slots <- struct{}{}:
		default: // everybody is on the way: what was said must be sent before we wait
			if err := c.out.Flush(); err != nil {
				return err
			}
			select {
			case slots <- struct{}{}:
			case err := <-answered:
				return err
			}
		}
		c.sendAppend(mailbox, l)
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	return <-answered
}

// idle begins IDLE (RFC 2177) and waits for the +.
func (c *imapConn) idle() error {
	if err := c.send("IDLE"); err != nil {
		return err
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil || line[0] == '+' {
			return err
		}
	}
}

// awaitExists waits, in IDLE, to be told of a letter.
func (c *imapConn) awaitExists() error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil || bytes.HasSuffix(line, []byte(" EXISTS\r\n")) {
			return err
		}
	}
}

// done ends IDLE.
func (c *imapConn) done() error {
	if _, err := io.WriteString(c.conn, "DONE\r\n"); err != nil {
		return err
	}
	_, err := c.answer()
	return err
}
