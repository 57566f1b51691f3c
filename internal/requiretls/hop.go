package requiretls

import (
	"errors"

	"letterlock/internal/reply"
)

// Fact is something learnt about a next hop. Its zero value is not a no: an
// unknown fact makes a temporary failure, never a permanent one.
type Fact uint8

const (
	Unknown Fact = iota
	No
	Yes
)

// String is the word for logs.
func (f Fact) String() string { return [...]string{"unknown", "no", "yes"}[min(f, Yes)] }

// Hop is what the relay learnt of a next hop. It gathers; it never decides.
type Hop struct {
	Name       string // the host, for the log
	Smarthost  bool   // configured by the admin, not "identified through an MX record lookup" (RFC 8689 §2)
	Encrypted  Fact   // TLS is up
	CertProven Fact   // the certificate was verified, by chain and name or by DANE (§4.2.1 step 4)
	MXProven   Fact   // the host's name came by DNSSEC or matches an MTA-STS policy in mode enforce (§4.2.1 step 2)
	Offered    Fact   // the EHLO after TLS lists REQUIRETLS (§4.2.1 step 5)
}

// Clearance permits sending one message over one hop. Only [Demand.Clear] and
// [Demand.ClearBounce] make one.
type Clearance struct {
	hop    *Hop
	option bool
	redact bool
}

// For says whether the clearance was made for this very hop.
func (c Clearance) For(h *Hop) bool { return c.hop != nil && c.hop == h }

// RequireTLS says whether MAIL FROM carries the REQUIRETLS option.
func (c Clearance) RequireTLS() bool { return c.option }

// Redacted says whether only the redacted form of the bounce may go (RFC 8689
// §5): no subject, no header of the original.
func (c Clearance) Redacted() bool { return c.redact }

var errNotStated = errors.New("the demand of the message is not stated")

// Clear is the only judge of sending (RFC 8689 §4.2.1, §4.2.2). A refusal is
// permanent where a fact is known to fail ([reply.NoVerifiedTLS],
// [reply.NoRequireTLS]: try the next host) and temporary where it is not known
// ([reply.FactsMissing]).
func (d Demand) Clear(h *Hop) (Clearance, error) {
	switch d.kind {
	case usual, waived: // §4.2.2: tried, never demanded
		return Clearance{hop: h}, nil
	case required:
		if err := h.protects(); err != nil {
			return Clearance{}, err
		}
		return Clearance{hop: h, option: true}, nil
	}
	return Clearance{}, reply.LocalError.Because(errNotStated)
}

// ClearBounce judges mail with an empty return path. A bounce is never
// discarded for want of protection: it carries the option where the hop has
// proven everything, and is redacted where it lacks anything (RFC 8689 §5). A
// fact that is not known yet is still worth another try.
func (d Demand) ClearBounce(h *Hop) (Clearance, error) {
	c, err := d.Clear(h)
	if e := reply.From(err); e != nil && e.Class == reply.Permanent {
		return Clearance{hop: h, redact: true}, nil
	}
	return c, err
}

// protects walks §4.2.1 steps 2 to 5. Known failures come before unknown facts.
func (h *Hop) protects() error {
	mx := h.MXProven
	if h.Smarthost {
		mx = Yes // §2: the MX rule is for hosts identified through an MX lookup
	}
	switch {
	case h.Encrypted == No, h.CertProven == No, mx == No:
		return reply.NoVerifiedTLS
	case h.Offered == No:
		return reply.NoRequireTLS
	case h.Encrypted != Yes, h.CertProven != Yes, mx != Yes, h.Offered != Yes:
		return reply.FactsMissing
	}
	return nil
}
