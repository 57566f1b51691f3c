package query

import (
	"slices"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// Result is what was found.
type Result struct {
	Found    []uint32 // indices of the view, in the mailbox's order or the one asked for
	Scores   []uint8  // how relevant each is, from 1 to 100 (RFC 6203 §4); nil without a FUZZY key
	ByModSeq bool     // MODSEQ was a key: the answer tells the highest (RFC 7162 §3.1.5)
	Gone     int      // messages that somebody else has expunged, and that were therefore not asked
	Damaged  int      // messages that cannot be read, and were therefore not found

	view *storage.View
}

// Numbering says how a client calls messages.
type Numbering uint8

const (
	ByNumber Numbering = iota // sequence numbers: SEARCH
	ByUID                     // UID SEARCH
)

// NumberingOf is ByUID for the commands that start with UID.
func NumberingOf(uid bool) Numbering {
	if uid {
		return ByUID
	}
	return ByNumber
}

func (n Numbering) of(view *storage.View, i uint32) uint32 {
	if n == ByUID {
		return uint32(view.At(int(i)).UID)
	}
	return i + 1
}

// Numbers is what was found as the client calls it, in order.
func (r *Result) Numbers(by Numbering) []uint32 { return r.numbers(r.Found, by) }

func (r *Result) numbers(found []uint32, by Numbering) []uint32 {
	nums := make([]uint32, len(found))
	for k, i := range found {
		nums[k] = by.of(r.view, i)
	}
	return nums
}

// ModSeq is the highest modification sequence among what was found; 0 without
// any.
func (r *Result) ModSeq() storage.ModSeq { return r.highest(r.Found) }

func (r *Result) highest(found []uint32) (highest storage.ModSeq) {
	for _, i := range found {
		highest = max(highest, r.view.At(int(i)).ModSeq)
	}
	return highest
}

// Answer fills in the ESEARCH response: of what e.Return asks for, what there is
// (RFC 9051 §7.3.4, RFC 5267 §3.1). MIN and MAX are the first and the last in
// the order of the result. With a MODSEQ key it tells the highest of what it
// names (RFC 4731 §3.2). Tag, UID, Return and Page are the caller's.
func (r *Result) Answer(e *syntax.ESearch) {
	by, n := NumberingOf(e.UID), len(r.Found)
	e.Count = uint32(n)
	if n > 0 {
		e.Min, e.Max = by.of(r.view, r.Found[0]), by.of(r.view, r.Found[n-1])
	}
	if e.Return&syntax.ReturnAll != 0 {
		e.All = slices.Collect(syntax.Runs(r.Numbers(by)))
	}
	from, to := e.Page.Of(n)
	if e.Return&syntax.ReturnPartial != 0 {
		e.Partial = slices.Collect(syntax.Runs(r.numbers(r.Found[from:to], by)))
	} else {
		from, to = 0, n
	}
	if e.Return&syntax.ReturnRelevancy != 0 && r.Scores != nil {
		e.Relevancy = r.Scores[from:to]
	}
	if r.ByModSeq {
		e.ModSeq = uint64(r.highest(r.named(e.Return, e.Page)))
	}
}

// Saved is what "$" becomes, ascending: all that was found, but with MIN, MAX or
// PARTIAL and neither ALL nor COUNT what those name (RFC 9051 §6.4.4.1, table 4;
// RFC 9394 §3.2, table 1).
func (r *Result) Saved(e *syntax.ESearch) []syntax.Range {
	named := r.named(e.Return, e.Page)
	uids := make([]storage.UID, len(named))
	for k, i := range named {
		uids[k] = r.view.At(int(i)).UID
	}
	slices.Sort(uids)
	return slices.Collect(syntax.Runs(slices.Compact(uids)))
}

// named is the messages that an answer speaks of.
func (r *Result) named(want syntax.SearchReturn, page syntax.Paging) []uint32 {
	const some = syntax.ReturnMin | syntax.ReturnMax | syntax.ReturnPartial
	n := len(r.Found)
	if want&(syntax.ReturnAll|syntax.ReturnCount) != 0 || want&some == 0 || n == 0 {
		return r.Found
	}
	var named []uint32
	if want&syntax.ReturnPartial != 0 {
		from, to := page.Of(n)
		named = append(named, r.Found[from:to]...)
	}
	if want&syntax.ReturnMin != 0 {
		named = append(named, r.Found[0])
	}
	if want&syntax.ReturnMax != 0 {
		named = append(named, r.Found[n-1])
	}
	return named
}
