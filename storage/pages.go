package storage

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"strings"
	"sync"

	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// How much of a mailbox one transaction reads. A walk has two pages in memory,
// of some 30 KiB each: the one that is handed out, and the one that is read
// meanwhile.
const (
	pageMessages = 64
	pageOctets   = 16 << 10 // of encoded summaries; one more message may go beyond
)

// walk is one walk over messages of a mailbox.
type walk struct {
	account *Account
	ctx     context.Context // it ends with it
	id      MailboxID
	gate    Gate
	want    extent
	text    text           // reads summaries
	opened  Opened         // what is handed out
	ahead   sync.WaitGroup // reads the next page
}

// page is some messages of a mailbox, as one transaction showed them.
type page struct {
	found  []glimpse
	rest   []UID // those that it did not come to
	err    error // ends the walk
	fault  any   // a panic while it was read
	ends   []int // of the encoded summary of each; where there is none, that of the one before
	octets int   // of all of them
}

// glimpse is what the index says of one message.
type glimpse struct {
	located located
	release requiretls.Release
	err     error  // why there is none
	encoded string // its summary, what is wanted of it; empty where the index does not have it
}

func newWalk(ctx context.Context, a *Account, id MailboxID, gate Gate, want extent) *walk {
	return &walk{account: a, ctx: ctx, id: id, gate: gate, want: want}
}

// pages walks uids a page at a time: everything the index knows of them, read in
// a transaction that has ended when the page is handed out. While it is, the next
// one is read.
func (w *walk) pages(uids []UID) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		defer w.ahead.Wait()
		now, next := new(page), new(page)
		for now.read(w, uids); now.err == nil; now, next = next, now {
			if len(now.rest) > 0 {
				w.ahead.Go(func() { next.readAhead(w, now.rest) })
			}
			if !yield(now, nil) || len(now.rest) == 0 {
				return
			}
			if w.ahead.Wait(); next.fault != nil {
				panic(next.fault)
			}
		}
		yield(nil, now.err)
	}
}

// each walks the messages of all pages, each good until the next one.
func (w *walk) each(uids []UID) iter.Seq2[*Opened, error] {
	return func(yield func(*Opened, error) bool) {
		for p, err := range w.pages(uids) {
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range p.found {
				if !yield(w.hand(&p.found[i]), nil) {
					return
				}
			}
		}
	}
}

// hand is a message as it is handed out.
func (w *walk) hand(g *glimpse) *Opened {
	w.opened = Opened{Row: g.located.row.public(&g.located.entry), Err: g.err, glimpse: g, walk: w}
	return &w.opened
}

// readAhead is read beside the walk. A panic is for whoever walks: his session ends
// with it, and not everybody's.
func (p *page) readAhead(w *walk, uids []UID) {
	defer func() {
		if fault := recover(); fault != nil {
			p.fault = fmt.Errorf("read ahead: %v\n%s", fault, debug.Stack())
		}
	}()
	p.read(w, uids)
}

// read reads the first of uids.
func (p *page) read(w *walk, uids []UID) {
	p.rest = nil
	if len(uids) == 0 {
		return
	}
	some := uids[:min(len(uids), pageMessages)]
	p.err = w.account.read(w.ctx, func(r kv.Reader) error {
		p.found, p.rest = p.found[:0], uids[len(some):]
		err := w.account.each(r, w.id, some, func(l *located) error {
			release, err := w.gate(l.demand())
			if err == nil && !release.Covers(l.demand()) {
				err = requiretls.ErrWithheld
			}
			p.found = append(p.found, glimpse{located: *l, release: release, err: err})
			return nil
		})
		if err != nil || w.want == noSummary {
			return err
		}
		if n := p.readSummaries(w, r); n < len(p.found) {
			p.rest = from(uids, p.found[n].located.entry.uid)
			p.found = p.found[:n]
		}
		return nil
	})
}

// readSummaries copies what the index has of summaries and says of how many
// messages there was room for them. One that cannot be read stands in the
// segment, too. All of a page share one string.
func (p *page) readSummaries(w *walk, r kv.Reader) int {
	number := func(i int) uint64 { return p.found[i].located.entry.number }
	var octets strings.Builder
	octets.Grow(p.octets + p.octets/8) // what the page before had, nearly
	p.ends = p.ends[:0]
	err := values(r, w.account.id, keySummary, len(p.found), number, func(i int, v []byte) error {
		if octets.Len() > pageOctets {
			return errStepFull
		}
		if v, err := open(v); err == nil && p.found[i].err == nil {
			octets.Write(wanted(v, w.want))
		}
		p.ends = append(p.ends, octets.Len())
		return nil
	})
	p.octets = octets.Len()
	all, at := octets.String(), 0
	for i, end := range p.ends {
		p.found[i].encoded = all[at:end]
		at = end
	}
	if err != nil {
		return len(p.ends)
	}
	return len(p.found)
}
