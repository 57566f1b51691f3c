package mail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"letterlock/internal/requiretls"
)

// Outbound is one message on its way to one recipient elsewhere. It is born
// from an envelope ([Envelope.Redirect], [Envelope.Answer]) or from another
// Outbound ([Outbound.Bounce]), and so inherits what the sender demanded; the
// demand can be raised and never lowered (RFC 8689 §4.1, §6). One put together
// by hand has a demand that is not stated, and nobody sends it.
type Outbound struct {
	Slip
	demand requiretls.Demand
}

// Slip is all of an [Outbound] but its demand: plain values, for stores.
type Slip struct {
	Kind     Kind
	Origin   string    // the envelope it came of, for the log
	From     Address   // the reverse-path; zero is <>
	To       Address   // one recipient
	Source   Source    // where the octets are
	Prefix   []byte    // what we wrote: header fields ahead of the message's, or all of it
	Skip     int64     // octets left out at the start of the message: its header, where Prefix has an edited one
	Suffix   []byte    // what we wrote behind the message: the last boundary of a report that returns it whole
	Redacted []byte    // of a bounce for a required original: the form that may go without REQUIRETLS (RFC 8689 §5)
	SMTPUTF8 bool      // the message came with SMTPUTF8 and leaves with it, or needs it since we wrote it so (RFC 6531 §3.6)
	DSN      DSN       // what the sender asked to be told
	Created  time.Time // when it was made: the queue's lifetime counts from here
}

// Kind is why a message leaves.
type Kind uint8

const (
	Redirected Kind = iota // somebody else's message, sent on
	Answered               // ours, because of one that came: vacation, notification
	Bounced                // ours, about one that could not be delivered, was delayed or was delivered (RFC 3464)
	Reported               // ours, about TLS, to whoever asked for it (RFC 8460)
)

// String is the word for logs.
func (k Kind) String() string {
	return [...]string{"redirect", "answer", "bounce", "report", "unknown"}[min(k, Reported+1)]
}

// Source says where the octets of an [Outbound] are.
type Source uint8

const (
	FromBody Source = iota // Prefix, then the message from Skip on, then Suffix
	Own                    // Prefix alone
)

// DSN is what the sender asked to be told about one recipient (RFC 3461). Its
// zero value is what holds where nothing was asked: failures, and delays.
type DSN struct {
	Notify    Notify // NOTIFY
	Return    Return // RET
	EnvID     string // ENVID, out of its xtext; at most 100 octets
	ORcptType string // ORCPT's address type, such as "rfc822"; empty without ORCPT
	ORcpt     string // ORCPT's address, out of its xtext; at most 500 octets
}

// Notify is the set of events to be told of (RFC 3461 §4.1); zero is not
// stated.
type Notify uint8

const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// Wants says whether the sender is to be told of an event. Nothing stated
// means failures and delays (RFC 3461 §4.1: "MAY return a delay").
func (n Notify) Wants(event Notify) bool {
	if n == 0 {
		return event == NotifyFailure || event == NotifyDelay
	}
	return n&NotifyNever == 0 && n&event != 0
}

// Return is how much of the message a failure report returns (RFC 3461 §4.3).
type Return uint8

const (
	ReturnNotStated Return = iota
	ReturnHeaders
	ReturnFull
)

// Demand is what the sender asked of everybody who handles the message.
func (o *Outbound) Demand() requiretls.Demand { return o.demand }

// Raise asks REQUIRETLS for this copy. There is no way back.
func (o *Outbound) Raise() { o.demand = o.demand.Raise() }

// Redirect is how a message is sent on.
type Redirect struct {
	To     Address
	From   Address // rewritten sender (SRS, the owner); zero keeps the envelope's
	Prefix []byte  // header fields ahead of the message's own; CRLF lines
	Skip   int64   // see [Slip]
	DSN    DSN
}

// Redirect sends the message on to somebody else. A null sender stays null,
// whatever r says (RFC 5228 §4.2).
func (e *Envelope) Redirect(r Redirect) *Outbound {
	from := e.From
	if !from.IsNull() && !r.From.IsNull() {
		from = r.From
	}
	o := &Outbound{demand: e.Demand, Slip: Slip{
		Kind: Redirected, Origin: e.ID, From: from, To: r.To,
		Source: FromBody, Prefix: r.Prefix, Skip: r.Skip,
		SMTPUTF8: e.SMTPUTF8, Created: e.Received,
	}}
	o.Ask(r.DSN)
	return o
}

// Ask says what the sender is to be told of this copy. A required message is
// returned as if RET=HDRS had been asked (RFC 8689 §5).
func (o *Outbound) Ask(d DSN) {
	if o.demand.IsRequired() && d.Return == ReturnFull {
		d.Return = ReturnHeaders
	}
	o.DSN = d
}

