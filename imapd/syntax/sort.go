package syntax

import "slices"

// Sort is SORT or UID SORT (RFC 5256 §3; RFC 5267 §3 for its result options).
type Sort struct {
	Search
	By []SortCriterion // never empty
}

// SortCriterion is one key to sort by.
type SortCriterion struct {
	Key     SortKey
	Reverse bool
}

// SortKey says what is compared.
type SortKey uint8

const (
	SortArrival SortKey = iota // internal date
	SortCc                     // mailbox of the first address
	SortDate                   // sent date
	SortFrom
	SortSize
	SortSubject // base subject
	SortTo
	SortDisplayFrom // name, or address without one (RFC 5957)
	SortDisplayTo
	SortRelevancy // RFC 6203 §6: the most relevant first
)

var sortNames = []string{
	SortArrival: "ARRIVAL", SortCc: "CC", SortDate: "DATE", SortFrom: "FROM", SortSize: "SIZE", SortSubject: "SUBJECT",
	SortTo: "TO", SortDisplayFrom: "DISPLAYFROM", SortDisplayTo: "DISPLAYTO", SortRelevancy: "RELEVANCY",
}

// maxCriteria is how many there may be: all, both ways.
const maxCriteria = 20

// sort reads RFC 5256 §5, sort, and RFC 5267 §5, extended-sort.
func (d *Decoder) sort() Args {
	s := &Sort{Search: Search{UID: d.byUID}}
	d.sp()
	if next := d.searchReturn(&s.Search, d.word()); next != "" {
		d.fail("expected sort criteria")
	}
	d.list1(maxCriteria, func() { s.By = append(s.By, d.sortCriterion()) })
	s.Keys = d.searchCriteria()
	d.checkRelevancy(&s.Search)
	if slices.ContainsFunc(s.By, func(c SortCriterion) bool { return c.Key == SortRelevancy }) {
		d.needFuzzy()
	}
	return s
}

func (d *Decoder) sortCriterion() (c SortCriterion) {
	name := d.keyword()
	if name == "REVERSE" {
		c.Reverse = true
		d.sp()
		name = d.keyword()
	}
	key := slices.Index(sortNames, name)
	if key < 0 {
		d.fail("unknown sort criterion")
		return c
	}
	c.Key = SortKey(key)
	return c
}

// searchCriteria reads RFC 5256 §5: a charset, which must be named, and keys.
func (d *Decoder) searchCriteria() And {
	d.sp()
	d.charsetName()
	d.sp()
	return d.searchKeys("")
}
