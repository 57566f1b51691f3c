package config

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Relay is what [relay] says.
type Relay struct {
	Mode string // RelayOff, RelaySmarthost or RelayMX

	Smarthost    string        // "HOST" or "HOST:PORT"; without a port 587
	TLS          string        // StartTLS or ImplicitTLS
	User         string        // "": no login
	PasswordFile string        // its first line is the password
	Pins         [][]byte      // SHA-256 of certificates or public keys
	Level        string        // LevelEnforce, LevelStartTLS or LevelOpportunistic: what usual mail wants of the smarthost
	RequireTLS   string        // one of these: what tagged mail wants of any next hop
	Destinations []Destination // which have levels of their own
	Sender       string        // SenderKeep, SenderSRS or SenderOwner
	DKIM         []DKIM

	CA            string     // PEM file; "": the system's
	Resolver      string     // "HOST:PORT", HOST an address; "": the machine's
	TrustResolver bool       // its word on DNSSEC is believed though it is another machine
	Bind          netip.Addr // to send from; zero: any

	Lifetime       time.Duration // how long mail is tried
	DelayNotice    time.Duration // after which the sender is told; 0: never
	FirstRetry     time.Duration
	LastRetry      time.Duration
	Concurrency    int64 // letters on their way at once
	PerDestination int64 // and to one destination; 0: 5, to a smarthost 20
}

// Host is the smarthost's name or address and its port; "" is not said.
func (c *Relay) Host() (host, port string) {
	host, port, err := net.SplitHostPort(c.Smarthost)
	if err != nil {
		return strings.Trim(c.Smarthost, "[]"), ""
	}
	return host, port
}

// Destination is a domain with levels of its own.
type Destination struct {
	Domain     string
	Level      string // "": as for all
	RequireTLS string // "": as for all
}

// DKIM is a key that signs what we originate (RFC 6376).
type DKIM struct {
	Domain   string
	Selector string
	Key      string // PEM file
}

// What the settings of [relay] that are one word may say.
const (
	RelayOff       = "off"
	RelaySmarthost = "smarthost"
	RelayMX        = "mx"

	StartTLS    = "starttls"
	ImplicitTLS = "implicit"

	LevelEnforce       = "enforce"
	LevelStartTLS      = "opportunistic+starttls"
	LevelOpportunistic = "opportunistic"

	SenderKeep  = "keep"
	SenderSRS   = "srs"
	SenderOwner = "owner"
)

func defaultRelay() Relay {
	return Relay{
		Mode: RelayOff, TLS: StartTLS, Level: LevelEnforce, RequireTLS: LevelEnforce, Sender: SenderKeep,
		Lifetime: 5 * 24 * time.Hour, DelayNotice: 4 * time.Hour, FirstRetry: 5 * time.Minute, LastRetry: 4 * time.Hour,
		Concurrency: 50,
	}
}

// relaySettings are the keys of [relay].
func relaySettings() map[string]setting {
	levels := oneOf(LevelEnforce, LevelStartTLS, LevelOpportunistic)
	return map[string]setting{
		"relay":                        table,
		"relay.mode":                   text(func(r *reading) *string { return &r.cfg.Relay.Mode }, oneOf(RelayOff, RelaySmarthost, RelayMX)),
		"relay.smarthost":              text(func(r *reading) *string { return &r.cfg.Relay.Smarthost }, smarthost),
		"relay.tls":                    text(func(r *reading) *string { return &r.cfg.Relay.TLS }, oneOf(StartTLS, ImplicitTLS)),
		"relay.user":                   text(func(r *reading) *string { return &r.cfg.Relay.User }, anything),
		"relay.password_file":          text(func(r *reading) *string { return &r.cfg.Relay.PasswordFile }, anything),
		"relay.pins":                   pins,
		"relay.level":                  text(func(r *reading) *string { return &r.cfg.Relay.Level }, levels),
		"relay.requiretls":             text(func(r *reading) *string { return &r.cfg.Relay.RequireTLS }, levels),
		"relay.sender":                 text(func(r *reading) *string { return &r.cfg.Relay.Sender }, oneOf(SenderKeep, SenderSRS, SenderOwner)),
		"relay.destination":            sections(beginDestination, endDestination),
		"relay.destination.domain":     text(func(r *reading) *string { return &r.destination.Domain }, domain),
		"relay.destination.level":      text(func(r *reading) *string { return &r.destination.Level }, levels),
		"relay.destination.requiretls": text(func(r *reading) *string { return &r.destination.RequireTLS }, levels),
		"relay.dkim":                   sections(func(r *reading) { r.dkim = &DKIM{} }, endDKIM),
		"relay.dkim.domain":            text(func(r *reading) *string { return &r.dkim.Domain }, domain),
		"relay.dkim.selector":          text(func(r *reading) *string { return &r.dkim.Selector }, selector),
		"relay.dkim.key":               text(func(r *reading) *string { return &r.dkim.Key }, notEmptyFile),
		"relay.ca":                     text(func(r *reading) *string { return &r.cfg.Relay.CA }, anything),
		"relay.resolver":               text(func(r *reading) *string { return &r.cfg.Relay.Resolver }, resolver),
		"relay.trust_resolver":         truth(func(r *reading) *bool { return &r.cfg.Relay.TrustResolver }),
		"relay.bind":                   bind,
		"relay.lifetime":               duration(func(r *reading) *time.Duration { return &r.cfg.Relay.Lifetime }, between(time.Minute, 30*24*time.Hour)),
		"relay.delay_notice":           duration(func(r *reading) *time.Duration { return &r.cfg.Relay.DelayNotice }, between(0, 30*24*time.Hour)),
		"relay.first_retry":            duration(func(r *reading) *time.Duration { return &r.cfg.Relay.FirstRetry }, between(time.Second, 24*time.Hour)),
		"relay.last_retry":             duration(func(r *reading) *time.Duration { return &r.cfg.Relay.LastRetry }, between(time.Second, 24*time.Hour)),
		"relay.concurrency":            number(func(r *reading) *int64 { return &r.cfg.Relay.Concurrency }, within(1, 1000)),
		"relay.per_destination":        number(func(r *reading) *int64 { return &r.cfg.Relay.PerDestination }, within(0, 1000)),
	}
}

