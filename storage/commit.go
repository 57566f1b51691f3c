package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"letterlock/internal/mail"
	"letterlock/storage/segment"
)

// maxCopies is how many mailboxes one delivery may file into, and maxForms in how
// many forms of the message.
const (
	maxCopies = 256
	maxForms  = 64
)

// errNotStated: a message whose demand nobody made out is kept by nobody.
var errNotStated = errors.New("the demand of the message is not stated")

// Commit makes one message durable for all its recipients with one flush, shared
// with whoever else is waiting: one record, and one for each [mail.Variant] that
// its copies name. errs[i] is the fate of plans[i], all of it or
// nothing, now and after a crash; a failed one leaves no trace, and plans of one
// Rcpt (an alias) share theirs. sum describes body alone (offsets without any
// prefix). It returns only when a power cut can no longer lose what it accepted.
// env.Demand must be stated.
//
// A plan for an account that is not there is [ErrNotFound], one that has no
// room [ErrOverQuota], one with more than 256 copies, or in more than 64 forms,
// [ErrLimit]; a full disk is [ErrUnavailable] and reply.DiskFull at once. A
// letter that [Store.Unanswered] knows is not filed a second time, whatever
// became of it: it is known by body, as it came.
//
// What leaves because of a plan becomes rows of the outbox with its copies, or
// without any: all of it or nothing. Each must demand what the envelope does, or
// more (RFC 8689 §4.1, §6).
func (s *Store) Commit(ctx context.Context, env *mail.Envelope, body mail.Body, sum *mail.Summary, plans []mail.Delivery) (errs []error) {
	errs = make([]error, len(plans))
	fail := func(err error) []error {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = fmt.Errorf("commit: %w", err)
			}
		}
		return errs
	}
	if !env.Demand.Stated() {
		return fail(errNotStated)
	}
	again, err := s.repeated(env, body, plans)
	if err != nil {
		return fail(err)
	}
	came := &mail.Variant{Body: body, Summary: sum}
	all, octets := make([]resolved, len(plans)), 0
	for i := range plans {
		more, err := encodeMore(env.Demand, plans[i].Remember, plans[i].Outbound)
		if err == nil && (len(plans[i].Copies)+len(more) == 0 || again(i)) {
			continue // discarded, or taken before
		}
		if octets += len(more); octets > maxMoreOfRecord && err == nil {
			err = fmt.Errorf("%d octets beside the message: %w", octets, ErrLimit)
		}
		if err == nil {
			all[i], err = s.resolve(ctx, &plans[i], came, more)
		}
		if isDamaged(err) && inCommon(plans, i) { // it waits in the log for him alone
			all[i], _, err = s.unlooked(&plans[i], came, more)
		}
		if err != nil {
			errs[i] = fmt.Errorf("commit: %w", err)
		}
	}
	shareFates(plans, errs)
	b := bundle{store: s, ctx: ctx, env: *env, fates: errs, varied: slices.ContainsFunc(plans, varied)}
	b.env.Received = timeOr(env.Received, s.opt.Now())
	for i := range all {
		b.take(i, &all[i])
	}
	if b.write(); b.err != nil {
		shareFates(plans, errs)
	}
	return errs
}

// inCommon says whether others have a part in the answer that a plan gets: it is one of an
// alias. What is damaged for one of them is not to keep their letters from the others.
func inCommon(plans []mail.Delivery, i int) bool {
	return !plans[i].Rcpt.IsNull() && slices.ContainsFunc(plans, func(p mail.Delivery) bool {
		return p.Rcpt == plans[i].Rcpt && p.Account != plans[i].Account
	})
}

// varied says whether a plan files something else than the letter as it came.
func varied(plan mail.Delivery) bool {
	return slices.ContainsFunc(plan.Copies, func(c mail.Copy) bool { return c.Variant != nil })
}

// shareFates fails all plans of a recipient where one of them fails: it has one
// answer, and whoever hears no offers the message again to all of them.
func shareFates(plans []mail.Delivery, errs []error) {
	if errors.Join(errs...) == nil {
		return
	}
	failed := make(map[mail.Address]error)
	for i := range plans {
		if errs[i] != nil && !plans[i].Rcpt.IsNull() {
			failed[plans[i].Rcpt] = errs[i]
		}
	}
	for i := range plans {
		if err := failed[plans[i].Rcpt]; err != nil && errs[i] == nil {
			errs[i] = err
		}
	}
}

