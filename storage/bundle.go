package storage

import (
	"context"
	"fmt"
	"slices"

	"letterlock/internal/mail"
	"letterlock/storage/segment"
)

// How much of one letter is written at once. What all recipients have in one form
// is little; where the rules of many have each made another form of it, it goes
// in several groups.
const (
	bundleOctets = 4 << 20 // of forms that lie in the segment
	bundleForms  = 256
)

// bundle is one group of the log in the making: a record for each form, and in it
// those who have that form. No plan is cut in two, and the plans of one address
// (an alias) only where they are four times what goes at once.
type bundle struct {
	store  *Store
	ctx    context.Context // of one Commit; it ends with it
	env    mail.Envelope
	fates  []error // of all plans
	varied bool    // some plan files another form than that which came
	err    error   // why a group was not written: no later one is

	letters []segment.Letter
	forms   []*mail.Variant // of letters
	plans   []planned
	octets  int64
}

// planned is a plan of the group.
type planned struct {
	who
	index int
	held  Usage
}

// who tells the recipients of one group apart.
type who struct {
	account uint64
	rcpt    mail.Address
}

// take puts a plan into the group. One that failed gives back what it took of
// the quota.
func (b *bundle) take(index int, p *resolved) {
	if len(p.shares) == 0 {
		return
	}
	first := &p.shares[0].Recipient
	plan := planned{who{first.Account, first.Rcpt}, index, p.held}
	if b.fates[index] == nil && b.full(p.shares, plan.who) {
		b.write()
	}
	if b.fates[index] == nil {
		b.fates[index] = b.err
	}
	if b.fates[index] != nil {
		b.release(plan)
		return
	}
	b.plans = append(b.plans, plan)
	for i := range p.shares {
		b.add(&p.shares[i], p.held)
		p.held = Usage{} // it stands with the first
	}
}

// full says whether the group is to be written before a plan comes into it, which
// one that adds no form to it never asks for. Nobody
// is twice in a group of several forms: all that he has of it is applied at once.
func (b *bundle) full(shares []share, next who) bool {
	if len(b.plans) == 0 {
		return false
	}
	if b.varied && slices.ContainsFunc(b.plans, func(p planned) bool { return p.who == next }) {
		return true
	}
	octets, forms := b.octets, len(b.forms)
	for i := range shares {
		if f := shares[i].form; !slices.Contains(b.forms, f) {
			octets, forms = octets+inSegment(f), forms+1
		}
	}
	part := int64(1)
	if b.plans[len(b.plans)-1].rcpt == next.rcpt {
		part = 4
	}
	return octets > b.octets && octets > part*bundleOctets || forms > len(b.forms) && forms > int(part)*bundleForms
}

// inSegment is how many octets of a form lie in the segment.
func inSegment(f *mail.Variant) int64 {
	if n := f.Body.Size(); n <= segment.BigBody {
		return n
	}
	return 0
}

// add puts a recipient into the record of his form.
func (b *bundle) add(s *share, held Usage) {
	i := slices.Index(b.forms, s.form)
	if i < 0 {
		r := &segment.Record{Kind: segment.Delivered, Envelope: b.env, Summary: encodeSummary(s.form.Summary)}
		i, b.forms = len(b.forms), append(b.forms, s.form)
		b.letters = append(b.letters, segment.Letter{Record: r, Body: s.form.Body})
		b.octets += inSegment(s.form)
	}
	r := b.letters[i].Record
	s.Date = r.Envelope.Received
	r.Recipients = append(r.Recipients, s.Recipient)
	if held == (Usage{}) {
		return
	}
	if r.Tag == nil {
		r.Tag = make(inFlight)
	}
	r.Tag.(inFlight)[len(r.Recipients)-1] = held
}

// write makes the group durable: all of it or nothing.
func (b *bundle) write() {
	if len(b.letters) == 0 {
		return
	}
	if len(b.letters) > 1 {
		for _, l := range b.letters {
			l.Record.Kind = segment.Several
		}
	}
	if err := b.store.append(b.ctx, b.letters...); err != nil {
		b.err = fmt.Errorf("commit: %w", err)
		for _, p := range b.plans {
			b.fates[p.index] = b.err
			b.release(p)
		}
	}
	b.letters, b.forms, b.plans, b.octets = nil, nil, nil, 0
}

func (b *bundle) release(p planned) {
	a := AccountID(p.account)
	b.store.shardOf(a).release(a, p.held)
}
