package query

import (
	"context"
	"slices"
	"time"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// Context keeps the result of a search or a sort up to date while its mailbox
// changes (RFC 5267 §4.3). Of a search it holds one bit for each message of the
// mailbox, of a sort four octets for each message found, five where they are sorted
// by relevancy; and no view but the last.
type Context struct {
	key    syntax.Key
	octets int                    // about what key takes
	by     []syntax.SortCriterion // nil: the mailbox's order
	view   *storage.View          // as of which the result is right
	found  bitmap                 // the result of a search
	uids   []storage.UID          // of a sort, in its order
	scores []uint8                // beside uids, where it is sorted by them
	timed  bool                   // time alone can change the result
	asked  time.Time              // when all messages were asked last
}

// askAgain is how long a result that time can change may stand (RFC 5032 §2 lets
// a server take its time).
const askAgain = time.Minute

// NewContext makes a context of what [Search] has found for key in m, or [Sort],
// by those criteria; by is nil for a search. Sequence numbers, "$" and filters in
// the key mean for ever what they mean now.
func NewContext(m *Mailbox, key syntax.Key, by []syntax.SortCriterion, r *Result) (*Context, error) {
	f := &freezing{searching: &searching{m: m}}
	frozen, err := f.freeze(key)
	if err != nil {
		return nil, err
	}
	c := &Context{key: frozen, octets: f.octets, by: by, view: m.View, timed: f.timed, asked: m.now()}
	if by == nil {
		c.found = newBitmap(m.View.Len())
		for _, i := range r.Found {
			c.found.set(int(i))
		}
		return c, nil
	}
	c.uids = make([]storage.UID, len(r.Found))
	for at, i := range r.Found {
		c.uids[at] = m.View.At(int(i)).UID
	}
	if slices.ContainsFunc(by, func(s syntax.SortCriterion) bool { return s.Key == syntax.SortRelevancy }) {
		c.scores = slices.Clone(r.Scores)
	}
	return c, nil
}

// KeyOctets is about how much memory the key takes, for whoever bounds it.
func (c *Context) KeyOctets() int { return c.octets }

// Octets is about how much memory key and result take.
func (c *Context) Octets() int { return c.octets + 8*len(c.found) + 4*len(c.uids) + len(c.scores) }

// Len is how many messages there are in the result.
func (c *Context) Len() int { return len(c.uids) + c.found.count() }

// Updated is how a result changed, in the order in which the client is to be told
// and to carry it out: Removed is numbered as in the view before and goes out
// before any EXPUNGE, Added as in the new one and goes out after EXISTS (RFC 5267
// §4.3.3, §4.3.4).
type Updated struct{ Removed, Added []syntax.ContextChange }

// Update takes the result to the view that m has now. With an error nothing has
// changed, and it can be tried again.
func (c *Context) Update(ctx context.Context, m *Mailbox, by Numbering) (u Updated, err error) {
	all := c.timed && m.now().Sub(c.asked) >= askAgain
	if m.View == c.view && !all {
		return u, nil
	}
	q, asked, err := c.ask(ctx, m, all)
	if err != nil {
		return u, err
	}
	now := m.now()
	if c.by == nil {
		u = c.updateFound(m.View, by, asked, q.found)
	} else if u, err = c.updateSorted(ctx, &updating{m: m, by: by, old: c, q: q}, asked); err != nil {
		return u, err
	}
	if all {
		c.asked = now
	}
	return u, nil
}

// updateSorted is the update of a sort.
func (c *Context) updateSorted(ctx context.Context, next *updating, asked bitmap) (u Updated, err error) {
	next.remove(asked)
	if err := next.add(ctx); err != nil {
		return u, err
	}
	c.view, c.uids, c.scores = next.m.View, next.uids, next.scores
	return next.Updated, nil
}

// updateFound is the update of a search: match are those of the messages asked that
// match now. All is told at position 0 (RFC 5267 §4.3.3).
func (c *Context) updateFound(view *storage.View, by Numbering, asked, match bitmap) (u Updated) {
	found, gone := c.carried(view)
	var removed, added []uint32
	for _, k := range gone {
		removed = append(removed, by.of(c.view, k))
	}
	for i := range found.members() {
		if asked.has(i) && !match.has(i) {
			found.clear(i)
			k, _ := c.view.Find(view.At(i).UID)
			removed = append(removed, by.of(c.view, uint32(k)))
		}
	}
	for i := range match.members() {
		if !found.has(i) {
			found.set(i)
			added = append(added, by.of(view, uint32(i)))
		}
	}
	c.view, c.found = view, found
	slices.Sort(removed)
	return Updated{inOrder(syntax.RemoveFrom, removed), inOrder(syntax.AddTo, added)}
}

// carried is the result of a search as indices of a later view, and what of it is
// gone, as indices of the one before.
func (c *Context) carried(view *storage.View) (found bitmap, gone []uint32) {
	found = newBitmap(view.Len())
	if view.HasAll(c.view) {
		copy(found, c.found)
		return found, nil
	}
	for k := range c.found.members() {
		if i, there := view.Find(c.view.At(k).UID); there {
			found.set(i)
		} else {
			gone = append(gone, uint32(k))
		}
	}
	return found, gone
}

// inOrder is a change of a result in the mailbox's order, which the client can keep
// itself.
func inOrder(kind syntax.ContextChangeKind, nums []uint32) []syntax.ContextChange {
	if len(nums) == 0 {
		return nil
	}
	return []syntax.ContextChange{{Kind: kind, Set: slices.Collect(syntax.Runs(nums))}}
}

// ask asks the messages of m that changed since, or all of them.
func (c *Context) ask(ctx context.Context, m *Mailbox, all bool) (q *searching, asked bitmap, err error) {
	if q, err = newSearching(m, c.key); err != nil {
		return nil, nil, err
	}
	asked = newBitmap(m.View.Len())
	var since storage.ModSeq
	if !all {
		since = c.view.Mailbox().Highest
	}
	for i := range m.View.Since(since) {
		asked.set(i)
	}
	return q, asked, q.decideAll(ctx, asked.all())
}

// updating is one update of a sort.
type updating struct {
	Updated
	m   *Mailbox
	by  Numbering
	old *Context
	q   *searching // has found those of the messages asked that match now

	members []member // what stays, with its index in the new view
	uids    []storage.UID
	scores  []uint8
}

// member is a message of the result.
type member struct {
	i     uint32
	score uint8
	place placed
}

// remove takes out what is gone, and what was asked and does not match any more.
func (u *updating) remove(asked bitmap) {
	var out edits
	for at, uid := range u.old.uids {
		i, there := u.m.View.Find(uid)
		if !there || asked.has(i) && !u.q.found.has(i) {
			k, _ := u.old.view.Find(uid)
			out.add(len(u.members)+1, u.by.of(u.old.view, uint32(k)))
			continue
		}
		it := member{i: uint32(i)}
		if u.old.scores != nil {
			it.score = u.old.scores[at]
		}
		u.members = append(u.members, it)
	}
	u.Removed = out.changes(syntax.RemoveFrom)
}

// add puts in what matches now and did not before.
func (u *updating) add(ctx context.Context) error {
	var fresh []member
	for _, i := range u.fresh() {
		fresh = append(fresh, member{i: i, score: u.q.scores[i]})
	}
	if len(fresh) > 0 {
		compare, err := u.order(ctx, fresh)
		if err != nil {
			return err
		}
		slices.SortFunc(fresh, compare)
		u.merge(fresh, compare)
	}
	u.uids = make([]storage.UID, len(u.members))
	for at, it := range u.members {
		u.uids[at] = u.m.View.At(int(it.i)).UID
	}
	if u.old.scores != nil {
		u.scores = make([]uint8, len(u.members))
		for at, it := range u.members {
			u.scores[at] = it.score
		}
	}
	return nil
}

// fresh is what was found and is no member, ascending.
func (u *updating) fresh() []uint32 {
	fresh := slices.Clone(u.q.found)
	for _, it := range u.members {
		fresh.clear(int(it.i))
	}
	return fresh.all()
}

// merge puts fresh members, which are in order, among the others.
func (u *updating) merge(fresh []member, compare func(a, b member) int) {
	var in edits
	merged := make([]member, 0, len(u.members)+len(fresh))
	rest := u.members
	for n, it := range fresh {
		before, _ := slices.BinarySearchFunc(rest, it, compare)
		merged = append(merged, rest[:before]...)
		rest = rest[before:]
		position := len(merged) + 1
		if n > 0 && before == 0 {
			position = in.last() // it goes on where the one before it was put
		}
		in.add(position, u.by.of(u.m.View, it.i))
		merged = append(merged, it)
	}
	u.members = append(merged, rest...)
	u.Added = in.changes(syntax.AddTo)
}

// order says how members are compared, and finds their places.
func (u *updating) order(ctx context.Context, fresh []member) (compare func(a, b member) int, err error) {
	d, err := u.m.digested(ctx, u.all(fresh))
	if err != nil {
		return nil, err
	}
	for _, some := range [][]member{u.members, fresh} {
		for at := range some {
			some[at].place = u.m.placeOf(d, some[at].i)
		}
	}
	return func(a, b member) int { return d.compareBy(a, b, u.old.by) }, nil
}

// all is the indices of members and fresh, ascending.
func (u *updating) all(fresh []member) []uint32 {
	all := make([]uint32, 0, len(u.members)+len(fresh))
	for _, some := range [][]member{u.members, fresh} {
		for _, it := range some {
			all = append(all, it.i)
		}
	}
	slices.Sort(all)
	return all
}

// edits gathers numbers by the position at which they go out or in.
type edits struct {
	at   []int
	nums [][]uint32
}

func (e *edits) last() int { return e.at[len(e.at)-1] }

func (e *edits) add(position int, num uint32) {
	if k := len(e.at) - 1; k >= 0 && e.at[k] == position {
		e.nums[k] = append(e.nums[k], num)
		return
	}
	e.at, e.nums = append(e.at, position), append(e.nums, []uint32{num})
}

// changes is the edits as they are told (RFC 5267 §4.3.3).
func (e *edits) changes(kind syntax.ContextChangeKind) (changes []syntax.ContextChange) {
	for k, position := range e.at {
		changes = append(changes, syntax.ContextChange{Kind: kind, Position: uint32(position), Set: slices.Collect(syntax.Runs(e.nums[k]))})
	}
	return changes
}
