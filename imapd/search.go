package imapd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// searchBatch is how many messages are looked at together.
const searchBatch = 256

// searchInMemory is how big a message may be to be searched in memory; a bigger
// one is read piece by piece.
const searchInMemory = 256 << 10

// verdict is three-valued: a key that needs more of a message than was looked
// up so far does not know yet. AND is the least, OR the greatest, NOT the
// opposite.
type verdict int8

const (
	isNo    verdict = -1
	unknown verdict = 0
	isYes   verdict = 1
)

func verdictOf(holds bool) verdict {
	if holds {
		return isYes
	}
	return isNo
}

// level is how much of a message was looked up, cheapest first.
type level uint8

const (
	levelFlags   level = iota // what the view has
	levelRow                  // dates and size
	levelSummary              // the cached envelope and structure
	levelHeader               // the fields of its header
	levelText                 // all its text
)

// candidate is a message being looked at.
type candidate struct {
	i       int
	entry   storage.Entry
	held    bool // the gate withholds it: its content matches nothing
	level   level
	row     *storage.Row
	summary *mail.Summary
	octets  io.ReaderAt
}

// test is one key, ready to be asked.
type test func(c *candidate) verdict

// search is SEARCH and UID SEARCH (RFC 9051 §6.4.4).
func (s *session) search(ctx context.Context, a *syntax.Search) (answer, error) {
	want := a.Return
	if want == 0 && s.rev2 {
		want = syntax.ReturnExtended | syntax.ReturnAll
	}
	q, err := s.find(ctx, a.Keys)
	if err != nil {
		if want&syntax.ReturnSave != 0 && s.refuse(err).kind == "NO" {
			s.box.saved = nil // RFC 9051 §6.4.4.1: a NO leaves it empty, a BAD as it is
		}
		return answer{}, err
	}
	if want&syntax.ReturnSave != 0 {
		s.save(q.found, want)
	}
	s.found(s.numbersOf(q.found, a.UID), a.UID, want)
	switch {
	case q.damaged > 0:
		return answer{"CORRUPTION", counted(q.damaged, "message", "messages") + " cannot be read"}, nil
	case q.gone > 0:
		return answer{"EXPUNGEISSUED", "SEARCH completed"}, nil
	}
	return answer{}, nil
}

// save sets "$" (RFC 9051 §6.4.4.1, table 4): with MIN or MAX alone it is those.
func (s *session) save(found []int, want syntax.SearchReturn) {
	if want&(syntax.ReturnAll|syntax.ReturnCount) == 0 && want&(syntax.ReturnMin|syntax.ReturnMax) != 0 && len(found) > 0 {
		var ends []int
		if want&syntax.ReturnMin != 0 {
			ends = append(ends, found[0])
		}
		if last := found[len(found)-1]; want&syntax.ReturnMax != 0 && !slices.Contains(ends, last) {
			ends = append(ends, last)
		}
		found = ends
	}
	s.box.saved = s.uidsOf(found)
}

// found writes the result: ESEARCH where it was asked for, the SEARCH of RFC
// 3501 otherwise. SAVE alone says nothing (RFC 5182 §2.1).
func (s *session) found(nums []uint32, uid bool, want syntax.SearchReturn) {
	if want == 0 {
		b := append(s.scratch[:0], "* SEARCH"...)
		for _, n := range nums {
			b = append(b, ' ')
			b = strconv.AppendUint(b, uint64(n), 10)
		}
		s.put(append(b, "\r\n"...))
		return
	}
	if want&^syntax.ReturnExtended == syntax.ReturnSave {
		return
	}
	e := syntax.ESearch{Tag: s.tag, UID: uid, Return: want, All: runs(nums), Count: uint32(len(nums))}
	if len(nums) > 0 {
		e.Min, e.Max = nums[0], nums[len(nums)-1]
	}
	s.put(syntax.AppendESearch(s.scratch[:0], &e))
}

// runs is ascending numbers as ranges of neighbours.
func runs(nums []uint32) []syntax.Range {
	var out []syntax.Range
	for _, n := range nums {
		if k := len(out) - 1; k >= 0 && out[k].Last+1 == n {
			out[k].Last = n
			continue
		}
		out = append(out, syntax.Range{First: n, Last: n})
	}
	return out
}

// searching is one search over the view the client knows.
type searching struct {
	s     *session
	now   time.Time
	test  test
	sizes bool // a key asks for what the row has

	fields   []*fieldNeedle // sought in the header
	body     needles        // of BODY
	anywhere needles        // of TEXT

	text  []byte // the message being looked through, where it is small
	found []int  // indices of the messages that match, ascending

	gone    int // messages that somebody else has expunged
	damaged int // messages that could not be read
}

