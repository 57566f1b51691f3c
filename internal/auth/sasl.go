package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
)

// Facts is what a connection brings to a login.
type Facts struct {
	Peer    string // address of whoever connects, for [Penalty]; anything else is no address and not slowed by it
	Private bool   // nobody can listen in: TLS of ours or of a proxy we trust, or an admin's word

	TLS         *tls.ConnectionState // ours; nil: it ends elsewhere, or there is none
	Certificate *x509.Certificate    // what we have shown in TLS; nil: no tls-server-end-point
	// NoBinding turns channel binding off. One TLS connection may use it for
	// one login alone (RFC 9266 §4.1): set it when that one is undone.
	NoBinding bool
}

// Outcome is who has logged in, and how well that is proven.
type Outcome struct {
	Account uint64
	Login   string // the name that was used
	// Bound: the login proved that nobody sits in the middle of the TLS
	// connection: by channel binding, or by a verified client certificate that
	// names this very account.
	Bound bool
}

// Exchange is the server's side of one login by SASL (RFC 4422 §3). One
// goroutine uses it, once.
type Exchange interface {
	// Next takes a response of the client, already decoded, and gives what to
	// answer. Without an outcome that is a challenge; its response goes into the
	// next Next. With one, the client has logged in; data that is not nil then
	// belongs to the success (RFC 4422 §3.6): a protocol that cannot send it
	// along sends it as a challenge and takes an empty response to it.
	//
	// All mechanisms here begin with the client: one that gave no initial
	// response is asked for it by an empty challenge. Errors are those of
	// [Checker.LogIn] and [ErrMalformed]; any ends the exchange.
	Next(ctx context.Context, response []byte) (data []byte, who *Outcome, err error)
	// Login is the name the client has given so far, for the log.
	Login() string
}

var (
	// ErrNoMechanism: there is no such mechanism, or nothing on this connection
	// that it could work with.
	ErrNoMechanism = errors.New("mechanism not offered")
	// ErrNotPrivate: it would do, were the connection encrypted.
	ErrNotPrivate = errors.New("mechanism needs an encrypted connection")
	// ErrTooWeak: the mechanism is known and the admin does not allow it.
	ErrTooWeak = errors.New("mechanism not allowed here")
	// ErrForeign: who it is has been proven, but not that they may act for the
	// one they named.
	ErrForeign error = refusal("may not act for somebody else")
	// ErrIntercepted: what the client says of the TLS connection does not fit
	// the one that we have: somebody may sit in between.
	ErrIntercepted error = refusal("channel binding does not fit this connection")
)

// mechanism is one way to log in.
type mechanism struct {
	name  string
	fits  func(Facts) bool // whether a private connection has what it takes
	begin func(*Checker, Facts) Exchange
}

// mechanisms are all there are, the strongest first.
var mechanisms = []mechanism{
	{"EXTERNAL", Facts.certified, beginExternal},
	{scramSHA256.plus().name(), Facts.bindable, scramSHA256.plus().begin},
	{scramSHA1.plus().name(), Facts.bindable, scramSHA1.plus().begin},
	{scramSHA256.name(), always, scramSHA256.begin},
	{scramSHA1.name(), always, scramSHA1.begin},
	{"PLAIN", always, beginPlain},
}

func always(Facts) bool { return true }

// Mechanisms are the names of all mechanisms, the strongest first.
func Mechanisms() []string {
	var names []string
	for _, m := range mechanisms {
		names = append(names, m.name)
	}
	return names
}

// Offer names the mechanisms to be offered on a connection, the strongest
// first; none where it is not private.
func (c *Checker) Offer(f Facts) (names []string) {
	for _, m := range mechanisms {
		if c.may(m, f) == nil {
			names = append(names, m.name)
		}
	}
	return names
}

// Begin starts a login by the mechanism of that name, in upper case. Errors:
// [ErrNoMechanism], [ErrNotPrivate], [ErrTooWeak].
func (c *Checker) Begin(name string, f Facts) (Exchange, error) {
	for _, m := range mechanisms {
		if m.name != name {
			continue
		}
		if err := c.may(m, f); err != nil {
			return nil, err
		}
		return m.begin(c, f), nil
	}
	return nil, ErrNoMechanism
}

func (c *Checker) may(m mechanism, f Facts) error {
	switch {
	case c.Allowed != nil && !slices.Contains(c.Allowed, m.name):
		return ErrTooWeak
	case !f.Private:
		return ErrNotPrivate
	case !m.fits(f):
		return ErrNoMechanism
	}
	return nil
}

// actFor says whether who, whose proof is complete, is also who they want to
// act as: only other names of the same account will do.
func (c *Checker) actFor(ctx context.Context, who *Outcome, authzid string) error {
	if authzid == "" || authzid == who.Login {
		return nil
	}
	account, _, err := c.users.Credentials(ctx, authzid)
	switch {
	case err != nil && !errors.Is(err, ErrNoUser):
		return err
	case err != nil, account != who.Account:
		return ErrForeign
	}
	return nil
}
