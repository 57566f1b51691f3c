package conformance_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/internal/conformance"
)

// fault is what a server does wrong on purpose.
type fault string

const (
	none                 fault = "none"
	noExtension          fault = "does not know REQUIRETLS"
	speaksSMTP           fault = "speaks SMTP"
	listsInClear         fault = "lists the keyword in clear"
	takesInClear         fault = "takes the option in clear"
	takesValue           fault = "takes a value"
	takesRepeat          fault = "takes the option twice"
	keywordWithArguments fault = "lists the keyword with arguments"
	upperCaseAlone       fault = "knows the option in upper case alone"
	shortLines           fault = "cuts lines at 512 octets"
	secondMailWins       fault = "lets a second MAIL replace the first"
	resetKeepsRecipients fault = "keeps recipients over RSET"
	refusesHeader        fault = "refuses TLS-Required"
	refusesTwoHeaders    fault = "refuses two TLS-Required fields"
	refusesBounces       fault = "refuses the option of bounces"
	hangsUpOnOption      fault = "hangs up on letters with the option"
	oldVersions          fault = "takes TLS 1.1"
	keepsStowaways       fault = "keeps what came with STARTTLS"
	keepsTransaction     fault = "keeps the transaction over STARTTLS"
	clearAfterHandshake  fault = "goes on in clear after a failed handshake"
)

// wrong is a small server that is right but for its fault.
type wrong struct {
	fault   fault
	address string
	ca      string
	tls     *tls.Config
}

func openWrong(t *testing.T, f fault) *wrong {
	t.Helper()
	cert, key, ca := certificateFiles(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	w := &wrong{fault: f, ca: ca, tls: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}}
	if f == oldVersions {
		w.tls.MinVersion = tls.VersionTLS10
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = ln.Addr().String()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(time.Minute))
				(&visit{wrong: w, conn: conn, in: bufio.NewReader(conn)}).run()
			})
		}
	})
	t.Cleanup(func() { ln.Close(); all.Wait() })
	return w
}

func (w *wrong) target() conformance.Target {
	return conformance.Target{Address: w.address, CAFile: w.ca, Recipients: []string{"ann@example.org", "bob@example.org"}}
}

// visit is one connection.
type visit struct {
	*wrong
	conn   net.Conn
	in     *bufio.Reader
	secure bool
	mail   string // the parameters of MAIL and its path; empty: no transaction
	rcpts  int
	over   bool
}

func (v *visit) say(line string) { io.WriteString(v.conn, line+"\r\n") }

func (v *visit) run() {
	v.say("220 wrong.example " + string(v.fault))
	for !v.over {
		line, err := v.in.ReadString('\n')
		if err != nil {
			return
		}
		if v.fault == shortLines && len(line) > 512 {
			v.say("500 5.5.2 line too long")
			continue
		}
		v.obey(strings.TrimRight(line, "\r\n "))
	}
}

func (v *visit) obey(line string) {
	verb, args, _ := strings.Cut(line, " ")
	switch {
	case verb == "LHLO" && v.fault != speaksSMTP, verb == "EHLO" && v.fault == speaksSMTP:
		v.hello()
	case verb == "STARTTLS" && !v.secure:
		v.startTLS()
	case verb == "MAIL":
		v.take(args)
	case verb == "RCPT" && v.mail != "":
		v.rcpts++
		v.say("250 2.1.5 ok")
	case verb == "DATA" && v.rcpts > 0:
		v.data()
	case verb == "RSET":
		v.mail = ""
		if v.fault != resetKeepsRecipients {
			v.rcpts = 0
		}
		v.say("250 2.0.0 ok")
	case verb == "QUIT":
		v.over = true
		v.say("221 2.0.0 bye")
	case verb == "RCPT", verb == "DATA":
		v.say("503 5.5.1 not now")
	default:
		v.say("500 5.5.1 what")
	}
}

func (v *visit) hello() {
	keyword := "250-REQUIRETLS"
	if v.fault == keywordWithArguments {
		keyword += " YES"
	}
	v.say("250-wrong.example")
	if !v.secure {
		v.say("250-STARTTLS")
	}
	if v.fault != noExtension && (v.secure || v.fault == listsInClear) {
		v.say(keyword)
	}
	v.say("250 DSN")
}

func (v *visit) startTLS() {
	v.say("220 2.0.0 go ahead")
	if v.fault != keepsTransaction {
		v.mail, v.rcpts = "", 0
	}
	kept, _ := v.in.Peek(v.in.Buffered())
	kept = bytes.Clone(kept)
	secure := tls.Server(v.conn, v.tls)
	if secure.Handshake() != nil {
		v.over = v.fault != clearAfterHandshake
		return
	}
	v.secure, v.conn, v.in = true, secure, bufio.NewReader(secure)
	if v.fault == keepsStowaways {
		v.in = bufio.NewReader(io.MultiReader(bytes.NewReader(kept), secure))
	}
}

// take judges MAIL.
func (v *visit) take(args string) {
	_, params, _ := strings.Cut(args, ">")
	if v.fault != upperCaseAlone {
		params = strings.ToUpper(params)
	}
	asked := strings.Count(params, " REQUIRETLS")
	rest := strings.NewReplacer(" REQUIRETLS", "", " RET=FULL", "").Replace(params)
	if v.fault == takesValue && strings.HasPrefix(rest, "=") {
		rest = ""
	}
	switch {
	case v.mail != "" && v.fault != secondMailWins:
		v.say("503 5.5.1 one at a time")
	case asked > 0 && v.fault == noExtension:
		v.say("555 5.5.4 no such parameter")
	case asked > 0 && !v.secure && v.fault != takesInClear:
		v.say("523 5.7.10 TLS first")
	case rest != "", asked > 1 && v.fault != takesRepeat:
		v.say("501 5.5.4 syntax")
	case asked > 0 && strings.HasPrefix(args, "FROM:<>") && v.fault == refusesBounces:
		v.say("550 5.7.30 no bounces")
	default:
		v.mail = args
		v.say("250 2.1.0 ok")
	}
}

func (v *visit) data() {
	v.say("354 go on")
	header, fields := true, 0
	for {
		line, err := v.in.ReadString('\n')
		if err != nil {
			v.over = true
			return
		}
		if line == ".\r\n" {
			break
		}
		header = header && line != "\r\n"
		if header && strings.HasPrefix(line, "TLS-Required:") {
			fields++
		}
	}
	answer := "250 2.0.0 taken"
	switch {
	case v.fault == hangsUpOnOption && strings.HasSuffix(v.mail, "REQUIRETLS") && !strings.HasPrefix(v.mail, "FROM:<>"):
		v.over = true
		return
	case v.fault == refusesHeader && fields > 0, v.fault == refusesTwoHeaders && fields > 1:
		answer = "554 5.6.0 odd header"
	}
	answers := v.rcpts
	if v.fault == speaksSMTP {
		answers = 1
	}
	for range answers {
		v.say(answer)
	}
	v.mail, v.rcpts = "", 0
}
