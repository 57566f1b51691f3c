package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"letterlock/internal/config"
	"letterlock/internal/mail"
)

// advice is what to paste into an MTA's config, and what goes wrong without it.
type advice struct {
	MTA   string   `json:"mta"`
	File  string   `json:"file"`
	Lines []string `json:"lines"`
	Why   []string `json:"why"`
}

func (a advice) print(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s, %s:\n\n", a.MTA, a.File)
	for _, line := range a.Lines {
		fmt.Fprintf(b, "    %s\n", line)
	}
	b.WriteByte('\n')
	for _, why := range a.Why {
		fmt.Fprintf(b, "  - %s\n", why)
	}
}

// mtaAdvice is for the first listener an MTA can say STARTTLS at: TCP before a
// socket, which a chroot hides.
func mtaAdvice(cfg *config.Config) []advice {
	var tcp, socket string
	for _, l := range cfg.LMTP.Listeners {
		e, err := endpoint(l)
		switch {
		case err != nil || e.ImplicitTLS:
		case e.Network == "unix" && socket == "":
			socket = absolute(e.Address)
		case e.Network == "tcp" && tcp == "":
			tcp = e.Address
		}
	}
	switch {
	case tcp != "":
		host, port, _ := net.SplitHostPort(tcp)
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() { // everywhere is no place to connect to
			host = cfg.Hostname
		}
		return []advice{postfixTCP(cfg, host, port), exim(cfg, host, port)}
	case socket != "":
		return []advice{postfixSocket(cfg, socket)}
	}
	return nil
}

func postfixTCP(cfg *config.Config, host, port string) advice {
	return postfix(cfg, fmt.Sprintf("lmtp:inet:[%s]:%s", host, port))
}

func postfixSocket(cfg *config.Config, path string) advice {
	a := postfix(cfg, "lmtp:unix:"+path)
	a.Why = append(a.Why, "Debian runs lmtp in a chroot: the socket has to lie below /var/spool/postfix, in a folder user postfix can enter, and the path is written from there")
	return a
}

func postfix(cfg *config.Config, transport string) advice {
	a := advice{MTA: "Postfix 3.11 or newer", File: "main.cf", Lines: []string{
		"virtual_mailbox_domains = " + spellings(cfg.Address.Domain),
		"virtual_transport = " + transport,
		"lmtp_tls_security_level = secure",
		"lmtp_tls_secure_cert_match = " + cfg.Hostname,
	}}
	if cfg.TLS.Cert == "" {
		a.Lines = append(a.Lines, "lmtp_tls_CAfile = "+absolute(filepath.Join(privateTLS(cfg), "ca.pem")))
	} else {
		a.Lines = append(a.Lines, "lmtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt   # or the CA that signed "+cfg.TLS.Cert)
	}
	a.Lines = append(a.Lines, "lmtp_requiretls_policy = enforce")
	a.Why = []string{
		"without lmtp_tls_security_level Postfix never says STARTTLS: tagged mail arrives in clear and untagged, and nobody is told",
		"with enforce and a level that proves no certificate (may, encrypt), every tagged message bounces before a connection is made (5.7.10)",
		"a certificate that does not match lmtp_tls_secure_cert_match bounces tagged mail (5.7.10) and defers the rest",
		"to begin softly: lmtp_requiretls_policy = opportunistic and lmtp_tls_security_level = may (encrypt on a UNIX socket); the tag is kept, nothing bounces for it",
		"Postfix before 3.11 and Exim know no REQUIRETLS: leave lmtp_requiretls_policy out there; the mail still comes over TLS",
	}
	return a
}

// spellings are all that an MTA, which takes them for two, has to know of a domain.
func spellings(domain string) string {
	if a := (mail.Address{Domain: domain}).ALabels(); a.Domain != domain {
		return a.Domain + ", " + domain
	}
	return domain
}

func exim(cfg *config.Config, host, port string) advice {
	ca := cfg.TLS.Cert
	if ca == "" {
		ca = absolute(filepath.Join(privateTLS(cfg), "ca.pem"))
	}
	return advice{MTA: "Exim", File: "a transport, behind a manualroute router with route_list = * " + host + " byname and self = send", Lines: []string{
		"store_lmtp:",
		"  driver = smtp",
		"  protocol = lmtp",
		"  port = " + port,
		"  hosts_require_tls = *",
		"  tls_sni = " + cfg.Hostname,
		"  tls_verify_certificates = " + ca,
		"  tls_verify_hosts = *",
		"  tls_verify_cert_hostnames = :",
	}, Why: []string{"Exim of Debian 12 has no REQUIRETLS: the mail comes over TLS, untagged; a certificate that fails is a deferral",
		"the last line leaves the name unchecked, which an IP address in route_list needs; with a name there, write * instead of :"}}
}

// absolute is a path as another process sees it.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
