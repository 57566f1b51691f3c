package imapd

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"letterlock/imapd/syntax"
)

// headerInMemory is how big a header may be to be filtered in memory; a bigger
// one is read twice.
const headerInMemory = 64 << 10

// literalInMemory is how big a literal may be to become part of its line, and how
// long a line may grow before what there is of it is sent.
const literalInMemory = 32 << 10

// section is BODY[…] and the items of RFC 3501 that are other names for it.
// What does not exist is NIL.
func (f *fetching) section(l *fetchLine, m *fetched, item *fetchItem) error {
	where := sectionOf(item)
	x, found := m.extentOf(where)
	if !found {
		l.named(item)
		l.b = append(l.b, "NIL"...)
		return nil
	}
	switch where.Text {
	case syntax.HeaderFields, syntax.HeaderFieldsNot:
		return l.fields(m, x, item)
	}
	if item.Partial != nil {
		x = x.cut(item.Partial.Offset, item.Partial.Count)
	}
	return l.literal(m, x, item)
}

// literal sends the octets of x. They are read, and so verified, before they
// are announced: what is announced has to come. A big piece is read twice for
// it, rather than held.
func (l *fetchLine) literal(m *fetched, x extent, item *fetchItem) error {
	if x.size() > literalInMemory {
		if _, err := io.Copy(io.Discard, io.NewSectionReader(m.octets, x.start, x.size())); err != nil {
			return fmt.Errorf("read message: %w", err)
		}
		l.named(item)
		l.b = syntax.AppendLiteralHeader(l.b, x.size())
		return l.stream(x.size(), io.NewSectionReader(m.octets, x.start, x.size()))
	}
	start, items := len(l.b), l.items
	l.named(item)
	l.b = syntax.AppendLiteralHeader(l.b, x.size())
	octets := len(l.b)
	l.b = slices.Grow(l.b, int(x.size()))[:octets+int(x.size())]
	if err := m.octets.fill(l.b[octets:], x.start); err != nil {
		l.b, l.items = l.b[:start], items
		return fmt.Errorf("read message: %w", err)
	}
	return nil
}

// sectionOf is the section an item names, or stands for (RFC 3501 §6.4.5).
func sectionOf(item *fetchItem) syntax.Section {
	switch item.Kind {
	case syntax.FetchRFC822Header:
		return syntax.Section{Text: syntax.HeaderText}
	case syntax.FetchRFC822Text:
		return syntax.Section{Text: syntax.BodyText}
	}
	return item.Section
}

// extentOf is where a section lies in the message (RFC 9051 §6.4.5.1).
func (m *fetched) extentOf(where syntax.Section) (x extent, found bool) {
	size := m.octets.Size()
	if len(where.Part) == 0 {
		switch where.Text {
		case syntax.WholePart:
			return extent{0, size}, true
		case syntax.BodyText:
			return extent{m.row.HeaderSize, size}, true
		}
		return extent{0, m.row.HeaderSize}, true
	}
	part := findPart(&m.summary.Root, where.Part)
	if part == nil {
		return extent{}, false
	}
	switch where.Text {
	case syntax.WholePart:
		return extent{part.Body, part.End}, true
	case syntax.MIMEText:
		return extent{part.Header, part.Body}, true
	}
	if part.Message == nil {
		return extent{}, false // HEADER and TEXT are of messages alone
	}
	inner := &part.Message.Root
	if where.Text == syntax.BodyText {
		return extent{inner.Body, inner.End}, true
	}
	return extent{inner.Header, inner.Body}, true
}

// fields sends what a filter passes of a header (RFC 9051 §6.4.5.1). A big one
// goes through the filter twice: the octets are counted before they are
// announced.
func (l *fetchLine) fields(m *fetched, x extent, item *fetchItem) error {
	if x.size() > headerInMemory {
		return l.bigHeader(m, x, item)
	}
	held, err := m.header(x)
	if err != nil {
		return err
	}
	passed := item.filter.Append(l.s.fields[:0], held)
	part := extent{0, int64(len(passed))}
	if item.Partial != nil {
		part = part.cut(item.Partial.Offset, item.Partial.Count)
	}
	l.named(item)
	l.b = syntax.AppendLiteralHeader(l.b, part.size())
	l.b = append(l.b, passed[part.start:part.end]...)
	if cap(passed) <= maxScratch {
		l.s.fields = passed[:0]
	}
	return nil
}

// header reads a header, once for all items that filter it.
func (m *fetched) header(x extent) ([]byte, error) {
	if m.headerAt == x && len(m.headerText) > 0 {
		return m.headerText, nil
	}
	m.headerText = slices.Grow(m.headerText[:0], int(x.size()))[:x.size()]
	if err := m.octets.fill(m.headerText, x.start); err != nil {
		m.headerText = m.headerText[:0]
		return nil, fmt.Errorf("read header: %w", err)
	}
	m.headerAt = x
	return m.headerText, nil
}

func (l *fetchLine) bigHeader(m *fetched, x extent, item *fetchItem) error {
	through := func(w io.Writer) (int64, error) {
		return item.filter.Copy(w, io.NewSectionReader(m.octets, x.start, x.size()))
	}
	n, err := through(io.Discard)
	if err != nil {
		return err
	}
	part := extent{0, n}
	if item.Partial != nil {
		part = part.cut(item.Partial.Offset, item.Partial.Count)
	}
	l.named(item)
	l.b = syntax.AppendLiteralHeader(l.b, part.size())
	return l.produce(part, through)
}

// produce sends the octets of x out of what produce writes.
func (l *fetchLine) produce(x extent, produce func(io.Writer) (int64, error)) error {
	l.s.put(l.b)
	w := &windowWriter{w: l.s.w, skip: x.start, left: x.size()}
	_, err := produce(w)
	if w.left > 0 || l.s.broken {
		return l.cutShort(w.left, err)
	}
	l.b = l.s.scratch[:0]
	return nil
}

// windowWriter passes left octets after the first skip, and stops whoever
// writes more.
type windowWriter struct {
	w          io.Writer
	skip, left int64
}

var errWindowFull = errors.New("all octets written")

func (w *windowWriter) Write(p []byte) (int, error) {
	n := len(p)
	cut := min(w.skip, int64(len(p)))
	w.skip -= cut
	p = p[cut:]
	p = p[:min(w.left, int64(len(p)))]
	if len(p) > 0 {
		if _, err := w.w.Write(p); err != nil {
			return 0, err
		}
		w.left -= int64(len(p))
	}
	if w.left == 0 && w.skip == 0 {
		return n, errWindowFull
	}
	return n, nil
}
