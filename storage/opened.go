package storage

import (
	"context"
	"errors"
	"iter"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/segment"
)

// Opened is one message as [Account.Messages] hands it out: good until the next
// step of the walk.
type Opened struct {
	Row     Row
	Err     error   // [requiretls.ErrWithheld] as the gate said it, or damage
	Message Message // nil with Err; the walk closes it

	*glimpse
	walk *walk
}

// Summary is the summary of the message, offsets of the whole (prefix
// included), decoded anew at each call and good until the next step of the walk.
func (o *Opened) Summary() (*mail.Summary, error) {
	if o.Err != nil {
		return nil, o.Err
	}
	return o.summary(wholeSummary)
}

func (o *Opened) summary(want extent) (*mail.Summary, error) {
	if o.encoded != "" {
		sum, err := o.walk.text.summary(o.encoded, want, int64(o.located.row.prefixLen))
		if err == nil {
			return sum, nil
		}
	}
	sum, err := o.walk.account.storedSummary(o.walk.ctx, o.walk.id, o.Row.UID, o.release)
	switch {
	case err != nil:
		return nil, err
	case want == envelopeOnly:
		sum.Root, sum.Preview = mail.Part{}, ""
	case want == structureOnly:
		sum = &mail.Summary{Has: sum.Has, Root: sum.Root, Preview: sum.Preview}
	}
	return sum, nil
}

// Messages walks uids (ascending) and opens each: what [Account.Summaries] says,
// and the octets, verified as they are read. No transaction is held while the
// caller reads or writes. Those that are gone are passed over. An error ends the
// walk.
func (a *Account) Messages(ctx context.Context, id MailboxID, uids []UID, gate Gate) iter.Seq2[*Opened, error] {
	return a.messages(ctx, id, uids, gate, wholeSummary)
}

// Octets is [Account.Messages] for those who seldom ask for a summary: each that
// is asked for is read of its own.
func (a *Account) Octets(ctx context.Context, id MailboxID, uids []UID, gate Gate) iter.Seq2[*Opened, error] {
	return a.messages(ctx, id, uids, gate, noSummary)
}

func (a *Account) messages(ctx context.Context, id MailboxID, uids []UID, gate Gate, want extent) iter.Seq2[*Opened, error] {
	return func(yield func(*Opened, error) bool) {
		w := newWalk(ctx, a, id, gate, want)
		for o, err := range w.each(uids) {
			if err != nil {
				yield(nil, err)
				return
			}
			if o.Err == nil {
				if o.Message, o.Err = o.open(); isNotFound(o.Err) { // expunged since the look
					continue
				}
			}
			more := yield(o, nil)
			if o.Message != nil {
				_ = o.Message.Close() // read only: nothing can be lost
			}
			if !more {
				return
			}
		}
	}
}

// open opens what a page led to, or, where its segment was collected since,
// looks again.
func (o *Opened) open() (Message, error) {
	a := o.walk.account
	stored, err := a.store.log.Open(o.located.row.at)
	if errors.Is(err, segment.ErrGone) {
		return a.Message(o.walk.ctx, o.walk.id, o.Row.UID, o.release)
	}
	if err != nil {
		return nil, err
	}
	if !o.release.Covers(requiretls.Agree(o.located.demand(), stored.Demand())) {
		return nil, errors.Join(requiretls.ErrWithheld, stored.Close())
	}
	return o.located.message(stored)
}
