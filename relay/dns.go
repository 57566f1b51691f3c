package relay

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// DNS asks a validating resolver. What it says of DNSSEC (the AD bit, RFC 4035
// §3.2.3) counts only where the way to it can be trusted: it is on this
// machine, or the admin says so.
type DNS struct {
	Server  string        // "HOST:PORT" with an IP address; needed
	Trust   Trust         // whether its AD bit is believed beyond loopback
	Timeout time.Duration // of one question; 0 is 5 s. Each is asked twice
}

// Trust says whose word on DNSSEC is believed.
type Trust uint8

const (
	TrustLoopback Trust = iota // only a resolver on this machine
	TrustServer                // this one, wherever it is: the way there is protected
)

var _ Resolver = (*DNS)(nil)

const (
	maxAliases  = 8    // RFC 7672 §2.1.3: a recursion limit
	maxAnswers  = 100  // records of one kind that are looked at
	payloadSize = 1232 // octets over UDP that are not fragmented
)

// Trusted says whether the AD bit of the resolver is believed.
func (d *DNS) Trusted() bool {
	if d.Trust == TrustServer {
		return true
	}
	at, err := netip.ParseAddrPort(d.Server)
	return err == nil && at.Addr().IsLoopback()
}

// MX implements [Resolver].
func (d *DNS) MX(ctx context.Context, domain string) (MXAnswer, error) {
	found, err := d.lookup(ctx, domain, dns.TypeMX)
	a := MXAnswer{Answer: found.Answer}
	for _, rr := range found.records {
		if mx, ok := rr.(*dns.MX); ok {
			a.Hosts = append(a.Hosts, MX{Host: bare(mx.Mx), Preference: mx.Preference})
		}
	}
	return a, err
}

// Addrs implements [Resolver]: IPv6 first, as RFC 6724 has it.
func (d *DNS) Addrs(ctx context.Context, host string) (a AddrAnswer, err error) {
	six, err6 := d.lookup(ctx, host, dns.TypeAAAA)
	four, err4 := d.lookup(ctx, host, dns.TypeA)
	switch {
	case err6 == nil && err4 == nil:
		a.Answer = Answer{Canonical: four.Canonical, Secure: six.Secure && four.Secure, NotFound: six.NotFound && four.NotFound}
	case err6 == nil && six.alone():
		a.Answer = six.Answer
	case err4 == nil && four.alone():
		a.Answer = four.Answer
	default:
		return a, errors.Join(err6, err4)
	}
	for _, rr := range append(six.records, four.records...) {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.AAAA:
			ip = rr.AAAA
		case *dns.A:
			ip = rr.A
		}
		if addr, ok := netip.AddrFromSlice(ip); ok {
			a.Addrs = append(a.Addrs, addr.Unmap())
		}
	}
	a.AliasSecure, err = d.aliasSecure(ctx, host, a.Answer)
	return a, err
}

// alone says whether the addresses of one family will do where those of the other
// cannot be had: many servers fail for AAAA where they are to say that there is none
// (RFC 4074 §4). Where they are proven they do not: a question that is made to fail
// takes nobody's TLSA records away (RFC 7672 §2.2.2).
func (f *found) alone() bool { return len(f.records) > 0 && !f.Secure }

// aliasSecure asks about the first alias alone where the whole chain is not
// proven (RFC 7672 §2.1.3).
func (d *DNS) aliasSecure(ctx context.Context, host string, a Answer) (bool, error) {
	switch {
	case a.Canonical == host || !d.Trusted():
		return false, nil
	case a.Secure:
		return true, nil
	}
	in, err := d.ask(ctx, host, dns.TypeCNAME)
	if err != nil {
		return false, err
	}
	return in.AuthenticatedData, nil
}

// TLSA implements [Resolver].
func (d *DNS) TLSA(ctx context.Context, name string) (TLSAAnswer, error) {
	found, err := d.lookup(ctx, name, dns.TypeTLSA)
	a := TLSAAnswer{Answer: found.Answer}
	for _, rr := range found.records {
		if t, ok := rr.(*dns.TLSA); ok {
			data, err := hex.DecodeString(t.Certificate)
			if err != nil {
				return a, fmt.Errorf("%w: TLSA of %s: %w", ErrLookup, name, err)
			}
			a.Records = append(a.Records, TLSA{t.Usage, t.Selector, t.MatchingType, data})
		}
	}
	return a, err
}

