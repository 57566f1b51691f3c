package deliver

import (
	"context"
	"fmt"
	"slices"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

// batch is plans that share one form of the message: one record in the store.
type batch struct {
	edit  edit
	fates []*fate
	plans []mail.Delivery
}

func (b *batch) add(f *fate, p mail.Delivery) {
	b.fates, b.plans = append(b.fates, f), append(b.plans, p)
}

// commit makes all fates durable. Recipients whose rules changed the header in
// the same way share a record, as do those who have it as it came. Where one
// recipient keeps several forms, what is remembered and what leaves goes with
// the last: should an earlier one fail, the message comes again.
func (l *letter) commit(ctx context.Context, fates []*fate) {
	var order []*batch
	batches := map[edit]*batch{}
	for _, f := range fates {
		if len(f.pieces) > 1 {
			order = append(order, l.apart(f)...)
			continue
		}
		var p piece
		if len(f.pieces) == 1 {
			p = f.pieces[0]
		}
		b := batches[p.edit]
		if b == nil {
			b = &batch{edit: p.edit}
			batches[p.edit], order = b, append(order, b)
		}
		b.add(f, f.whole(p.copies))
	}
	for _, b := range order {
		l.commitBatch(ctx, b)
	}
}

// apart is a batch for each form that one recipient keeps.
func (l *letter) apart(f *fate) (list []*batch) {
	for i, p := range f.pieces {
		b := &batch{edit: p.edit}
		if i+1 < len(f.pieces) {
			b.add(f, f.delivery(p.copies))
		} else {
			b.add(f, f.whole(p.copies))
		}
		list = append(list, b)
	}
	return list
}

// delivery is copies alone.
func (f *fate) delivery(copies []mail.Copy) mail.Delivery {
	return mail.Delivery{Account: f.account, Rcpt: f.rcpt, Prefix: f.prefix, Copies: copies}
}

// whole is copies with what leaves and what is remembered.
func (f *fate) whole(copies []mail.Copy) mail.Delivery {
	d := f.delivery(copies)
	d.Outbound, d.Remember = f.out, f.remember
	return d
}

func (l *letter) commitBatch(ctx context.Context, b *batch) {
	if len(b.fates) == 1 && b.fates[0].err != nil {
		return // an earlier form could not be filed
	}
	body, sum := b.edit.body(l.body), l.sum
	if body != l.body {
		var err error
		if sum, err = mime.Summarize(body); err != nil {
			for _, f := range b.fates {
				f.err = fmt.Errorf("summarize: %w", err)
			}
			return
		}
	}
	errs := l.opt.Store.Commit(ctx, l.env, body, sum, b.plans)
	for i, f := range b.fates {
		f.err = errs[i]
	}
}

// report says what became of the message, and why.
func (l *letter) report(ctx context.Context, fates []*fate) {
	for _, f := range fates {
		if f.err != nil {
			continue
		}
		filed := false
		for _, p := range f.pieces {
			filed = true
			d := f.delivery(p.copies)
			l.opt.Log.Filed(ctx, l.env, &d, named(p.rules)...)
		}
		if !filed && f.gone() {
			l.opt.Log.Dropped(ctx, l.env, f.rcpt, f.dropped)
		}
		for _, o := range f.out {
			l.opt.Log.Leaves(ctx, l.env, f.account, f.rcpt, o)
		}
		l.fileOwn(ctx, f)
		if len(f.notes) > 0 {
			l.tell(ctx, f)
		}
	}
}

// gone says whether nothing of a message that was not filed is left: a notice or
// a report about it may leave all the same.
func (f *fate) gone() bool {
	sentOn := func(o *mail.Outbound) bool { return o.Kind == mail.Redirected }
	return f.refusal == nil && (len(f.out) == 0 || f.dropped != "" && !slices.ContainsFunc(f.out, sentOn))
}

// named is the rules of a piece; none where nobody has any.
func named(rules []string) []string {
	if len(rules) == 1 && rules[0] == "" {
		return nil
	}
	return rules
}

// now is when the message came, and the present of every script that sorts it.
func (l *letter) now() time.Time {
	if l.env.Received.IsZero() {
		return time.Now()
	}
	return l.env.Received
}
