package imapd

import (
	"slices"
	"strings"
	"time"

	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

var errSearchKey = bad("Search key not offered")

// compile makes a test of a search key (RFC 9051 §6.4.4).
func (q *searching) compile(key syntax.Key) (test, error) {
	switch k := key.(type) {
	case syntax.And:
		return q.compileAnd(k)
	case syntax.Or:
		return q.compileOr(k)
	case syntax.Not:
		t, err := q.compile(k.Key)
		return func(c *candidate) verdict { return -t(c) }, err
	case syntax.All:
		return func(*candidate) verdict { return isYes }, nil
	case syntax.Recent:
		return func(c *candidate) verdict { return verdictOf(q.s.box.isRecent(c.entry.UID)) }, nil
	case syntax.HasFlag:
		return q.hasFlag(string(k.Flag)), nil
	case syntax.Seqs:
		return q.among(k.Set, numbers)
	case syntax.UIDs:
		return q.among(k.Set, uids)
	case syntax.Date:
		return q.dateTest(k)
	case syntax.Within:
		return q.within(k), nil
	case syntax.Size:
		return q.sizeTest(k), nil
	case syntax.Header:
		return q.headerTest(k)
	case syntax.Body:
		return q.textTest(&q.body, k.Value)
	case syntax.Text:
		return q.textTest(&q.anywhere, k.Value)
	}
	return nil, errSearchKey
}

func (q *searching) compileAnd(keys syntax.And) (test, error) {
	tests, err := q.compileAll(keys)
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

func (q *searching) compileOr(k syntax.Or) (test, error) {
	tests, err := q.compileAll([]syntax.Key{k.Left, k.Right})
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

func (q *searching) compileAll(keys []syntax.Key) ([]test, error) {
	tests := make([]test, len(keys))
	for i, key := range keys {
		var err error
		if tests[i], err = q.compile(key); err != nil {
			return nil, err
		}
	}
	return tests, nil
}

// content is a key that shows something of a message's content. For a withheld
// message it is constant: false at the leaf, so that under NOT and OR no bit of
// content comes out either.
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

// plain is a key on what every session may know of a message.
func (q *searching) plain(holds func(c *candidate) bool) test {
	q.sizes = true
	return func(c *candidate) verdict {
		if c.level < levelRow {
			return unknown
		}
		return verdictOf(holds(c))
	}
}

func (q *searching) hasFlag(name string) test {
	if strings.EqualFold(name, requireTLS) {
		return func(c *candidate) verdict { return verdictOf(c.entry.Flags.Demand().IsRequired()) }
	}
	bits, _ := flagBits(name, q.s.box.keywords)
	return func(c *candidate) verdict { return verdictOf(c.entry.Flags&bits != 0) }
}

// counting says what the numbers of a set count.
type counting uint8

const (
	numbers counting = iota
	uids
)

func (q *searching) among(set syntax.Set, what counting) (test, error) {
	indices, err := q.s.indices(set, what == uids)
	if err != nil {
		return nil, err
	}
	return func(c *candidate) verdict {
		_, in := slices.BinarySearch(indices, c.i)
		return verdictOf(in)
	}, nil
}

// dateTest compares days, time and zone disregarded: a date counts in the zone
// it was written in.
func (q *searching) dateTest(k syntax.Date) (test, error) {
	day := dayOf(k.Day)
	compare := map[syntax.When]func(d int) bool{
		syntax.Before: func(d int) bool { return d < day },
		syntax.On:     func(d int) bool { return d == day },
		syntax.Since:  func(d int) bool { return d >= day },
	}[k.When]
	switch k.Of {
	case syntax.InternalDate:
		return q.plain(func(c *candidate) bool { return compare(dayOf(c.row.InternalDate)) }), nil
	case syntax.SentDate:
		return content(levelSummary, func(c *candidate) bool {
			return !c.summary.Sent.IsZero() && compare(dayOf(c.summary.Sent))
		}), nil
	}
	return nil, errSearchKey
}

// dayOf orders days.
func dayOf(t time.Time) int { return (t.Year()*12+int(t.Month()))*32 + t.Day() }

// within is YOUNGER and OLDER (RFC 5032).
func (q *searching) within(k syntax.Within) test {
	edge := q.now.Add(-time.Duration(k.Seconds) * time.Second)
	return q.plain(func(c *candidate) bool {
		younger := c.row.InternalDate.After(edge)
		return younger == (k.Age == syntax.Younger)
	})
}

func (q *searching) sizeTest(k syntax.Size) test {
	return q.plain(func(c *candidate) bool {
		if k.Than == syntax.Larger {
			return c.row.Size > k.N
		}
		return c.row.Size < k.N
	})
}

// headerTest looks into a field: into the cached envelope where it has it, into
// the header where not.
func (q *searching) headerTest(k syntax.Header) (test, error) {
	name := strings.ToLower(k.Field)
	if k.Value != "" {
		if cached := envelopeField(name); cached != nil {
			sought := fold(k.Value)
			return content(levelSummary, func(c *candidate) bool {
				return strings.Contains(fold(cached(c.summary)), sought)
			}), nil
		}
	}
	n, err := q.field(name, k.Value)
	return found(levelHeader, n), err
}

func (q *searching) textTest(in *needles, value string) (test, error) {
	n, err := q.needle(in, value)
	return found(levelText, n), err
}

// found is a key that holds as soon as its needle was found, and does not when
// all of that level was looked through.
func found(all level, n *needle) test {
	return func(c *candidate) verdict {
		switch {
		case c.held:
			return isNo
		case c.level < levelSummary:
			return unknown // what was found was found in another message
		case n.found:
			return isYes
		case c.level < all:
			return unknown
		}
		return isNo
	}
}

// envelopeField is the field's text in an envelope, decoded; nil for fields
// that are not in it.
func envelopeField(name string) func(*mail.Summary) string {
	addresses := func(list func(*mail.Summary) []mail.Addr) func(*mail.Summary) string {
		return func(s *mail.Summary) string { return addressText(list(s)) }
	}
	switch name {
	case "subject":
		return func(s *mail.Summary) string { return mime.DecodeHeader(s.Subject) }
	case "from":
		return addresses(func(s *mail.Summary) []mail.Addr { return s.From })
	case "to":
		return addresses(func(s *mail.Summary) []mail.Addr { return s.To })
	case "cc":
		return addresses(func(s *mail.Summary) []mail.Addr { return s.Cc })
	case "bcc":
		return addresses(func(s *mail.Summary) []mail.Addr { return s.Bcc })
	}
	return nil
}

// addressText is addresses as a person reads them.
func addressText(list []mail.Addr) string {
	var b strings.Builder
	for _, a := range list {
		switch a.Group {
		case mail.GroupStart:
			b.WriteString(mime.DecodeHeader(a.Mailbox) + ": ")
			continue
		case mail.GroupEnd:
			b.WriteString("; ")
			continue
		}
		if a.Name != "" {
			b.WriteString(mime.DecodeHeader(a.Name) + " ")
		}
		b.WriteString("<" + a.Mailbox + "@" + a.Host + ">, ")
	}
	return b.String()
}
