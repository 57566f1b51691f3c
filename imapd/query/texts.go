package query

import (
	"slices"
	"strings"

	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/search"
)

const (
	// maxNeedles is how many texts one search looks for.
	maxNeedles = 256
	// maxFuzzy is how many FUZZY texts there may be among them: for each, a
	// message is read once more.
	maxFuzzy = 16
)

// place is where a text is looked for.
type place uint8

const (
	inBody    place = iota // BODY
	inMessage              // TEXT
	inField                // a header field
)

// scope is what of a message that is.
func (p place) scope() mime.Scope {
	if p == inBody {
		return mime.ScopeBody
	}
	return mime.ScopeText
}

// needle is a text that is sought.
type needle struct {
	*search.Finder
	asks asks // what the index is asked instead
}

// needles are looked for together, in one pass over a message.
type needles struct {
	list    []*needle
	finders []*search.Finder // theirs
	found   []bool           // in the message at hand
}

// fieldNeedle is sought in the header fields of one name.
type fieldNeedle struct {
	needle
	name   string // lower case
	cached bool   // the envelope tells, unless it is cut short
	quoted bool   // it may stand in an address field and not in the envelope
	found  bool   // in the message at hand
}

// open says whether the field has to be looked for in a message's header.
func (f *fieldNeedle) open(s *mail.Summary) bool {
	return !f.found && !(f.cached && f.decides(s))
}

// decides says whether what is not in the envelope is not in the header.
func (f *fieldNeedle) decides(s *mail.Summary) bool { return s.Has&mail.CutShort == 0 && !f.quoted }

// texts is all that a search looks for exactly.
type texts struct {
	body, message needles
	fields        []*fieldNeedle
	uncached      int // of the fields
}

// textTest is BODY and TEXT.
func (q *searching) textTest(in place, value string, how manner) (test, error) {
	if how == fuzzily {
		return q.fuzzyTest(in, "", value)
	}
	q.contents = true
	all := &q.texts.body
	if in == inMessage {
		all = &q.texts.message
	}
	at := all.add(q, value)
	n := all.list[at]
	return q.sought(n.asks, levelText, func() bool { return all.found[at] }), q.notTooMany()
}

// add gives the place of a needle, made where it is new.
func (ns *needles) add(q *searching, value string) int {
	f := search.NewFinder(value)
	for at, n := range ns.list {
		if n.Needle() == f.Needle() {
			return at
		}
	}
	ns.list = append(ns.list, &needle{f, q.index.add(f)})
	ns.finders = append(ns.finders, f)
	ns.found = append(ns.found, false)
	return len(ns.list) - 1
}

func (q *searching) notTooMany() error {
	if q.texts.uncached+len(q.texts.body.list)+len(q.texts.message.list)+len(q.fuzzy) > maxNeedles || len(q.fuzzy) > maxFuzzy {
		return ErrNeedles
	}
	return nil
}

// sought is a key that holds as soon as its text was found, and does not when
// all of that level was looked through, or the index knows better.
func (q *searching) sought(asks asks, all level, found func() bool) test {
	return func(c *candidate) verdict {
		switch {
		case c.held || c.level >= levelIndex && !q.index.may(asks, c.i):
			return isNo
		case c.level < levelSummary:
			return unknown // what was found was found in another message
		case found():
			return isYes
		case c.level < all:
			return unknown
		}
		return isNo
	}
}

// forget begins another message.
func (t *texts) forget() {
	clear(t.body.found)
	clear(t.message.found)
	for _, f := range t.fields {
		f.found = false
	}
}

// notInEnvelope is what an address field is written with and its envelope
// without: an address as somebody copied it, the quotes of its name included, is
// in the text of the header (RFC 9051 §6.4.4, HEADER).
const notInEnvelope = "\"()\\:;"

