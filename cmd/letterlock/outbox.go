package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"letterlock/relay"
	"letterlock/storage"
)

// outbox is the vault as the relay asks for it.
type outbox struct{ store *storage.Store }

var _ relay.Outbox = outbox{}

func (o outbox) Due(ctx context.Context, now time.Time, limit int, skip func(relay.Row) bool) ([]relay.Row, time.Time, error) {
	due, next, err := o.store.DueOut(ctx, now, limit, func(r storage.OutRow) bool { return skip(outRow(r)) })
	rows := make([]relay.Row, len(due))
	for i, r := range due {
		rows[i] = outRow(r)
	}
	return rows, next, err
}

func outRow(r storage.OutRow) relay.Row {
	return relay.Row{ID: relay.RowID(r.ID), Domain: r.Domain, Due: r.Due}
}

func (o outbox) Open(ctx context.Context, id relay.RowID) (*relay.Letter, error) {
	l, err := o.store.OpenOut(ctx, storage.OutID(id))
	if l == nil {
		return nil, relayed(err)
	}
	letter := &relay.Letter{ID: id, Outbound: l.Outbound, History: relay.History(l.History), Close: l.Close}
	if l.Body != nil {
		letter.Body = l.Body
	}
	return letter, relayed(err)
}

func (o outbox) Settle(ctx context.Context, id relay.RowID, s relay.Settlement) error {
	end := storage.Stays
	switch {
	case s.Fate == relay.Parked:
		end = storage.Parks
	case s.Fate.Ends():
		end = storage.Ended
	}
	return relayed(o.store.SettleOut(ctx, storage.OutID(id), storage.OutSettlement{
		End: end, Due: s.Due, History: storage.History(s.History), Reports: s.Reports,
	}))
}

func (o outbox) Recall(ctx context.Context, latest time.Time) error {
	return o.store.RecallOut(ctx, latest)
}

func (o outbox) Changed() <-chan struct{} { return o.store.SendsChanged() }

// relayed says in the relay's words that a row has ended.
func relayed(err error) error {
	if errors.Is(err, storage.ErrRowGone) {
		return fmt.Errorf("%w: %w", relay.ErrGone, err)
	}
	return err
}
