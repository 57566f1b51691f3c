package imapd

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/storage"
)

// plainPart is a leaf part with its transfer encoding removed, as one command
// asks for it. What several items ask for is decoded once and held; what one
// asks for is decoded twice, counted first, and held nowhere.
type plainPart struct {
	part  *mail.Part // nil: the message as it is
	x     extent
	count octetCount
	held  storage.SpoolFile // nil: decoded again when it is sent
}

// binary is BINARY[…] and BINARY.SIZE[…] (RFC 3516 §4.3).
func (f *fetching) binary(l *fetchLine, m *fetched, item *fetchItem) error {
	c, err := f.plainPart(m, item.Section)
	if errors.Is(err, mime.ErrUnknownEncoding) {
		f.unknownCTE = true
		return nil
	}
	if err != nil {
		return err
	}
	l.named(item)
	switch {
	case c == nil:
		l.b = append(l.b, noBinary[item.Kind]...)
		return nil
	case item.Kind == syntax.FetchBinarySize:
		l.b = strconv.AppendInt(l.b, c.count.n, 10)
		return nil
	}
	return c.send(l, m, item.Partial)
}

// noBinary is what a part has that does not exist.
var noBinary = map[syntax.FetchKind]string{syntax.FetchBinary: "NIL", syntax.FetchBinarySize: "0"}

// plainPart is the part that BINARY asks for; nil and no error where it does not
// exist.
func (f *fetching) plainPart(m *fetched, where syntax.Section) (*plainPart, error) {
	x, part, err := m.leaf(where)
	if err != nil || part == nil && len(where.Part) > 0 {
		return nil, err
	}
	for _, c := range m.plain {
		if c.part == part {
			return c, nil
		}
	}
	c := &plainPart{part: part, x: x}
	if f.senders(where) > 1 {
		err = c.hold(f.s, m.octets)
	} else {
		err = decode(m.octets, x, part, &c.count)
	}
	if err != nil {
		return nil, err
	}
	m.plain = append(m.plain, c)
	return c, nil
}

// senders is how many items send a part's content.
func (f *fetching) senders(where syntax.Section) (n int) {
	for i := range f.items {
		if item := &f.items[i]; item.Kind == syntax.FetchBinary && slices.Equal(item.Section.Part, where.Part) {
			n++
		}
	}
	return n
}

// hold decodes into memory or the spool. Where the vault has no room for it,
// the content is decoded again for each item: it can be read all the same.
func (c *plainPart) hold(s *session, octets io.ReaderAt) error {
	to, err := s.room(2 * c.x.size()) // line ends may be added, see decode
	if err != nil {
		return decode(octets, c.x, c.part, &c.count)
	}
	err = decode(octets, c.x, c.part, io.MultiWriter(&c.count, to))
	if err == nil {
		c.held = to
		return nil
	}
	to.Close()
	c.count = octetCount{}
	return decode(octets, c.x, c.part, &c.count) // says it once more if reading was what failed
}

func (c *plainPart) close() {
	if c.held != nil {
		c.held.Close()
	}
}

// send sends the content or a piece of it, as literal8 where it holds a NUL
// (RFC 9051 §7.5.2).
func (c *plainPart) send(l *fetchLine, m *fetched, partial *syntax.Partial) error {
	x := extent{0, c.count.n}
	if partial != nil {
		x = x.cut(partial.Offset, partial.Count)
	}
	if c.count.nul {
		l.b = syntax.AppendLiteral8Header(l.b, x.size())
	} else {
		l.b = syntax.AppendLiteralHeader(l.b, x.size())
	}
	if c.held != nil {
		return l.stream(x.size(), io.NewSectionReader(c.held, x.start, x.size()))
	}
	return l.produce(x, func(w io.Writer) (int64, error) { return 0, decode(m.octets, c.x, c.part, w) })
}

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