// append writes letters to the log: all or none, durably.
func (s *Store) append(ctx context.Context, letters ...segment.Letter) error {
	s.load.note()
	err := s.log.Append(ctx, letters...)
	s.trouble.log(err)
	return unavailable(err)
}

// resolved is a plan with its mailboxes looked up.
type resolved struct {
	shares []share // none: nothing is to be done
	held   Usage   // what it took of the quota, until it is in the index
}

// share is what the record of one form says of one plan.
type share struct {
	form *mail.Variant
	segment.Recipient
}

// resolve turns a plan into what the records say of its recipient.
func (s *Store) resolve(ctx context.Context, plan *mail.Delivery, came *mail.Variant, more []byte) (resolved, error) {
	a := AccountID(plan.Account)
	if err := s.shardOf(a).takes(a); err != nil {
		return resolved{}, unavailable(err)
	}
	p, need, err := s.unlooked(plan, came, more)
	if err != nil {
		return p, err
	}
	if err := p.findBoxes(ctx, s, a); err != nil {
		return resolved{}, err
	}
	if p.held, err = s.Account(a).reserve(ctx, need); err != nil {
		return resolved{}, fmt.Errorf("account %d: %w", a, err)
	}
	return p, nil
}

// unlooked is resolve that looks nothing up: the mailboxes are found when the letter is
// applied, and the quota, of which it says what is needed, is not asked.
func (s *Store) unlooked(plan *mail.Delivery, came *mail.Variant, more []byte) (p resolved, need Usage, err error) {
	if len(plan.Copies) > maxCopies {
		return p, need, fmt.Errorf("%d copies: %w", len(plan.Copies), ErrLimit)
	}
	if err := s.shardOf(AccountID(plan.Account)).trouble(); err != nil {
		return p, need, unavailable(err)
	}
	for _, c := range plan.Copies {
		cp, err := planCopy(c)
		if err != nil {
			return p, need, err
		}
		form := came
		if c.Variant != nil {
			form = c.Variant
		}
		own := p.of(form, plan)
		own.Copies = append(own.Copies, cp)
		need.Bytes, need.Messages = need.Bytes+uint64(form.Body.Size()+int64(len(own.Prefix))), need.Messages+1
	}
	if len(more) > 0 { // what leaves is the message as it came
		p.of(came, plan).More = more
	}
	if len(p.shares) > maxForms {
		return p, need, fmt.Errorf("%d forms of one message: %w", len(p.shares), ErrLimit)
	}
	return p, need, nil
}

// of is the share of one form.
func (p *resolved) of(form *mail.Variant, plan *mail.Delivery) *segment.Recipient {
	for i := range p.shares {
		if p.shares[i].form == form {
			return &p.shares[i].Recipient
		}
	}
	rc := segment.Recipient{Account: plan.Account, EmailID: uint64(random()), Rcpt: plan.Rcpt, Prefix: plan.Prefix}
	if form.Prefix != nil {
		rc.Prefix = form.Prefix
	}
	p.shares = append(p.shares, share{form, rc})
	return &p.shares[len(p.shares)-1].Recipient
}

// findBoxes looks up the mailboxes that are there. One that goes, or comes,
// before the letter is applied is found out then: see [txn.target].
func (p *resolved) findBoxes(ctx context.Context, s *Store, a AccountID) error {
	for i := range p.shares {
		copies := p.shares[i].Copies
		for j := range copies {
			id, err := s.boxNamed(ctx, a, copies[j].Name)
			if err != nil {
				return err
			}
			copies[j].Mailbox = uint32(id)
		}
	}
	return nil
}

// planCopy checks one copy of a plan. A name that cannot be one means INBOX: a
// letter is not lost to a slip in a script.
func planCopy(c mail.Copy) (cp segment.Copy, err error) {
	system, keywords, err := splitFlags(c.Flags)
	if err != nil {
		return cp, err
	}
	name, err := cleanName(c.Mailbox)
	if err != nil {
		name = inbox
	}
	return segment.Copy{Name: name, Create: c.Create, Flags: uint8(system), Keywords: keywords}, nil
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
func isLimit(err error) bool    { return errors.Is(err, ErrLimit) }