// find searches all of the view.
func (s *session) find(ctx context.Context, keys syntax.And) (q *searching, err error) {
	q = &searching{s: s, now: time.Now()}
	if q.test, err = q.compile(keys); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, searchTime, errSearchTime)
	defer cancel()
	view := s.box.view
	for from := 0; from < view.Len(); from += searchBatch {
		if err := q.batch(ctx, from, min(from+searchBatch, view.Len())); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, err
		}
	}
	return q, nil
}

// batch asks of each message first what its flags can answer, then looks up
// more of those that are still open: of all of them the rows, then the
// summaries, then one by one the octets.
func (q *searching) batch(ctx context.Context, from, to int) error {
	var open []candidate
	start := len(q.found)
	for i, e := range q.s.box.view.All(from, to) {
		c := candidate{i: i, entry: e, held: q.s.gate.withholds(e.Flags)}
		if q.ask(&c) == unknown {
			open = append(open, c)
		}
	}
	open, err := q.rows(ctx, open)
	if err == nil && len(open) > 0 {
		err = q.contents(ctx, open)
	}
	slices.Sort(q.found[start:])
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// ask asks the search of a message, and notes it if it matches.
func (q *searching) ask(c *candidate) verdict {
	v := q.test(c)
	if v == isYes {
		q.found = append(q.found, c.i)
	}
	return v
}

// rows decides what dates and sizes can decide, and answers what stays open.
func (q *searching) rows(ctx context.Context, open []candidate) ([]candidate, error) {
	if !q.sizes || len(open) == 0 {
		return open, nil
	}
	rows, err := q.s.account.Rows(ctx, q.s.box.id, uidsOfCandidates(open))
	if err != nil {
		return nil, err
	}
	still := open[:0]
	for _, c := range open {
		if len(rows) == 0 || rows[0].UID != c.entry.UID {
			q.gone++
			continue
		}
		c.row, rows = &rows[0], rows[1:]
		c.level = levelRow
		if q.ask(&c) == unknown {
			still = append(still, c)
		}
	}
	return still, nil
}

func uidsOfCandidates(open []candidate) []storage.UID {
	uids := make([]storage.UID, len(open))
	for k := range open {
		uids[k] = open[k].entry.UID
	}
	return uids
}

// contents decides by what is in the messages.
func (q *searching) contents(ctx context.Context, open []candidate) error {
	s := q.s
	for one, err := range s.account.Summaries(ctx, s.box.id, uidsOfCandidates(open), s.gate.judge) {
		if err != nil {
			return err
		}
		for open[0].entry.UID < one.Row.UID {
			q.gone++
			open = open[1:]
		}
		c := &open[0]
		open = open[1:]
		c.row, c.summary = &one.Row, one.Summary
		if err := q.decide(ctx, c, one.Err); err != nil {
			return err
		}
	}
	q.gone += len(open)
	return nil
}

// decide looks up more and more of a message until it is known whether it
// matches. One that was expunged meanwhile does not; one that cannot be read is
// passed over: the others shall be found all the same. An error is the
// command's.
func (q *searching) decide(ctx context.Context, c *candidate, err error) error {
	c.level = levelSummary
	q.forget()
	for {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, requiretls.ErrWithheld):
			c.held = true // the row knows of a demand that the view did not
		case errors.Is(err, storage.ErrNotFound):
			q.gone++
			return nil
		case err != nil:
			q.s.log.Error("message cannot be searched", "mailbox", q.s.box.name, "uid", c.entry.UID, "err", err)
			q.damaged++
			return nil
		}
		if q.ask(c) != unknown {
			return nil
		}
		err = q.deepen(ctx, c)
	}
}

// deepen looks up the next level, with a release for the message.
func (q *searching) deepen(ctx context.Context, c *candidate) error {
	release, err := q.s.gate.release(c.entry.Flags)
	if err != nil {
		return err
	}
	message, err := q.s.account.Message(ctx, q.s.box.id, c.entry.UID, release)
	if err != nil {
		return err
	}
	defer message.Close()
	octets := attentively(ctx, message)
	c.octets = octets
	if message.Size() <= searchInMemory {
		if err := q.hold(c, octets); err != nil {
			return err
		}
	}
	if err := q.lookThroughHeader(c); err != nil {
		return err
	}
	c.level = levelHeader
	if q.test(c) != unknown {
		return nil
	}
	if err := q.lookThroughText(c); err != nil {
		return err
	}
	c.level = levelText
	if q.test(c) == unknown {
		panic("a search key did not know what to say of a whole message")
	}
	return nil
}

// hold reads a small message at once, into memory used again for the next.
func (q *searching) hold(c *candidate, message storage.Message) error {
	q.text = slices.Grow(q.text[:0], int(message.Size()))[:message.Size()]
	if _, err := io.ReadFull(io.NewSectionReader(message, 0, message.Size()), q.text); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	c.octets = bytes.NewReader(q.text)
	return nil
}
