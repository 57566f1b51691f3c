package storage

import (
	"context"
	"iter"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

// Summarized is one message as [Account.Summaries] answers it. The summary is
// good until the next step of the walk; a string that is to be kept for longer
// is cloned, since those of some hundred messages share their memory.
type Summarized struct {
	Row     Row
	Summary *mail.Summary // offsets of the whole message, prefix included; nil with Err
	Err     error         // [requiretls.ErrWithheld] as the gate said it, or damage
}

// Gate judges, for one session, whether it may read messages of a demand. A
// session's is made of [requiretls.Demand.Release].
type Gate func(requiretls.Demand) (requiretls.Release, error)

// Summaries walks uids (ascending) with their rows and their cached summaries.
// Those that are gone are passed over; what is withheld, or cannot be read,
// comes without a summary and says why. The gate is asked for each message,
// with what row and flags say of its demand together. An error ends the walk.
func (a *Account) Summaries(ctx context.Context, id MailboxID, uids []UID, gate Gate) iter.Seq2[Summarized, error] {
	return a.summarized(ctx, id, uids, gate, wholeSummary)
}

// Envelopes is [Account.Summaries] for those who want no structure: it costs a
// third. Root, and what Preview says, are zero.
func (a *Account) Envelopes(ctx context.Context, id MailboxID, uids []UID, gate Gate) iter.Seq2[Summarized, error] {
	return a.summarized(ctx, id, uids, gate, envelopeOnly)
}

// Structures is [Account.Summaries] for those who want nothing else: of each
// summary Root, Preview and Has alone.
func (a *Account) Structures(ctx context.Context, id MailboxID, uids []UID, gate Gate) iter.Seq2[Summarized, error] {
	return a.summarized(ctx, id, uids, gate, structureOnly)
}

func (a *Account) summarized(ctx context.Context, id MailboxID, uids []UID, gate Gate, want extent) iter.Seq2[Summarized, error] {
	return func(yield func(Summarized, error) bool) {
		w := newWalk(ctx, a, id, gate, want)
		for o, err := range w.each(uids) {
			if err != nil {
				yield(Summarized{}, err)
				return
			}
			one := Summarized{Row: o.Row, Err: o.Err}
			if o.Err == nil {
				one.Summary, one.Err = o.summary(want)
			}
			if !yield(one, nil) {
				return
			}
		}
	}
}
