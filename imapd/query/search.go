package query

import (
	"context"
	"iter"
	"math/bits"
	"time"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

const (
	// longestQuery is how long one search may take.
	longestQuery = 5 * time.Minute
	// batch is how many messages are looked up together.
	batch = 4096
	// tellEvery is how many messages are decided between two words of progress.
	tellEvery = 64
)

// Search finds the messages of the client's view for which key holds (RFC 9051
// §6.4.4), in the mailbox's order.
//
// [ErrKey], [ErrNeedles], [*NoFilterError] and [ErrTime] say what is wrong with the
// search; what else comes is the vault's or the context's.
// Messages that were expunged meanwhile, or cannot be read, do not match and are
// counted.
func Search(ctx context.Context, m *Mailbox, key syntax.Key) (*Result, error) {
	q, err := newSearching(m, key)
	if err != nil {
		return nil, err
	}
	return q.run(ctx)
}

// searching is one search.
type searching struct {
	m    *Mailbox
	now  time.Time
	test test

	rows      bool // a key asks for what the row has
	envelopes bool // a key asks for what the envelope has
	contents  bool // a key asks for more than that
	modseq    bool // MODSEQ is a key
	keys      int  // how many there are
	filters   []string

	index  index
	texts  texts
	fuzzy  []*fuzzyKey
	scores map[uint32]uint8 // of what was found, with FUZZY
	memory

	found   bitmap
	decided int
	gone    int // messages that somebody else has expunged
	damaged int // messages that could not be read
}

func newSearching(m *Mailbox, key syntax.Key) (*searching, error) {
	q := &searching{m: m, now: m.now()}
	var err error
	q.test, err = q.compile(key, exactly)
	if len(q.fuzzy) > 0 {
		q.scores = make(map[uint32]uint8)
	}
	return q, err
}

// run asks all of the view.
func (q *searching) run(ctx context.Context) (*Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, longestQuery, ErrTime)
	defer cancel()
	all := make([]uint32, q.m.View.Len())
	for i := range all {
		all[i] = uint32(i)
	}
	if err := q.decideAll(ctx, all); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return q.result(), nil
}

func (q *searching) result() *Result {
	r := &Result{Found: q.found.all(), ByModSeq: q.modseq, Gone: q.gone, Damaged: q.damaged, view: q.m.View}
	if q.scores != nil {
		r.Scores = make([]uint8, len(r.Found))
		for k, i := range r.Found {
			r.Scores[k] = max(1, q.scores[i])
		}
	}
	return r
}

// decideAll decides about messages, given by their ascending indices, of which
// it uses the memory again.
func (q *searching) decideAll(ctx context.Context, indices []uint32) error {
	q.found = newBitmap(q.m.View.Len())
	open := q.byFlags(indices)
	open, err := q.byIndex(ctx, open)
	if err != nil {
		return err
	}
	q.progress()
	for len(open) > 0 {
		n := min(batch, len(open))
		if err := q.lookUp(ctx, open[:n]); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		open = open[n:]
	}
	q.progress()
	return nil
}

// progress tells how far the search came.
func (q *searching) progress() {
	if q.m.Progress != nil {
		q.m.Progress(q.decided, q.m.View.Len())
	}
}

// decidedOne counts a message about which nothing is open any more.
func (q *searching) decidedOne() {
	if q.decided++; q.decided%tellEvery == 0 {
		q.progress()
	}
}

// byFlags decides what the view can decide, and answers what stays open.
func (q *searching) byFlags(indices []uint32) (open []uint32) {
	open = indices[:0]
	if len(indices) == 0 {
		return open
	}
	anyHeld := q.m.withholdsAny()
	next := 0
	var c candidate
	for i, e := range q.m.View.All(int(indices[0]), int(indices[len(indices)-1])+1) {
		if uint32(i) != indices[next] {
			continue
		}
		next++
		c = candidate{i: i, entry: e, held: anyHeld && q.m.withholds(e.Flags)}
		if q.ask(&c) == unknown {
			open = append(open, uint32(i))
		}
	}
	return open
}

// ask asks the search of a message, and notes it if it matches.
func (q *searching) ask(c *candidate) verdict {
	v := q.test(c)
	if v != unknown {
		q.decidedOne()
	}
	if v == isYes {
		q.found.set(c.i)
		if q.scores != nil {
			q.scores[uint32(c.i)] = q.scoreOf(c)
		}
	}
	return v
}

// lookUp decides about a batch: of all of them the rows, then the envelopes,
// then, one by one, the octets.
func (q *searching) lookUp(ctx context.Context, indices []uint32) error {
	open := q.candidates(indices)
	var err error
	if q.rows {
		open, err = q.byRows(ctx, open)
	}
	if err == nil && q.envelopes {
		open, err = q.byEnvelopes(ctx, open)
	}
	if err == nil && q.contents && len(open) > 0 {
		open, err = nil, q.byContents(ctx, open)
	}
	if err == nil && len(open) > 0 {
		panic("query: a key did not know what to say of all it had asked for")
	}
	return err
}

func (q *searching) candidates(indices []uint32) []candidate {
	all := make([]candidate, len(indices))
	for k, i := range indices {
		e := q.m.View.At(int(i))
		all[k] = candidate{i: int(i), entry: e, held: q.m.withholds(e.Flags), level: levelIndex}
	}
	return all
}

func (q *searching) byRows(ctx context.Context, open []candidate) ([]candidate, error) {
	if len(open) == 0 {
		return nil, nil
	}
	rows, err := q.m.Account.Rows(ctx, q.m.ID, uidsOf(open))
	if err != nil {
		return nil, err
	}
	still := open[:0]
	for _, c := range open {
		if len(rows) == 0 || rows[0].UID != c.entry.UID {
			q.lost()
			continue
		}
		c.row, rows = &rows[0], rows[1:]
		c.level = levelRow
		if _, err := q.m.Gate(c.row.Demand); err != nil {
			c.held = true // the row knows of a demand that the view did not
		}
		if q.ask(&c) == unknown {
			still = append(still, c)
		}
	}
	return still, nil
}

// lost is a message that was expunged meanwhile: it does not match.
func (q *searching) lost() {
	q.gone++
	q.decidedOne()
}

func uidsOf(open []candidate) []storage.UID {
	uids := make([]storage.UID, len(open))
	for k := range open {
		uids[k] = open[k].entry.UID
	}
	return uids
}

// bitmap is a set of a view's messages.
type bitmap []uint64

func newBitmap(n int) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) set(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bitmap) clear(i int)    { b[i>>6] &^= 1 << (i & 63) }
func (b bitmap) has(i int) bool { return b[i>>6]>>(i&63)&1 != 0 }

func (b bitmap) count() (n int) {
	for _, word := range b {
		n += bits.OnesCount64(word)
	}
	return n
}

// members walks its members, ascending. The one that is handed out may be cleared.
func (b bitmap) members() iter.Seq[int] {
	return func(yield func(int) bool) {
		for k, word := range b {
			for ; word != 0; word &= word - 1 {
				if !yield(k*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// all is its members, ascending.
func (b bitmap) all() []uint32 {
	all := make([]uint32, 0, b.count())
	for i := range b.members() {
		all = append(all, uint32(i))
	}
	return all
}
