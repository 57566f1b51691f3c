package requiretls

import (
	"fmt"

	"letterlock/internal/reply"
)

// Demand is what the sender asked of everybody who handles the message
// (RFC 8689 §4.1). It cannot be lowered. The zero Demand is "not stated":
// nothing may be sent or read under it.
type Demand struct{ kind kind }

type kind byte

// The numbers are what [Demand.Byte] writes to disk: they never change.
const (
	notStated kind = 0
	usual     kind = 1
	required  kind = 2
	waived    kind = 3
)

// Usual demands nothing beyond what is usual.
func Usual() Demand { return Demand{usual} }

// Required demands verified TLS on every hop and TLS for the reader: the
// REQUIRETLS option (RFC 8689 §2).
func Required() Demand { return Demand{required} }

// Waived says that delivery matters more than TLS: "TLS-Required: No"
// (RFC 8689 §3).
func Waived() Demand { return Demand{waived} }

// Stated says whether a demand was ever made out. A message whose demand is
// not stated is parked, never sent and never shown.
func (d Demand) Stated() bool { return d.kind != notStated }

// IsRequired says whether the message carries REQUIRETLS: for badges, the
// Received field and the log. Decisions are [Demand.Clear] and [Demand.Release].
func (d Demand) IsRequired() bool { return d.kind == required }

// IsWaived says whether the message carries "TLS-Required: No".
func (d Demand) IsWaived() bool { return d.kind == waived }

// Raise is the demand of a copy whose handler asks for REQUIRETLS.
func (d Demand) Raise() Demand {
	if d.kind == notStated {
		return d
	}
	return Required()
}

// Agree joins two records of one message's demand. Where they disagree, or one
// cannot be read, the message is treated as required.
func Agree(a, b Demand) Demand {
	if a == b {
		return a
	}
	return Required()
}

// Byte is the form that goes to disk.
func (d Demand) Byte() byte { return byte(d.kind) }

// DemandFromByte reads what [Demand.Byte] wrote. What it does not know stays
// not stated, and the error says so.
func DemandFromByte(b byte) (Demand, error) {
	switch k := kind(b); k {
	case usual, required, waived:
		return Demand{k}, nil
	}
	return Demand{}, fmt.Errorf("stored demand %#02x is not known", b)
}

// String is the word for logs: "usual", "required", "waived", "not stated".
func (d Demand) String() string {
	switch d.kind {
	case usual:
		return "usual"
	case required:
		return "required"
	case waived:
		return "waived"
	}
	return "not stated"
}

// Arrival is what we saw of a message coming in.
type Arrival struct {
	OverTLS       bool // the session itself uses TLS, ended by us
	Param         bool // MAIL FROM carried REQUIRETLS
	TrustedHeader bool // "Require-TLS-ESMTP: yes" from a peer whose header we were told to trust
	HeaderNo      bool // exactly one TLS-Required field, and it says No (RFC 8689 §3)
}

// Demand judges the arrival. The option is valid inside TLS alone (RFC 8689
// §2): outside it is refused with [reply.NeedsTLS]. With the option given the
// header is ignored (§4.1); without it the header counts. A trusted header
// only raises.
func (a Arrival) Demand() (Demand, error) {
	switch {
	case a.Param && !a.OverTLS:
		return Demand{}, reply.NeedsTLS
	case a.Param, a.TrustedHeader:
		return Required(), nil
	case a.HeaderNo:
		return Waived(), nil
	}
	return Usual(), nil
}
