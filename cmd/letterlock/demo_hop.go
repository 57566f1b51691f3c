package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"letterlock/internal/serve"
)

// nextHop is a mail server of somebody else, as small as one can be: what
// leaves the demo's house comes here. It takes one letter on a connection.
type nextHop struct {
	listener net.Listener
	conf     *tls.Config
	ca       string      // the file that proves it
	honours  atomic.Bool // it offers REQUIRETLS
	visits   chan *visit
	live     sync.WaitGroup
}

// visit is one connection: what was said, and the letter if one came.
type visit struct {
	lines []string // "C: " and "S: "
	text  string

	conn   net.Conn
	r      *bufio.Reader
	secure bool
}

// openNextHop listens on loopback with a certificate of its own CA.
func openNextHop(dir string) (*nextHop, error) {
	dir = filepath.Join(dir, "elsewhere")
	cert, key, err := serve.PrivateCA(dir, []string{"localhost"}, time.Now())
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &nextHop{
		listener: l, conf: &tls.Config{Certificates: []tls.Certificate{pair}},
		ca: filepath.Join(dir, "ca.pem"), visits: make(chan *visit, 16),
	}
	h.live.Go(h.serve)
	return h, nil
}

func (h *nextHop) close() {
	h.listener.Close()
	h.live.Wait()
}

func (h *nextHop) serve() {
	for {
		conn, err := h.listener.Accept()
		if err != nil {
			return
		}
		h.live.Go(func() {
			v := &visit{conn: conn, r: bufio.NewReader(conn)}
			conn.SetDeadline(time.Now().Add(dialogueTime))
			v.talk(h)
			v.conn.Close()
			select {
			case h.visits <- v:
			default: // nobody looks any more
			}
		})
	}
}

// next is the next visit that has ended.
func (h *nextHop) next(ctx context.Context) (*visit, error) {
	select {
	case v := <-h.visits:
		return v, nil
	case <-time.After(dialogueTime):
		return nil, errors.New("nothing came to the next hop")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (v *visit) talk(h *nextHop) {
	v.say("220 elsewhere.example ESMTP")
	for {
		line, err := v.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		v.lines = append(v.lines, "C: "+line)
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "EHLO":
			v.hello(h)
		case "STARTTLS":
			v.say("220 2.0.0 go ahead")
			inside := tls.Server(v.conn, h.conf)
			if inside.Handshake() != nil {
				return
			}
			v.conn, v.r, v.secure = inside, bufio.NewReader(inside), true
		case "DATA":
			v.take()
			return
		case "QUIT":
			v.say("221 2.0.0 bye")
			return
		default:
			v.say("250 2.0.0 ok")
		}
	}
}

func (v *visit) hello(h *nextHop) {
	words := []string{"elsewhere.example", "8BITMIME", "SMTPUTF8"}
	if !v.secure {
		words = append(words, "STARTTLS")
	} else if h.honours.Load() {
		words = append(words, "REQUIRETLS")
	}
	for _, w := range words[:len(words)-1] {
		v.say("250-" + w)
	}
	v.say("250 " + words[len(words)-1])
}

// take reads a letter up to its dot.
func (v *visit) take() {
	v.say("354 go on")
	var b strings.Builder
	for {
		line, err := v.r.ReadString('\n')
		if err != nil {
			return
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(line)
	}
	v.text = b.String()
	v.say("250 2.0.0 taken")
}

func (v *visit) say(line string) {
	v.lines = append(v.lines, "S: "+line)
	io.WriteString(v.conn, line+"\r\n")
}

// mail is what the visitor said to begin a letter; "" where there was none.
func (v *visit) mail() string {
	for _, line := range v.lines {
		if rest, ok := strings.CutPrefix(line, "C: MAIL "); ok {
			return rest
		}
	}
	return ""
}

// show prints the lines that have one of words.
func (v *visit) show(p *page, words ...string) {
	for _, line := range v.lines {
		if !names(line, words) {
			continue
		}
		if said, ok := strings.CutPrefix(line, "C: "); ok {
			p.client(said)
		} else {
			p.server(strings.TrimPrefix(line, "S: "))
		}
	}
}
