package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// load is what one session, or all of them, got done.
type load struct {
	waits []time.Duration // of each piece of work, from its start to its last answer
	took  time.Duration
	err   error
}

// sum puts sessions together that ran at once.
func sum(sessions []load, took time.Duration) (l load, err error) {
	for _, s := range sessions {
		l.waits = append(l.waits, s.waits...)
		err = errors.Join(err, s.err)
	}
	slices.Sort(l.waits)
	l.took = took
	if err == nil && len(l.waits) == 0 {
		err = errors.New("nothing was done")
	}
	return l, err
}

// rate is how many a second.
func (l load) rate() float64 { return float64(len(l.waits)) / l.took.Seconds() }

// percentile is the wait that p of 100 stay below; the waits are sorted.
func (l load) percentile(p int) time.Duration { return l.waits[(len(l.waits)-1)*p/100] }

// delivery is one cell of the LMTP table.
type delivery struct {
	size     int // octets of a letter
	sessions int
	accounts int
	first    int           // the number of the first account
	during   time.Duration // no letter is begun later
	most     int           // letters; 0: as many as there is time for
}

// deliver sends letters over sessions that stay open, as Postfix does: MAIL,
// RCPT and DATA in one packet, the text when all three are answered. The house
// shares the machine with the load, so all of that runs on one thread: several
// would spend up to a fifth of their work on waking each other.
func deliver(addr string, d delivery) (load, error) {
	conns := make([]*lmtpConn, d.sessions)
	for i := range conns {
		c, err := dialLMTP(addr)
		if err != nil {
			return load{}, err
		}
		defer c.conn.Close()
		conns[i] = c
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	text := letterOfSize(d.size)
	results := make([]load, d.sessions)
	var next atomic.Int64
	start := time.Now()
	var all sync.WaitGroup
	for i, c := range conns {
		all.Go(func() {
			for time.Since(start) < d.during {
				n := int(next.Add(1)) - 1
				if d.most > 0 && n >= d.most {
					return
				}
				t := time.Now()
				if err := c.send(user(d.first+n%d.accounts), n, text); err != nil {
					results[i].err = err
					return
				}
				results[i].waits = append(results[i].waits, time.Since(t))
			}
		})
	}
	all.Wait()
	return sum(results, time.Since(start))
}

// lmtpConn is one open session.
type lmtpConn struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

func dialLMTP(addr string) (*lmtpConn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(30 * patience)); err != nil {
		return nil, err
	}
	c := &lmtpConn{conn: conn, in: bufio.NewReader(conn)}
	if err := c.expect("220"); err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte("LHLO load.bench.test\r\n")); err != nil {
		return nil, err
	}
	return c, c.expect("250")
}

// expect reads one answer, of any number of lines, with the given code.
func (c *lmtpConn) expect(code string) error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || string(line[:3]) != code {
			return fmt.Errorf("lmtp: got %q, want %s", line, code)
		}
		if line[3] != '-' {
			return nil
		}
	}
}

// send delivers one letter; every one has a Message-ID of its own.
func (c *lmtpConn) send(to string, n int, text []byte) error {
	c.out = fmt.Appendf(c.out[:0], "MAIL FROM:<load@bench.test>\r\nRCPT TO:<%s>\r\nDATA\r\n", to)
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	for _, code := range []string{"250", "250", "354"} {
		if err := c.expect(code); err != nil {
			return err
		}
	}
	c.out = fmt.Appendf(c.out[:0], "Message-ID: <%d.%p@load.bench.test>\r\n", n, c)
	c.out = append(append(c.out, text...), ".\r\n"...)
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	return c.expect("250")
}

// noise is octets nothing can compress, the same every time.
func noise(size int) []byte {
	octets := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(octets) // never fails
	return octets
}

// letterOfSize is a letter of about that many octets: text where it is small,
// text with an attachment where it is not. No line of it starts with a dot.
func letterOfSize(size int) []byte {
	var b bytes.Buffer
	b.WriteString("From: Load <load@bench.test>\r\nTo: somebody@bench.test\r\nSubject: A letter of some size\r\n" +
		"Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n")
	words := newWords(rand.New(rand.NewPCG(1, 2)))
	if size <= 16<<10 {
		b.WriteString("Content-Type: text/plain; charset=us-ascii\r\n\r\n")
		words.lines(&b, size-b.Len()-60)
		return b.Bytes()
	}
	b.WriteString("Content-Type: multipart/mixed; boundary=\"parts\"\r\n\r\n--parts\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n")
	words.lines(&b, 1000)
	b.WriteString("--parts\r\nContent-Type: application/pdf; name=\"paper.pdf\"\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=\"paper.pdf\"\r\n\r\n")
	base64Lines(&b, noise((size-b.Len()-60)*57/78))
	b.WriteString("--parts--\r\n")
	return b.Bytes()
}

// base64Lines writes octets in lines of 76 characters (RFC 2045 §6.8).
func base64Lines(b *bytes.Buffer, octets []byte) {
	for line := range slices.Chunk(octets, 57) {
		b.WriteString(base64.StdEncoding.EncodeToString(line))
		b.WriteString("\r\n")
	}
}
