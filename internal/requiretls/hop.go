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

// Clearance permits sending one message over one hop. Only [Demand.Clear],
// [Demand.ClearAt] and [Demand.ClearBounce] make one.
type Clearance struct {
	hop     *Hop
	option  bool
	redact  bool
	lowered bool
}

// For says whether the clearance was made for this very hop.
func (c Clearance) For(h *Hop) bool { return c.hop != nil && c.hop == h }

// RequireTLS says whether MAIL FROM carries the REQUIRETLS option.
func (c Clearance) RequireTLS() bool { return c.option }

// Redacted says whether only the redacted form of the bounce may go (RFC 8689
// §5): no subject, no header of the original.
func (c Clearance) Redacted() bool { return c.redact }

// Lowered says whether the message goes under less than it demands, since the
// admin set a [Level] below [Enforce] for where it goes: for the log.
func (c Clearance) Lowered() bool { return c.lowered }

// Level is what the admin wants of the way to a destination. Its words are
// Postfix's (smtp_requiretls_policy). Below [Enforce] required mail leaves with
// less than RFC 8689 §4.2.1 demands: for destinations that the admin answers for
// in another way, and that the mail would not reach otherwise.
type Level uint8

const (
	Enforce               Level = iota // all of §4.2.1
	OpportunisticStartTLS              // TLS, proven or not
	Opportunistic                      // TLS where offered
)

// String is the level's word.
func (l Level) String() string {
	return [...]string{"enforce", "opportunistic+starttls", "opportunistic", "unknown"}[min(l, Opportunistic+1)]
}

var errNotStated = errors.New("the demand of the message is not stated")

// Clear is the judge of sending (RFC 8689 §4.2.1, §4.2.2). A refusal is
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

// ClearAt judges under a level: at [Enforce], and at one that nobody defined, as
// [Demand.Clear] does. Below it a required message takes its option along
// wherever that is offered inside TLS, proven or not: the next host upholds it
// from there on.
func (d Demand) ClearAt(l Level, h *Hop) (Clearance, error) {
	c, err := d.Clear(h)
	if err == nil || !d.IsRequired() || l != OpportunisticStartTLS && l != Opportunistic {
		return c, err
	}
	if l == OpportunisticStartTLS {
		switch {
		case h.Encrypted == No:
			return Clearance{}, reply.NoVerifiedTLS
		case h.Encrypted != Yes, h.Offered == Unknown:
			return Clearance{}, reply.FactsMissing
		}
	}
	return Clearance{hop: h, option: h.Encrypted == Yes && h.Offered == Yes, lowered: true}, nil
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
