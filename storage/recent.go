package storage

import (
	"context"

	"letterlock/storage/kv"
)

// ClaimRecent answers the first UID no read-write session has been told of
// (RFC 3501 §2.3.2, \Recent) and, if claim, moves the mark to UIDNEXT.
func (a *Account) ClaimRecent(ctx context.Context, id MailboxID, claim bool) (first UID, err error) {
	var next UID
	err = a.read(ctx, func(r kv.Reader) error {
		b, err := getBox(r, a.id, id)
		if b == nil || err != nil {
			return orElse(err, absentBox(id))
		}
		first, next = b.recent, b.UIDNext
		return nil
	})
	if err != nil || !claim || first == next {
		return first, err
	}
	err = a.change(ctx, func(t *txn, _ *account) error {
		b, err := t.mustBox(a.id, id)
		if err == nil {
			first, b.recent = b.recent, b.UIDNext
		}
		return err
	})
	return first, err
}
