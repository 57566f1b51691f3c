package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// dialogue is one conversation of the demo with a server, over a real socket.
// After the first error every method does nothing; err tells it.
type dialogue struct {
	page *page
	conn net.Conn
	r    *bufio.Reader
	tag  int
	err  error

	greeted bool // of quietly
}

// dialogueTime bounds one conversation.
const dialogueTime = 30 * time.Second

// call opens a conversation in clear.
func (p *page) call(addr string) *dialogue {
	d := &dialogue{page: p}
	conn, err := net.DialTimeout("tcp", addr, dialogueTime)
	if err != nil {
		d.err = err
		return d
	}
	d.err = conn.SetDeadline(time.Now().Add(dialogueTime))
	d.use(conn)
	return d
}

// callTLS opens a conversation inside TLS from the start.
func (p *page) callTLS(addr string, trust *x509.CertPool) *dialogue {
	d := p.call(addr)
	d.secure(trust)
	return d
}

func (d *dialogue) use(conn net.Conn) {
	d.conn = conn
	d.r = bufio.NewReaderSize(conn, 64<<10)
}

// secure puts TLS under the conversation and proves the server's certificate.
func (d *dialogue) secure(trust *x509.CertPool) {
	if d.err != nil {
		return
	}
	conn := tls.Client(d.conn, &tls.Config{RootCAs: trust, ServerName: "localhost"})
	if d.err = conn.Handshake(); d.err != nil {
		return
	}
	d.use(conn)
	state := conn.ConnectionState()
	d.page.between("— %s, %s, certificate of %s proven —",
		tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), state.PeerCertificates[0].DNSNames[0])
}

// hangUp ends the conversation and answers what went wrong in it.
func (d *dialogue) hangUp() error {
	if d.conn != nil {
		d.conn.Close()
	}
	return d.err
}

// say sends a line and shows it.
func (d *dialogue) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	d.send(line)
	if d.err == nil {
		d.page.client(line)
	}
}

// send sends a line without showing it.
func (d *dialogue) send(line string) {
	if d.err == nil {
		_, d.err = io.WriteString(d.conn, line+"\r\n")
	}
}

func (d *dialogue) line() string {
	if d.err != nil {
		return ""
	}
	line, err := d.r.ReadString('\n')
	d.err = err
	return strings.TrimRight(line, "\r\n")
}

// reply reads one LMTP reply, all its lines, and shows those that name one of
// words; all of them where none is given.
func (d *dialogue) reply(words ...string) string {
	var all []string
	for d.err == nil {
		line := d.line()
		all = append(all, line)
		if d.err == nil && names(line, words) {
			d.page.server(line)
		}
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	return strings.Join(all, "\n")
}

func names(line string, words []string) bool {
	for _, w := range words {
		if strings.Contains(line, w) {
			return true
		}
	}
	return len(words) == 0
}

// ask sends one LMTP command and reads its reply.
func (d *dialogue) ask(format string, args ...any) string {
	d.say(format, args...)
	return d.reply()
}

// imap sends one IMAP command and reads until its tagged answer; show decides
// which of the untagged lines are worth showing. Literals stand in the lines.
func (d *dialogue) imap(show []string, format string, args ...any) answer {
	d.tag++
	tag := "d" + strconv.Itoa(d.tag)
	d.say(tag+" "+format, args...)
	return d.hear(tag, show)
}

// login logs in and keeps the password off the page.
func (d *dialogue) login(user, password string) answer {
	d.tag++
	tag := "d" + strconv.Itoa(d.tag)
	d.send(fmt.Sprintf("%s LOGIN %s %q", tag, user, password))
	d.page.client(fmt.Sprintf("%s LOGIN %s ••••••", tag, user))
	return d.hear(tag, []string{"PRIVACYREQUIRED"})
}

// quietly sends LMTP commands and reads their replies without showing them. The
// first time the server's greeting comes ahead.
func (d *dialogue) quietly(commands ...string) {
	if !d.greeted {
		d.reply("nothing of it is shown")
		d.greeted = true
	}
	for _, c := range commands {
		d.send(c)
		d.reply("nothing of it is shown")
	}
}

// answer is what an IMAP server said to one command.
type answer struct {
	untagged []string
	tagged   string // without the tag
}

// ok says whether the command was carried out.
func (a answer) ok() bool { return strings.HasPrefix(a.tagged, "OK") }

// no says whether it was refused, with this response code.
func (a answer) no(code string) bool { return strings.HasPrefix(a.tagged, "NO ["+code+"]") }

// has says whether one untagged line has all of these words.
func (a answer) has(words ...string) bool {
next:
	for _, line := range a.untagged {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		return true
	}
	return false
}

func (d *dialogue) hear(tag string, show []string) (a answer) {
	for d.err == nil {
		line := d.logical()
		if d.err != nil {
			break
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			d.page.server(line)
			a.tagged = rest
			break
		}
		a.untagged = append(a.untagged, line)
		if show == nil || len(show) > 0 && names(line, show) {
			d.page.server(line)
		}
	}
	return a
}

// logical reads a line together with the literals in it.
func (d *dialogue) logical() string {
	const most = 1 << 20
	var b strings.Builder
	for d.err == nil {
		line := d.line()
		b.WriteString(line)
		n, ok := literal(line)
		if !ok || d.err != nil {
			break
		}
		if n > most {
			d.err = fmt.Errorf("a literal of %d octets", n)
			break
		}
		octets := make([]byte, n)
		_, d.err = io.ReadFull(d.r, octets)
		b.WriteString(" ")
		b.Write(octets)
	}
	return b.String()
}

// literal reads the {n} at the end of a line (RFC 9051 §4.3).
func literal(line string) (int, bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	n, err := strconv.Atoi(line[open+1 : len(line)-1])
	return n, err == nil && n >= 0
}
