package imapd

import (
	"context"
	"errors"

	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// answer is what follows the tag when a command succeeded.
type answer struct {
	code string // without brackets; may be empty
	text string
}

// refusal is a tagged NO or BAD (RFC 9051 §7.1.2, §7.1.3): an error whose text
// is fit for a stranger.
type refusal struct {
	kind string // "NO" or "BAD"
	code string // of RFC 5530, without brackets; may be empty
	text string
}

func (r *refusal) Error() string {
	if r.code == "" {
		return r.kind + " " + r.text
	}
	return r.kind + " [" + r.code + "] " + r.text
}

func no(code, text string) error { return &refusal{"NO", code, text} }
func bad(text string) error      { return &refusal{"BAD", "", text} }

var (
	errNoMailbox      = no("NONEXISTENT", "No such mailbox")
	errTryCreate      = no("TRYCREATE", "No such mailbox")
	errExists         = no("ALREADYEXISTS", "That mailbox exists already")
	errHasChildren    = no("HASCHILDREN", "The mailbox has children")
	errName           = no("CANNOT", "Not a name a mailbox can have")
	errOverQuota      = no("OVERQUOTA", "No room left")
	errLimit          = no("LIMIT", "Limit reached")
	errUnavailable    = no("UNAVAILABLE", "Try again later")
	errRequireTLSFlag = no("CANNOT", requireTLS+" tells what the sender asked for and cannot be changed")
	errPrivacy        = no("PRIVACYREQUIRED", "This needs an encrypted connection")
	errBug            = no("SERVERBUG", "Internal error")
	errReadOnly       = no("READ-ONLY", "The mailbox is open read-only")
	errTooBig         = no("TOOBIG", "The message is too big")
)

// refusals says in IMAP what the vault says in Go.
var refusals = []struct{ err, says error }{
	{storage.ErrNotFound, errNoMailbox},
	{storage.ErrExists, errExists},
	{storage.ErrHasChildren, errHasChildren},
	{storage.ErrBadName, errName},
	{storage.ErrOverQuota, errOverQuota},
	{storage.ErrLimit, errLimit},
	{storage.ErrUnavailable, errUnavailable},
	{storage.ErrReadOnlyFlag, errRequireTLSFlag},
	{requiretls.ErrWithheld, errPrivacy},
	{context.Canceled, errUnavailable},
	{context.DeadlineExceeded, errUnavailable},
}

// refuse turns any error into what may be said to the client. What it does not
// know is our own bug: the log gets the cause, the client [SERVERBUG].
func (s *session) refuse(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	for _, known := range refusals {
		if errors.Is(err, known.err) {
			if known.says == errUnavailable {
				s.log.Warn("command not possible now", "command", s.verb, "err", err)
			}
			return known.says.(*refusal)
		}
	}
	s.log.Error("command broke", "command", s.verb, "err", err)
	return errBug.(*refusal)
}

// orTryCreate is for targets of APPEND, COPY and MOVE (RFC 9051 §6.3.12): the
// client may create what is missing, unless it has no name to be created under.
func orTryCreate(err error) error {
	switch {
	case !errors.Is(err, storage.ErrNotFound):
		return err
	case errors.Is(err, storage.ErrBadName):
		return errName
	}
	return errTryCreate
}
