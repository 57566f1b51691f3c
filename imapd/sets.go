package imapd

import (
	"iter"
	"slices"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// hasNumbers says whether a search names messages by number.
func hasNumbers(key syntax.Key) bool {
	switch k := key.(type) {
	case syntax.And:
		return slices.ContainsFunc(k, hasNumbers)
	case syntax.Or:
		return hasNumbers(k.Left) || hasNumbers(k.Right)
	case syntax.Not:
		return hasNumbers(k.Key)
	case syntax.Fuzzy:
		return hasNumbers(k.Key)
	case syntax.Seqs:
		return true
	}
	return false
}

var errBadNumber = bad("There is no message with that number")

// run is neighbours among the messages of the view the client knows: indices from
// first up to and without end.
type run struct{ first, end int }

// runs is the messages a set names, ascending. A UID that does not exist is passed
// over (RFC 9051 §6.4.9); a number that does not is an error (RFC 9051 §9,
// seq-number).
func (s *session) runs(set syntax.Set, uid bool) ([]run, error) {
	switch {
	case set.Saved:
		return s.uidRuns(s.box.saved), nil // what was expunged since has left it (RFC 5182 §2.1)
	case uid:
		return s.uidRuns(s.uidRanges(set)), nil
	}
	n := uint32(s.box.view.Len())
	if n == 0 && fromOneToStar(set) {
		return nil, nil // nearly every client asks this of an empty mailbox
	}
	if n == 0 || set.Max(n) > n {
		return nil, errBadNumber
	}
	var runs []run
	for _, r := range set.Resolve(n) {
		runs = append(runs, run{int(r.First - 1), int(r.Last)})
	}
	return runs, nil
}

// uidRuns is the messages with UIDs in ascending ranges.
func (s *session) uidRuns(ranges []syntax.Range) (runs []run) {
	for _, r := range ranges {
		first, _ := s.box.view.Find(storage.UID(r.First))
		end, found := s.box.view.Find(storage.UID(r.Last))
		if found {
			end++
		}
		if first < end {
			runs = append(runs, run{first, end})
		}
	}
	return runs
}

// indices is the messages a set names, one by one.
func (s *session) indices(set syntax.Set, uid bool) ([]int, error) {
	runs, err := s.runs(set, uid)
	if err != nil {
		return nil, err
	}
	return slices.AppendSeq(make([]int, 0, count(runs)), each(runs)), nil
}

func count(runs []run) (n int) {
	for _, r := range runs {
		n += r.end - r.first
	}
	return n
}

// each is the indices in runs, one by one.
func each(runs []run) iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, r := range runs {
			for i := r.first; i < r.end; i++ {
				if !yield(i) {
					return
				}
			}
		}
	}
}

// batches is the indices in runs, so many at a time, in memory that is used again
// for the next.
func batches(runs []run, size int) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		batch := make([]int, 0, min(size, count(runs)))
		for i := range each(runs) {
			if batch = append(batch, i); len(batch) < size {
				continue
			}
			if !yield(batch) {
				return
			}
			batch = batch[:0]
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}

// cut is the indices from number from on, up to and without number to.
func cut(runs []run, from, to int) (some []run) {
	for _, r := range runs {
		n := r.end - r.first
		if part := (run{r.first + max(from, 0), r.first + min(to, n)}); part.first < part.end {
			some = append(some, part)
		}
		from, to = from-n, to-n
	}
	return some
}

// fetched is the messages a FETCH is about: those that its set names, or the part
// of them that PARTIAL wants (RFC 9394 §3.3), CHANGEDSINCE not yet asked. A client
// may take its time to read of them, so they are not held one by one.
func (s *session) fetched(a *syntax.Fetch) ([]run, error) {
	runs, err := s.runs(a.Set, a.UID)
	if err != nil || a.Partial == (syntax.Paging{}) {
		return runs, err
	}
	from, to := a.Partial.Of(count(runs))
	return cut(runs, from, to), nil
}

func fromOneToStar(set syntax.Set) bool {
	for _, r := range set.Ranges {
		if min(r.First, r.Last) != syntax.Star || max(r.First, r.Last) != 1 {
			return false
		}
	}
	return true
}

// uidRanges resolves a set of UIDs. "*" is the greatest UID the client knows of.
func (s *session) uidRanges(set syntax.Set) []syntax.Range {
	if set.Saved {
		return append([]syntax.Range{}, s.box.saved...)
	}
	var largest uint32
	if n := s.box.view.Len(); n > 0 {
		largest = uint32(s.box.view.At(n - 1).UID)
	}
	if ranges := set.Resolve(largest); ranges != nil {
		return ranges
	}
	return []syntax.Range{}
}

// uidsOf is the UIDs at the indices of the view.
func (s *session) uidsOf(set []int) []storage.UID {
	uids := make([]storage.UID, 0, len(set))
	for _, e := range entries(s.box.view, set) {
		uids = append(uids, e.UID)
	}
	return uids
}

// entries is the messages at ascending indices of a view. Runs of neighbours, as
// most sets are, cost less than a look for each.
func entries(v *storage.View, set []int) iter.Seq2[int, storage.Entry] {
	return func(yield func(int, storage.Entry) bool) {
		for len(set) > 0 {
			n := 1
			for n < len(set) && set[n] == set[0]+n {
				n++
			}
			for i, e := range v.All(set[0], set[0]+n) {
				if !yield(i, e) {
					return
				}
			}
			set = set[n:]
		}
	}
}

// among says of indices in ascending order whether they are in set, which ascends.
func among(set []int) func(i int) bool {
	return func(i int) bool {
		for len(set) > 0 && set[0] < i {
			set = set[1:]
		}
		return len(set) > 0 && set[0] == i
	}
}

// numbersOf is how the client calls the messages at the indices.
func (s *session) numbersOf(set []int, uid bool) []uint32 {
	nums := make([]uint32, 0, len(set))
	if uid {
		for _, e := range entries(s.box.view, set) {
			nums = append(nums, uint32(e.UID))
		}
		return nums
	}
	for _, i := range set {
		nums = append(nums, uint32(i+1))
	}
	return nums
}

// without is set less the indices of held; both ascend.
func without(set, held []int) []int {
	if len(held) == 0 {
		return set
	}
	out := make([]int, 0, len(set)-len(held))
	for _, i := range set {
		if len(held) > 0 && held[0] == i {
			held = held[1:]
			continue
		}
		out = append(out, i)
	}
	return out
}
