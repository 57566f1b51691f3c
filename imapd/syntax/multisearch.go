package syntax

import "slices"

// MultiSearch is ESEARCH (RFC 7377): a UID search, always with result options,
// in some mailboxes.
type MultiSearch struct {
	Search
	In []MailboxFilter // the selected mailbox where the client gave no source; never empty
}

// OnlySelected says that the selected mailbox is the only one to be searched.
func (m *MultiSearch) OnlySelected() bool {
	return !slices.ContainsFunc(m.In, func(f MailboxFilter) bool { return f.Kind != FilterSelected })
}

// multiSearch reads RFC 7377 §4, esearch.
func (d *Decoder) multiSearch() Args {
	m := &MultiSearch{Search: Search{UID: true, Return: ReturnExtended | ReturnAll}}
	d.sp()
	word := d.word()
	if word == "IN" {
		d.sp()
		d.list1(maxOptions, func() { m.In = append(m.In, d.sourceFilter()) })
		d.sp()
		word = d.word()
	} else {
		m.In = []MailboxFilter{{Kind: FilterSelected}}
	}
	if word = d.searchReturn(&m.Search, word); word == "CHARSET" {
		d.charset()
		d.sp()
		word = ""
	}
	m.Keys = d.searchKeys(word)
	if m.Return&ReturnSave != 0 && !m.OnlySelected() { // RFC 7377 §2.2
		d.fail("SAVE goes with the selected mailbox alone")
	}
	d.checkRelevancy(&m.Search)
	return m
}

// sourceFilter reads a source. Scope options, of which none is defined, would
// stand in parentheses.
func (d *Decoder) sourceFilter() MailboxFilter {
	f := d.mailboxFilter()
	if f.Kind == FilterSelectedDelayed {
		d.fail("SELECTED-DELAYED is for NOTIFY")
	}
	return f
}
