package imapd

import (
	"context"
	"errors"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

var (
	errTheyNeedPrivacy = no("PRIVACYREQUIRED", "Some of these messages need an encrypted connection")
	errTransferLimit   = no("LIMIT", "That is more than can be copied at once; take at most 250000 messages")
)

// transfer copies or moves messages of the selected mailbox, and answers which
// were named and where they went. With a withheld message among them it takes
// none: the command is atomic (RFC 9051 §6.4.7).
func (s *session) transfer(ctx context.Context, a *syntax.Copy,
	carry func(context.Context, storage.MailboxID, []storage.UID, string) (storage.Copied, error)) (named []storage.UID, went storage.Copied, err error) {
	indices, err := s.indices(a.Set, a.UID)
	if err != nil {
		return nil, went, err
	}
	if held := s.gate.withheld(s.box.view, indices); len(held) > 0 {
		s.logWithheld(len(held))
		return nil, went, errTheyNeedPrivacy
	}
	target, err := s.account.Mailbox(ctx, a.Mailbox)
	if err != nil || len(indices) == 0 {
		return nil, went, orTryCreate(err)
	}
	named = s.uidsOf(indices)
	err = s.progressing(ctx, func(ctx context.Context) (err error) {
		went, err = carry(ctx, s.box.id, named, a.Mailbox)
		return err
	})
	if errors.Is(err, storage.ErrLimit) {
		err = errTransferLimit
	}
	if s.notified != nil {
		s.own.puts(target.ID, went.To, s.unseenAmong(went.From))
	}
	return named, went, orTryCreate(err)
}

// unseenAmong counts messages that were without \Seen when the client was told of
// them last.
func (s *session) unseenAmong(uids []storage.UID) (n int) {
	for _, uid := range uids {
		if i, found := s.box.view.Find(uid); found && s.box.view.At(i).Flags&storage.Seen == 0 {
			n++
		}
	}
	return n
}

// copy is COPY and UID COPY (RFC 9051 §6.4.7).
func (s *session) copy(ctx context.Context, a *syntax.Copy) (answer, error) {
	uids, copied, err := s.transfer(ctx, a, s.account.Copy)
	if err != nil || len(uids) == 0 {
		return answer{}, err
	}
	missed := missed(uids, copied)
	if len(copied.From) == 0 {
		return missed, nil
	}
	if missed.code != "" { // the tagged answer has room for one
		s.tellCodes([]answer{missed})
	}
	return answer{copyUID(copied), "COPY completed"}, nil
}

// missed tells of messages that could not be copied because somebody else has
// expunged them (RFC 9051 §7.1, EXPUNGEISSUED; RFC 5530 §3).
func missed(asked []storage.UID, c storage.Copied) answer {
	gone := len(asked) - len(c.From)
	if gone == 0 {
		return answer{}
	}
	return answer{"EXPUNGEISSUED", counted(gone, "message is", "messages are") + " gone"}
}

// copyUID is the response code; none where nothing was copied.
func copyUID(c storage.Copied) string {
	if len(c.From) == 0 {
		return ""
	}
	return string(syntax.AppendCopyUID(nil, c.UIDValidity, c.From, c.To))
}

// move is MOVE and UID MOVE (RFC 9051 §6.4.8): COPYUID comes before the
// EXPUNGE of what has moved, and also where the others could not be moved.
func (s *session) move(ctx context.Context, a *syntax.Move) (answer, error) {
	if s.box.readOnly {
		return answer{}, errReadOnly
	}
	uids, moved, err := s.transfer(ctx, (*syntax.Copy)(a), s.account.Move)
	code := copyUID(moved)
	if code != "" {
		s.putString("* OK [" + code + "] Moved\r\n")
	}
	if err != nil || len(uids) == 0 {
		return answer{}, err
	}
	if code == "" || !s.qresync {
		return missed(uids, moved), nil
	}
	if err := s.sync(ctx, sendExpunges); err != nil {
		return answer{}, err
	}
	return s.withHighest(missed(uids, moved)), nil
}
