package mime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// ErrHeaderTooLong says that a header went beyond the limit.
var ErrHeaderTooLong = errors.New("header too long")

// Header is a header block as it stands.
type Header struct {
	raw    []byte
	fields []Field
}

// Field is one field of a header.
type Field struct {
	Name   string // as written, without the colon
	Value  string // what comes after the colon: raw, folded, without the final line break
	Offset int64  // where the field starts
	End    int64  // after its final line break
}

// ReadHeader reads a header block up to its empty line or the end of r; it may
// read further. Beyond limit octets it gives the fields that came whole, and
// ErrHeaderTooLong. Any other error is r's, with what had come until then.
func ReadHeader(r io.Reader, limit int64) (*Header, error) {
	raw, err := readBlock(r, limit)
	h := &Header{raw: raw}
	for f := range Fields(raw) {
		h.fields = append(h.fields, f)
	}
	return h, err
}

// ParseHeader is the header at the start of b, of which it keeps no part.
func ParseHeader(b []byte) *Header {
	h, _ := ReadHeader(bytes.NewReader(b), int64(len(b))) // reads from memory, and no further than it is long
	return h
}

const headerChunk = 4 << 10

func readBlock(r io.Reader, limit int64) ([]byte, error) {
	block := make([]byte, 0, min(headerChunk, limit+1))
	for {
		n, err := r.Read(block[len(block):cap(block)])
		scanned := max(0, len(block)-2)
		block = block[:len(block)+n]
		if end := blockEnd(block, scanned); end >= 0 && int64(end) <= limit {
			return block[:end], nil
		}
		if int64(len(block)) > limit {
			return block[:wholeFields(block[:limit])], ErrHeaderTooLong
		}
		if errors.Is(err, io.EOF) {
			return block, nil
		}
		if err != nil {
			return block, fmt.Errorf("read header: %w", err)
		}
		if len(block) == cap(block) {
			larger := make([]byte, len(block), min(int64(2*len(block)), limit+1))
			copy(larger, block)
			block = larger
		}
	}
}

// blockEnd finds the end of the empty line that ends a header, its LF at from
// or later; -1 is none yet.
func blockEnd(b []byte, from int) int {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return -1
		}
		from += i + 1
		line := bytes.TrimSuffix(b[:from-1], []byte("\r"))
		if len(line) == 0 || line[len(line)-1] == '\n' {
			return from
		}
	}
}

// wholeFields is the length of the fields in b that certainly are complete.
func wholeFields(b []byte) int {
	for i := len(b) - 1; i > 0; i-- {
		if b[i-1] == '\n' && b[i] != ' ' && b[i] != '\t' {
			return i
		}
	}
	return 0
}

// Bytes is the block itself, the empty line included where there is one.
func (h *Header) Bytes() []byte { return h.raw }

// Fields walks all fields in order.
func (h *Header) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for _, f := range h.fields {
			if !yield(f) {
				return
			}
		}
	}
}

// Has says whether there is a field of that name.
func (h *Header) Has(name string) bool {
	_, ok := h.Get(name)
	return ok
}

// Get is the first such field's value, unfolded, otherwise raw, without the
// white space around it.
func (h *Header) Get(name string) (value string, ok bool) {
	for value := range h.Values(name) {
		return value, true
	}
	return "", false
}

// Values walks the values of all such fields in order, each as Get gives it.
func (h *Header) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, f := range h.fields {
			if is(f.Name, name) && !yield(f.Unfolded()) {
				return
			}
		}
	}
}

// Text is the first such field's value with encoded words decoded to UTF-8.
func (h *Header) Text(name string) (text string, ok bool) {
	value, ok := h.Get(name)
	return DecodeHeader(value), ok
}

// Unfolded is the value without line breaks and the white space around it.
func (f *Field) Unfolded() string { return trim(unfold(f.Value)) }

// Text is the value decoded to UTF-8.
func (f *Field) Text() string { return DecodeHeader(f.Unfolded()) }

// unfold removes the line breaks of folding (RFC 5322 §2.2.3).
func unfold(s string) string {
	if strings.IndexByte(s, '\n') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if c := s[i]; c == '\n' || c == '\r' && i+1 < len(s) && s[i+1] == '\n' {
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// Fields walks the fields of a header block up to its empty line. Lines that
// are no fields are passed over.
func Fields(block []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		text := string(block)
		for at, end := 0, 0; at < len(block); at = end {
			end = fieldEnd(block, at)
			if isBlank(block[at:end]) {
				return
			}
			if name, colon := fieldName(block[at:end]); colon > 0 {
				f := Field{Name: text[at : at+len(name)], Value: text[at+colon+1 : end], Offset: int64(at), End: int64(end)}
				f.Value = strings.TrimSuffix(strings.TrimSuffix(f.Value, "\n"), "\r")
				if !yield(f) {
					return
				}
			}
		}
	}
}

// named walks the values of the fields of that name, raw, up to the empty line.
func named(block []byte, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for at, end := 0, 0; at < len(block); at = end {
			end = fieldEnd(block, at)
			if isBlank(block[at:end]) {
				return
			}
			if lowerByte(block[at]) != lowerByte(name[0]) { // most are something else
				continue
			}
			got, colon := fieldName(block[at:end])
			if len(got) == len(name) && colon > 0 && is(string(got), name) && !yield(string(block[at+colon+1:end])) {
				return
			}
		}
	}
}

// fieldEnd finds where the field (or whatever it is) that starts at ends, its
// continuation lines included. An empty line ends by itself: what follows is the
// body.
func fieldEnd(block []byte, start int) int {
	for at := start; at < len(block); {
		i := bytes.IndexByte(block[at:], '\n')
		if i < 0 {
			return len(block)
		}
		if at += i + 1; at == len(block) || block[at] != ' ' && block[at] != '\t' || isBlank(block[start:at]) {
			return at
		}
	}
	return len(block)
}

func isBlank(line []byte) bool {
	return len(line) > 0 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

// fieldName is what stands before a field's colon. White space may stand between
// them, as RFC 5322 §4.5 has it, anywhere else in a name it may not: what is no
// field has no colon, -1.
func fieldName(line []byte) (name []byte, colon int) {
	end := 0 // of the name
	for i, c := range line {
		switch {
		case c == ':' && end > 0:
			return line[:end], i
		case c == ':' || c == '\n': // a colon in a continuation line ends no name
			return nil, -1
		case isSpace(c):
			if i == 0 {
				return nil, -1
			}
		case end < i: // behind white space
			return nil, -1
		default:
			end = i + 1
		}
	}
	return nil, -1
}
