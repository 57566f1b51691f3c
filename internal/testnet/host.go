package testnet

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// Host is a mail host. Its fields are set before anybody connects, or under
// [Host.Change].
type Host struct {
	Name string
	Addr netip.Addr

	NoTLS    bool              // no STARTTLS in the EHLO, and none to be had
	Implicit bool              // TLS from the start
	MaxTLS   uint16            // 0: newest
	Cert     *tls.Certificate  // what it shows
	InClear  []string          // EHLO keywords before TLS, besides STARTTLS
	InTLS    []string          // EHLO keywords after it
	Answers  map[string]string // step → the line said instead of the usual one; once for each step named with a "!" behind it, for ever without
	Cut      string            // the step at which the connection is cut
	Hang     string            // the step at which nothing is said any more
	User     string            // who may log in; "" asks nobody
	Password string
	Most     int  // connections at once; who comes beyond them hears 421 (RFC 5321 §3.8). 0: any number
	NeedsTLS bool // 530 to MAIL in clear (RFC 3207 §4)
	AsksCert bool // TLS only with those who show a certificate, whatever it is

	t      testing.TB
	mu     sync.Mutex // guards got, words, open and the fields once it runs
	at     string
	got    []Received
	words  []string
	conns  int
	open   int
	ending chan struct{}
}

// The steps that Answers, Cut and Hang know: "connect", "EHLO" (before TLS),
// "EHLO2" (after it), "STARTTLS", "handshake", "AUTH", "MAIL", "RCPT", "DATA", "body" (its
// first line: whoever answers there leaves), "end" (the final dot), "RSET", "QUIT".

// Received is a message that a host took.
type Received struct {
	TLS        bool
	SNI        string
	Login      string
	From, To   string   // paths in angle brackets
	MailParams []string // upper case keywords
	RcptParams []string
	Data       string
}

// Has says whether MAIL had a parameter.
func (r *Received) Has(param string) bool {
	for _, p := range append(r.MailParams, r.RcptParams...) {
		if strings.EqualFold(p, param) {
			return true
		}
	}
	return false
}

// Usual are the keywords of a modern host, without REQUIRETLS.
func Usual() []string { return []string{"SIZE 10240000", "8BITMIME", "SMTPUTF8", "PIPELINING"} }

// Host adds a mail host with a valid certificate, at a fresh address, port 25.
// It offers what [Usual] says and does not know REQUIRETLS. It has no records
// yet.
func (n *Net) Host(name string, change func(*Host)) *Host {
	n.t.Helper()
	cert, err := n.CA.Issue(Valid, name)
	if err != nil {
		n.t.Fatal(err)
	}
	h := &Host{Name: name, Addr: n.Addr(), Cert: cert, InClear: Usual(), InTLS: Usual(), Answers: map[string]string{}, t: n.t, ending: make(chan struct{})}
	if change != nil {
		change(h)
	}
	l := listen(n.t)
	h.at = l.Addr().String()
	for _, port := range []string{"25", "587", "465"} {
		n.Lead(h.Addr, port, l.Addr())
	}
	var live sync.WaitGroup
	live.Go(func() { h.serve(l, &live) })
	n.t.Cleanup(func() { close(h.ending); l.Close(); live.Wait() })
	return h
}

// Listening is the host's "HOST:PORT" on loopback, for those who cannot use
// [Net.Dial].
func (h *Host) Listening() string { return h.at }

// Change changes how the host behaves from the next step on.
func (h *Host) Change(f func(*Host)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
}

// Got is what the host took, in order.
func (h *Host) Got() []Received {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Received(nil), h.got...)
}

// Words are the verbs that the host heard, over all its connections.
func (h *Host) Words() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.words...)
}

// Connections is how often somebody connected.
func (h *Host) Connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns
}

// TLSA is the data of a "3 1 1" record for the host's key, in hex.
func (h *Host) TLSA() string { return TLSA311(h.Cert.Leaf) }

// TLSA311 is the data of a "3 1 1" record: SHA-256 of the public key.
func TLSA311(c *x509.Certificate) string {
	return fmt.Sprintf("%x", sha256.Sum256(c.RawSubjectPublicKeyInfo))
}

