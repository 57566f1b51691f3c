package storage

import (
	"context"
	"fmt"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/segment"
)

// Letter is one message to append.
type Letter struct {
	Body         mail.Body
	Summary      *mail.Summary
	Flags        []string
	InternalDate time.Time         // zero: now
	Demand       requiretls.Demand // Usual for APPEND
}

// What one Append takes: it is one transaction.
const (
	maxLetters     = maxWrites/(writesPerRecipient+1) - 16 // and their blocks
	maxAppendBytes = 256 << 20                             // octets of bodies that lie in the segment
)

// Append files letters in order, all or none. [ErrNotFound] where the mailbox
// is not there, [ErrReadOnlyFlag] for $RequireTLS, [ErrOverQuota], [ErrLimit]
// above about a thousand letters. It returns when they are durable: whoever looks
// from then on sees them. Where the index cannot be written they are durable all the
// same, and get UIDs when it can: uids is nil then.
func (a *Account) Append(ctx context.Context, mailbox string, letters []Letter) (uidvalidity uint32, uids []UID, err error) {
	group, need, err := a.records(ctx, mailbox, letters)
	if err != nil || len(group) == 0 {
		return 0, nil, err
	}
	return a.file(ctx, group, need)
}

// filing is who waits for a group that is appended, and what it takes of the quota
// until it is in the index.
type filing struct {
	answer chan applied // room for one
	held   Usage
	// refused is why a try to apply it files it nowhere, where the index failed in that
	// try: what nobody could write may be read after a crash all the same. The applier
	// writes it, the shard's mu guards it.
	refused error
}

// file brings a group that needs so much of the quota through the log into the
// index. Where it is known now which UIDs it gets there (see [foresight]) the log is
// all that is waited for.
func (a *Account) file(ctx context.Context, group []segment.Letter, need Usage) (uidvalidity uint32, uids []UID, err error) {
	sh := a.store.shardOf(a.id)
	if err := orElse(sh.trouble(), sh.takes(a.id)); err != nil {
		return 0, nil, unavailable(err)
	}
	held, err := a.reserve(ctx, need)
	if err != nil {
		return 0, nil, err
	}
	f := &filing{answer: make(chan applied, 1), held: held}
	group[0].Record.Tag = f
	if err := a.store.append(ctx, group...); err != nil {
		sh.release(a.id, held)
		return 0, nil, fmt.Errorf("append: %w", err)
	}
	select {
	case done := <-f.answer:
		return done.uidValidity, done.uids, done.err
	default:
	}
	// The log has it: that ctx ends does not make it undone, and to say so would have it
	// sent again (RFC 9051 §6.3.12). It is applied, or the index fails, in a moment.
	if err := sh.seen(context.WithoutCancel(ctx), a.id); err != nil {
		return sh.owes(f)
	}
	done := <-f.answer // seen: it was applied
	return done.uidValidity, done.uids, done.err
}

// owes answers an append that the log has and the index cannot follow: it was
// applied in the last moment, or is owed a place ([item.owed]), unless it is refused.
func (sh *shard) owes(f *filing) (uidvalidity uint32, uids []UID, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	select {
	case done := <-f.answer:
		return done.uidValidity, done.uids, done.err
	default:
		return 0, nil, f.refused
	}
}

// records turns letters into what goes to the log, and says what they need.
func (a *Account) records(ctx context.Context, mailbox string, letters []Letter) (_ []segment.Letter, need Usage, err error) {
	id, name, err := a.destination(ctx, mailbox)
	if err != nil {
		return nil, need, err
	}
	now := a.store.opt.Now()
	var index, inLog int64
	group := make([]segment.Letter, len(letters))
	for i, l := range letters {
		if !l.Demand.Stated() {
			return nil, need, errNotStated
		}
		system, keywords, err := splitFlags(l.Flags)
		if err != nil {
			return nil, need, err
		}
		r := &segment.Record{
			Kind:     segment.Appended,
			Envelope: mail.Envelope{Demand: l.Demand, Received: now},
			Summary:  encodeSummary(l.Summary),
			Recipients: []segment.Recipient{{
				Account: uint64(a.id), EmailID: uint64(random()), Date: timeOr(l.InternalDate, now),
				Copies: []segment.Copy{{Mailbox: uint32(id), Name: name, Flags: uint8(system), Keywords: keywords}},
			}},
		}
		group[i] = segment.Letter{Record: r, Body: l.Body}
		need.Bytes += uint64(l.Body.Size())
		need.Messages++
		index += int64(min(len(r.Summary), maxCached)) + rowSize + 64
		if l.Body.Size() <= segment.BigBody {
			inLog += l.Body.Size()
		}
	}
	if len(letters) > maxLetters || index > maxBytes || inLog > maxAppendBytes {
		return nil, need, fmt.Errorf("append of %d letters at once: %w", len(letters), ErrLimit)
	}
	return group, need, nil
}
