package imapd

import (
	"context"
	"slices"
	"strconv"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// beAware notes a CONDSTORE enabling command (RFC 7162 §3.1): from now on every
// FETCH that nobody asked for has UID and MODSEQ (§3.2.4). The first such
// command with a mailbox selected is answered with HIGHESTMODSEQ.
func (s *session) beAware() {
	if s.aware {
		return
	}
	s.aware = true
	if s.box != nil {
		s.highestModSeq(s.box.told)
	}
}

// highestModSeq tells how far the client's knowledge reaches (RFC 7162 §3.1.2.1).
func (s *session) highestModSeq(highest storage.ModSeq) {
	s.putString("* OK [" + highestCode(highest) + "] Highest\r\n")
}

func highestCode(highest storage.ModSeq) string {
	return "HIGHESTMODSEQ " + strconv.FormatUint(uint64(highest), 10)
}

// codeHighest asks for HIGHESTMODSEQ in the tagged answer, as it is when all else
// was told.
const codeHighest = "HIGHESTMODSEQ"

// settled ends a command, or what was told without one. It answers the code of the
// tagged answer. Where expunges were told, HIGHESTMODSEQ says how far all is known
// now: a client cannot tell from VANISHED. Where MODSEQs were told while expunges
// wait, it says that the client must not count on them (RFC 7162 §3.2, §6): it
// would never hear of those expunges if the connection were lost now.
func (s *session) settled(code string) string {
	box := s.box
	if box == nil || !s.qresync {
		return code
	}
	tell := box.modseqs && box.held || box.expunged && !box.held && s.tells(syntax.EventFlagChange)
	box.expunged, box.modseqs = false, false
	if code == codeHighest {
		return highestCode(box.told)
	}
	if tell {
		s.highestModSeq(box.told)
	}
	return code
}

// appendModSeq is the MODSEQ item (RFC 7162 §3.1.4.2).
func (box *mailbox) appendModSeq(b []byte, m storage.ModSeq) []byte {
	box.modseqs = true
	b = append(b, "MODSEQ ("...)
	b = strconv.AppendUint(b, uint64(m), 10)
	return append(b, ')')
}

// changedSince is what CHANGEDSINCE leaves of a set (RFC 7162 §3.1.4.1).
func (s *session) changedSince(set []int, since uint64) []int {
	view := s.box.view
	return slices.DeleteFunc(set, func(i int) bool { return uint64(view.At(i).ModSeq) <= since })
}

// resync brings the client's cache up to date in answer to SELECT (RFC 7162
// §3.2.5): what vanished of the UIDs it knows, then which flags changed. With
// another UIDVALIDITY there is nothing to be said.
func (s *session) resync(ctx context.Context, q *syntax.QResync) error {
	box := s.box
	now := box.view.Mailbox()
	if q.UIDValidity != now.UIDValidity {
		return nil
	}
	known := []syntax.Range{{First: 1, Last: uint32(now.UIDNext) - 1}}
	if !q.Known.IsZero() {
		known = q.Known.Resolve(0)
	}
	if err := s.vanishedEarlier(ctx, known, q.ModSeq, s.matched(q)); err != nil {
		return err
	}
	for _, r := range known {
		from, _ := box.view.Find(storage.UID(r.First))
		for i, e := range box.view.All(from, box.view.Len()) {
			if uint32(e.UID) > r.Last {
				break
			}
			if uint64(e.ModSeq) > q.ModSeq {
				s.fetchFlags(i+1, e)
			}
		}
	}
	return nil
}

// tellVanished is the VANISHED modifier of UID FETCH (RFC 7162 §3.2.6). What
// the client still counts is told by VANISHED without EARLIER first.
func (s *session) tellVanished(ctx context.Context, a *syntax.Fetch) error {
	if err := s.sync(ctx, sendExpunges); err != nil {
		return err
	}
	return s.vanishedEarlier(ctx, s.uidRanges(a.Set), a.ChangedSince, 0)
}

// matched is the greatest UID for which the client's sequence match data show
// that it knows of all expunges up to there (RFC 7162 §3.2.5.2). Both sets
// ascend; pairs beyond the last message are not looked at.
func (s *session) matched(q *syntax.QResync) (last storage.UID) {
	view := s.box.view
	seqs, uids := counter{q.MatchSeqs.Ranges, 0}, counter{q.MatchUIDs.Ranges, 0}
	for {
		seq, more := seqs.next()
		uid, paired := uids.next()
		if !more || !paired || int(seq) > view.Len() || view.At(int(seq)-1).UID != storage.UID(uid) {
			return last
		}
		last = storage.UID(uid)
	}
}

// counter walks the numbers of ranges.
type counter struct {
	ranges []syntax.Range
	past   uint32 // how many of the first range were given out
}

func (c *counter) next() (n uint32, more bool) {
	if len(c.ranges) == 0 {
		return 0, false
	}
	r := c.ranges[0]
	n = r.First + c.past
	if c.past++; n >= r.Last {
		c.ranges, c.past = c.ranges[1:], 0
	}
	return n, true
}

// vanishedEarlier tells which UIDs of ascending ranges left the mailbox after a
// modseq: those that the client may still have (RFC 7162 §3.2.10.1). Of those up to
// floor it knows.
func (s *session) vanishedEarlier(ctx context.Context, within []syntax.Range, since uint64, floor storage.UID) error {
	gone, complete, err := s.account.Vanished(ctx, s.box.id, storage.ModSeq(since))
	if err != nil {
		return err
	}
	log := shortLog
	if complete {
		log = wholeLog
	}
	s.vanished(" (EARLIER)", missing(s.box.view, within, gone, log, floor))
	return nil
}

// logged says whether the log of expunges reaches back as far as the client asks.
type logged uint8

const (
	wholeLog logged = iota
	shortLog
)

// missing is what of the ranges is gone: what the log says, and where that is too
// short whatever above floor is not there (RFC 7162 §3.2.6, minmodseq).
func missing(view *storage.View, within []syntax.Range, gone []storage.UIDRange, log logged, floor storage.UID) []syntax.Range {
	left := ascending(gone)
	if log == shortLog {
		left = []syntax.Range{{First: uint32(floor) + 1, Last: uint32(view.Mailbox().UIDNext) - 1}}
	}
	return absent(view, common(within, left))
}

// ascending is ranges of UIDs in their order, joined.
func ascending(gone []storage.UIDRange) []syntax.Range {
	set := syntax.Set{Ranges: make([]syntax.Range, len(gone))}
	for i, r := range gone {
		set.Ranges[i] = syntax.Range{First: uint32(r.First), Last: uint32(r.Last)}
	}
	return set.Resolve(0)
}

// common is what two lists of ascending ranges share.
func common(a, b []syntax.Range) (both []syntax.Range) {
	for len(a) > 0 && len(b) > 0 {
		if r := (syntax.Range{First: max(a[0].First, b[0].First), Last: min(a[0].Last, b[0].Last)}); r.First <= r.Last {
			both = append(both, r)
		}
		if a[0].Last < b[0].Last {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}

// absent is ascending ranges of UIDs less the messages of a view.
func absent(view *storage.View, ranges []syntax.Range) (gone []syntax.Range) {
	for _, r := range ranges {
		next := r.First
		from, _ := view.Find(storage.UID(r.First))
		for _, e := range view.All(from, view.Len()) {
			uid := uint32(e.UID)
			if uid > r.Last {
				break
			}
			if next < uid {
				gone = append(gone, syntax.Range{First: next, Last: uid - 1})
			}
			next = uid + 1
		}
		if next <= r.Last && next != 0 {
			gone = append(gone, syntax.Range{First: next, Last: r.Last})
		}
	}
	return gone
}

// vanishedPerLine bounds how long a VANISHED response is.
const vanishedPerLine = 1000

// vanished writes VANISHED responses (RFC 7162 §3.2.10).
func (s *session) vanished(earlier string, gone []syntax.Range) {
	for some := range slices.Chunk(gone, vanishedPerLine) {
		b := append(s.scratch[:0], "* VANISHED"...)
		b = append(append(b, earlier...), ' ')
		b = syntax.AppendSet(b, some)
		s.put(append(b, "\r\n"...))
	}
}
