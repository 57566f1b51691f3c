package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"letterlock/internal/admin"
	"letterlock/internal/auth"
	"letterlock/internal/config"
	"letterlock/internal/serve"
)

var demoVerb = verb{
	name:  "demo",
	short: "see the whole promise held, in this terminal, in a temp folder",
	setup: func(*flag.FlagSet) action {
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 0 {
				return errArguments
			}
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
			defer stop()
			return demo(ctx, newPage(c.out))
		}
	},
}

// demo builds a house as serve does, in a temp folder and on free ports, plays
// the acts in it, and leaves nothing behind.
func demo(ctx context.Context, p *page) error {
	dir, err := os.MkdirTemp("", "letterlock-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	hop, err := openNextHop(dir)
	if err != nil {
		return err
	}
	defer hop.close()
	h, err := build(demoConfig(dir, hop), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	living, leave := context.WithCancel(ctx)
	defer leave()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- h.run(living, func() { close(ready) }) }()
	<-ready

	p.prose("Letterlock, the real servers, in %s: it is gone when this ends.", dir)
	err = playIn(ctx, h, hop, p)
	leave()
	return errors.Join(err, <-ended)
}

// demoConfig opens IMAP in clear to local sessions, to show what they get, and
// sends on by the next hop alone.
func demoConfig(dir string, hop *nextHop) *config.Config {
	cfg := config.Default()
	cfg.Hostname, cfg.Data = "localhost", filepath.Join(dir, "data")
	cfg.Address.Domain = "example.org"
	cfg.LMTP.Listeners = []config.Listener{{Address: "127.0.0.1:0"}}
	cfg.IMAP.Listeners = []config.Listener{{Address: "127.0.0.1:0"}, {Address: "tls:127.0.0.1:0"}}
	cfg.IMAP.CleartextAuth = config.CleartextAuth{Local: true}
	cfg.ManageSieve.Listeners = nil
	cfg.Relay.Mode, cfg.Relay.Smarthost, cfg.Relay.CA = config.RelaySmarthost, hop.listener.Addr().String(), hop.ca
	cfg.Relay.Resolver = "127.0.0.1:9" // nobody is asked: the next hop is known by its address
	cfg.Admin.Listen = nil
	return cfg
}

func playIn(ctx context.Context, h *house, hop *nextHop, p *page) error {
	s := &scene{page: p, hop: hop, password: newPassword(), trust: x509.NewCertPool()}
	credentials, err := auth.NewCredentials(s.password)
	if err != nil {
		return err
	}
	ann, err := h.desk.AddUser(ctx, admin.Login{Address: "ann", Credentials: credentials})
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(h.trust())
	if err != nil {
		return err
	}
	if !s.trust.AppendCertsFromPEM(ca) {
		return fmt.Errorf("no certificate in %s", h.trust())
	}
	s.user = ann.Address
	s.lmtp = bound(h.cfg.LMTP.Listeners, h.lmtp.Addrs(), func(serve.Endpoint) bool { return true })
	s.imap = bound(h.cfg.IMAP.Listeners, h.imap.Addrs(), func(e serve.Endpoint) bool { return !e.ImplicitTLS })
	s.imaps = bound(h.cfg.IMAP.Listeners, h.imap.Addrs(), func(e serve.Endpoint) bool { return e.ImplicitTLS })
	if s.away, err = sentOn(ctx, h); err != nil {
		return err
	}
	if err := s.play(ctx); err != nil {
		return err
	}
	p.verdict()
	if p.broken > 0 {
		return errSaid
	}
	return nil
}

// sentOn makes somebody whose mail is sent on to another server.
func sentOn(ctx context.Context, h *house) (string, error) {
	ben, err := h.desk.AddUser(ctx, admin.Login{Address: "ben"})
	if err != nil {
		return "", err
	}
	_, err = h.desk.AddForward(ctx, admin.Forward{Address: ben.Address, To: "ben@elsewhere.example"})
	return ben.Address, err
}
