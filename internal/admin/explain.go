package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// ExplainQuery names a stored message. With a domain it is also asked whether it
// could be forwarded to there, which asks that domain's hosts.
type ExplainQuery struct {
	Address string `json:"address"`
	Mailbox string `json:"mailbox"`
	UID     uint32 `json:"uid"`
	Domain  string `json:"domain,omitempty"`
}

// Explanation says how a message came, who may read it, and where it may go
// (RFC 8689).
type Explanation struct {
	Address  string    `json:"address"`
	Mailbox  string    `json:"mailbox"`
	UID      uint32    `json:"uid"`
	Size     int64     `json:"size"` // octets
	Received time.Time `json:"received"`
	Saved    time.Time `json:"saved"`
	Demand   string    `json:"demand"` // usual, required, waived
	TLS      string    `json:"tls"`    // "TLS 1.3", or "none"
	Cipher   string    `json:"cipher,omitempty"`
	Peer     string    `json:"peer,omitempty"` // who handed it over; empty: it was not delivered

	ServerPolicy  string     `json:"server_policy"`  // tls, bound, local
	AccountPolicy string     `json:"account_policy"` // inherit, tls, bound
	Policy        string     `json:"policy"`         // the stricter of both
	Readers       []ReaderOf `json:"readers"`        // best protected first

	Sending string `json:"sending"` // what its demand asks of every next host
	Way     *Way   `json:"way,omitempty"`
}

// ReaderOf is one class of sessions, and whether it may read the message.
type ReaderOf struct {
	Class   string `json:"class"`
	Session string `json:"session"` // what the class means, for people
	May     bool   `json:"may"`
}

// Explain implements [Operations].
func (d *Desk) Explain(ctx context.Context, in ExplainQuery) (Explanation, error) {
	p, err := d.person(ctx, in.Address)
	if err != nil {
		return Explanation{}, err
	}
	row, err := d.storedRow(ctx, p, in)
	if err != nil {
		return Explanation{}, err
	}
	policy := p.Policy(d.opt.Release)
	e := Explanation{
		Address: p.Address.String(), Mailbox: in.Mailbox, UID: in.UID, Size: row.Size, Received: row.InternalDate, Saved: row.SaveDate,
		Demand: row.Demand.String(), TLS: "none", Peer: row.Peer,
		ServerPolicy: policyWord(d.opt.Release), AccountPolicy: releaseOf(p).Policy, Policy: policyWord(policy),
		Readers: readersOf(row.Demand, policy), Sending: sendingOf(row.Demand),
	}
	if row.TLSVersion != 0 {
		e.TLS, e.Cipher = tls.VersionName(row.TLSVersion), tls.CipherSuiteName(row.TLSCipher)
	}
	if in.Domain != "" {
		way, err := d.route(ctx, in.Domain, row.Demand)
		if err != nil {
			return Explanation{}, err
		}
		e.Way = &way
	}
	return e, nil
}

// storedRow finds the message.
func (d *Desk) storedRow(ctx context.Context, p storage.Person, in ExplainQuery) (storage.Row, error) {
	account := d.opt.Store.Account(p.ID)
	box, err := account.Mailbox(ctx, in.Mailbox)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.Row{}, refuse("mailboxes are named as in IMAP: INBOX, Sent, Lists/go", "%s has no mailbox %q", p.Address, in.Mailbox)
	}
	if err != nil {
		return storage.Row{}, fmt.Errorf("mailbox %q of %s: %w", in.Mailbox, p.Address, err)
	}
	rows, err := account.Rows(ctx, box.ID, []storage.UID{storage.UID(in.UID)})
	if err != nil {
		return storage.Row{}, fmt.Errorf("message %d of %s, %s: %w", in.UID, p.Address, box.Name, err)
	}
	if len(rows) == 0 {
		return storage.Row{}, refuse(fmt.Sprintf("the next one to come gets UID %d", box.UIDNext), "%s, %s has no message with UID %d", p.Address, box.Name, in.UID)
	}
	return rows[0], nil
}

// sessions are the classes of readers, best protected first, and a reader of
// each.
var sessions = []struct {
	reader requiretls.Reader
	means  string
}{
	{requiretls.Reader{TLS: true, Bound: true}, "TLS, and the login proved that nobody sits in between"},
	{requiretls.Reader{TLS: true}, "TLS"},
	{requiretls.Reader{ProxiedTLS: true}, "TLS up to a trusted proxy"},
	{requiretls.Reader{Local: true}, "on this machine, without TLS"},
	{requiretls.Reader{}, "in clear"},
}

func readersOf(demand requiretls.Demand, policy requiretls.Policy) (all []ReaderOf) {
	for _, s := range sessions {
		_, err := demand.Release(s.reader, policy)
		all = append(all, ReaderOf{s.reader.Class().String(), s.means, err == nil})
	}
	return all
}

// sendingOf is what RFC 8689 §4.2 asks of whoever sends the message on.
func sendingOf(demand requiretls.Demand) string {
	switch {
	case demand.IsRequired():
		return "only to hosts that prove who they are inside TLS and offer REQUIRETLS there"
	case demand.IsWaived():
		return "to any host: TLS is tried, and delivery matters more (TLS-Required: No)"
	case demand.Stated():
		return "as is usual for the domain: TLS where it is offered, and proven where a policy or the config says so"
	}
	return "to nobody: its demand cannot be read"
}

// policyWord is the word of the config for a policy.
func policyWord(p requiretls.Policy) string {
	switch p {
	case requiretls.PolicyBound:
		return "bound"
	case requiretls.PolicyLocal:
		return "local"
	}
	return "tls"
}
