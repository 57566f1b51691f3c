package syntax

import (
	"slices"
	"strconv"
)

// Search is SEARCH or UID SEARCH (RFC 9051 §6.4.4). All strings in its keys
// are UTF-8: other charsets than US-ASCII and UTF-8 are refused with
// BADCHARSET.
type Search struct {
	UID     bool // answers with UIDs
	Return  SearchReturn
	Partial Paging      // with ReturnPartial
	Update  []FetchItem // with ReturnUpdate: what to fetch of a message that is added (RFC 5465 §7); usually none
	Keys    And         // never empty
}

// SearchReturn is the set of result options (RFC 9051 §6.4.4.1). RETURN () and
// RETURN (ALL) are the same; without RETURN it is 0.
type SearchReturn uint16

const (
	ReturnExtended SearchReturn = 1 << iota // RETURN was there: the answer is an ESEARCH response
	ReturnMin
	ReturnMax
	ReturnAll
	ReturnCount
	ReturnSave      // RFC 5182
	ReturnPartial   // RFC 5267 §4.4, RFC 9394 §3.1; never with ReturnAll
	ReturnUpdate    // RFC 5267 §4.3
	ReturnContext   // RFC 5267 §4.2: a hint
	ReturnRelevancy // RFC 6203 §4
)

// Paging is a range of results (RFC 9394 §4, partial-range): First to Last or
// Last to First, as the client wrote it, counted from 1. Its zero value is none.
type Paging struct {
	First, Last uint32
	FromEnd     bool // -1:-100: counted from the last result backwards
}

// Of is which of n results are meant, as indices [from, to).
func (p Paging) Of(n int) (from, to int) {
	if p == (Paging{}) {
		return 0, 0
	}
	from, to = min(int(min(p.First, p.Last))-1, n), min(int(max(p.First, p.Last)), n)
	if p.FromEnd {
		return n - to, n - from
	}
	return from, to
}

// searchReturn reads the result options where word, which is already read, is
// RETURN, and gives the word that starts what follows them.
func (d *Decoder) searchReturn(s *Search, word string) (next string) {
	if word != "RETURN" {
		return word
	}
	d.sp()
	s.Return = ReturnExtended
	d.list(maxOptions, func() { d.searchOption(s, d.keyword()) })
	if s.Return == ReturnExtended { // RFC 4731 §3.1: none is ALL
		s.Return |= ReturnAll
	}
	d.sp()
	return d.word()
}

func (d *Decoder) searchOption(s *Search, name string) {
	i := slices.Index(searchOptions, name)
	if i < 0 {
		d.fail("unknown result option of SEARCH")
		return
	}
	option := ReturnMin << i
	switch option {
	case ReturnSave:
		d.saving = true
	case ReturnPartial:
		d.sp()
		s.Partial = d.paging()
	case ReturnUpdate:
		s.Update = d.updateItems()
	}
	const lists = ReturnAll | ReturnPartial
	if option&lists != 0 && s.Return&lists&^(option&ReturnAll) != 0 { // RFC 9394 §3.1
		d.fail("one PARTIAL or ALL may be asked for")
	}
	s.Return |= option
}

// searchOptions is the options from ReturnMin on.
var searchOptions = []string{"MIN", "MAX", "ALL", "COUNT", "SAVE", "PARTIAL", "UPDATE", "CONTEXT", "RELEVANCY"}

// updateItems reads RFC 5465 §8, modifier-update; its examples have a space
// before the list, its grammar has none.
func (d *Decoder) updateItems() (items []FetchItem) {
	if d.ahead(" (") {
		d.sp()
	}
	if d.peek() == '(' {
		d.list1(maxItems, func() { items = append(items, d.fetchItem(d.keyword())) })
	}
	return items
}

// paging reads RFC 9394 §4, partial-range.
func (d *Decoder) paging() (p Paging) {
	p.FromEnd = d.take('-')
	p.First = d.nzNumber()
	d.expect(':')
	if p.FromEnd {
		d.expect('-')
	}
	p.Last = d.nzNumber()
	return p
}

// checkRelevancy is called when the keys are read.
func (d *Decoder) checkRelevancy(s *Search) {
	if s.Return&ReturnRelevancy != 0 {
		d.needFuzzy()
	}
}

// needFuzzy: scores are of fuzzy matches (RFC 6203 §4, §6).
func (d *Decoder) needFuzzy() {
	if !d.fuzzy {
		d.fail("RELEVANCY goes with FUZZY")
	}
}

// CancelUpdate is CANCELUPDATE (RFC 5267 §4.3.5).
type CancelUpdate struct{ Tags []string }

func (d *Decoder) cancelUpdate() Args {
	c := &CancelUpdate{}
	for d.ok() && (len(c.Tags) == 0 || d.more()) {
		d.sp()
		c.Tags = append(c.Tags, d.quoted())
		if len(c.Tags) > maxOptions {
			d.exceeds("too many tags")
		}
	}
	return c
}

// ESearch is an ESEARCH response (RFC 9051 §7.3.4).
type ESearch struct {
	Tag       string
	UID       bool
	Return    SearchReturn // which of the following were asked for
	Min       uint32       // 0: nothing found
	Max       uint32       // 0: nothing found
	All       []Range      // in the order of the result, sorted ones too; empty: nothing found
	Count     uint32
	Page      Paging  // what PARTIAL asked for
	Partial   []Range // what was there of it
	ModSeq    uint64  // RFC 7162 §3.1.10; 0: not said
	Relevancy []uint8 // RFC 6203 §4: 1 to 100, in the order of All or Partial
	Changes   []ContextChange
}