// TLSA201 is the data of a "2 0 1" record: SHA-256 of a CA's certificate.
func TLSA201(c *x509.Certificate) string { return fmt.Sprintf("%x", sha256.Sum256(c.Raw)) }

func (h *Host) serve(l net.Listener, live *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		h.conns++
		h.open++
		full := h.Most > 0 && h.open > h.Most
		h.mu.Unlock()
		live.Go(func() {
			stop := make(chan struct{})
			go func() { // a silent client must not keep the test
				select {
				case <-h.ending:
					conn.Close()
				case <-stop:
				}
			}()
			defer close(stop)
			c := &visit{h: h, conn: conn, r: bufio.NewReader(conn)}
			defer c.leave()
			if full {
				c.write("421 4.3.2 too many connections")
			} else {
				c.talk()
			}
			c.conn.Close()
		})
	}
}

func (v *visit) leave() {
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	if !v.left {
		v.left = true
		v.h.open--
	}
}

// visit is one connection.
type visit struct {
	h    *Host
	conn net.Conn
	r    *bufio.Reader
	tls  *tls.ConnectionState
	msg  Received
	user string
	left bool // it counts no more among those at once

	sender, rcpt bool // were accepted, in this transaction
}

// step does what was ordered for it; the answer is "" where the host falls
// silent or cuts.
func (v *visit) step(name, usual string) (line string) {
	h := v.h
	h.mu.Lock()
	cut, hang := h.Cut == name, h.Hang == name
	line, ok := h.Answers[name]
	if once, is := h.Answers[name+"!"]; is {
		line, ok = once, true
		delete(h.Answers, name+"!")
	}
	h.mu.Unlock()
	switch {
	case cut:
		return ""
	case hang:
		<-h.ending
		return ""
	case ok:
		return line
	}
	return usual
}

// say answers a step and says whether the conversation goes on.
func (v *visit) say(step, usual string) (line string, on bool) {
	line = v.step(step, usual)
	return line, v.write(line)
}

func (v *visit) write(line string) bool {
	if line == "" {
		return false
	}
	_, err := fmt.Fprintf(v.conn, "%s\r\n", strings.ReplaceAll(line, "\n", "\r\n"))
	return err == nil
}

func (v *visit) talk() {
	if v.h.Implicit && !v.upgrade() {
		return
	}
	if line, on := v.say("connect", "220 "+v.h.Name+" ESMTP"); !on || line[0] != '2' {
		return
	}
	for {
		v.conn.SetDeadline(time.Now().Add(time.Minute))
		line, err := v.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		v.h.mu.Lock()
		v.h.words = append(v.h.words, verb)
		v.h.mu.Unlock()
		if !v.command(verb, rest) {
			return
		}
	}
}

func (v *visit) command(verb, rest string) (on bool) {
	switch verb {
	case "EHLO":
		return v.ehlo()
	case "HELO":
		_, on = v.say("HELO", "250 "+v.h.Name)
	case "STARTTLS":
		var line string
		if v.h.NoTLS {
			line, on = v.say("STARTTLS", "502 5.5.1 no TLS here")
		} else {
			line, on = v.say("STARTTLS", "220 2.0.0 go ahead")
		}
		if on && line[0] == '2' {
			return v.upgrade()
		}
	case "AUTH":
		return v.auth(rest)
	case "MAIL":
		return v.mail(rest)
	case "RCPT":
		v.msg.To, v.msg.RcptParams = command(rest)
		v.rcpt, on = v.accepts("RCPT", v.sender, "250 2.1.5 ok")
	case "DATA":
		usual := "354 go on"
		if !v.rcpt {
			usual = outOfOrder
		}
		line, ok := v.say("DATA", usual)
		if on = ok; on && line[0] == '3' {
			return v.data()
		}
	case "RSET":
		v.sender, v.rcpt = false, false
		_, on = v.say("RSET", "250 2.0.0 ok")
	case "QUIT":
		v.leave()
		v.say("QUIT", "221 2.0.0 bye")
		return false
	default:
		_, on = v.say(verb, "500 5.5.1 what?")
	}
	return on
}

