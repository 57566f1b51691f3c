package lmtp_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
)

// TestGoSMTPClientDeliversTaggedMail: another's client, in TLS with a verified
// certificate, REQUIRETLS, one status per recipient.
func TestGoSMTPClientDeliversTaggedMail(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "tls"} {
		t.Run(network, func(t *testing.T) {
			d := openDoor(t)
			c := d.otherClient(t, network)
			if err := c.Mail("alice@sender.example", &smtp.MailOptions{RequireTLS: true, Size: 100}); err != nil {
				t.Fatal(err)
			}
			for _, to := range []string{"ann@example.org", "late-full@example.org", "ben@example.org"} {
				if err := c.Rcpt(to, nil); err != nil {
					t.Fatal(err)
				}
			}
			w, err := c.Data()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, "Subject: x\n\n.dot\n"); err != nil {
				t.Fatal(err)
			}
			taken, err := w.CloseWithLMTPResponse()
			var refused smtp.LMTPDataError
			if !errors.As(err, &refused) || refused["late-full@example.org"] == nil || refused["late-full@example.org"].EnhancedCode != (smtp.EnhancedCode{4, 2, 2}) {
				t.Errorf("refused %v", err)
			}
			if len(taken) != 2 || taken["ann@example.org"] == nil || taken["ben@example.org"] == nil {
				t.Errorf("taken %v", taken)
			}
			if err := c.Quit(); err != nil {
				t.Error(err)
			}
			got := d.box.taken()
			if len(got) != 1 || !got[0].env.Demand.IsRequired() || got[0].env.Protocol != "LMTPS" || got[0].body != "Subject: x\r\n\r\n.dot\r\n" {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestGoSMTPClientIsNotOfferedREQUIRETLSInClear(t *testing.T) {
	d := openDoor(t)
	c := smtp.NewClientLMTP(d.dial(t, "tcp").Conn)
	if err := c.Mail("alice@sender.example", &smtp.MailOptions{RequireTLS: true}); err == nil {
		t.Error("it was")
	}
}

// otherClient is a go-smtp client inside TLS. It knows STARTTLS for SMTP alone,
// so the handshake is ours and it is greeted a second time.
func (d *door) otherClient(t *testing.T, network string) *smtp.Client {
	t.Helper()
	cl := d.dial(t, network)
	conn := cl.Conn
	if network != "tls" {
		cl.greet()
		cl.ask("STARTTLS\r\n", "220 *")
		cl.handshake()
		conn = greeted{cl.Conn, bufio.NewReader(io.MultiReader(strings.NewReader("220 again\r\n"), cl.Conn))}
	}
	c := smtp.NewClientLMTP(conn)
	t.Cleanup(func() { c.Close() })
	return c
}

type greeted struct {
	net.Conn
	r *bufio.Reader
}

func (g greeted) Read(p []byte) (int, error) { return g.r.Read(p) }