// TXT implements [Resolver].
func (d *DNS) TXT(ctx context.Context, name string) ([]string, error) {
	found, err := d.lookup(ctx, name, dns.TypeTXT)
	var texts []string
	for _, rr := range found.records {
		if t, ok := rr.(*dns.TXT); ok {
			texts = append(texts, strings.Join(t.Txt, ""))
		}
	}
	return texts, err
}

type found struct {
	Answer
	records []dns.RR
}

// lookup follows aliases to their end. One that is not proven takes the proof
// from all that comes behind it.
func (d *DNS) lookup(ctx context.Context, name string, kind uint16) (found, error) {
	f := found{Answer: Answer{Canonical: name, Secure: d.Trusted()}}
	for range maxAliases {
		in, err := d.ask(ctx, f.Canonical, kind)
		if err != nil {
			return f, err
		}
		f.Secure = f.Secure && in.AuthenticatedData
		start := f.Canonical
		f.follow(in.Answer)
		f.NotFound = in.Rcode == dns.RcodeNameError
		f.collect(in.Answer, kind)
		if len(f.records) > 0 || f.Canonical == start || f.NotFound || in.Rcode == dns.RcodeSuccess && hasSOA(in.Ns) {
			return f, nil
		}
	}
	return f, fmt.Errorf("%w: %s: too many aliases", ErrLookup, name)
}

// follow walks the aliases that an answer has.
func (f *found) follow(answer []dns.RR) {
	for range maxAliases {
		next := ""
		for _, rr := range answer {
			if c, ok := rr.(*dns.CNAME); ok && bare(c.Hdr.Name) == f.Canonical {
				next = bare(c.Target)
			}
		}
		if next == "" {
			return
		}
		f.Canonical = next
	}
}

func (f *found) collect(answer []dns.RR, kind uint16) {
	for _, rr := range answer {
		if h := rr.Header(); h.Rrtype == kind && bare(h.Name) == f.Canonical && len(f.records) < maxAnswers {
			f.records = append(f.records, rr)
		}
	}
}

// hasSOA says that the absence of records was stated for the end of the chain
// (RFC 2308 §2.2).
func hasSOA(authority []dns.RR) bool {
	for _, rr := range authority {
		if rr.Header().Rrtype == dns.TypeSOA {
			return true
		}
	}
	return false
}

// ask puts one question, twice where there is no answer, and over TCP where
// the answer was cut (RFC 7766 §5).
func (d *DNS) ask(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), kind)
	q.SetEdns0(payloadSize, true)
	q.AuthenticatedData = true // RFC 6840 §5.7: tell us
	var err error
	for range 2 {
		var in *dns.Msg
		if in, err = d.exchange(ctx, "udp", q); err == nil && in.Truncated {
			in, err = d.exchange(ctx, "tcp", q)
		}
		if err == nil {
			return in, nil
		}
		if ctx.Err() != nil || errors.Is(err, errRcode) {
			break
		}
	}
	return nil, fmt.Errorf("%w: %s %s: %w", ErrLookup, dns.TypeToString[kind], name, err)
}

var errRcode = errors.New("the resolver says")

func (d *DNS) exchange(ctx context.Context, network string, q *dns.Msg) (*dns.Msg, error) {
	timeout := cmp.Or(d.Timeout, 5*time.Second)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := &dns.Client{Net: network, Timeout: timeout, UDPSize: payloadSize}
	in, _, err := c.ExchangeContext(ctx, q, d.Server)
	switch {
	case err != nil:
		return nil, err
	case len(in.Question) != 1 || !strings.EqualFold(in.Question[0].Name, q.Question[0].Name) || in.Question[0].Qtype != q.Question[0].Qtype:
		return nil, errors.New("the answer is to another question")
	case in.Rcode != dns.RcodeSuccess && in.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("%w %s", errRcode, dns.RcodeToString[in.Rcode])
	}
	return in, nil
}

// bare is a name as ours are: lower case, without the last dot; "" is the root.
func bare(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }
