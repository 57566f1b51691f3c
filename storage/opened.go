package storage

import (
	"context"
	"errors"
	"iter"
	"strings"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// Opened is one message as [Account.Messages] hands it out: good until the next
// step of the walk.
type Opened struct {
	Row     Row
	Err     error   // [requiretls.ErrWithheld] as the gate said it, or damage
	Message Message // nil with Err; the walk closes it

	located located
	release requiretls.Release
	encoded string // its summary; empty where the index does not have it
	page    *page
}

// Summary is the summary of the message, offsets of the whole (prefix
// included), decoded anew at each call and good until the next step of the walk.
func (o *Opened) Summary() (*mail.Summary, error) {
	if o.Err != nil {
		return nil, o.Err
	}
	return o.summary(wholeSummary)
}

func (o *Opened) summary(want extent) (*mail.Summary, error) {
	if o.encoded != "" {
		sum, err := o.page.text.summary(o.encoded, want, int64(o.located.row.prefixLen))
		if err == nil {
			return sum, nil
		}
	}
	sum, err := o.page.account.storedSummary(o.page.ctx, o.page.id, o.Row.UID, o.release)
	switch {
	case err != nil:
		return nil, err
	case want == envelopeOnly:
		sum.Root, sum.Preview = mail.Part{}, ""
	case want == structureOnly:
		sum = &mail.Summary{Has: sum.Has, Root: sum.Root, Preview: sum.Preview}
	}
	return sum, nil
}

// Messages walks uids (ascending) and opens each: what [Account.Summaries] says,
// and the octets, verified as they are read. No transaction is held while the
// caller reads or writes. Those that are gone are passed over. An error ends the
// walk.
func (a *Account) Messages(ctx context.Context, id MailboxID, uids []UID, gate Gate) iter.Seq2[*Opened, error] {
	return a.messages(ctx, id, uids, gate, wholeSummary)
}

// Octets is [Account.Messages] for those who seldom ask for a summary: each that
// is asked for is read of its own.
func (a *Account) Octets(ctx context.Context, id MailboxID, uids []UID, gate Gate) iter.Seq2[*Opened, error] {
	return a.messages(ctx, id, uids, gate, noSummary)
}

func (a *Account) messages(ctx context.Context, id MailboxID, uids []UID, gate Gate, want extent) iter.Seq2[*Opened, error] {
	return func(yield func(*Opened, error) bool) {
		for o, err := range a.pages(ctx, id, uids, gate, want) {
			if err == nil && o.Err == nil {
				o.Message, o.Err = o.open()
				if isNotFound(o.Err) { // expunged since the look
					continue
				}
			}
			more := yield(o, err)
			if o != nil && o.Message != nil {
				_ = o.Message.Close() // read only: nothing can be lost
				o.Message = nil
			}
			if !more {
				return
			}
		}
	}
}

// open opens what the page led to, or, where its segment was collected since,
// looks again.
func (o *Opened) open() (Message, error) {
	a := o.page.account
	stored, err := a.store.log.Open(o.located.row.at)
	if errors.Is(err, segment.ErrGone) {
		return a.Message(o.page.ctx, o.page.id, o.Row.UID, o.release)
	}
	if err != nil {
		return nil, err
	}
	if !o.release.Covers(requiretls.Agree(o.located.demand(), stored.Demand())) {
		return nil, errors.Join(requiretls.ErrWithheld, stored.Close())
	}
	return o.located.message(stored)
}

// How much of a mailbox one transaction reads.
const (
	pageMessages = 256
	pageOctets   = 1 << 20 // of encoded summaries; one more message may go beyond
)

// page is some messages of a mailbox, as one transaction showed them.
type page struct {
	account *Account
	ctx     context.Context // of the walk; it ends with it
	id      MailboxID
	gate    Gate
	want    extent
	opened  []Opened
	ends    []int // of the encoded summary of each; where there is none, that of the one before
	octets  int   // of all of them
	text    text  // reads them
}

// pages walks uids a page at a time: everything the index knows of them, read in
// a transaction that has ended when the first of them is handed out.
func (a *Account) pages(ctx context.Context, id MailboxID, uids []UID, gate Gate, want extent) iter.Seq2[*Opened, error] {
	return func(yield func(*Opened, error) bool) {
		p := page{account: a, ctx: ctx, id: id, gate: gate, want: want}
		for len(uids) > 0 {
			var err error
			if uids, err = p.read(uids); err != nil {
				yield(nil, err)
				return
			}
			for i := range p.opened {
				if !yield(&p.opened[i], nil) {
					return
				}
			}
		}
	}
}

// read reads the first of uids and answers those it did not come to.
func (p *page) read(uids []UID) (rest []UID, err error) {
	some := uids[:min(len(uids), pageMessages)]
	err = p.account.read(p.ctx, func(r kv.Reader) error {
		p.opened = p.opened[:0]
		rest = uids[len(some):]
		err := p.account.each(r, p.id, some, func(l *located) error {
			o := Opened{Row: l.row.public(&l.entry), located: *l, page: p}
			if o.release, o.Err = p.gate(l.demand()); o.Err == nil && !o.release.Covers(l.demand()) {
				o.Err = requiretls.ErrWithheld
			}
			p.opened = append(p.opened, o)
			return nil
		})
		if err != nil {
			return err
		}
		if p.want == noSummary {
			return nil
		}
		if n := p.readSummaries(r); n < len(p.opened) {
			rest = from(uids, p.opened[n].Row.UID)
			p.opened = p.opened[:n]
		}
		return nil
	})
	return rest, err
}

// readSummaries copies what the index has of summaries and says of how many
// messages there was room for them. One that cannot be read stands in the
// segment, too. All of a page share one string.
func (p *page) readSummaries(r kv.Reader) int {
	number := func(i int) uint64 { return p.opened[i].located.entry.number }
	var octets strings.Builder
	octets.Grow(p.octets) // as many as the page before had
	p.ends = p.ends[:0]
	err := values(r, p.account.id, keySummary, len(p.opened), number, func(i int, v []byte) error {
		if octets.Len() > pageOctets {
			return errStepFull
		}
		if v, err := open(v); err == nil && p.opened[i].Err == nil {
			octets.Write(v)
		}
		p.ends = append(p.ends, octets.Len())
		return nil
	})
	p.octets = octets.Len()
	all, at := octets.String(), 0
	for i, end := range p.ends {
		p.opened[i].encoded = all[at:end]
		at = end
	}
	if err != nil {
		return len(p.ends)
	}
	return len(p.opened)
}
