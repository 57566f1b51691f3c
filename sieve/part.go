package sieve

import (
	"errors"
	"io"
	"strings"

	"letterlock/internal/mime"
)

// part is a node of the message's MIME structure.
type part struct {
	up       *part
	children []*part

	start, body, end int64 // octets of the message: header, body, behind it
	typ, sub         string
	disposition      string
	encoding         string
	nested           bool                                    // the message inside a message/rfc822
	param            func(field, name string) (string, bool) // of Content-Type or Content-Disposition

	head    entity
	text    string // decoded, once somebody asked and if it is small
	decoded bool
	value   *Value // text as a value, where it is small
	plain   *Value // of HTML, without its tags
}

func (p *part) multipart() bool { return p.typ == "multipart" }

// container says that the part has others inside instead of content.
func (p *part) container() bool { return len(p.children) > 0 }

// structure is the message's tree of parts.
func (rt *Runtime) structure() (*part, error) {
	if rt.parts != nil {
		return rt.parts, nil
	}
	if err := rt.Scan(int(min(rt.msg.Size(), 1<<40))); err != nil {
		return nil, err
	}
	sum, err := mime.Summarize(rt.msg)
	if err != nil {
		return nil, err
	}
	root := &part{}
	from, into := list(&sum.Root), list(root)
	for i := 0; i < len(from); i++ {
		f, p := from[i], into[i]
		p.start, p.body, p.end = f.Header, f.Body, f.End
		p.typ, p.sub = foldASCII(f.Type), foldASCII(f.Subtype)
		p.disposition, p.encoding = f.Disposition, f.Encoding
		p.param = func(field, name string) (string, bool) {
			if field == "content-type" {
				return mime.Param(f.Params, name)
			}
			return mime.Param(f.DispParams, name)
		}
		for j := range f.Parts {
			from, into = append(from, &f.Parts[j]), append(into, p.child())
		}
		if f.Message != nil {
			inner := p.child()
			inner.nested = true
			from, into = append(from, &f.Message.Root), append(into, inner)
		}
	}
	rt.parts = root
	return root, rt.Take(512 * len(from))
}

// list is a slice of what is known, of a type that need not be named.
func list[T any](items ...T) []T { return items }

func (p *part) child() *part {
	c := &part{up: p}
	p.children = append(p.children, c)
	return c
}

// walk visits p and everything below, depth first, until visit says no.
func (p *part) walk(visit func(*part) (bool, error)) (bool, error) {
	if more, err := visit(p); !more || err != nil {
		return more, err
	}
	for _, c := range p.children {
		if more, err := c.walk(visit); !more || err != nil {
			return more, err
		}
	}
	return true, nil
}

// here is what tests with :mime read: the part that foreverypart is at, or the
// top.
func (rt *Runtime) here() (*part, error) {
	switch f := rt.frame; {
	case f.part != nil:
		return f.part, nil
	case f.root != nil:
		return f.root, nil
	}
	return rt.structure()
}

// top is what the script takes for the whole message.
func (rt *Runtime) top() (*part, error) {
	if rt.frame.root != nil {
		return rt.frame.root, nil
	}
	return rt.structure()
}

// partHeader is the header of a part. The message's own is shared with all
// other tests, so that what editheader did is seen.
func (rt *Runtime) partHeader(p *part) (*entity, error) {
	if p.up == nil {
		if !rt.head.read {
			return &rt.head, rt.readHeader(&rt.head, 0, rt.msg.Size())
		}
		return &rt.head, nil
	}
	if !p.head.read {
		return &p.head, rt.readHeader(&p.head, p.start, p.body)
	}
	return &p.head, nil
}

// charset is that of a text part.
func (p *part) charset() string {
	name, _ := p.param("content-type", "charset")
	return name
}

// open reads the part's content, transfer encoding removed and text converted
// to UTF-8 (RFC 5173 §5.2).
func (rt *Runtime) open(p *part) (io.Reader, error) {
	r := encoded{rt, io.NewSectionReader(rt.msg, p.body, p.end-p.body)}
	if p.typ == "text" {
		return mime.Text(r, p.encoding, p.charset())
	}
	return mime.Decoded(r, p.encoding)
}

// encoded counts what is read to be decoded: much of it may come to nothing.
type encoded struct {
	rt *Runtime
	r  io.Reader
}

func (e encoded) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if spent := e.rt.Scan(2 * n); spent != nil {
		return n, spent
	}
	return n, err
}

const (
	keepText = 64 << 10 // octets of decoded text that are kept for the next test
	maxText  = 4 << 20  // octets of it that :matches, :regex and :value look at
)

// content is the decoded text, limit octets at most.
func (rt *Runtime) content(p *part, limit int) (string, error) {
	if p.decoded && (len(p.text) < keepText || len(p.text) >= limit) {
		return p.text[:min(len(p.text), limit)], nil
	}
	r, err := rt.open(p)
	if errors.Is(err, mime.ErrUnknownEncoding) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := rt.readAll(r, limit)
	if err == nil && len(text) <= keepText {
		p.text, p.decoded = text, true
	}
	return text, err
}

func (rt *Runtime) readAll(r io.Reader, limit int) (string, error) {
	var b strings.Builder
	buf := make([]byte, 8<<10)
	for b.Len() < limit {
		n, err := r.Read(buf[:min(len(buf), limit-b.Len())])
		b.Write(buf[:n])
		if err := errors.Join(rt.Scan(2*n), rt.Take(2*n)); err != nil {
			return "", err
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return b.String(), nil
}
