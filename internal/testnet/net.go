package testnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
)

// Net is one small Internet. It is safe for concurrent use.
type Net struct {
	t  testing.TB
	CA *CA

	mu    sync.Mutex // guards all below
	ways  map[string]string
	last  netip.Addr
	last6 netip.Addr

	dns *dnsServer
	web *web
}

// New makes an Internet with nobody in it.
func New(t testing.TB) *Net {
	t.Helper()
	n := &Net{t: t, CA: sharedCA(t), ways: map[string]string{}, last: netip.MustParseAddr("192.0.2.0"), last6: netip.MustParseAddr("2001:db8::")}
	n.dns = newDNS(t)
	return n
}

// Resolver is the "HOST:PORT" of the resolver, on loopback.
func (n *Net) Resolver() string { return n.dns.addr }

// Addr gives out an address nobody has.
func (n *Net) Addr() netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = n.last.Next()
	return n.last
}

// Addr6 gives out an IPv6 address nobody has.
func (n *Net) Addr6() netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last6 = n.last6.Next()
	return n.last6
}

// Lead leads an address and port of this Internet to a listener on loopback.
func (n *Net) Lead(addr netip.Addr, port string, to net.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ways[net.JoinHostPort(addr.String(), port)] = to.String()
}

// Dial connects to an address of this Internet. Where nobody listens the
// connection is refused.
func (n *Net) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	to, ok := n.ways[addr]
	n.mu.Unlock()
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s: %w", addr, syscall.ECONNREFUSED)}
	}
	var d net.Dialer
	return d.DialContext(ctx, network, to)
}

// listen opens a listener that ends with the test.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
