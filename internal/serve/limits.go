package serve

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// crowd counts who is here.
type crowd struct {
	max, maxPerAddr int

	mu      sync.Mutex // guards all and perAddr
	all     int
	perAddr map[netip.Addr]int
}

// enter counts somebody from addr in, or says why not.
func (c *crowd) enter(addr netip.Addr) (refusal string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.max {
		return "too many connections"
	}
	if why := c.count(addr); why != "" {
		return why
	}
	c.all++
	return ""
}

// join counts somebody who is here already as one from addr, or says why not.
func (c *crowd) join(addr netip.Addr) (refusal string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count(addr)
}

// count is for whoever holds mu.
func (c *crowd) count(addr netip.Addr) (refusal string) {
	key, counted := household(addr)
	if !counted {
		return ""
	}
	if c.perAddr[key] >= c.maxPerAddr {
		return "too many connections from one address"
	}
	c.perAddr[key]++
	return ""
}

func (c *crowd) leave(addr netip.Addr) {
	c.part(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
}

// part counts somebody who stays no more as one from addr.
func (c *crowd) part(addr netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key, counted := household(addr); counted {
		if c.perAddr[key]--; c.perAddr[key] == 0 {
			delete(c.perAddr, key)
		}
	}
}

// rejoin counts somebody as one from addr again, whatever the limit.
func (c *crowd) rejoin(addr netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key, counted := household(addr); counted {
		c.perAddr[key]++
	}
}

// household is what one limit is for: an IPv4 address, or an IPv6 /64, which a
// single host has to itself. Ourselves are not counted: whole sites come
// through a proxy or an MTA on the same machine.
func household(addr netip.Addr) (netip.Addr, bool) {
	if !addr.IsValid() || addr.IsLoopback() {
		return addr, false
	}
	if addr.Is4() {
		return addr, true
	}
	p, err := addr.Prefix(64)
	return p.Addr(), err == nil
}

// noise is what any stranger can make us log: one line a second of it is
// enough, with how many were left out.
type noise struct {
	mu   sync.Mutex // guards last and kept
	last time.Time
	kept int
}

func (n *noise) say(log *slog.Logger, what string, args ...any) {
	n.mu.Lock()
	now := time.Now()
	if now.Sub(n.last) < time.Second {
		n.kept++
		n.mu.Unlock()
		return
	}
	kept := n.kept
	n.last, n.kept = now, 0
	n.mu.Unlock()
	log.Info(what, append(args, "others", kept)...)
}
