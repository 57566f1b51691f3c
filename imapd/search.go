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
	levelOctets               // the message itself
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
	done    func() error // closes the message
	err     error        // reading its content failed
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
	view := s.box.view
	for from := 0; from < view.Len(); from += searchBatch {
		if err := q.batch(ctx, from, min(from+searchBatch, view.Len())); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// batch asks of each message first what its flags can answer, then looks up
// more of those that are still open.
func (q *searching) batch(ctx context.Context, from, to int) error {
	var open []candidate
	start := len(q.found)
	for i, e := range q.s.box.view.All(from, to) {
		c := candidate{i: i, entry: e, held: q.s.gate.withholds(e.Flags)}
		switch q.test(&c) {
		case isYes:
			q.found = append(q.found, i)
		case unknown:
			open = append(open, c)
		}
	}
	if len(open) == 0 {
		return nil
	}
	if err := q.lookUpRows(ctx, open); err != nil {
		return err
	}
	for k := range open {
		matches, err := q.decide(ctx, &open[k])
		if open[k].done != nil {
			open[k].done()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil: // the others shall be found all the same
			q.s.log.Error("message cannot be searched", "mailbox", q.s.box.name, "uid", open[k].entry.UID, "err", err)
			q.damaged++
		case matches:
			q.found = append(q.found, open[k].i)
		}
	}
	slices.Sort(q.found[start:])
	return ctx.Err()
}

// lookUpRows gives each candidate its row, where a key asks for one.
func (q *searching) lookUpRows(ctx context.Context, open []candidate) error {
	uids := make([]storage.UID, len(open))
	for k := range open {
		uids[k] = open[k].entry.UID
	}
	rows, err := q.s.account.Rows(ctx, q.s.box.id, uids)
	if err != nil {
		return err
	}
	for k := range open {
		if len(rows) > 0 && rows[0].UID == open[k].entry.UID {
			open[k].row, rows = &rows[0], rows[1:]
		}
	}
	return nil
}

// decide looks up more and more of a message until it is known whether it
// matches. One that was expunged meanwhile does not.
func (q *searching) decide(ctx context.Context, c *candidate) (bool, error) {
	if c.row == nil {
		q.gone++
		return false, nil
	}
	c.level = levelRow
	for {
		v := q.test(c)
		switch {
		case c.err != nil:
			return false, c.err
		case v != unknown:
			return v == isYes, nil
		case c.level == levelOctets:
			panic("a search key did not know what to say of a whole message")
		}
		err := q.deepen(ctx, c)
		switch {
		case errors.Is(err, requiretls.ErrWithheld):
			c.held = true // the row knows of a demand that the view did not: ask again
		case errors.Is(err, storage.ErrNotFound):
			q.gone++
			return false, nil
		case err != nil:
			return false, err
		}
	}
}

// deepen looks up the next level, with a release for the message.
func (q *searching) deepen(ctx context.Context, c *candidate) error {
	release, err := q.s.gate.release(c.entry.Flags)
	if err != nil {
		return err
	}
	account, id := q.s.account, q.s.box.id
	if c.level == levelRow {
		if c.summary, err = account.Summary(ctx, id, c.entry.UID, release); err == nil {
			c.level = levelSummary
		}
		return err
	}
	message, err := account.Message(ctx, id, c.entry.UID, release)
	if err != nil {
		return err
	}
	c.level, c.octets, c.done = levelOctets, message, message.Close
	if message.Size() <= searchInMemory {
		err = q.hold(c, message)
	}
	return err
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
