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

// commit makes all fates durable. Recipients whose rules changed the header in
// the same way share a record, as do those who have it as it came. What leaves
// and what is remembered goes with the message as it came, and last: should an
// edited form of somebody's not be filed, the message comes again to him.
func (l *letter) commit(ctx context.Context, fates []*fate) {
	var order []*batch
	batches := map[edit]*batch{}
	asItCame := &batch{}
	for _, f := range fates {
		rest := f.delivery(nil)
		rest.Outbound, rest.Remember = f.out, f.remember
		for _, p := range f.pieces {
			if p.edit == (edit{}) {
				rest.Copies = p.copies
				continue
			}
			b := batches[p.edit]
			if b == nil {
				b = &batch{edit: p.edit}
				batches[p.edit], order = b, append(order, b)
			}
			b.add(f, f.delivery(p.copies))
		}
		asItCame.add(f, rest)
	}
	for _, b := range append(order, asItCame) {
		l.commitBatch(ctx, b)
	}
}

func (b *batch) add(f *fate, p mail.Delivery) {
	b.fates, b.plans = append(b.fates, f), append(b.plans, p)
}

// delivery is copies alone.
func (f *fate) delivery(copies []mail.Copy) mail.Delivery {
	return mail.Delivery{Account: f.account, Rcpt: f.rcpt, Prefix: f.prefix, Copies: copies}
}

// commitBatch leaves out whoever lost an earlier form.
func (l *letter) commitBatch(ctx context.Context, b *batch) {
	body, sum := b.edit.body(l.body), l.sum
	var err error
	if body != l.body {
		if sum, err = mime.Summarize(body); err != nil {
			err = fmt.Errorf("summarize: %w", err)
		}
	}
	var fates []*fate
	var plans []mail.Delivery
	for i, f := range b.fates {
		if f.err == nil {
			f.err = err
		}
		if f.err == nil {
			fates, plans = append(fates, f), append(plans, b.plans[i])
		}
	}
	if len(plans) == 0 {
		return
	}
	for i, err := range l.opt.Store.Commit(ctx, l.env, body, sum, plans) {
		fates[i].err = err
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
