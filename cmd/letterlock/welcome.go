package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"letterlock/internal/admin"
	"letterlock/internal/auth"
	"letterlock/internal/config"
	"letterlock/internal/serve"
)

// welcome is what somebody reads who starts Letterlock for the first time. With
// no users yet and no domain configured, one user is made to try it with; with
// a domain it is the admin's to say who lives there.
func (h *house) welcome(ctx context.Context) (string, error) {
	for _, err := range h.store.People(ctx) {
		if err != nil { // one of them is not a reason to leave all others without mail
			h.log.Error("a user cannot be read: letterlock fsck says more", "err", err)
		}
		return "", nil // somebody is here
	}
	if h.cfg.Address.Domain != h.cfg.Hostname {
		h.log.Warn("there are no users yet: letterlock user add ADDR@" + h.cfg.Address.Domain)
		return "", nil
	}
	password := newPassword()
	credentials, err := auth.NewCredentials(password)
	if err != nil {
		return "", fmt.Errorf("first user: %w", err)
	}
	user, err := h.desk.AddUser(ctx, admin.Login{Address: "me", Credentials: credentials})
	if err != nil {
		return "", fmt.Errorf("first user: %w", err)
	}
	return firstSteps(steps{
		user: user.Address, password: password,
		lmtp:  bound(h.cfg.LMTP.Listeners, h.lmtp.Addrs(), func(e serve.Endpoint) bool { return e.Network == "tcp" && !e.ImplicitTLS }),
		imaps: bound(h.cfg.IMAP.Listeners, h.imap.Addrs(), func(e serve.Endpoint) bool { return e.ImplicitTLS }),
		ca:    h.trust(), name: h.provenName(),
	}), nil
}

// bound is where the first listener of a kind is to be had: what is bound, since
// the port may have been left to the system. "" where there is none.
func bound(configured []config.Listener, addrs []net.Addr, kind func(serve.Endpoint) bool) string {
	for i, l := range configured {
		if e, err := endpoint(l); err == nil && kind(e) {
			return addrs[i].String()
		}
	}
	return ""
}

// trust is the file clients prove the server's certificate with.
func (h *house) trust() string {
	if h.cfg.TLS.Cert != "" {
		return h.cfg.TLS.Cert
	}
	return filepath.Join(privateTLS(h.cfg), "ca.pem")
}

// provenName is a name clients on this machine find in the certificate.
func (h *house) provenName() string {
	if h.cfg.TLS.Cert != "" {
		return h.cfg.Hostname
	}
	return "localhost"
}

// newPassword has 100 bits, in letters and digits that people can type.
func newPassword() string {
	s := strings.ToLower(rand.Text())
	return strings.Join([]string{s[0:5], s[5:10], s[10:15], s[15:20]}, "-")
}

// steps is what the first commands need to know.
type steps struct {
	user, password string
	lmtp, imaps    string // HOST:PORT; "" where nothing listens
	ca             string // the file clients trust
	name           string // of the server in its certificate
}

// firstSteps is text whose commands work as they stand, in the folder the
// server was started in.
func firstSteps(s steps) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nThere were no users, so one was made. This is the only time its password is shown:\n\n  user      %s\n  password  %s\n\n", s.user, s.password)
	if host, port, err := net.SplitHostPort(s.lmtp); err == nil {
		fmt.Fprintf(&b, "Deliver a letter to it (bash):\n\n  { %s >&3; cat <&3; } 3<>/dev/tcp/%s/%s\n\n",
			s.letter("", "hello", "It works."), host, port)
		fmt.Fprintf(&b, "Deliver a sealed one (REQUIRETLS), which is taken and shown over TLS alone:\n\n  %s | openssl s_client -quiet -starttls lmtp -connect %s -CAfile %s -verify_return_error\n\n",
			s.letter(" REQUIRETLS", "sealed", "Over TLS alone."), s.lmtp, s.ca)
	}
	if _, port, err := net.SplitHostPort(s.imaps); err == nil {
		b.WriteString("Read them:\n\n")
		for n := 1; n <= 2; n++ {
			fmt.Fprintf(&b, "  curl -s --cacert %s --user %s:%s 'imaps://%s:%s/INBOX;MAILINDEX=%d'\n", s.ca, s.user, s.password, s.name, port, n)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// letter is a command that prints an LMTP session. We take pipelined commands,
// and what follows DATA, without a pause (RFC 2920).
func (s steps) letter(option, subject, text string) string {
	return fmt.Sprintf(`printf '%%s\r\n' 'LHLO localhost' 'MAIL FROM:<%[1]s>%[2]s' 'RCPT TO:<%[1]s>' DATA 'From: <%[1]s>' 'Subject: %[3]s' '' '%[4]s' . QUIT`,
		s.user, option, subject, text)
}
