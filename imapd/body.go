package imapd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

// headerInMemory is how big a header may be to be filtered in memory; a bigger
// one is read twice.
const headerInMemory = 64 << 10

// section is BODY[…] and the items of RFC 3501 that are other names for it.
// What does not exist is NIL.
func (f *fetching) section(l *fetchLine, m *fetched, item *syntax.FetchItem) error {
	where := sectionOf(item)
	x, found := m.extentOf(where)
	l.named(item)
	if !found {
		l.b = append(l.b, "NIL"...)
		return nil
	}
	switch where.Text {
	case syntax.HeaderFields, syntax.HeaderFieldsNot:
		return l.fields(m, x, f.filters[item], item.Partial)
	}
	if item.Partial != nil {
		x = x.cut(item.Partial.Offset, item.Partial.Count)
	}
	return l.literal(x.size(), io.NewSectionReader(m.octets, x.start, x.size()))
}

// sectionOf is the section an item names, or stands for (RFC 3501 §6.4.5).
func sectionOf(item *syntax.FetchItem) syntax.Section {
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
func (l *fetchLine) fields(m *fetched, x extent, filter mime.Filter, partial *syntax.Partial) error {
	header := io.NewSectionReader(m.octets, x.start, x.size())
	if x.size() > headerInMemory {
		through := func(w io.Writer) (int64, error) {
			return filter.Copy(w, io.NewSectionReader(m.octets, x.start, x.size()))
		}
		n, err := filter.Copy(io.Discard, header)
		if err != nil {
			return err
		}
		return l.window(n, partial, through)
	}
	held := make([]byte, x.size())
	if _, err := io.ReadFull(header, held); err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	passed := filter.Append(nil, held)
	part := extent{0, int64(len(passed))}
	if partial != nil {
		part = part.cut(partial.Offset, partial.Count)
	}
	l.b = syntax.AppendLiteralHeader(l.b, part.size())
	l.b = append(l.b, passed[part.start:part.end]...)
	return nil
}

// window sends n octets that produce writes, or the partial piece of them.
func (l *fetchLine) window(n int64, partial *syntax.Partial, produce func(io.Writer) (int64, error)) error {
	x := extent{0, n}
	if partial != nil {
		x = x.cut(partial.Offset, partial.Count)
	}
	l.b = syntax.AppendLiteralHeader(l.b, x.size())
	return l.produce(x, produce)
}

// produce sends the octets of x out of what produce writes.
func (l *fetchLine) produce(x extent, produce func(io.Writer) (int64, error)) error {
	l.s.put(l.b)
	w := &windowWriter{w: l.s.w, skip: x.start, left: x.size()}
	_, err := produce(w)
	if w.left > 0 || l.s.broken {
		l.s.log.Error("literal cut short", "command", l.s.verb, "missing", w.left, "err", err)
		l.s.broken = true
		return errCut
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

// binary is BINARY[…] and BINARY.SIZE[…] (RFC 3516 §4.3): a leaf part with its
// transfer encoding removed. It is decoded twice, counted first.
func (f *fetching) binary(l *fetchLine, m *fetched, item *syntax.FetchItem) error {
	x, part, err := m.leaf(item.Section)
	if err != nil {
		return err
	}
	if part == nil && len(item.Section.Part) > 0 {
		l.named(item)
		l.b = append(l.b, noBinary[item.Kind]...)
		return nil
	}
	count := new(octetCount)
	switch err := decode(m.octets, x, part, count); {
	case errors.Is(err, mime.ErrUnknownEncoding):
		f.unknownCTE = true
		return nil
	case err != nil:
		return err
	}
	l.named(item)
	if item.Kind == syntax.FetchBinarySize {
		l.b = strconv.AppendInt(l.b, count.n, 10)
		return nil
	}
	return l.decoded(count, item.Partial, func(w io.Writer) (int64, error) { return 0, decode(m.octets, x, part, w) })
}

// noBinary is what a part has that does not exist.
var noBinary = map[syntax.FetchKind]string{syntax.FetchBinary: "NIL", syntax.FetchBinarySize: "0"}

// leaf is the part BINARY asks for; none and no error where it does not exist.
func (m *fetched) leaf(where syntax.Section) (extent, *mail.Part, error) {
	if len(where.Part) == 0 {
		return extent{0, m.octets.Size()}, nil, nil
	}
	part := findPart(&m.summary.Root, where.Part)
	if part == nil {
		return extent{}, nil, nil
	}
	if !isLeaf(part) {
		return extent{}, nil, errNotLeaf
	}
	return extent{part.Body, part.End}, part, nil
}

// decoded sends decoded octets, as literal8 where they hold a NUL (RFC 9051
// §7.5.2).
func (l *fetchLine) decoded(count *octetCount, partial *syntax.Partial, produce func(io.Writer) (int64, error)) error {
	if !count.nul {
		return l.window(count.n, partial, produce)
	}
	x := extent{0, count.n}
	if partial != nil {
		x = x.cut(partial.Offset, partial.Count)
	}
	l.b = syntax.AppendLiteral8Header(l.b, x.size())
	return l.produce(x, produce)
}

// decode writes the content of a part; nil is the message as it is. Lines of
// text end in CRLF whatever the sender encoded (RFC 9051 §7.5.2).
func decode(octets io.ReaderAt, x extent, part *mail.Part, w io.Writer) error {
	var src io.Reader = io.NewSectionReader(octets, x.start, x.size())
	if part != nil {
		var err error
		if src, err = mime.Decoded(src, part.Encoding); err != nil {
			return err
		}
		if strings.EqualFold(part.Type, "text") {
			w = &crlfWriter{w: w}
		}
	}
	_, err := io.Copy(w, src)
	return err
}

// octetCount counts and looks for NUL.
type octetCount struct {
	n   int64
	nul bool
}

func (c *octetCount) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	c.nul = c.nul || bytes.IndexByte(p, 0) >= 0
	return len(p), nil
}

// crlfWriter puts a CR before each LF that has none.
type crlfWriter struct {
	w  io.Writer
	cr bool // the last octet was CR
}

func (c *crlfWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			i = len(p)
		}
		if i > 0 {
			if _, err := c.w.Write(p[:i]); err != nil {
				return 0, err
			}
			c.cr = p[i-1] == '\r'
		}
		if i == len(p) {
			return n, nil
		}
		end := "\r\n"
		if c.cr {
			end = "\n"
		}
		if _, err := io.WriteString(c.w, end); err != nil {
			return 0, err
		}
		c.cr = false
		p = p[i+1:]
	}
	return n, nil
}
