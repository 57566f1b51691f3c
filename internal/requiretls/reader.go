package requiretls

import "errors"

// Reader is how a reading session is protected: facts, computed once at
// authentication and frozen. Its zero value is a reader in clear.
type Reader struct {
	TLS        bool // TLS ended by us, at or above our floor
	Bound      bool // and the login proved that nobody sits in between: channel binding or a verified client certificate
	ProxiedTLS bool // a trusted proxy says that the client's own connection is TLS
	Local      bool // UNIX socket, or loopback without a PROXY header
}

// Class is the one word for a reader's protection, weakest first.
type Class uint8

const (
	ClassClear Class = iota
	ClassLocal
	ClassProxied
	ClassTLS
	ClassBound
)

// String is the word for logs and for the admin.
func (c Class) String() string {
	return [...]string{"clear", "local", "proxied", "tls", "bound"}[min(c, ClassBound)]
}

// Class sorts the reader.
func (r Reader) Class() Class {
	switch {
	case r.TLS && r.Bound:
		return ClassBound
	case r.TLS:
		return ClassTLS
	case r.ProxiedTLS:
		return ClassProxied
	case r.Local:
		return ClassLocal
	}
	return ClassClear
}

// Policy says which readers may read REQUIRETLS mail. The zero Policy is the
// default: TLS.
type Policy uint8

const (
	PolicyTLS   Policy = iota // bound, tls, proxied
	PolicyBound               // bound alone
	PolicyLocal               // what PolicyTLS takes, and local
)

// Tighten joins the server's policy with an account's own, which may only
// tighten: the stricter of the two.
func (p Policy) Tighten(account Policy) Policy {
	if account.floor() > p.floor() {
		return account
	}
	return p
}

func (p Policy) floor() Class {
	switch p {
	case PolicyLocal:
		return ClassLocal
	case PolicyTLS:
		return ClassProxied
	}
	return ClassBound // PolicyBound, and anything nobody defined
}

// ErrWithheld says that the message is there and this session may not read it.
var ErrWithheld = errors.New("the message is released only to a protected session")

// Release permits reading messages of one demand in one session. Only
// [Demand.Release] makes one; its zero value covers nothing.
type Release struct{ demand Demand }

// Covers says whether messages of demand d may be read: those the release was made
// for, and all where it was made for required ones. So whoever may read these reads
// what is required because its records disagree.
func (r Release) Covers(d Demand) bool {
	return r.demand.Stated() && d.Stated() && (r.demand == d || r.demand.IsRequired())
}

// Release is the only judge of reading (RFC 8689 §4.4). It answers
// [ErrWithheld] where the reader is less protected than the policy asks for.
func (d Demand) Release(r Reader, p Policy) (Release, error) {
	switch d.kind {
	case usual, waived:
		return Release{d}, nil
	case required:
		if r.Class() >= p.floor() {
			return Release{d}, nil
		}
	}
	return Release{}, ErrWithheld
}