func beginDestination(r *reading) { r.destination = &Destination{} }

func endDestination(r *reading, key string, nth int, given map[string]any) {
	if given["domain"] == nil {
		r.blame(wrong(`write domain = "example.net"`, "a destination without domain"), key, nth)
		return
	}
	r.destination.Domain = strings.ToLower(r.destination.Domain)
	r.cfg.Relay.Destinations = append(r.cfg.Relay.Destinations, *r.destination)
}

func endDKIM(r *reading, key string, nth int, given map[string]any) {
	for _, name := range []string{"domain", "selector", "key"} {
		if given[name] == nil {
			r.blame(wrong("a key to sign with has domain, selector and key", "without %s", name), key, nth)
			return
		}
	}
	r.dkim.Domain = strings.ToLower(r.dkim.Domain)
	r.cfg.Relay.DKIM = append(r.cfg.Relay.DKIM, *r.dkim)
}

// selector names a key in DNS: SELECTOR._domainkey.DOMAIN (RFC 6376 §3.1).
func selector(s string) *Error {
	if isHostname(s) {
		return nil
	}
	return wrong(`write the name that stands before ._domainkey in DNS, such as "mail2026"`, "%s is no selector", quote(s))
}

func notEmptyFile(s string) *Error {
	if s == "" {
		return wrong("name a file", "empty")
	}
	return nil
}

// relay checks what belongs together.
func (r *reading) relay() {
	c := &r.cfg.Relay
	switch {
	case c.Mode == RelaySmarthost && c.Smarthost == "" && !r.blamed("relay.smarthost"):
		r.blame(wrong(`name it: smarthost = "mail.example.org:587"`, "a smarthost is wanted and none is named"), "relay.mode", 0)
	case c.Mode == RelayMX && c.Smarthost != "":
		r.blame(wrong(`leave it out, or set mode = "smarthost"`, "in mode \"mx\" mail goes straight to its recipients' hosts"), "relay.smarthost", 0)
	case c.Mode == RelayMX && c.Resolver == "" && !r.blamed("relay.resolver"):
		r.blame(wrong(`name a resolver that checks DNSSEC: resolver = "127.0.0.1:53"`, "mode \"mx\" needs a resolver"), "relay.mode", 0)
	}
	r.together("relay.user", c.User, "relay.password_file", c.PasswordFile, "set both, or neither where the smarthost wants no login")
	if c.FirstRetry > c.LastRetry {
		r.blame(wrong("last_retry is the longest wait between two tries", "longer than last_retry"), "relay.first_retry", 0)
	}
	if c.Lifetime < c.FirstRetry {
		r.blame(wrong("mail is given up after its lifetime", "shorter than first_retry: nothing would be tried twice"), "relay.lifetime", 0)
	}
}

// smarthost is HOST or HOST:PORT; HOST is a name or an address.
func smarthost(s string) *Error {
	const way = `write "mail.example.org" or "mail.example.org:587"; an IPv6 address goes in brackets: "[2001:db8::1]:587"`
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), "587"
	}
	if _, err := netip.ParseAddr(host); s != "" && err != nil && !isHostname(host) {
		return wrong(way, "%s is no host", quote(s))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return wrong(way, "%s has no port", quote(s))
	}
	return nil
}

// resolver is ADDRESS:PORT: a name could not be looked up without one.
func resolver(s string) *Error {
	if at, err := netip.ParseAddrPort(s); s != "" && (err != nil || at.Port() == 0) {
		return wrong(`write an address and a port: "127.0.0.1:53", "[::1]:53"`, "%s is no resolver", quote(s))
	}
	return nil
}

func bind(r *reading, _ string, value any) *Error {
	s, e := asText(value)
	if e != nil || s == "" {
		return e
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return wrong(`write an address of this machine, such as "192.0.2.7"`, "%s is no address", quote(s))
	}
	r.cfg.Relay.Bind = addr.Unmap()
	return nil
}

// pins are SHA-256 sums in hexadecimal, with the colons that openssl writes or
// without.
func pins(r *reading, _ string, value any) *Error {
	list, e := asList(value)
	if e != nil {
		return e
	}
	var sums [][]byte
	for _, s := range list {
		sum, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(s), "sha256:"), ":", ""))
		if err != nil || len(sum) != 32 {
			return wrong("write the SHA-256 of the certificate: openssl x509 -noout -fingerprint -sha256 -in cert.pem", "%s is no SHA-256 sum of 64 hexadecimal digits", quote(s))
		}
		sums = append(sums, sum)
	}
	r.cfg.Relay.Pins = sums
	return nil
}
