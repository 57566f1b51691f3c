package imapd

import (
	"context"
	"errors"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

var errReplacedGone = no("EXPUNGEISSUED", "The message to be replaced is gone")

// replace is REPLACE and UID REPLACE (RFC 8508): an APPEND and the EXPUNGE of
// one message at once. What replaces a required message is required; a session
// that may not read a message may not replace it.
func (s *session) replace(ctx context.Context, a *syntax.Replace) (answer, error) {
	uid, err := s.replaceable(a)
	var into storage.MailboxID
	if err == nil {
		into, err = s.account.Destination(ctx, a.Mailbox)
	}
	if err != nil {
		return answer{}, refuseAppend(a.Append, orTryCreate(err))
	}
	b := &batch{s: s, a: a.Append}
	defer b.close()
	// The quota is judged with the old message gone (RFC 8508 §3.4): by the vault.
	if err := b.takeAll(ctx, func() error { return nil }); err != nil {
		return answer{}, err
	}
	validity, added, err := s.account.Replace(ctx, s.box.id, uid, a.Mailbox, b.letters[0])
	if errors.Is(err, storage.ErrExpunged) {
		return answer{}, errReplacedGone
	}
	if err != nil {
		return answer{}, orTryCreate(badKeyword(err))
	}
	s.own.puts(into, []storage.UID{added}, withoutSeen(b.letters))
	code := string(syntax.AppendAppendUID(nil, validity, []storage.UID{added}))
	s.putString("* OK [" + code + "] Replacement stored\r\n")
	if !s.qresync {
		return answer{}, nil
	}
	if err := s.sync(ctx, sendExpunges); err != nil {
		return answer{}, err
	}
	return s.withHighest(answer{}), nil
}

// replaceable finds the message that a REPLACE names, where it may go.
func (s *session) replaceable(a *syntax.Replace) (storage.UID, error) {
	if s.box.readOnly {
		return 0, errReadOnly
	}
	set, err := s.indices(syntax.Set{Ranges: []syntax.Range{{First: a.Num, Last: a.Num}}}, a.UID)
	if err != nil {
		return 0, err
	}
	if len(set) == 0 {
		return 0, errReplacedGone
	}
	e := s.box.view.At(set[0])
	if s.gate.withholds(e.Flags) {
		s.logWithheld(1)
		return 0, errPrivacy
	}
	return e.UID, nil
}
