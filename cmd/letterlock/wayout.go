package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"letterlock/internal/config"
	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/serve"
	"letterlock/relay"
	"letterlock/storage"
)

// openWayOut makes the relay; where the config wants none there is none, and
// nothing leaves.
func (h *house) openWayOut() (err error) {
	h.relay, err = newRelay(h.cfg, h.store, h.fates, h.log)
	return err
}

// sendOn runs the relay, where there is one.
func (h *house) sendOn(ctx context.Context) error {
	if h.relay == nil {
		<-ctx.Done()
		return nil
	}
	return h.relay.Run(ctx)
}

// newRelay makes the way out of a vault. It sends when it runs.
func newRelay(cfg *config.Config, store *storage.Store, fates *maillog.Log, log *slog.Logger) (*relay.Runner, error) {
	if cfg.Relay.Mode == config.RelayOff {
		return nil, nil
	}
	opt, err := relayOptions(cfg)
	if err != nil {
		return nil, err
	}
	if opt.Policies, err = relay.NewPolicyFolder(filepath.Join(cfg.Data, "policies")); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	opt.Outbox, opt.Submit, opt.Grace, opt.Mail, opt.Log = outbox{store}, store.Submit, relayGrace, fates, log
	return relay.New(opt), nil
}

// leave joins the sorting room to the way out; where there is none, nothing
// leaves.
func (h *house) leave(opt *deliver.Options) error {
	if h.relay == nil {
		return nil
	}
	opt.Way, opt.Reports = h.relay, h.relay
	switch h.cfg.Relay.Sender {
	case config.SenderOwner:
		opt.Sender = func(_, owner mail.Address) mail.Address { return owner }
	case config.SenderSRS:
		srs, err := newSRS(h.cfg)
		if err != nil {
			return err
		}
		opt.Returned = srs.Reverse
		opt.Sender = func(from, owner mail.Address) mail.Address {
			if ours, ok := srs.Forward(from); ok {
				return ours
			}
			return owner // too long to be written into an address of ours
		}
	}
	return nil
}

// newSRS rewrites senders into addresses of our domain. Its secret is kept: what
// left yesterday may come back tomorrow.
func newSRS(cfg *config.Config) (*relay.SRS, error) {
	secret, err := keptSecret(filepath.Join(cfg.Data, "srs.secret"))
	if err != nil {
		return nil, err
	}
	return relay.NewSRS(cfg.Address.Domain, secret)
}

// relayOptions are the config in the relay's words.
func relayOptions(cfg *config.Config) (opt relay.Options, err error) {
	c := &cfg.Relay
	opt = relay.Options{
		Hostname:    cfg.Hostname,
		Resolver:    resolver(c),
		Postmaster:  mail.Address{Local: "postmaster", Domain: cfg.Address.Domain},
		Lifetime:    c.Lifetime,
		DelayNotice: c.DelayNotice,
		FirstRetry:  c.FirstRetry,
		LastRetry:   c.LastRetry,
		Concurrency: int(c.Concurrency),
		PerDomain:   int(c.PerDestination),
	}
	if c.DelayNotice == 0 {
		opt.DelayNotice = -1
	}
	if c.Bind.IsValid() {
		opt.Local = &net.TCPAddr{IP: c.Bind.AsSlice()}
	}
	proof, err := credentials(c, relay.Credentials{})
	if err != nil {
		return opt, err
	}
	opt.Roots, opt.Sign = proof.Roots, proof.Sign
	opt.RequireTLS = map[string]relay.Level{"": relayLevel[c.RequireTLS]}
	for _, d := range c.Destinations {
		if d.RequireTLS != "" {
			opt.RequireTLS[d.Domain] = relayLevel[d.RequireTLS]
		}
	}
	if c.Mode == config.RelaySmarthost {
		opt.Smarthost = smarthost(c)
		opt.Smarthost.Password = proof.Password
	}
	return opt, nil
}

// credentials are what lies in files of its own. What cannot be read stays as it is
// in old, which is of the same config or empty; the error names all of it.
func credentials(c *config.Relay, old relay.Credentials) (relay.Credentials, error) {
	now, errs := old, []error(nil)
	if c.CA != "" {
		roots, err := serve.ReadCAs(c.CA)
		if err == nil {
			now.Roots = roots
		} else {
			errs = append(errs, fmt.Errorf("relay.ca: %w", err))
		}
	}
	if c.PasswordFile != "" && c.Mode == config.RelaySmarthost {
		password, err := passwordIn(c.PasswordFile)
		if err == nil {
			now.Password = password
		} else {
			errs = append(errs, fmt.Errorf("relay.password_file: %w", err))
		}
	}
	now.Sign = make([]*relay.Signer, len(c.DKIM))
	copy(now.Sign, old.Sign)
	for i, d := range c.DKIM {
		s, err := relay.LoadSigner(d.Domain, d.Selector, d.Key)
		if err == nil {
			now.Sign[i] = s
		} else {
			errs = append(errs, withHint(err, "the file holds one private key in PEM, RSA or Ed25519, that letterlock alone can read: chmod 600 %s", d.Key))
		}
	}
	return now, errors.Join(errs...)
}

var relayLevel = map[string]relay.Level{
	config.LevelEnforce:       relay.Enforce,
	config.LevelStartTLS:      relay.OpportunisticStartTLS,
	config.LevelOpportunistic: relay.Opportunistic,
}

var implicitTLS = map[string]relay.Implicit{config.StartTLS: relay.StartTLS, config.ImplicitTLS: relay.ImplicitTLS}

func smarthost(c *config.Relay) *relay.Smarthost {
	s := &relay.Smarthost{
		Implicit: implicitTLS[c.TLS], User: c.User, Pins: c.Pins,
		Level: relayLevel[c.Level], Levels: map[string]relay.Level{},
	}
	s.Host, s.Port = c.Host()
	for _, d := range c.Destinations {
		if d.Level != "" {
			s.Levels[d.Domain] = relayLevel[d.Level]
		}
	}
	return s
}

// passwordIn is the first line of a file.
func passwordIn(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimRight(line, "\r")
	if line == "" {
		return "", withHint(fmt.Errorf("the first line of %s is empty", file), "the file holds the password alone, in one line")
	}
	return line, nil
}
