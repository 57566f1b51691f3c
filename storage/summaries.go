package storage

import (
	"context"
	"errors"
	"iter"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// Summarized is one message as [Account.Summaries] answers it.
type Summarized struct {
	Row     Row
	Summary *mail.Summary // offsets of the whole message, prefix included; nil with Err
	Err     error         // [requiretls.ErrWithheld] as the gate said it, or damage
}

// Gate judges, for one session, whether it may read messages of a demand. A
// session's is made of [requiretls.Demand.Release].
type Gate func(requiretls.Demand) (requiretls.Release, error)

// How much of a mailbox one transaction of [Account.Summaries] reads.
const (
	summaryPage   = 128     // messages
	summaryOctets = 1 << 20 // of encoded summaries; one more message may go beyond
)

// Summaries walks uids (ascending) with their rows and their cached summaries.
// Those that are gone are passed over; what is withheld, or cannot be read,
// comes without a summary and says why. The gate is asked for each message,
// with what row and flags say of its demand together. An error ends the walk.
func (a *Account) Summaries(ctx context.Context, id MailboxID, uids []UID, gate Gate) iter.Seq2[Summarized, error] {
	return func(yield func(Summarized, error) bool) {
		var page []Summarized
		for len(uids) > 0 {
			var err error
			if page, uids, err = a.summaries(ctx, id, uids, gate, page[:0]); err != nil {
				yield(Summarized{}, err)
				return
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
		}
	}
}

// summaries reads the first of uids and answers those it did not come to.
func (a *Account) summaries(ctx context.Context, id MailboxID, uids []UID, gate Gate, page []Summarized) (_ []Summarized, rest []UID, err error) {
	var large []largeSummary
	err = a.read(ctx, func(r kv.Reader) error {
		some := uids[:min(len(uids), summaryPage)]
		rest = uids[len(some):]
		octets := 0
		return a.each(r, id, some, func(l *located) error {
			if octets > summaryOctets {
				rest = from(uids, l.entry.uid)
				return errStepFull
			}
			one := Summarized{Row: l.row.public(&l.entry)}
			release, err := gate(l.demand())
			if err == nil && !release.Covers(l.demand()) {
				err = requiretls.ErrWithheld
			}
			if one.Err = err; err == nil {
				n := 0
				if one.Summary, n = cachedSummary(r, a.id, l); one.Summary == nil {
					large = append(large, largeSummary{len(page), release})
				}
				octets += n
			}
			page = append(page, one)
			return nil
		})
	})
	if err != nil && !errors.Is(err, errStepFull) {
		return page, nil, err
	}
	for _, g := range large { // files are read outside the transaction
		one := &page[g.place]
		one.Summary, one.Err = a.Summary(ctx, id, one.Row.UID, g.release)
	}
	return page, rest, nil
}

// largeSummary is one that the index does not have, or not whole.
type largeSummary struct {
	place   int
	release requiretls.Release
}

// cachedSummary reads a summary from the index, and says how many octets it
// took; nil where the segment has to be asked.
func cachedSummary(r kv.Reader, a AccountID, l *located) (*mail.Summary, int) {
	v, err := get(r, summaryKey(a, l.entry.number))
	if v == nil || err != nil {
		return nil, 0
	}
	sum, err := decodeSummary(v)
	if err != nil {
		return nil, len(v)
	}
	return sum.Shift(int64(l.row.prefixLen)), len(v)
}
