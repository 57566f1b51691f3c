package deliver

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

// commit makes all fates durable at once: each with every form of the message
// that its rules made, what leaves and what is remembered, or nothing of it.
func (l *letter) commit(ctx context.Context, fates []*fate) {
	plans := make([]mail.Delivery, len(fates))
	forms := make(map[edit]*mail.Variant)
	for i, f := range fates {
		var err error
		if plans[i], err = l.delivery(f, forms); err != nil { // the message cannot be read: by nobody
			for _, f := range fates {
				f.err = err
			}
			return
		}
	}
	if len(plans) == 0 {
		return
	}
	for i, err := range l.opt.Store.Commit(ctx, l.env, l.body, l.sum, plans) {
		fates[i].err = err
	}
}

// delivery is a fate as the store takes it. Those whose rules changed the header
// in the same way share a form.
func (l *letter) delivery(f *fate, forms map[edit]*mail.Variant) (mail.Delivery, error) {
	d := mail.Delivery{Account: f.account, Rcpt: f.rcpt, Prefix: f.prefix, Outbound: f.out, Remember: f.remember}
	d.Copies = make([]mail.Copy, 0, len(f.filed)+len(f.own))
	for _, c := range f.filed {
		if c.edit != (edit{}) {
			form, known := forms[c.edit]
			if !known {
				body := c.edit.body(l.body)
				sum, err := mime.Summarize(body)
				if err != nil {
					return d, fmt.Errorf("summarize: %w", err)
				}
				form = &mail.Variant{Body: body, Summary: sum}
				forms[c.edit] = form
			}
			c.Variant = form
		}
		d.Copies = append(d.Copies, c.Copy)
	}
	for _, c := range f.own {
		form, err := l.ours(f.rcpt, c.text)
		if err != nil {
			return d, err
		}
		c.copy.Variant = form
		d.Copies = append(d.Copies, c.copy)
	}
	return d, nil
}

// ours is a message that we wrote because of this one, as it is filed.
func (l *letter) ours(rcpt mail.Address, text []byte) (*mail.Variant, error) {
	body := bytes.NewReader(text)
	sum, err := mime.Summarize(body)
	if err != nil {
		return nil, fmt.Errorf("summarize: %w", err)
	}
	return &mail.Variant{Body: body, Summary: sum, Prefix: trace(l.ourEnvelope(), l.opt.Hostname, rcpt)}, nil
}

// report says what became of the message, and why.
func (l *letter) report(ctx context.Context, fates []*fate) {
	for _, f := range fates {
		if f.err != nil {
			continue
		}
		if len(f.filed) > 0 {
			d := mail.Delivery{Account: f.account, Rcpt: f.rcpt}
			var rules []string
			for _, c := range f.filed {
				d.Copies, rules = append(d.Copies, c.Copy), append(rules, c.rule)
			}
			l.opt.Log.Filed(ctx, l.env, &d, named(rules)...)
		} else if f.gone() {
			l.opt.Log.Dropped(ctx, l.env, f.rcpt, f.dropped)
		}
		for _, o := range f.out {
			l.opt.Log.Leaves(ctx, l.env, f.account, f.rcpt, o)
		}
		for _, s := range f.skipped {
			l.opt.Log.Skipped(ctx, l.env, f.account, f.rcpt, s.what, s.rule, s.why)
		}
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

// named is the rules that filed; none where nobody has any.
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
