package serve

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"letterlock/internal/requiretls"
)

// Proxies are the load balancers in front of us: whose PROXY header (HAProxy's
// proxy-protocol.txt, versions 1 and 2) is believed at the endpoints that have
// Proxy set. Its zero value believes nobody but the peers of UNIX sockets, whose
// file mode says who they are.
//
// Every connection to such an endpoint begins with a header; one from anybody
// else is refused rather than served as a plain client: a proxy that is missing
// here would make each of its clients look like itself, on loopback even like a
// local one.
type Proxies struct {
	Trusted   []netip.Prefix
	AssumeTLS []netip.Prefix // of those, the ones that cannot say whether the client uses TLS, for which the admin promises it
	Wait      time.Duration  // how long a header may take to arrive; 0: 5 s
}

// ClientTLS is what a proxy says of the client's connection to it.
type ClientTLS uint8

const (
	TLSUnstated ClientTLS = iota // nothing: version 1, a version 2 header without the field, LOCAL, UNKNOWN
	TLSNone                      // that it has none, or one below TLS 1.2
	TLSAssumed                   // nothing, and [Proxies.AssumeTLS] holds
	TLSUsed                      // that it has TLS 1.2 or above
)

// Proxied is what a PROXY header said of a connection.
type Proxied struct {
	Proxy    netip.Addr // who said it; not valid: the peer of a UNIX socket
	TLS      ClientTLS
	Version  string // of the client's TLS as the proxy spells it, "TLSv1.3"; "" where it does not say
	Verified bool   // the client showed the proxy a certificate which that one verified
}

// reader is how the client behind the proxy is protected. It is never local.
//
// A proxy that speaks of the client's TLS has ended that TLS itself, so ours is
// with the proxy and says nothing of the client. Where it does not speak of it,
// it passes on what the client sends, and our TLS is the client's own.
func (p *Proxied) reader(ours bool) requiretls.Reader {
	switch p.TLS {
	case TLSUnstated:
		return requiretls.Reader{TLS: ours}
	case TLSAssumed, TLSUsed:
		return requiretls.Reader{ProxiedTLS: true}
	}
	return requiretls.Reader{}
}

// ClearHop is the trusted networks from which what a proxy sends to the
// endpoint can cross a network in clear, passwords and all: those that are not
// loopback, where the endpoint is neither a UNIX socket nor TLS from the start
// nor on loopback itself. The caller warns of them.
func (p Proxies) ClearHop(e Endpoint) []netip.Prefix {
	if !e.Proxy || e.Network == "unix" || e.ImplicitTLS || onLoopback(e.Address) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.Trusted), func(n netip.Prefix) bool {
		return n.Addr().Is4() && n.Bits() >= 8 && n.Addr().IsLoopback() || n.IsSingleIP() && n.Addr().IsLoopback()
	})
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// check says what endpoints cannot be.
func (p Proxies) check(e Endpoint) error {
	switch {
	case !e.Proxy:
		return nil
	case e.ClientCA != "":
		return hint(errors.New("a client certificate behind a proxy: nobody could tell whose it is"), "leave out client_ca, or let clients connect without the proxy")
	case e.Network != "unix" && len(p.Trusted) == 0:
		return hint(errors.New("PROXY headers, and no proxy to believe"), "name the proxies in proxy.trusted")
	}
	return nil
}

// believes says whether a header from addr counts; not valid: a UNIX socket's.
func (p Proxies) believes(addr netip.Addr) bool {
	return !addr.IsValid() || among(p.Trusted, addr)
}

// introduce reads the PROXY header of a connection whose peer is still the
// proxy, and makes the client its peer.
func (s *Server) introduce(c *Conn) error {
	if err := c.Conn.SetDeadline(time.Now().Add(s.opt.Proxies.Wait)); err != nil {
		return err
	}
	octets, err := readHeader(c.Conn)
	if err != nil {
		return err
	}
	said, err := parseHeader(octets)
	if err != nil {
		return err
	}
	if said.alpn != "" && len(s.opt.ALPN) > 0 && !slices.Contains(s.opt.ALPN, said.alpn) {
		return fmt.Errorf("the client speaks %q (ALPN)", said.alpn)
	}
	c.proxied = &Proxied{Proxy: c.peer, TLS: said.tls, Version: said.version, Verified: said.verified}
	if said.named && said.tls == TLSUnstated && among(s.opt.Proxies.AssumeTLS, c.peer) {
		c.proxied.TLS = TLSAssumed
	}
	if said.client.IsValid() {
		c.peer = said.client
	}
	return c.Conn.SetDeadline(time.Time{})
}

// greetProxy lets a connection to a Proxy endpoint say who it is for, and says
// whether to go on with it.
func (s *Server) greetProxy(c *Conn) bool {
	proxy := c.peer
	err := s.introduce(c)
	switch {
	case errors.Is(err, errNothing): // a health check that only connects
		return false
	case err != nil:
		s.badHeaders.Add(1)
		s.noise.say(s.opt.Log, "PROXY header refused", "conn", c.id, "proxy", proxy, "endpoint", c.endpoint.String(), "error", err)
		return false
	}
	if why := s.crowd.join(c.peer); why != "" {
		s.refuse(c.endpoint, c.peer, why)
		s.sayTooMany(c.endpoint, c.Conn)
		return false
	}
	c.counted = c.peer
	return true
}
