package sieve

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"letterlock/internal/mime"
)

// entity is a header: the message's or a part's, cut into fields once and
// decoded field by field as tests ask.
type entity struct {
	fields []field
	end    int64 // where the header ends in the message: behind the empty line
	blank  bool  // there was an empty line
	cut    bool  // there is more of it than fields: it cannot be written anew
	read   bool
}

// field is one header field. One without a name is lines that are no field: no
// test sees them, and they stay where they are.
type field struct {
	hash  uint32 // of the name in lower case
	name  string // as written
	raw   string // behind the colon, folded as it came, without the last line end
	value *Value // unfolded, trimmed, decoded; nil: not asked for yet
	addrs []Address
	found bool // addrs is made
}

const (
	maxHeader = 1 << 20 // octets of a header that are read
	maxFields = 10_000
)

// hashName is FNV-1a of the name in lower case.
func hashName(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// headerName is a name that tests look for.
type headerName struct {
	text string // trimmed
	hash uint32
}

func newHeaderName(s string) headerName {
	return headerName{s, hashName(s)}
}

func (f *field) named(n headerName) bool {
	return f.hash == n.hash && len(f.name) == len(n.text) && strings.EqualFold(f.name, n.text)
}

// readHeader reads and cuts the header that starts at from and ends before to.
func (rt *Runtime) readHeader(e *entity, from, to int64) error {
	e.read = true
	text, whole, err := rt.readHeaderText(from, to)
	if err != nil {
		return err
	}
	if err := rt.Scan(8 * len(text)); err != nil {
		return err
	}
	n, fields, all := cutFields(text)
	e.fields, e.end, e.cut = fields, from+int64(n), !whole || !all
	e.blank = n > 0 && text[n-1] == '\n' && blankLine(text[:n])
	return rt.Take(len(text) + 64*len(fields))
}

// blankLine says whether header text ends with an empty line.
func blankLine(text string) bool {
	text = strings.TrimSuffix(text, "\n")
	text = strings.TrimSuffix(text, "\r")
	return text == "" || text[len(text)-1] == '\n'
}

// readHeaderText reads as much as it takes to have the whole header, or as much
// of it as is read at all.
func (rt *Runtime) readHeaderText(from, to int64) (text string, whole bool, err error) {
	size := min(to-from, 8<<10)
	for {
		buf := make([]byte, size)
		n, err := rt.msg.ReadAt(buf, from)
		if err != nil && !errors.Is(err, io.EOF) {
			return "", false, err
		}
		buf = buf[:n]
		if err := rt.Take(len(buf)); err != nil {
			return "", false, err
		}
		if end := endOfHeader(buf); end >= 0 {
			return string(buf[:end]), true, nil
		}
		if int64(n) < size || size >= min(to-from, maxHeader) {
			return string(buf), int64(n) == to-from, nil
		}
		size = min(size*8, to-from, maxHeader)
	}
}

// endOfHeader is behind the first empty line, or -1.
func endOfHeader(b []byte) int {
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return 2
	}
	if bytes.HasPrefix(b, []byte("\n")) {
		return 1
	}
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			return -1
		}
		at += n + 1
		switch {
		case at < len(b) && b[at] == '\n':
			return at + 1
		case at+1 < len(b) && b[at] == '\r' && b[at+1] == '\n':
			return at + 2
		}
	}
}

// cutFields cuts header text into fields; n is where it ends, and all says that
// nothing was passed over.
func cutFields(text string) (n int, fields []field, all bool) {
	fields, all = make([]field, 0, 24), true
	for n < len(text) {
		line := lineEnd(text, n)
		if strings.TrimRight(text[n:line], "\r\n") == "" {
			return line, fields, all
		}
		start := n
		n = line
		for n < len(text) && (text[n] == ' ' || text[n] == '\t') {
			n = lineEnd(text, n)
		}
		name, value, colon := strings.Cut(text[start:n], ":")
		name = strings.TrimRight(name, " \t")
		switch last := len(fields) - 1; {
		case len(fields) == maxFields:
			all = false
		case colon && name != "" && !strings.ContainsAny(name, " \t\r\n"):
			fields = append(fields, field{hash: hashName(name), name: name, raw: strings.TrimRight(value, "\r\n")})
		case last >= 0 && fields[last].name == "":
			fields[last].raw = text[start-len(fields[last].raw) : n]
		default:
			fields = append(fields, field{raw: text[start:n]})
		}
	}
	return n, fields, all
}

func lineEnd(s string, from int) int {
	if i := strings.IndexByte(s[from:], '\n'); i >= 0 {
		return from + i + 1
	}
	return len(s)
}

// text is the field's value as tests see it: unfolded, without space around,
// encoded words decoded (RFC 5228 §2.4.2.2, §2.7.2).
func (f *field) text(rt *Runtime) (*Value, error) {
	if f.value != nil {
		return f.value, nil
	}
	s := trimSpace(unfold(f.raw))
	cost := 64
	if !ascii(s) || strings.Contains(s, "=?") {
		s = mime.DecodeHeader(s)
		cost += 4 * len(f.raw)
	}
	f.value = &Value{Text: s}
	if err := rt.Take(cost); err != nil {
		return nil, err
	}
	return f.value, rt.Scan(cost)
}

// unfold removes the line ends (RFC 5322 §2.2.3). A tab behind one stands where the
// author had a space: some programs fold with tabs, and no rule should know.
func unfold(s string) string {
	if strings.IndexByte(s, '\n') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		switch {
		case s[i] == '\n':
		case s[i] == '\r' && i+1 < len(s) && s[i+1] == '\n':
		case s[i] == '\t' && i > 0 && s[i-1] == '\n':
			b = append(b, ' ')
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

func trimSpace(s string) string { return strings.Trim(s, " \t\r\n") }

// header is the header that tests read: of the message, or of what stands for
// it in a script included from foreverypart (RFC 6609 §3.5).
func (rt *Runtime) header() (*entity, error) {
	if rt.frame != nil && rt.frame.root != nil {
		return rt.partHeader(rt.frame.root)
	}
	if !rt.head.read {
		if err := rt.readHeader(&rt.head, 0, rt.msg.Size()); err != nil {
			return nil, err
		}
	}
	return &rt.head, nil
}

// clone is a copy that changes to fields do not reach.
func (e entity) clone() entity {
	e.fields = append([]field(nil), e.fields...)
	return e
}

// Header returns the values of a field of the message in order, unfolded,
// trimmed and decoded, as a header test sees them.
func (rt *Runtime) Header(name string) ([]string, error) {
	h, err := rt.header()
	if err != nil {
		return nil, err
	}
	if err := rt.Spend(1 + len(h.fields)/8); err != nil {
		return nil, err
	}
	var values []string
	n := newHeaderName(name)
	for i := range h.fields {
		if h.fields[i].named(n) {
			v, err := h.fields[i].text(rt)
			if err != nil {
				return nil, err
			}
			values = append(values, v.Text)
		}
	}
	return values, nil
}

// first is the value of the first field of this name; found false: none.
func (rt *Runtime) first(name string) (value string, found bool, err error) {
	values, err := rt.Header(name)
	if err != nil || len(values) == 0 {
		return "", false, err
	}
	return values[0], true, nil
}
