package serve

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Endpoint is one place to listen at: "HOST:PORT", "tls:HOST:PORT" (TLS from
// the start) or "unix:PATH".
type Endpoint struct {
	Network     string         // "tcp" or "unix"
	Address     string         // HOST:PORT or the path of the socket
	ImplicitTLS bool           // TLS from the start (RFC 8314 §3); otherwise STARTTLS
	Allow       []netip.Prefix // who may connect over TCP, behind a proxy which proxies may; empty: everybody
	ClientCA    string         // PEM file; set: TLS is demanded, with a client certificate one of these CAs has signed
	Proxy       bool           // every connection begins with a PROXY header, before TLS; see Proxies
}

// ParseEndpoint reads the form of the config file. Port 0 is any free one.
func ParseEndpoint(s string) (Endpoint, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return Endpoint{}, hint(fmt.Errorf("%q names no socket", s), "write unix:PATH, such as unix:/run/letterlock/lmtp.sock")
		}
		return Endpoint{Network: "unix", Address: path}, nil
	}
	address, implicit := strings.CutPrefix(s, "tls:")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return Endpoint{}, hint(fmt.Errorf("%q is no place to listen at", s), "write HOST:PORT, tls:HOST:PORT or unix:PATH; an IPv6 address goes in brackets: [::1]:143")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return Endpoint{}, hint(fmt.Errorf("%q: %q is no port", s, port), "ports are numbers from 0 (any free one) to 65535")
	}
	return Endpoint{Network: "tcp", Address: address, ImplicitTLS: implicit}, nil
}

// String is the form of the config file.
func (e Endpoint) String() string {
	switch {
	case e.Network == "unix":
		return "unix:" + e.Address
	case e.ImplicitTLS:
		return "tls:" + e.Address
	}
	return e.Address
}

// Check says what keeps a server from listening at the endpoint, as far as that
// can be told without binding it: nil is nothing. Whether a port is free it cannot
// tell.
func (e Endpoint) Check() error {
	if _, err := e.clientCAs(); err != nil || e.Network != "unix" {
		return err
	}
	if err := checkPath(e.Address); err != nil {
		return err
	}
	_, err := stale(e.Address)
	return err
}

// admits says whether somebody from addr may connect. An address that is not
// there is a UNIX socket's, whose file mode decides.
func (e Endpoint) admits(addr netip.Addr) bool {
	if len(e.Allow) == 0 || !addr.IsValid() {
		return true
	}
	return among(e.Allow, addr)
}

func among(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// clientCAs reads the file ClientCA names; nil where none is named.
func (e Endpoint) clientCAs() (*x509.CertPool, error) {
	if e.ClientCA == "" {
		return nil, nil
	}
	pool, err := ReadCAs(e.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("client CA: %w", err)
	}
	return pool, nil
}

// ReadCAs reads certificates of CAs, PEM. A file that has none, or whose last one is
// cut short since somebody is writing it, is an error.
func ReadCAs(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	switch {
	case !pool.AppendCertsFromPEM(text):
		return nil, hint(fmt.Errorf("no certificate in %s", file), "the file holds the CA's certificate in PEM, -----BEGIN CERTIFICATE-----")
	case bytes.Count(text, []byte("-----BEGIN ")) != bytes.Count(text, []byte("-----END ")):
		return nil, hint(fmt.Errorf("a certificate in %s is cut short", file), "write it beside the file, then rename it")
	}
	return pool, nil
}

// hinted is an error that knows the way out. Whoever prints it finds the hint
// through the method.
type hinted struct {
	error
	way string
}

func hint(err error, way string) error { return &hinted{err, way} }

func (h *hinted) Hint() string  { return h.way }
func (h *hinted) Unwrap() error { return h.error }
