package relay

import (
	"context"
	"errors"
	"net/netip"
)

// Resolver answers from DNS, and says of each answer whether DNSSEC proved it.
// A name that is not there, or has no such records, is an answer and not an
// error; errors are failures to find out: SERVFAIL (which is what a validating
// resolver says of a bogus zone), timeouts, nonsense. They are all temporary
// (RFC 7672 §2.1.2).
//
// Names go in and come out as A-labels, lower case, without the last dot.
type Resolver interface {
	MX(ctx context.Context, domain string) (MXAnswer, error)
	Addrs(ctx context.Context, host string) (AddrAnswer, error)
	TLSA(ctx context.Context, name string) (TLSAAnswer, error)
	TXT(ctx context.Context, name string) ([]string, error) // each record's strings joined
}

// Answer is what all answers say.
type Answer struct {
	Canonical string // the name at the end of the chain of aliases; the name asked for where it is none
	Secure    bool   // the whole chain and the records, or their absence, are proven by DNSSEC
	NotFound  bool   // there is no such name (RFC 8020)
}

// MXAnswer lists mail exchangers as they stand, unsorted.
type MXAnswer struct {
	Answer
	Hosts []MX
}

// MX is one mail exchanger. The host "" is the null MX (RFC 7505).
type MX struct {
	Host       string
	Preference uint16
}

// AddrAnswer lists the addresses of a host. Secure speaks of both families.
type AddrAnswer struct {
	Answer
	Addrs []netip.Addr
	// AliasSecure says that the host is an alias and that its own record is
	// proven, even where what comes behind it is not (RFC 7672 §2.2.2).
	AliasSecure bool
}

// TLSAAnswer lists TLSA records as they stand.
type TLSAAnswer struct {
	Answer
	Records []TLSA
}

// TLSA is one record (RFC 6698 §2.1).
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// ErrLookup is a failure to find something out in DNS.
var ErrLookup = errors.New("DNS lookup failed")
