package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"letterlock/internal/config"
	"letterlock/internal/requiretls"
	"letterlock/relay"
)

// relayPatience is how long check waits for a resolver or a smarthost.
const relayPatience = 40 * time.Second

// checkRelay looks at the way out.
func (r *report) checkRelay(ctx context.Context, cfg *config.Config) {
	if cfg.Relay.Mode == config.RelayOff {
		r.add("relay", fine, "off: mail leaves for no other server, no resolver is needed")
		return
	}
	opt, err := relayOptions(cfg)
	if err != nil {
		r.fail("relay", err, "")
		return
	}
	r.checkPassword(cfg.Relay.PasswordFile)
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	r.checkLevels(&cfg.Relay)
	for _, s := range opt.Sign {
		r.checkDKIM(ctx, s, opt.Resolver)
	}
	if !r.checkResolver(ctx, cfg, opt.Resolver) && opt.Smarthost == nil {
		return
	}
	if opt.Smarthost == nil {
		r.add("relay", fine, "straight to the recipients' hosts: letterlock route DOMAIN shows the way to one")
		return
	}
	r.checkSmarthost(cfg, relay.New(opt).Route(ctx, cfg.Address.Domain, requiretls.Required()))
}

// checkLevels names where tagged mail may leave without what its sender asked.
func (r *report) checkLevels(c *config.Relay) {
	lowered := []string{}
	if c.RequireTLS != config.LevelEnforce {
		lowered = append(lowered, "all domains")
	}
	for _, d := range c.Destinations {
		if d.RequireTLS != "" && d.RequireTLS != config.LevelEnforce {
			lowered = append(lowered, d.Domain)
		}
	}
	if len(lowered) > 0 {
		r.add("relay", worry, "mail tagged REQUIRETLS may leave without it to %s (RFC 8689 §4.2 forbids that)", strings.Join(lowered, ", ")).
			Hint = "relay.requiretls = \"enforce\" keeps the promise"
	}
}

// checkDKIM asks whether DNS has the record of a key.
func (r *report) checkDKIM(ctx context.Context, s *relay.Signer, resolver relay.Resolver) {
	name, text := s.Record()
	if err := s.Check(ctx, resolver); err != nil {
		r.add("dkim", worry, "%v", err).Hint = fmt.Sprintf("publish it: %s. TXT \"%s\"", name, text)
		return
	}
	r.add("dkim", fine, "%s is published", name)
}

func (r *report) checkPassword(file string) {
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		r.add("relay", worry, "%s, which holds a password, is open to others (%v)", file, info.Mode().Perm()).Hint = "chmod 600 " + file
	}
}

// checkResolver asks for the root, which everybody can answer and DNSSEC
// proves: is there an answer, and is it proven?
func (r *report) checkResolver(ctx context.Context, cfg *config.Config, resolver relay.Resolver) (answers bool) {
	c := &cfg.Relay
	at, host := c.Resolver, ""
	if at == "" {
		at = systemResolver(resolvConf)
	}
	state := fails
	if host, _ = c.Host(); host != "" {
		state = worry
	}
	a, err := resolver.MX(ctx, "")
	switch {
	case err != nil && net.ParseIP(host) != nil:
		r.add("resolver", fine, "%s does not answer, and the smarthost is named by its address", at)
		return true
	case err != nil:
		r.add("resolver", state, "%s does not answer: %v", at, err).Hint = "relay.resolver names a resolver; mode \"mx\" wants one that checks DNSSEC, such as unbound on this machine"
		return false
	case a.Secure:
		r.add("resolver", fine, "%s checks DNSSEC", at)
	case c.Mode == config.RelayMX && !loopback(hostOf(at)) && !c.TrustResolver:
		r.add("resolver", worry, "%s is another machine: what it says of DNSSEC is not believed, and REQUIRETLS mail goes only where MTA-STS proves the way", at).
			Hint = "run a resolver on this machine, or promise that the way there is protected: relay.trust_resolver = true"
	case c.Mode == config.RelayMX:
		r.add("resolver", worry, "%s does not check DNSSEC: there is no DANE, and REQUIRETLS mail goes only where MTA-STS proves the way", at).
			Hint = "unbound with auto-trust-anchor-file, or systemd-resolved with DNSSEC=yes, checks it"
	default:
		r.add("resolver", fine, "%s answers; to a smarthost no DNSSEC is needed", at)
	}
	return true
}

func hostOf(place string) string {
	host, _, _ := net.SplitHostPort(place)
	return host
}

// checkSmarthost judges what a connection to it has shown.
func (r *report) checkSmarthost(cfg *config.Config, way *relay.Way) {
	name := cfg.Relay.Smarthost
	i := slices.IndexFunc(way.Hosts, func(h relay.WayHost) bool { return h.Seen != nil })
	if i < 0 {
		why := "no connection"
		if way.Err != nil {
			why = way.Err.Error()
		}
		r.add("relay", fails, "the smarthost %s cannot be reached: %s", name, why).Hint = "mail waits until it answers, and after " + cfg.Relay.Lifetime.String() + " its senders are told"
		return
	}
	seen := way.Hosts[i].Seen
	facts := fmt.Sprintf("the smarthost %s: %s, certificate proven by %s", name, strings.Replace(seen.TLS, "TLS", "TLS ", 1), seen.Proof)
	switch {
	case seen.Proof == "":
		state := worry
		if cfg.Relay.Level == config.LevelEnforce {
			state = fails
		}
		r.add("relay", state, "the smarthost %s does not prove who it is: %s", name, seen.Trouble).
			Hint = "relay.ca names the CA that signed its certificate, relay.pins the certificate itself"
	case seen.Hop.Offered != requiretls.Yes:
		r.add("relay", worry, "%s; it does not offer REQUIRETLS: sealed mail cannot be sent on, its senders are told (5.7.30)", facts).
			Hint = "Postfix offers it from 3.11 on (requiretls_enable = yes), Exim not at all"
	default:
		r.add("relay", fine, "%s, REQUIRETLS offered", facts)
	}
}