func (v *visit) ehlo() bool {
	v.h.mu.Lock()
	step, words := "EHLO", append([]string(nil), v.h.InClear...)
	if v.tls != nil {
		step, words = "EHLO2", append([]string(nil), v.h.InTLS...)
	} else if !v.h.NoTLS {
		words = append(words, "STARTTLS")
	}
	if v.h.User != "" && v.tls != nil {
		words = append(words, "AUTH PLAIN LOGIN")
	}
	v.h.mu.Unlock()
	lines := append([]string{v.h.Name + " hello"}, words...)
	for i := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		lines[i] = "250" + sep + lines[i]
	}
	_, on := v.say(step, strings.Join(lines, "\n"))
	return on
}

func (v *visit) upgrade() bool {
	if v.step("handshake", "ok") == "" {
		return false
	}
	v.h.mu.Lock()
	cert, newest, asks := v.h.Cert, v.h.MaxTLS, v.h.AsksCert
	v.h.mu.Unlock()
	v.conn.SetDeadline(time.Now().Add(time.Minute))
	cfg := &tls.Config{Certificates: []tls.Certificate{*cert}, MaxVersion: newest}
	if newest != 0 {
		cfg.MinVersion = newest
	}
	if asks {
		cfg.ClientAuth = tls.RequireAnyClientCert
	}
	c := tls.Server(v.conn, cfg)
	if c.Handshake() != nil {
		return false
	}
	state := c.ConnectionState()
	v.conn, v.r, v.tls = c, bufio.NewReader(c), &state
	return true
}

func (v *visit) auth(rest string) bool {
	_, b64, _ := strings.Cut(rest, " ")
	raw, _ := base64.StdEncoding.DecodeString(b64)
	want := "\x00" + v.h.User + "\x00" + v.h.Password
	usual := "535 5.7.8 no"
	if string(raw) == want {
		usual, v.user = "235 2.7.0 welcome", v.h.User
	}
	_, on := v.say("AUTH", usual)
	return on
}

func (v *visit) mail(rest string) bool {
	v.msg = Received{TLS: v.tls != nil, Login: v.user}
	if v.tls != nil {
		v.msg.SNI = v.tls.ServerName
	}
	v.msg.From, v.msg.MailParams = command(rest)
	usual := "250 2.1.0 ok"
	switch {
	case v.h.NeedsTLS && v.tls == nil:
		usual = "530 5.7.0 Must issue a STARTTLS command first"
	case v.h.User != "" && v.user == "":
		usual = "530 5.7.0 Authentication required"
	case v.msg.Has("REQUIRETLS") && v.tls == nil:
		usual = "523 5.7.10 not in clear"
	}
	v.rcpt = false
	var on bool
	v.sender, on = v.accepts("MAIL", true, usual)
	return on
}

const outOfOrder = "503 5.5.1 not now"

// accepts answers a step that is in order or not, and says whether it was
// accepted and whether the conversation goes on.
func (v *visit) accepts(step string, inOrder bool, usual string) (accepted, on bool) {
	if !inOrder {
		return false, v.write(outOfOrder)
	}
	line, on := v.say(step, usual)
	return on && line[0] == '2', on
}

// command splits "FROM:<a@b> X Y".
func command(rest string) (path string, params []string) {
	_, rest, _ = strings.Cut(rest, ":")
	end := strings.LastIndexByte(rest, '>') + 1
	return rest[:end], strings.Fields(rest[end:])
}

func (v *visit) data() bool {
	var b strings.Builder
	for {
		line, err := v.r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		if b.Len() == 0 {
			if line := v.step("body", "go on"); line != "go on" {
				v.write(line)
				return false
			}
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	v.msg.Data = b.String()
	v.sender, v.rcpt = false, false
	line := v.step("end", "250 2.0.0 taken as 4711")
	if strings.HasPrefix(line, "2") { // before whoever hears it can look
		v.h.mu.Lock()
		v.h.got = append(v.h.got, v.msg)
		v.h.mu.Unlock()
	}
	return v.write(line)
}
