package query

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"

	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/storage"
)

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
	levelFlags    level = iota // what the view has
	levelIndex                 // what cannot be in it
	levelRow                   // dates and size
	levelEnvelope              // the cached envelope
	levelSummary               // and the structure
	levelHeader                // the fields of its header
	levelText                  // all its text
)

// candidate is a message being looked at.
type candidate struct {
	i       int
	entry   storage.Entry
	held    bool // the gate withholds it: its content matches nothing
	level   level
	row     *storage.Row
	summary *mail.Summary // below levelSummary its Root says nothing
	octets  io.ReaderAt
}

// test is one key, ready to be asked.
type test func(c *candidate) verdict

// manner is how strings are compared.
type manner uint8

const (
	exactly manner = iota // RFC 5051
	fuzzily               // RFC 6203
)

const (
	// maxKeys is how many keys there may be when all filters stand in place.
	maxKeys = 4000
	// maxFilters is how deep filters may name each other: RFC 5466 §3.1 asks for 3.
	maxFilters = 8
)

// compile makes a test of a search key (RFC 9051 §6.4.4).
func (q *searching) compile(key syntax.Key, how manner) (test, error) {
	if q.keys++; q.keys > maxKeys {
		return nil, ErrNeedles
	}
	switch k := key.(type) {
	case syntax.And:
		return q.compileAnd(k, how)
	case syntax.Or:
		return q.compileOr(k, how)
	case syntax.Not:
		t, err := q.compile(k.Key, how)
		return func(c *candidate) verdict { return -t(c) }, err
	case syntax.Fuzzy:
		return q.compile(k.Key, fuzzily)
	case syntax.NamedFilter:
		return q.compileFilter(k.Name, how)
	case syntax.Header:
		return q.headerTest(k, how)
	case syntax.Body:
		return q.textTest(inBody, k.Value, how)
	case syntax.Text:
		return q.textTest(inMessage, k.Value, how)
	}
	return q.plainTest(key)
}

// plainTest makes a test of a key that looks for no text.
func (q *searching) plainTest(key syntax.Key) (test, error) {
	switch k := key.(type) {
	case syntax.All, syntax.SaveDateSupported: // RFC 8514 §4.3: every mailbox of ours keeps them
		return func(*candidate) verdict { return isYes }, nil
	case syntax.Recent:
		return func(c *candidate) verdict { return verdictOf(q.m.Recent != nil && q.m.Recent(c.entry.UID)) }, nil
	case syntax.HasFlag:
		return q.hasFlag(string(k.Flag)), nil
	case syntax.Seqs:
		return among(q.m.numbered(k.Set)), nil
	case syntax.UIDs:
		return among(q.m.identified(k.Set)), nil
	case syntax.ModSeq: // RFC 7162 §3.1.5: one for all of a message's metadata, so the item's name means nothing
		q.modseq = true
		return func(c *candidate) verdict { return verdictOf(uint64(c.entry.ModSeq) >= k.Value) }, nil
	case syntax.Date:
		return q.dateTest(k)
	case syntax.Within:
		return q.within(k), nil
	case syntax.Size:
		return q.sizeTest(k), nil
	case syntax.EmailID:
		return q.rowTest(func(r *storage.Row) bool { return q.m.objectID(r.EmailID) == k.ID }), nil
	case syntax.ThreadID: // made of what the header says
		q.rows = true
		return content(levelRow, func(c *candidate) bool { return q.m.objectID(c.row.ThreadID) == k.ID }), nil
	}
	return nil, ErrKey
}

func (q *searching) compileAnd(keys syntax.And, how manner) (test, error) {
	tests, err := q.compileAll(keys, how)
	if len(tests) == 1 {
		return tests[0], err
	}
	return func(c *candidate) verdict {
		v := isYes
		for _, t := range tests {
			if v = min(v, t(c)); v == isNo {
				return isNo
			}
		}
		return v
	}, err
}

func (q *searching) compileOr(k syntax.Or, how manner) (test, error) {
	tests, err := q.compileAll([]syntax.Key{k.Left, k.Right}, how)
	return func(c *candidate) verdict {
		v := isNo
		for _, t := range tests {
			if v = max(v, t(c)); v == isYes {
				return isYes
			}
		}
		return v
	}, err
}

func (q *searching) compileAll(keys []syntax.Key, how manner) ([]test, error) {
	tests := make([]test, len(keys))
	for i, key := range keys {
		var err error
		if tests[i], err = q.compile(key, how); err != nil {
			return nil, err
		}
	}
	return tests, nil
}

// compileFilter puts a filter's keys in its place.
func (q *searching) compileFilter(name string, how manner) (t test, err error) {
	err = q.withFilter(name, func(keys syntax.And) error {
		t, err = q.compileAnd(keys, how)
		return err
	})
	return t, err
}

