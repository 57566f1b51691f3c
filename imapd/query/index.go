package query

import (
	"context"
	"iter"

	"letterlock/internal/search"
	"letterlock/storage"
)

// index is what the vault's index says of the messages of a view: which of them
// may have a text. It is asked once for each search.
type index struct {
	finders []*search.Finder
	said    []bitmap // for each of them which messages may have it; nil: not asked
}

// asks is the place of a text among those the index is asked for.
type asks int

// worthAsking is how many messages must be open for the index to be asked: it
// answers for the whole mailbox.
const worthAsking = 16

// add notes that a text will be asked for.
func (x *index) add(f *search.Finder) asks {
	for at, have := range x.finders {
		if have.Needle() == f.Needle() {
			return asks(at)
		}
	}
	x.finders = append(x.finders, f)
	return asks(len(x.finders) - 1)
}

// may says whether message i of the view may have the text. No is certain.
func (x *index) may(a asks, i int) bool { return x.said == nil || x.said[a].has(i) }

// byIndex decides what the vault's index can decide, and answers what stays open.
func (q *searching) byIndex(ctx context.Context, open []uint32) ([]uint32, error) {
	if len(q.index.finders) == 0 || len(open) < worthAsking {
		return open, nil
	}
	if err := q.index.load(ctx, q.m); err != nil {
		return nil, err
	}
	still := open[:0]
	anyHeld := q.m.withholdsAny()
	var c candidate
	for _, i := range open {
		e := q.m.View.At(int(i))
		c = candidate{i: int(i), entry: e, held: anyHeld && q.m.withholds(e.Flags), level: levelIndex}
		if q.ask(&c) == unknown {
			still = append(still, i)
		}
	}
	return still, nil
}

// load asks the vault. What it says nothing of may have everything.
func (x *index) load(ctx context.Context, m *Mailbox) error {
	may := make([]bitmap, len(x.finders))
	for n := range may {
		may[n] = newBitmap(m.View.Len())
		for k := range may[n] {
			may[n][k] = ^uint64(0)
		}
	}
	for g, err := range m.Account.Candidates(ctx, m.ID, x.finders) {
		if err != nil {
			return err
		}
		for member, i := range m.members(g.UIDs) {
			for n := range may {
				if !g.May[n].Has(member) {
					may[n].clear(i)
				}
			}
		}
	}
	x.said = may
	return nil
}

// members walks those of uids (ascending) that the view has: their places there.
func (m *Mailbox) members(uids []storage.UID) iter.Seq2[int, int] {
	return func(yield func(member, i int) bool) {
		if len(uids) == 0 {
			return
		}
		first, _ := m.View.Find(uids[0])
		k := 0
		for i, e := range m.View.All(first, m.View.Len()) {
			for k < len(uids) && uids[k] < e.UID {
				k++
			}
			if k == len(uids) || uids[k] == e.UID && !yield(k, i) {
				return
			}
		}
	}
}
