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
// plans[i]; a failed one leaves no trace, and plans of one Rcpt (an alias) share
// theirs. sum describes body alone (offsets without any prefix). It returns only
// when a power cut can no longer lose what it accepted. env.Demand must be
// stated.
//
// A plan for an account that is not there is [ErrNotFound], one that has no
// room [ErrOverQuota]; a full disk is [ErrUnavailable] and reply.DiskFull at
// once. A letter that [Store.Unanswered] knows is not filed a second time.
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
	r := &segment.Record{Kind: segment.Delivered, Envelope: *env, Summary: encodeSummary(sum)}
	r.Envelope.Received = timeOr(env.Received, s.opt.Now())
	resolved, held, octets := make([]*segment.Recipient, len(plans)), make([]Usage, len(plans)), 0
	for i := range plans {
		more, err := encodeMore(env.Demand, plans[i].Remember, plans[i].Outbound)
		if err == nil && (len(plans[i].Copies)+len(more) == 0 || again(i)) {
			continue // discarded, or taken before
		}
		if octets += len(more); octets > maxMoreOfRecord && err == nil {
			err = fmt.Errorf("%d octets beside the message: %w", octets, ErrLimit)
		}
		var rc segment.Recipient
		if err == nil {
			rc, held[i], err = s.resolve(ctx, &plans[i], body.Size())
		}
		if err != nil {
			errs[i] = fmt.Errorf("commit: %w", err)
			continue
		}
		rc.Date, rc.More = r.Envelope.Received, more
		resolved[i] = &rc
	}
	shareFates(plans, errs)
	var taken inFlight
	for i, rc := range resolved {
		switch {
		case rc == nil:
		case errs[i] == nil:
			r.Recipients = append(r.Recipients, *rc)
			taken = append(taken, held[i])
		default:
			s.shardOf(AccountID(rc.Account)).release(AccountID(rc.Account), held[i])
		}
	}
	if len(r.Recipients) == 0 {
		return errs
	}
	r.Tag = taken
	if err := s.append(ctx, segment.Letter{Record: r, Body: body}); err != nil {
		for i := range r.Recipients {
			a := AccountID(r.Recipients[i].Account)
			s.shardOf(a).release(a, taken[i])
		}
		return fail(err)
	}
	return errs
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

// resolve turns a plan into what the record says of its recipient. held is what
// it took of his quota, until it is in the index.
func (s *Store) resolve(ctx context.Context, plan *mail.Delivery, size int64) (rc segment.Recipient, held Usage, err error) {
	a := AccountID(plan.Account)
	rc = segment.Recipient{Account: plan.Account, EmailID: uint64(random()), Rcpt: plan.Rcpt, Prefix: plan.Prefix}
	if len(plan.Copies) > maxCopies {
		return rc, held, fmt.Errorf("%d copies: %w", len(plan.Copies), ErrLimit)
	}
	sh := s.shardOf(a)
	if err := sh.trouble(); err != nil {
		return rc, held, unavailable(err)
	}
	for _, c := range plan.Copies {
		cp, err := planCopy(c)
		if err != nil {
			return rc, held, err
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
		for i := range rc.Copies {
			f, err := fields(r, namedKey(a, keyName, rc.Copies[i].Name))
			if err != nil {
				return err
			}
			if f != nil {
				rc.Copies[i].Mailbox = uint32(f.Uint())
			}
		}
		if held, err = sh.reserve(a, c, need); err != nil {
			return fmt.Errorf("account %d: %w", a, err)
		}
		return nil
	})
	return rc, held, err
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