// headerTest looks into a field: into the cached envelope where it has it, into
// the header where not. Without a text, it asks whether the field is there.
func (q *searching) headerTest(k syntax.Header, how manner) (test, error) {
	name := strings.ToLower(k.Field)
	cached := envelopeField(name)
	if how == fuzzily && k.Value != "" {
		return q.fuzzyTest(inField, name, k.Value)
	}
	f := search.NewFinder(k.Value)
	n := &fieldNeedle{needle: needle{f, q.index.add(f)}, name: name, cached: cached != nil && k.Value != ""}
	n.quoted = n.cached && name != "subject" && strings.ContainsAny(k.Value, notInEnvelope)
	q.texts.fields = append(q.texts.fields, n)
	q.contents = true
	if !n.cached || n.quoted {
		q.texts.uncached++
	}
	if n.cached {
		q.envelopes = true
		return q.unlessIndexed(n.asks, n.inEnvelope(cached)), q.notTooMany()
	}
	return q.sought(n.asks, levelHeader, func() bool { return n.found }), q.notTooMany()
}

// inEnvelope looks into the envelope, and into the header where the envelope does
// not have all of it.
func (f *fieldNeedle) inEnvelope(cached func(*mail.Summary) string) test {
	return func(c *candidate) verdict {
		switch {
		case c.held:
			return isNo
		case c.level < levelEnvelope:
			return unknown
		case f.String(cached(c.summary)):
			return isYes
		case f.decides(c.summary):
			return isNo
		case c.level < levelHeader:
			return unknown // what was found was found in another message
		}
		return verdictOf(f.found)
	}
}

// unlessIndexed asks the index before t.
func (q *searching) unlessIndexed(asks asks, t test) test {
	return func(c *candidate) verdict {
		if !c.held && c.level >= levelIndex && !q.index.may(asks, c.i) {
			return isNo
		}
		return t(c)
	}
}

// envelopeField is the field's text in an envelope, decoded; nil for fields
// that are not in it. search.SummaryTexts has them all, so that the index does.
func envelopeField(name string) func(*mail.Summary) string {
	switch name {
	case "subject":
		return func(s *mail.Summary) string { return mime.DecodeHeader(s.Subject) }
	case "from":
		return func(s *mail.Summary) string { return mime.AddressText(s.From) }
	case "to":
		return func(s *mail.Summary) string { return mime.AddressText(s.To) }
	case "cc":
		return func(s *mail.Summary) string { return mime.AddressText(s.Cc) }
	case "bcc":
		return func(s *mail.Summary) string { return mime.AddressText(s.Bcc) }
	}
	return nil
}

// lookThroughHeader looks for what is sought in single fields.
func (q *searching) lookThroughHeader(c *candidate) error {
	open := func(f *fieldNeedle) bool { return f.open(c.summary) }
	if !slices.ContainsFunc(q.texts.fields, open) {
		return nil
	}
	for field, err := range mime.FieldTexts(&c.summary.Root, c.octets) {
		if err != nil {
			return err
		}
		q.texts.inField(field, open)
		if !slices.ContainsFunc(q.texts.fields, open) {
			break
		}
	}
	return nil
}

// inField looks for what is open in fields of that name.
func (t *texts) inField(field mime.FieldText, open func(*fieldNeedle) bool) {
	for _, f := range t.fields {
		if strings.EqualFold(f.name, field.Name) && open(f) {
			f.found = f.String(field.Text)
		}
	}
}

// lookThroughText looks for what BODY and TEXT seek, until the search knows
// enough.
func (q *searching) lookThroughText(c *candidate) error {
	enough := func() bool { return q.test(c) != unknown }
	for _, it := range []struct {
		sought *needles
		place  place
	}{{&q.texts.body, inBody}, {&q.texts.message, inMessage}} {
		if len(it.sought.finders) == 0 || enough() {
			continue
		}
		passages := mime.Passages(c.summary, c.octets, it.place.scope())
		if err := search.FindAll(passages, it.sought.finders, it.sought.found, enough); err != nil {
			return err
		}
	}
	return q.lookThroughFuzzily(c)
}
