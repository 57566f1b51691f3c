package main

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"

	"letterlock/internal/config"
	"letterlock/relay"
)

// resolver is the configured one, or the machine's own.
func resolver(c *config.Relay) relay.Resolver {
	if c.Resolver == "" {
		return machineResolver{&relay.DNS{Server: systemResolver(resolvConf)}}
	}
	d := &relay.DNS{Server: c.Resolver}
	if c.TrustResolver {
		d.Trust = relay.TrustServer
	}
	return d
}

// machineResolver knows the names of the machine's hosts file besides those in
// DNS: a smarthost may be named there alone.
type machineResolver struct{ *relay.DNS }

func (m machineResolver) Addrs(ctx context.Context, host string) (relay.AddrAnswer, error) {
	known, err := hostsFile.LookupNetIP(ctx, "ip", host)
	if err != nil || len(known) == 0 {
		return m.DNS.Addrs(ctx, host)
	}
	a := relay.AddrAnswer{Answer: relay.Answer{Canonical: host}}
	for _, ip := range known {
		a.Addrs = append(a.Addrs, ip.Unmap())
	}
	return a, nil
}

// hostsFile looks nowhere else.
var hostsFile = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("the hosts file alone")
}}

const resolvConf = "/etc/resolv.conf"

// systemResolver is the first name server of resolv.conf(5), or where there is
// none the one on this machine.
func systemResolver(file string) string {
	const usual = "127.0.0.1"
	server := usual
	if f, err := os.Open(file); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			words := strings.Fields(lines.Text())
			if len(words) < 2 || words[0] != "nameserver" {
				continue
			}
			if _, err := netip.ParseAddr(words[1]); err == nil {
				server = words[1]
				break
			}
		}
	}
	return net.JoinHostPort(server, "53")
}
