package query

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"slices"

	"letterlock/imapd/syntax"
)

// Sort finds what [Search] finds and puts it in order (RFC 5256 §3, RFC 5957):
// by the first criterion, where that says nothing by the next, and by the
// mailbox's order at last. Texts compare as RFC 5051 has it. [ErrRelevancy]: that
// criterion without a FUZZY key.
func Sort(ctx context.Context, m *Mailbox, key syntax.Key, by []syntax.SortCriterion) (*Result, error) {
	r, err := Search(ctx, m, key)
	if err != nil {
		return nil, err
	}
	order, err := m.sortKeys(ctx, r, by)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(order.messages, order.compare)
	r.reorder(order.messages)
	return r, nil
}

// ordering is the keys of messages, by criterion.
type ordering struct {
	messages []keyed
	more     [][]int64 // the keys of the second criterion and those after it
}

// keyed is a message with the key that nearly always decides.
type keyed struct {
	key int64
	at  uint32 // its place in the result before it is sorted
}

func (o *ordering) compare(a, b keyed) int {
	if a.key != b.key {
		return cmp.Compare(a.key, b.key)
	}
	for _, keys := range o.more {
		if c := cmp.Compare(keys[a.at], keys[b.at]); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.at, b.at)
}

// sortKeys looks up what the messages of r are sorted by. Those that are gone
// leave r.
func (m *Mailbox) sortKeys(ctx context.Context, r *Result, by []syntax.SortCriterion) (*ordering, error) {
	for _, c := range by {
		if c.Key == syntax.SortRelevancy && r.Scores == nil {
			return nil, ErrRelevancy
		}
	}
	d, err := m.digested(ctx, r.Found)
	if err != nil {
		return nil, err
	}
	places := r.places(m, d)
	o := &ordering{messages: make([]keyed, len(r.Found))}
	for n, c := range by {
		keys := keysOf(d, places, r, c)
		if n > 0 {
			o.more = append(o.more, keys)
			continue
		}
		for at, key := range keys {
			o.messages[at].key = key
		}
	}
	for at := range o.messages {
		o.messages[at].at = uint32(at)
	}
	return o, nil
}

// placed is where in digests a message is.
type placed struct {
	k    uint32
	held bool // nothing of its content may be used (RFC 8689 §4.4)
}

// places is where in d the messages of r are. Those that are gone leave r.
func (r *Result) places(m *Mailbox, d *digests) []placed {
	places := make([]placed, 0, len(r.Found))
	anyHeld := m.withholdsAny()
	kept, k := 0, 0
	for at, i := range r.Found {
		e := m.View.At(int(i))
		if k = d.find(e.UID, k); k == d.len() || d.uids[k] != e.UID {
			r.Gone++
			continue
		}
		r.Found[kept] = i
		if r.Scores != nil {
			r.Scores[kept] = r.Scores[at]
		}
		kept++
		places = append(places, placed{uint32(k), anyHeld && (m.withholds(e.Flags) || m.held(d.demands[k]))})
	}
	r.Found = r.Found[:kept]
	if r.Scores != nil {
		r.Scores = r.Scores[:kept]
	}
	return places
}

// placeOf is where in d message i of the view is; one that is gone is as if its
// header were empty, until the next view shows that it is.
func (m *Mailbox) placeOf(d *digests, i uint32) placed {
	e := m.View.At(int(i))
	k := d.find(e.UID, 0)
	if k == d.len() || d.uids[k] != e.UID {
		return placed{gone, true}
	}
	return placed{uint32(k), m.withholds(e.Flags) || m.held(d.demands[k])}
}

// gone is the place of a message that digests do not have.
const gone = math.MaxUint32

// compareBy compares members one by one, as Sort does all at once.
func (d *digests) compareBy(a, b member, by []syntax.SortCriterion) int {
	for _, criterion := range by {
		c := d.compareKey(a, b, criterion.Key)
		if criterion.Reverse {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(a.i, b.i)
}

func (d *digests) compareKey(a, b member, by syntax.SortKey) int {
	switch by {
	case syntax.SortArrival:
		return cmp.Compare(numberAt(a.place, d.arrival, d.arrival), numberAt(b.place, d.arrival, d.arrival))
	case syntax.SortSize:
		return cmp.Compare(numberAt(a.place, d.size, d.size), numberAt(b.place, d.size, d.size))
	case syntax.SortDate:
		return cmp.Compare(numberAt(a.place, d.sent, d.arrival), numberAt(b.place, d.sent, d.arrival))
	case syntax.SortRelevancy:
		return cmp.Compare(b.score, a.score)
	}
	return bytes.Compare(d.textAt(a.place, sortColumns[by]), d.textAt(b.place, sortColumns[by]))
}

func numberAt(p placed, from, withheld []int64) int64 {
	switch {
	case p.k == gone:
		return 0
	case p.held:
		return withheld[p.k]
	}
	return from[p.k]
}

func (d *digests) textAt(p placed, c column) []byte {
	if p.held {
		return nil
	}
	return d.text(int(p.k), c)
}

var sortColumns = map[syntax.SortKey]column{
	syntax.SortSubject: byBaseSubject, syntax.SortFrom: byFrom, syntax.SortTo: byTo, syntax.SortCc: byCc,
	syntax.SortDisplayFrom: byDisplayFrom, syntax.SortDisplayTo: byDisplayTo,
}

// keysOf is what the messages of r, which are at those places in d, are sorted by
// under one criterion. What is withheld is sorted as if its header were empty.
func keysOf(d *digests, places []placed, r *Result, by syntax.SortCriterion) []int64 {
	keys := make([]int64, len(places))
	switch by.Key {
	case syntax.SortArrival:
		fill(keys, places, d.arrival, d.arrival)
	case syntax.SortSize:
		fill(keys, places, d.size, d.size)
	case syntax.SortDate:
		fill(keys, places, d.sent, d.arrival)
	case syntax.SortRelevancy: // the most relevant first (RFC 6203 §6)
		for at := range keys {
			keys[at] = -int64(r.Scores[at])
		}
	default:
		fill(keys, places, d.rank(sortColumns[by.Key]), nil)
	}
	if by.Reverse {
		for at := range keys {
			keys[at] = ^keys[at]
		}
	}
	return keys
}

// fill takes keys from a column, or, for what is withheld, from another one; nil
// is one of zeros.
func fill[N uint32 | int64](keys []int64, places []placed, from, withheld []N) {
	for at, p := range places {
		switch {
		case !p.held:
			keys[at] = int64(from[p.k])
		case withheld != nil:
			keys[at] = int64(withheld[p.k])
		}
	}
}

// reorder puts what was found in the order of messages.
func (r *Result) reorder(messages []keyed) {
	found := make([]uint32, len(messages))
	for n, it := range messages {
		found[n] = r.Found[it.at]
	}
	r.Found = found
	if r.Scores == nil {
		return
	}
	scores := make([]uint8, len(messages))
	for n, it := range messages {
		scores[n] = r.Scores[it.at]
	}
	r.Scores = scores
}
