package mime

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"sync"
	"unicode/utf8"

	"letterlock/internal/mail"
)

// Scope is what of a message is searched (RFC 9051 §6.4.4).
type Scope uint8

const (
	ScopeBody Scope = iota // BODY: the text, and the headers of messages inside
	ScopeText              // TEXT: all of that, the message's header and those of its parts
)

// Passage is a run of text in a message, to be read as UTF-8: a decoded header,
// or the decoded body of a text part. HTML is as it was sent, tags included. A
// part in an encoding nobody knows is read as it stands. The reader is good
// until the next passage.
type Passage struct {
	Part *mail.Part
	io.Reader
}

// MaxHeaderText is how far into a header a passage reaches, in octets.
const MaxHeaderText = 256 << 10

// Passages walks the passages of the message in r, whose summary is sum, in
// their order. What is of the type message and no message (RFC 3464's delivery
// status is one) is text. Parts that are neither have none but their header (RFC
// 9051 §6.4.4 lets a server leave them out).
func Passages(sum *mail.Summary, r io.ReaderAt, scope Scope) iter.Seq[Passage] {
	return func(yield func(Passage) bool) {
		p := readings.Get().(*reading)
		defer p.free()
		p.src = r
		if scope == ScopeText && !yield(p.header(&sum.Root)) {
			return
		}
		p.body(&sum.Root, scope, yield)
	}
}

// reading has what one walk needs, to be used again by the next.
type reading struct {
	src     io.ReaderAt
	section io.SectionReader
	decode  decodingReader
	base64  base64Decoder
	quoted  quotedDecoder
	guess   guessingReader
	convert convertingReader
	raw     []byte
	text    []byte
	memory  bytes.Reader
	parts   []*mail.Part // that a preview may be made of
	source  readErrors   // of the one at hand
	front   []byte       // the start of a text, for a preview
	own     extract      // words of its own
	others  extract      // and those it quotes
}

var readings = sync.Pool{New: func() any { return &reading{} }}

func (p *reading) free() {
	p.src = nil
	p.section, p.memory = io.SectionReader{}, bytes.Reader{}
	p.decode.r, p.guess.r, p.convert.r, p.source.r = nil, nil, nil, nil
	clear(p.parts)
	if cap(p.raw) <= keepText && cap(p.text) <= keepText {
		readings.Put(p)
	}
}

// body walks the passages of a part below its header; false ends the walk.
func (p *reading) body(part *mail.Part, scope Scope, yield func(Passage) bool) bool {
	switch {
	case part.Message != nil:
		root := &part.Message.Root
		return (root.Header == root.Body || yield(p.header(root))) && p.body(root, scope, yield)
	case part.Parts != nil:
		for i := range part.Parts {
			inner := &part.Parts[i]
			if scope == ScopeText && inner.Header < inner.Body && !yield(p.header(inner)) {
				return false
			}
			if !p.body(inner, scope, yield) {
				return false
			}
		}
		return true
	}
	return !is(part.Type, "text") && !is(part.Type, "message") || yield(p.leaf(part))
}

func (p *reading) leaf(part *mail.Part) Passage {
	p.section = *io.NewSectionReader(p.src, part.Body, part.Size())
	charset, _ := Param(part.Params, "charset")
	e := charsetOf(charset)
	octets := p.decoded(part.Encoding)
	if e != nil {
		p.convert.reset(octets, e)
		return Passage{part, &p.convert}
	}
	p.guess.reset(octets)
	return Passage{part, &p.guess}
}

// decoded is Decoded without allocations.
func (p *reading) decoded(encoding string) io.Reader {
	switch {
	case is(encoding, "base64"):
		p.base64 = base64Decoder{}
		p.decode.reset(&p.section, &p.base64)
	case is(encoding, "quoted-printable"):
		p.quoted.held = p.quoted.held[:0]
		p.decode.reset(&p.section, &p.quoted)
	default:
		return &p.section
	}
	return &p.decode
}

// header is a passage of the lines of a part's header: unfolded, decoded, each
// ending in LF.
func (p *reading) header(part *mail.Part) Passage {
	block, err := p.block(p.src, part.Header, min(max(0, part.Body-part.Header), MaxHeaderText))
	if err != nil {
		return Passage{part, failed{err}}
	}
	p.text = p.text[:0]
	for at, end := 0, 0; at < len(block); at = end {
		end = fieldEnd(block, at)
		p.text = append(appendDecoded(p.text, bytes.TrimRight(block[at:end], "\r\n")), '\n')
	}
	p.memory.Reset(p.text)
	return Passage{part, &p.memory}
}

// appendDecoded is DecodeHeader that makes no string of a field that is only
// folded.
func appendDecoded(dst, line []byte) []byte {
	start := len(dst)
	for i := range len(line) {
		switch c := line[i]; {
		case c >= utf8.RuneSelf || c == '=' && i+1 < len(line) && line[i+1] == '?':
			return append(dst[:start], DecodeHeader(string(line))...)
		case c == '\n' || c == '\r' && i+1 < len(line) && line[i+1] == '\n':
		case c == '\r':
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// block reads size octets of r, all of them, into memory that is used again.
func (p *reading) block(r io.ReaderAt, at, size int64) ([]byte, error) {
	if int64(cap(p.raw)) < size {
		p.raw = make([]byte, size)
	}
	n, err := r.ReadAt(p.raw[:size], at)
	switch {
	case int64(n) == size:
		return p.raw[:n], nil
	case err == nil || errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	}
	return nil, err
}

// failed reads as the error that kept a passage from being read.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }
