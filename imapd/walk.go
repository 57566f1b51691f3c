package imapd

import (
	"context"
	"iter"
	"slices"

	"letterlock/storage"
)

// walk is the messages of a batch, in order, as the vault hands them out.
type walk struct {
	f      *fetching
	left   []int // those it has not come to
	marked map[int]bool
}

// run looks up of each message its row, its summary and its octets, where an
// item asks for them, and answers for it.
func (w *walk) run(ctx context.Context) error {
	f, s := w.f, w.f.s
	uids := s.uidsOf(w.left)
	switch summary := f.needs & (needEnvelope | needTree); {
	case f.needs&needOctets != 0 && summary != 0:
		return w.opened(ctx, s.account.Messages(ctx, s.box.id, uids, s.gate.judge))
	case f.needs&needOctets != 0:
		return w.opened(ctx, s.account.Octets(ctx, s.box.id, uids, s.gate.judge))
	case summary == needEnvelope:
		return w.summarized(ctx, s.account.Envelopes(ctx, s.box.id, uids, s.gate.judge))
	case summary == needTree:
		return w.summarized(ctx, s.account.Structures(ctx, s.box.id, uids, s.gate.judge))
	case summary != 0:
		return w.summarized(ctx, s.account.Summaries(ctx, s.box.id, uids, s.gate.judge))
	case f.needs&needRow != 0:
		for some := range slices.Chunk(uids, rowBatch) {
			rows, err := s.account.Rows(ctx, s.box.id, some)
			if err == nil {
				err = w.withRows(ctx, rows)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, uid := range uids {
		if err := f.answer(ctx, w.come(uid)); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) withRows(ctx context.Context, rows []storage.Row) error {
	for i := range rows {
		if m := w.come(rows[i].UID); m != nil {
			m.row = rows[i]
			if err := w.f.answer(ctx, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// come goes on to the message with a UID; those before it were expunged. nil:
// it was not asked for.
func (w *walk) come(uid storage.UID) *fetched {
	for len(w.left) > 0 {
		i := w.left[0]
		entry := w.f.s.box.view.At(i)
		if entry.UID > uid {
			return nil
		}
		w.left = w.left[1:]
		if entry.UID == uid {
			m := &w.f.message
			*m = fetched{i: i, entry: entry, newFlags: w.marked[i], plain: m.plain[:0], headerText: m.headerText[:0]}
			return m
		}
		w.f.gone++
	}
	return nil
}

func (w *walk) summarized(ctx context.Context, messages iter.Seq2[storage.Summarized, error]) error {
	for one, err := range messages {
		if err != nil {
			return err
		}
		m := w.come(one.Row.UID)
		if m == nil {
			continue
		}
		m.row, m.summary, m.err = one.Row, one.Summary, one.Err
		if err := w.f.answer(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) opened(ctx context.Context, messages iter.Seq2[*storage.Opened, error]) error {
	var octets attentive // of the one message that is open
	for one, err := range messages {
		if err != nil {
			return err
		}
		m := w.come(one.Row.UID)
		if m == nil {
			continue
		}
		m.row, m.err = one.Row, one.Err
		if m.err == nil && w.f.needs&(needEnvelope|needTree) != 0 {
			m.summary, m.err = one.Summary()
		}
		if m.err == nil {
			octets = attentive{Message: one.Message, ctx: ctx}
			m.octets = &octets
		}
		if err := w.f.answer(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
