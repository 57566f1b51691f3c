package conformance

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"letterlock/internal/mail"
)

// Protocol is what the server speaks.
type Protocol string

const (
	LMTP Protocol = "LMTP" // RFC 2033
	SMTP Protocol = "SMTP" // RFC 5321
)

// hello is the command that greets.
func (p Protocol) hello() string {
	if p == LMTP {
		return "LHLO"
	}
	return "EHLO"
}

// Trust says whose certificates are taken.
type Trust uint8

const (
	Chain          Trust = iota // one that names the host and chains to a trusted root
	AnyCertificate              // any: the row about certificates is not judged
)

// Target is whom to ask, and with what.
type Target struct {
	Protocol Protocol
	Address  string // HOST:PORT (STARTTLS), tls:HOST:PORT (TLS from the start) or unix:PATH

	Trust      Trust
	CAFile     string // PEM; empty: the system's roots
	ServerName string // what the certificates must name; empty: the HOST of each address

	Recipients []string // local@domain, at least one, all of which the server takes mail for
	Sender     string   // the return path of the letters; empty: the first recipient, so that bounces trouble nobody else

	IMAP     string // where the first recipient's mail is read, in the forms of Address; empty: nowhere
	User     string // of the mailbox
	Password string // of the mailbox; printable ASCII

	Step time.Duration // how long one command may take; 0: 10 s
}

const defaultStep = 10 * time.Second

// complete fills in the defaults, or says what is missing.
func (t Target) complete() (Target, error) {
	if t.Protocol != LMTP && t.Protocol != SMTP {
		return t, fmt.Errorf("protocol %q is neither LMTP nor SMTP", t.Protocol)
	}
	if len(t.Recipients) == 0 {
		return t, errors.New("no recipient: name one that the server takes mail for")
	}
	if t.Sender == "" {
		t.Sender = t.Recipients[0]
	}
	for _, a := range append([]string{t.Sender}, t.Recipients...) {
		if got, rest, err := mail.ParsePath("<" + a + ">"); err != nil || rest != "" || !got.ASCII() {
			return t, fmt.Errorf("%q is no address of the form local@domain in ASCII", a)
		}
	}
	if t.Step <= 0 {
		t.Step = defaultStep
	}
	if t.IMAP != "" && !quotable(t.User+t.Password) {
		return t, errors.New("the mailbox's user and password are printable ASCII here")
	}
	return t, nil
}

func quotable(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// place is an address taken apart.
type place struct {
	network, address string
	name             string // the certificate's
	implicit         bool   // TLS from the start
}

func (t Target) place(s string) (place, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return place{network: "unix", address: path, name: t.ServerName}, nil
	}
	address, implicit := strings.CutPrefix(s, "tls:")
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return place{}, fmt.Errorf("%q is not HOST:PORT, tls:HOST:PORT or unix:PATH", s)
	}
	if t.ServerName != "" {
		host = t.ServerName
	}
	return place{network: "tcp", address: address, name: host, implicit: implicit}, nil
}

// dial connects; the connection is cut when ctx ends.
func (p place) dial(ctx context.Context, step time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: step}
	conn, err := d.DialContext(ctx, p.network, p.address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	return conn, nil
}

// judge verifies the certificate that state shows.
func (t Target) judge(state tls.ConnectionState, name string) error {
	if name == "" {
		return errors.New("no name to look for: give the server's name")
	}
	opt := x509.VerifyOptions{DNSName: name, Intermediates: x509.NewCertPool()}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return err
		}
		opt.Roots = x509.NewCertPool()
		if !opt.Roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("no certificate in %s", t.CAFile)
		}
	}
	for _, c := range state.PeerCertificates[1:] {
		opt.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(opt)
	return err
}

// handshake makes conn a TLS one, whatever its certificate: who minds asks judge.
func (p place) handshake(conn net.Conn, conf *tls.Config) (*tls.Conn, error) {
	conf.InsecureSkipVerify = true
	if net.ParseIP(p.name) == nil {
		conf.ServerName = p.name
	}
	secure := tls.Client(conn, conf)
	if err := secure.Handshake(); err != nil {
		return nil, err
	}
	return secure, nil
}
