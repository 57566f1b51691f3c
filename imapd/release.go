package imapd

import (
	"context"
	"errors"
	"fmt"

	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// requireTLS is the keyword by which clients see that a message carries
// REQUIRETLS. It is computed from the demand; nobody can set or clear it.
const requireTLS = "$RequireTLS"

// gate is the one place that asks whether this session may read a message
// (RFC 8689 §4.4). What it withholds keeps its place, its UID, flags, size and
// dates; its content is neither shown nor searched nor can the session change
// it. The facts are gathered once, when the session logs in.
type gate struct {
	reader requiretls.Reader
	policy requiretls.Policy
	hides  bool // what is withheld is not there at all; the reader is in clear then
}

// release is the permit for the content of a message with these flags, or
// [requiretls.ErrWithheld].
func (g gate) release(f storage.Flags) (requiretls.Release, error) { return g.judge(f.Demand()) }

// judge is the gate as the vault asks it. The permit is for all messages where that
// is possible: the record of one may say that it is required when d does not.
func (g gate) judge(d requiretls.Demand) (requiretls.Release, error) {
	if r, err := requiretls.Required().Release(g.reader, g.policy); err == nil && d.Stated() {
		return r, nil
	}
	r, err := d.Release(g.reader, g.policy)
	if err != nil && g.hides {
		err = storage.ErrNotFound
	}
	return r, err
}

// message opens a message, and makes its row required where the record of the
// message says something else than the index (RFC 8689 §4.1).
func (s *session) message(ctx context.Context, id storage.MailboxID, row *storage.Row) (storage.Message, error) {
	if release, err := unprotected(row.Demand); err == nil {
		m, err := s.account.Message(ctx, id, row.UID, release)
		if !errors.Is(err, requiretls.ErrWithheld) {
			return m, err
		}
	}
	row.Demand = requiretls.Required()
	release, err := s.gate.judge(row.Demand)
	if err != nil {
		return nil, err
	}
	return s.account.Message(ctx, id, row.UID, release)
}

// unprotected is the permit for messages of one demand that is not required, and for
// no other.
func unprotected(d requiretls.Demand) (requiretls.Release, error) {
	return d.Release(requiretls.Reader{}, requiretls.PolicyTLS)
}

// withholds says whether this session may neither read nor change the message.
func (g gate) withholds(f storage.Flags) bool {
	_, err := g.release(f)
	return err != nil
}

// withholdsAny says whether there can be withheld messages at all: false in
// every protected session, which then need not look at each message.
func (g gate) withholdsAny() bool {
	_, err := requiretls.Required().Release(g.reader, g.policy)
	return err != nil
}

// withheld is the messages of set that the gate holds back, as indices of v.
func (g gate) withheld(v *storage.View, set []int) []int {
	if !g.withholdsAny() {
		return nil
	}
	var held []int
	for _, i := range set {
		if g.withholds(v.At(i).Flags) {
			held = append(held, i)
		}
	}
	return held
}

// holds says whether the gate withholds a message of the mailbox: its DELETE
// would destroy what this session may not change.
func (g gate) holds(box storage.Mailbox) bool {
	return box.Required > 0 && g.withholdsAny()
}

var (
	errHolds  = no("PRIVACYREQUIRED", "The mailbox holds messages that need an encrypted connection")
	errHidden = no("PRIVACYREQUIRED", "The mailbox holds messages that are not shown at this address of the server")
)

// spared is what whoever would destroy a mailbox hears that holds such messages.
func (g gate) spared() error {
	if g.hides {
		return errHidden
	}
	return errHolds
}

// Insecure is how a mailbox with withheld messages meets a session that may not
// read them.
type Insecure uint8

const (
	InsecureWithhold Insecure = iota // it opens; the content of these messages does not come
	InsecureRefuse                   // SELECT is refused (RFC 5530 §3, PRIVACYREQUIRED), as strict sites want it
)

// refuses says whether a mailbox may not be opened at all.
func (g gate) refuses(i Insecure, box storage.Mailbox) bool {
	return i == InsecureRefuse && g.holds(box)
}

// Notice is how SELECT tells an unprotected session of withheld messages.
type Notice uint8

const (
	NoticeCount   Notice = iota // how many there are
	NoticeGeneric               // that there are some
	NoticeOff                   // nothing
)

// notice is the untagged NO after SELECT, or "". PRIVACYREQUIRED is the code
// of RFC 5530 §3; ALERT would be ignored before TLS (RFC 9051 §11.3).
func (g gate) notice(n Notice, box storage.Mailbox) string {
	if n == NoticeOff || !g.holds(box) {
		return ""
	}
	if n == NoticeGeneric {
		return "* NO [PRIVACYREQUIRED] Some messages need an encrypted connection\r\n"
	}
	return fmt.Sprintf("* NO [PRIVACYREQUIRED] %s an encrypted connection\r\n", counted(int(box.Required), "message needs", "messages need"))
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