// withFilter gives do the keys of a filter. One that needs itself, or too many
// others, is as good as none (RFC 5466 §3.1).
func (q *searching) withFilter(name string, do func(syntax.And) error) error {
	same := func(other string) bool { return strings.EqualFold(name, other) }
	if q.m.Filter == nil || len(q.filters) == maxFilters || slices.ContainsFunc(q.filters, same) {
		return &NoFilterError{name}
	}
	keys, err := q.m.Filter(name)
	if errors.Is(err, storage.ErrNotFound) {
		return &NoFilterError{name}
	}
	if err != nil {
		return fmt.Errorf("filter %s: %w", name, err)
	}
	q.filters = append(q.filters, name)
	defer func() { q.filters = q.filters[:len(q.filters)-1] }()
	return do(keys)
}

// content is a key that shows something of a message's content. For a withheld
// message it is constant: false at the leaf, so that under NOT and OR no bit of
// content comes out either (RFC 8689 §4.4).
func content(needs level, holds func(c *candidate) bool) test {
	return func(c *candidate) verdict {
		switch {
		case c.held:
			return isNo
		case c.level < needs:
			return unknown
		}
		return verdictOf(holds(c))
	}
}

// rowTest is a key on what every session may know of a message.
func (q *searching) rowTest(holds func(*storage.Row) bool) test {
	q.rows = true
	return func(c *candidate) verdict {
		if c.level < levelRow {
			return unknown
		}
		return verdictOf(holds(c.row))
	}
}

// requireTLS is the keyword by which clients see that a message carries
// REQUIRETLS.
const requireTLS = "$RequireTLS"

var systemFlags = map[string]storage.Flags{
	`\seen`: storage.Seen, `\answered`: storage.Answered, `\flagged`: storage.Flagged, `\deleted`: storage.Deleted, `\draft`: storage.Draft,
}

func (q *searching) hasFlag(name string) test {
	if strings.EqualFold(name, requireTLS) {
		return func(c *candidate) verdict { return verdictOf(c.entry.Flags.Demand().IsRequired()) }
	}
	bits := systemFlags[strings.ToLower(name)]
	if i := slices.IndexFunc(q.m.keywords(), func(k string) bool { return strings.EqualFold(k, name) }); i >= 0 {
		bits |= storage.Keyword(i)
	}
	return func(c *candidate) verdict { return verdictOf(c.entry.Flags&bits != 0) }
}

// among is a key on a message's number, by spans that ascend.
func among(spans []span) test {
	return func(c *candidate) verdict {
		k := sort.Search(len(spans), func(k int) bool { return spans[k].end > c.i })
		return verdictOf(k < len(spans) && spans[k].first <= c.i)
	}
}

// dateTest compares days, time and zone disregarded: a date counts in the zone
// it was written in.
func (q *searching) dateTest(k syntax.Date) (test, error) {
	compare := dayTest(k.When, dayOf(k.Day))
	switch k.Of {
	case syntax.InternalDate:
		return q.rowTest(func(r *storage.Row) bool { return compare(dayOf(r.InternalDate)) }), nil
	case syntax.SaveDate:
		return q.rowTest(func(r *storage.Row) bool { return compare(dayOf(r.SaveDate)) }), nil
	case syntax.SentDate:
		q.envelopes = true
		return content(levelEnvelope, func(c *candidate) bool {
			return !c.summary.Sent.IsZero() && compare(dayOf(c.summary.Sent))
		}), nil
	}
	return nil, ErrKey
}

func dayTest(when syntax.When, day int) func(d int) bool {
	switch when {
	case syntax.Before:
		return func(d int) bool { return d < day }
	case syntax.On:
		return func(d int) bool { return d == day }
	}
	return func(d int) bool { return d >= day }
}

// dayOf orders days.
func dayOf(t time.Time) int {
	year, month, day := t.Date()
	return (year*12+int(month))*32 + day
}

// within is YOUNGER and OLDER (RFC 5032 §2): to the second, and the edge is in
// both.
func (q *searching) within(k syntax.Within) test {
	edge := q.now.Unix() - int64(k.Seconds)
	if k.Age == syntax.Younger {
		return q.rowTest(func(r *storage.Row) bool { return r.InternalDate.Unix() >= edge })
	}
	return q.rowTest(func(r *storage.Row) bool { return r.InternalDate.Unix() <= edge })
}

func (q *searching) sizeTest(k syntax.Size) test {
	if k.Than == syntax.Larger {
		return q.rowTest(func(r *storage.Row) bool { return r.Size > k.N })
	}
	return q.rowTest(func(r *storage.Row) bool { return r.Size < k.N })
}
