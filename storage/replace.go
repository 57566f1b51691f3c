package storage

import (
	"context"
	"fmt"

	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// ErrExpunged says that a message which was to be replaced has gone. It is an
// [ErrNotFound], too.
var ErrExpunged = fmt.Errorf("the message was expunged: %w", ErrNotFound)

// Replace appends a letter to a mailbox and expunges message uid of mailbox id,
// both or neither (RFC 8508 §3). Errors are those of [Account.Append], and
// [ErrExpunged] where the message has gone: then nothing is appended. Of the
// quota it needs only what the letter is larger. A message that carries
// REQUIRETLS is replaced by one that does, whatever the letter says (RFC 8689
// §4.1). It returns when all is durable and shown; where the index cannot be written,
// it is durable, and new is 0 ([Account.Append]).
func (a *Account) Replace(ctx context.Context, id MailboxID, uid UID, to string, letter Letter) (uidvalidity uint32, new UID, err error) {
	var old located
	err = a.read(ctx, func(r kv.Reader) (err error) {
		old, err = a.locate(r, id, uid)
		return err
	})
	if isNotFound(err) {
		err = absentMessage(id, uid)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("replace: %w", err)
	}
	if old.demand().IsRequired() && letter.Demand.Stated() {
		letter.Demand = requiretls.Required()
	}
	group, need, err := a.records(ctx, to, []Letter{letter})
	if err != nil {
		return 0, 0, fmt.Errorf("replace: %w", err)
	}
	need.Messages--
	need.Bytes -= min(need.Bytes, old.entry.size)
	group[0].Record.Recipients[0].More = encodeReplaces(place{id, uid})
	uidvalidity, uids, err := a.file(ctx, group, need)
	if err != nil {
		return 0, 0, fmt.Errorf("replace: %w", err)
	}
	a.store.reaper.wake()
	if len(uids) == 0 {
		return 0, 0, nil
	}
	return uidvalidity, uids[0], nil
}

func absentMessage(id MailboxID, uid UID) error {
	return fmt.Errorf("mailbox %d, UID %d: %w", id, uid, ErrExpunged)
}

// replace expunges what a letter replaces. refused says that it has gone. What
// the log alone knows of (hold) replaces nothing: where it lay nobody can tell.
func (t *txn) replace(a AccountID, c *account, p place, hold bool) (refused, err error) {
	if p.uid == 0 || hold {
		return nil, nil
	}
	source, err := t.box(a, p.mailbox)
	if err != nil {
		return nil, err
	}
	if source == nil {
		return absentMessage(p.mailbox, p.uid), nil
	}
	taken, _, err := t.take(c, source, []UID{p.uid})
	if err != nil {
		return nil, err
	}
	if len(taken) == 0 {
		return absentMessage(p.mailbox, p.uid), nil
	}
	dead := deadList{numbers: []uint64{taken[0].number}}
	dead.putOf(t.tx, source)
	return nil, nil
}