// Answer is a message of ours about the one that came.
type Answer struct {
	Kind Kind    // Answered or Reported
	To   Address //
	From Address // zero is <>: RFC 3834 §3.3 and RFC 5230 §5.1 want it so
	Text []byte  // the whole message; CRLF lines
}

// Answer makes a message of ours because of the one that came. What was
// waived for that one is waived for this: "TLS-Required: No" is put into its
// header (RFC 8689 §6). Nobody is told of its fate (RFC 5230 §5.1:
// NOTIFY=NEVER).
func (e *Envelope) Answer(a Answer) *Outbound {
	return &Outbound{demand: e.Demand, Slip: Slip{
		Kind: a.Kind, Origin: e.ID, From: a.From, To: a.To,
		Source: Own, Prefix: waivedHeader(e.Demand, a.Text), SMTPUTF8: !a.To.ASCII() || !a.From.ASCII() || utf8Header(a.Text),
		DSN: DSN{Notify: NotifyNever}, Created: e.Received,
	}}
}

// Report is a delivery status notification about an [Outbound] (RFC 3464),
// ready to be sent.
type Report struct {
	Text     []byte    // the whole report, or with Whole what comes ahead of the message
	Suffix   []byte    // with Whole: what comes behind the message
	Whole    Whole     // whether the message itself is returned
	Redacted []byte    // the form without subject or header of the original; needed for a required one
	Now      time.Time // when it was made
}

// Whole says whether a report returns the message itself.
type Whole uint8

const (
	HeadersOnly Whole = iota
	WholeMessage
)

// Bounce makes the report about o, to its sender, from <>. It inherits the
// demand (RFC 8689 §5): "TLS-Required: No" is put into its header, and for a
// required original the message is never returned whole. There is no bounce
// for a message whose sender is null (RFC 5321 §4.5.5): ok is false, as it is
// where a required one lacks its redacted form.
func (o *Outbound) Bounce(r Report) (bounce *Outbound, ok bool) {
	if o.From.IsNull() || o.demand.IsRequired() && (len(r.Redacted) == 0 || r.Whole == WholeMessage) {
		return nil, false
	}
	b := &Outbound{demand: o.demand, Slip: Slip{
		Kind: Bounced, Origin: o.Origin, To: o.From,
		Source: Own, Prefix: waivedHeader(o.demand, r.Text), Redacted: r.Redacted,
		SMTPUTF8: o.SMTPUTF8 || !o.From.ASCII() || utf8Header(r.Text), DSN: DSN{Notify: NotifyNever}, Created: r.Now,
	}}
	if r.Whole == WholeMessage {
		b.Source, b.Suffix, b.Skip = FromBody, r.Suffix, o.Skip
	}
	return b, true
}

// utf8Header says whether the header of what we wrote is one of RFC 6532: a host
// has it only with SMTPUTF8.
func utf8Header(text []byte) bool {
	header, _, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	return !ascii(string(header))
}

func waivedHeader(d requiretls.Demand, text []byte) []byte {
	if !d.IsWaived() {
		return text
	}
	return append([]byte("TLS-Required: No\r\n"), text...) // RFC 8689 §3
}

// Plain is the form for a store: the slip, and the octet of the demand.
func (o *Outbound) Plain() (Slip, byte) { return o.Slip, o.demand.Byte() }

// ErrParked says that a row's demand cannot be read. It is kept and shown to
// the admin, and never sent.
var ErrParked = errors.New("parked: the demand of the message cannot be read")

// Outbound is what [Outbound.Plain] made plain. A demand that cannot be read
// is [ErrParked]; what comes back then names sender and recipient and can be
// sent by nobody.
func (s Slip) Outbound(demand byte) (*Outbound, error) {
	d, err := requiretls.DemandFromByte(demand)
	if err != nil {
		return &Outbound{Slip: s}, fmt.Errorf("%w: %w", ErrParked, err)
	}
	return &Outbound{Slip: s, demand: d}, nil
}

// Reader reads the octets that leave, and says how many they are. body is the
// message it came of; [Own] mail does not look at it. With redacted only what
// may go without protection is read.
func (o *Outbound) Reader(body Body, form Form) (io.Reader, int64) {
	switch {
	case form == RedactedForm:
		return bytes.NewReader(o.Redacted), int64(len(o.Redacted))
	case o.Source == Own || body == nil:
		return bytes.NewReader(o.Prefix), int64(len(o.Prefix))
	}
	rest := max(0, body.Size()-o.Skip)
	return io.MultiReader(bytes.NewReader(o.Prefix), io.NewSectionReader(body, o.Skip, rest), bytes.NewReader(o.Suffix)),
		int64(len(o.Prefix)) + rest + int64(len(o.Suffix))
}

// Form is which form of a message leaves.
type Form uint8

const (
	FullForm Form = iota
	RedactedForm
)