// ContextChange is one ADDTO or REMOVEFROM (RFC 5267 §4.3.2), in the order in
// which the client is to carry them out.
type ContextChange struct {
	Kind     ContextChangeKind
	Position uint32  // from 1; 0 in a SEARCH, whose results are in the mailbox's order
	Set      []Range // never empty
}

// ContextChangeKind says which way a result changes.
type ContextChangeKind uint8

const (
	AddTo ContextChangeKind = iota
	RemoveFrom
)

// AppendESearch writes "* ESEARCH …" CRLF. MIN, MAX and ALL are left out where
// nothing was found, COUNT is not (RFC 9051 §6.4.4.1).
func AppendESearch(dst []byte, e *ESearch) []byte {
	dst = append(dst, "* ESEARCH (TAG "...)
	dst = AppendString(dst, e.Tag, 0)
	return appendESearch(dst, e)
}

// AppendESearchOf writes the ESEARCH response for one mailbox of several, which
// has UIDs whatever e.UID says (RFC 7377 §2.1).
func AppendESearchOf(dst []byte, e *ESearch, mailbox string, validity uint32, m Mode) []byte {
	dst = append(dst, "* ESEARCH (TAG "...)
	dst = AppendString(dst, e.Tag, 0)
	dst = append(dst, " MAILBOX "...)
	dst = AppendMailbox(dst, mailbox, m)
	dst = appendNumber(dst, " UIDVALIDITY ", validity)
	withUIDs := *e
	withUIDs.UID = true
	return appendESearch(dst, &withUIDs)
}

// appendESearch writes what follows the correlators.
func appendESearch(dst []byte, e *ESearch) []byte {
	dst = append(dst, ')')
	if e.UID {
		dst = append(dst, " UID"...)
	}
	if e.Return&ReturnMin != 0 && e.Min != 0 {
		dst = appendNumber(dst, " MIN ", e.Min)
	}
	if e.Return&ReturnMax != 0 && e.Max != 0 {
		dst = appendNumber(dst, " MAX ", e.Max)
	}
	if e.Return&ReturnAll != 0 && len(e.All) > 0 {
		dst = append(dst, " ALL "...)
		dst = AppendSet(dst, e.All)
	}
	if e.Return&ReturnPartial != 0 {
		dst = appendPartial(dst, e)
	}
	if e.Return&ReturnCount != 0 {
		dst = appendNumber(dst, " COUNT ", e.Count)
	}
	if e.Return&ReturnRelevancy != 0 {
		dst = append(dst, " RELEVANCY "...)
		dst = appendList(dst, e.Relevancy, func(dst []byte, score uint8) []byte { return strconv.AppendUint(dst, uint64(score), 10) })
	}
	if e.ModSeq != 0 {
		dst = appendNumber(dst, " MODSEQ ", e.ModSeq)
	}
	for i := range e.Changes {
		dst = appendChange(dst, &e.Changes[i])
	}
	return append(dst, "\r\n"...)
}

// appendPartial writes RFC 9394 §4, ret-data-partial: the range as asked for
// and what was found of it.
func appendPartial(dst []byte, e *ESearch) []byte {
	start, sep := " PARTIAL (", ":"
	if e.Page.FromEnd {
		start, sep = " PARTIAL (-", ":-"
	}
	dst = appendNumber(dst, start, e.Page.First)
	dst = appendNumber(dst, sep, e.Page.Last)
	if len(e.Partial) == 0 {
		return append(dst, " NIL)"...)
	}
	dst = AppendSet(append(dst, ' '), e.Partial)
	return append(dst, ')')
}

func appendChange(dst []byte, c *ContextChange) []byte {
	name := " ADDTO ("
	if c.Kind == RemoveFrom {
		name = " REMOVEFROM ("
	}
	dst = appendNumber(dst, name, c.Position)
	dst = AppendSet(append(dst, ' '), c.Set)
	return append(dst, ')')
}

// AppendSearch writes "* SEARCH 2 84" CRLF (RFC 3501 §7.2.5). modSeq, which is
// said with a result that MODSEQ was a key of, is 0 otherwise (RFC 7162 §3.1.6).
func AppendSearch[N ~uint32](dst []byte, nums []N, modSeq uint64) []byte {
	return appendNums(append(dst, "* SEARCH"...), nums, modSeq)
}

// AppendSort writes "* SORT 84 2" CRLF (RFC 5256 §4, RFC 7162 §3.1.6).
func AppendSort[N ~uint32](dst []byte, nums []N, modSeq uint64) []byte {
	return appendNums(append(dst, "* SORT"...), nums, modSeq)
}

func appendNums[N ~uint32](dst []byte, nums []N, modSeq uint64) []byte {
	for _, n := range nums {
		dst = appendNumber(dst, " ", n)
	}
	if modSeq != 0 && len(nums) > 0 {
		dst = appendNumber(dst, " (MODSEQ ", modSeq)
		dst = append(dst, ')')
	}
	return append(dst, "\r\n"...)
}

// AppendNoUpdate writes NOUPDATE "tag", to stand in brackets (RFC 5267 §4.3.1).
func AppendNoUpdate(dst []byte, tag string) []byte {
	return AppendString(append(dst, "NOUPDATE "...), tag, 0)
}

func appendNumber[N ~uint32 | ~uint64](dst []byte, name string, n N) []byte {
	dst = append(dst, name...)
	return strconv.AppendUint(dst, uint64(n), 10)
}
