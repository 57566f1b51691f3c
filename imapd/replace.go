package imapd

import (
	"context"
	"errors"

	"letterlock/imapd/syntax"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

var errReplacedGone = no("EXPUNGEISSUED", "The message to be replaced is gone")

// replace is REPLACE and UID REPLACE (RFC 8508): an APPEND and the EXPUNGE of
// one message at once. What replaces a required message is required; a session
// that may not read a message may not replace it.
func (s *session) replace(ctx context.Context, a *syntax.Replace) (answer, error) {
	uid, demand, err := s.replaceable(ctx, a)
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
	if demand.IsRequired() {
		b.letters[0].Demand = demand
	}
	validity, added, err := s.account.Replace(ctx, s.box.id, uid, a.Mailbox, b.letters[0])
	if errors.Is(err, storage.ErrExpunged) {
		return answer{}, errReplacedGone
	}
	if err != nil {
		return answer{}, orTryCreate(badKeyword(err))
	}
	b.tellName()
	if added == 0 { // it is durable; what becomes of both is told when the index can be written
		return answer{}, nil
	}
	s.own.puts(into, []storage.UID{added}, withoutSeen(b.letters))
	s.putString("* OK [" + appendUID(validity, []storage.UID{added}) + "] Replacement stored\r\n")
	if !s.qresync {
		return answer{}, nil
	}
	if err := s.sync(ctx, sendExpunges); err != nil {
		return answer{}, err
	}
	return s.withHighest(answer{}), nil
}

// replaceable finds the message that a REPLACE names, where it may go, and what
// its sender asked for.
func (s *session) replaceable(ctx context.Context, a *syntax.Replace) (uid storage.UID, d requiretls.Demand, err error) {
	if s.box.readOnly {
		return 0, d, errReadOnly
	}
	set, err := s.indices(syntax.Set{Ranges: []syntax.Range{{First: a.Num, Last: a.Num}}}, a.UID)
	if err != nil {
		return 0, d, err
	}
	if len(set) == 0 {
		return 0, d, errReplacedGone
	}
	e := s.box.view.At(set[0])
	d, err = s.demandOf(ctx, e)
	return e.UID, d, err
}

// demandOf is what the sender of a message of the selected mailbox asked for. What
// stands in for one that cannot be read is required: nobody knows.
func (s *session) demandOf(ctx context.Context, e storage.Entry) (requiretls.Demand, error) {
	row := storage.Row{UID: e.UID, Demand: e.Flags.Demand()}
	message, err := s.message(ctx, s.box.id, &row)
	switch {
	case err == nil:
		return row.Demand, message.Close()
	case errors.Is(err, requiretls.ErrWithheld):
		s.logWithheld(1)
		return row.Demand, err
	case errors.Is(err, storage.ErrNotFound):
		return row.Demand, errReplacedGone
	case ctx.Err() != nil:
		return row.Demand, err
	}
	return requiretls.Required(), nil
}
