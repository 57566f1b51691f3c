package storage

import (
	"context"
	"errors"
	"fmt"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// maxCopies is how many mailboxes one delivery may file into.
const maxCopies = 256

// errNotStated: a message whose demand nobody made out is kept by nobody.
var errNotStated = errors.New("the demand of the message is not stated")

// Commit makes one message durable for all its recipients with one record and
// one flush, shared with whoever else is waiting. errs[i] is the fate of
// plans[i]; a failed one leaves no trace. sum describes body alone (offsets
// without any prefix). It returns only when a power cut can no longer lose what
// it accepted. env.Demand must be stated.
//
// A plan for an account that is not there is [ErrNotFound], one that has no
// room [ErrOverQuota]; a full disk is [ErrUnavailable] and reply.DiskFull at
// once. A letter that [Store.Unanswered] knows is not filed a second time.
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
	r := &segment.Record{Kind: segment.Delivered, Envelope: *env, Summary: encodeSummary(sum)}
	r.Envelope.Received = timeOr(env.Received, s.opt.Now())
	for i := range plans {
		if len(plans[i].Copies) == 0 || again(i) {
			continue // discarded, or taken before
		}
		rc, err := s.resolve(ctx, &plans[i], body.Size())
		if err != nil {
			errs[i] = fmt.Errorf("commit: %w", err)
			continue
		}
		rc.Date = r.Envelope.Received
		r.Recipients = append(r.Recipients, rc)
	}
	if len(r.Recipients) == 0 {
		return errs
	}
	if err := s.log.Append(ctx, segment.Letter{Record: r, Body: body}); err != nil {
		return fail(unavailable(err))
	}
	return errs
}

// resolve turns a plan into what the record says of its recipient.
func (s *Store) resolve(ctx context.Context, plan *mail.Delivery, size int64) (rc segment.Recipient, err error) {
	a := AccountID(plan.Account)
	rc = segment.Recipient{Account: plan.Account, EmailID: uint64(random()), Rcpt: plan.Rcpt, Prefix: plan.Prefix}
	if len(plan.Copies) > maxCopies {
		return rc, fmt.Errorf("%d copies: %w", len(plan.Copies), ErrLimit)
	}
	sh := s.shardOf(a)
	if err := sh.trouble(); err != nil {
		return rc, unavailable(err)
	}
	for _, c := range plan.Copies {
		cp, err := planCopy(c)
		if err != nil {
			return rc, err
		}
		rc.Copies = append(rc.Copies, cp)
	}
	need := Usage{Bytes: uint64(size+int64(len(plan.Prefix))) * uint64(len(rc.Copies)), Messages: uint64(len(rc.Copies))}
	err = s.index.View(ctx, sh.number, func(r kv.Reader) error {
		c, err := getAccount(r, a)
		if err != nil {
			return err
		}
		if c == nil || c.removed {
			return fmt.Errorf("account %d: %w", a, ErrNotFound)
		}
		if err := c.room(need); err != nil {
			return fmt.Errorf("account %d: %w", a, err)
		}
		for i := range rc.Copies {
			b, err := findBox(r, a, rc.Copies[i].Name)
			if err != nil {
				return err
			}
			if b != nil {
				rc.Copies[i].Mailbox = uint32(b.ID)
			}
		}
		return nil
	})
	return rc, err
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

// room says whether need fits under the limits.
func (c *account) room(need Usage) error {
	switch {
	case c.limits.Bytes != 0 && c.bytes+need.Bytes > c.limits.Bytes,
		c.limits.Messages != 0 && c.messages+need.Messages > c.limits.Messages:
		return ErrOverQuota
	}
	return nil
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
func isLimit(err error) bool    { return errors.Is(err, ErrLimit) }
