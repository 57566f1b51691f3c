package sieve

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
)

// bodyExt is RFC 5173.
var bodyExt = Extension{
	Name: "body",
	Tests: []Spec{{
		Name: "body", Groups: MatchTags, Args: []Param{{Name: "keys", Kind: StringList}}, Test: compileBody,
		Tags: []Tag{
			{Name: "raw", Class: "transform"},
			{Name: "content", Class: "transform", Arg: StringList},
			{Name: "text", Class: "transform"},
		},
	}},
}

func compileBody(c *Call) (Predicate, error) {
	m, err := c.Matcher(c.Strings(0))
	if err != nil {
		return nil, err
	}
	m.quiet = true // RFC 5173 §6: no match variables
	var types []String
	if t := c.Tag("content"); t != nil {
		types = t.Strings
	}
	raw := c.Has("raw")
	return func(rt *Runtime) (bool, error) {
		patterns, err := m.patterns(rt)
		if err != nil {
			return false, err
		}
		b := bodyMatch{rt: rt, m: m, patterns: patterns}
		var found bool
		switch {
		case raw:
			found, err = b.raw()
		case types != nil:
			found, err = b.content(types)
		default:
			found, err = b.text()
		}
		if m.typ.Count && err == nil {
			return m.Number(rt, b.items)
		}
		return found, err
	}, nil
}

// bodyMatch is one body test at work: one item after the other is matched until
// one does.
type bodyMatch struct {
	rt       *Runtime
	m        *Matcher
	patterns []pattern
	items    int
}

// has says whether the message has a body at all: an empty line behind the
// header (RFC 5173 §4).
func (b *bodyMatch) has() (from int64, ok bool, err error) {
	h, err := b.rt.header()
	if err != nil || !h.blank {
		return 0, false, err
	}
	if p := b.rt.frame.root; p != nil {
		return p.body, true, nil
	}
	return h.end, true, nil
}

func (b *bodyMatch) raw() (bool, error) {
	from, ok, err := b.has()
	if !ok || err != nil {
		return false, err
	}
	to := b.rt.msg.Size()
	if p := b.rt.frame.root; p != nil {
		to = p.end
	}
	return b.stretch(from, to)
}

// stretch matches octets of the message as they stand.
func (b *bodyMatch) stretch(from, to int64) (bool, error) {
	return b.item(io.NewSectionReader(b.rt.msg, from, max(to-from, 0)))
}

// content matches the parts whose type is among types (RFC 5173 §5.2).
func (b *bodyMatch) content(types []String) (bool, error) {
	wanted, err := evalAll(b.rt, types)
	if err != nil {
		return false, err
	}
	for i := range wanted {
		wanted[i] = foldASCII(wanted[i])
	}
	return b.walk(func(p *part) (bool, error) {
		if !slices.ContainsFunc(wanted, p.is) {
			return false, nil
		}
		return b.part(p)
	})
}

// is says whether a part has a content type as :content names it.
func (p *part) is(name string) bool {
	typ, sub, full := strings.Cut(name, "/")
	switch {
	case name == "":
		return true
	case !full:
		return p.typ == typ
	}
	return typ != "" && sub != "" && p.typ == typ && p.sub == sub
}

// text matches what people read: the text parts, without the tags of HTML.
func (b *bodyMatch) text() (bool, error) {
	return b.walk(func(p *part) (bool, error) {
		switch {
		case p.typ != "text":
			return false, nil
		case p.sub != "html":
			return b.part(p)
		}
		v, err := b.rt.plain(p)
		if err != nil {
			return false, err
		}
		return b.value(v)
	})
}

func (b *bodyMatch) walk(visit func(*part) (bool, error)) (found bool, err error) {
	if _, ok, err := b.has(); !ok || err != nil {
		return false, err
	}
	top, err := b.rt.top()
	if err != nil {
		return false, err
	}
	_, err = top.walk(func(p *part) (bool, error) {
		if err := b.rt.Spend(1); err != nil {
			return false, err
		}
		found, err = visit(p)
		return !found && err == nil, err
	})
	return found, err
}

// part matches one part: of a multipart what stands around its parts, of a
// message its header, of all others the decoded content.
func (b *bodyMatch) part(p *part) (bool, error) {
	switch {
	case p.multipart() && p.container():
		return b.around(p)
	case p.container():
		inner := p.children[0]
		return b.stretch(inner.start, inner.body)
	}
	if v, err := b.rt.small(p); v != nil || err != nil {
		if err != nil {
			return false, err
		}
		return b.value(v)
	}
	r, err := b.rt.open(p)
	if err != nil {
		return false, nil // an encoding nobody knows: there is nothing to read
	}
	return b.item(r)
}

// around matches prologue and epilogue, each as a string of its own.
func (b *bodyMatch) around(p *part) (bool, error) {
	first, last := p.children[0], p.children[len(p.children)-1]
	_, prologue, err := b.rt.lineBefore(p.body, first.start)
	if err != nil {
		return false, err
	}
	if found, err := b.stretch(p.body, prologue); found || err != nil {
		return found, err
	}
	epilogue, err := b.rt.lineAfter(last.end, p.end)
	if err != nil || epilogue >= p.end {
		return false, err
	}
	return b.stretch(epilogue, p.end)
}

// lineBefore finds the line that ends at to, not before from: the delimiter of
// the first part. text is where what stands before it ends.
func (rt *Runtime) lineBefore(from, to int64) (line, text int64, err error) {
	buf := make([]byte, min(to-from, 1024))
	if _, err := rt.msg.ReadAt(buf, to-int64(len(buf))); err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, err
	}
	body := bytes.TrimSuffix(bytes.TrimSuffix(buf, []byte("\n")), []byte("\r"))
	i := bytes.LastIndexByte(body, '\n')
	if i < 0 {
		return from, from, nil
	}
	return to - int64(len(buf)-i-1), to - int64(len(buf)-i-1), nil
}

// lineAfter finds the end of the delimiter behind the last part.
func (rt *Runtime) lineAfter(from, to int64) (int64, error) {
	buf := make([]byte, max(0, min(to-from, 1024)))
	if _, err := rt.msg.ReadAt(buf, from); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	start := bytes.Index(buf, []byte("--"))
	if start < 0 {
		return to, nil
	}
	end := bytes.IndexByte(buf[start:], '\n')
	if end < 0 {
		return to, nil
	}
	return from + int64(start+end+1), nil
}

// value matches text that lies in memory.
func (b *bodyMatch) value(v *Value) (bool, error) {
	b.items++
	if b.m.typ.Count {
		return false, nil
	}
	return b.m.any(b.rt, b.patterns, v)
}

// item matches what r reads: as a stream where that can be done, else as much
// of it as is looked at.
func (b *bodyMatch) item(r io.Reader) (bool, error) {
	b.items++
	if b.m.typ.Count {
		return false, nil
	}
	if needles := b.needles(); needles != nil {
		return b.rt.stream(r, needles, b.m.cmp == &asciiCasemap)
	}
	text, err := b.rt.readAll(r, maxText)
	if err != nil {
		return false, err
	}
	return b.m.any(b.rt, b.patterns, &Value{Text: text})
}

// needles are the strings to look for in a stream; nil where it takes more.
func (b *bodyMatch) needles() [][]byte {
	if b.m.cmp != &asciiCasemap && b.m.cmp != &octet {
		return nil
	}
	needles := make([][]byte, 0, len(b.patterns))
	for i := range b.patterns {
		p := &b.patterns[i]
		switch {
		case b.m.typ.kind == matchContains:
			needles = append(needles, []byte(p.text))
		case b.m.typ.kind == matchMatches && p.glob.contains():
			needles = append(needles, []byte(p.glob.segments[1].first))
		default:
			return nil
		}
	}
	return needles
}

// contains says whether the glob is *text*, which :contains would do as well.
func (g *glob) contains() bool {
	s := g.segments
	return len(s) == 3 && len(s[0].items) == 0 && len(s[2].items) == 0 && len(s[1].items) == 1 && s[1].first != ""
}

const window = 64 << 10

// stream looks for any of the needles, however long the input, in memory of a
// window.
func (rt *Runtime) stream(r io.Reader, needles [][]byte, fold bool) (bool, error) {
	overlap := 0
	for _, n := range needles {
		if len(n) == 0 {
			return true, nil
		}
		overlap = max(overlap, len(n)-1)
	}
	if err := rt.Take(overlap); err != nil {
		return false, err
	}
	buf := make([]byte, overlap+window)
	have := 0
	for {
		n, err := io.ReadFull(r, buf[have:])
		if fold {
			lowerASCII(buf[have : have+n])
		}
		have += n
		if err := rt.Spend(1 + (2+len(needles))*n/(3*octetsAStep)); err != nil {
			return false, err
		}
		for _, needle := range needles {
			if bytes.Contains(buf[:have], needle) {
				return true, nil
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		copy(buf, buf[have-overlap:have])
		have = overlap
	}
}

// small is a part's text where it is small enough to be kept, nil elsewhere.
func (rt *Runtime) small(p *part) (*Value, error) {
	if p.value == nil && p.end-p.body <= keepText {
		text, err := rt.content(p, maxText)
		if err != nil {
			return nil, err
		}
		p.value = &Value{Text: text}
	}
	return p.value, nil
}

// plain is the text of an HTML part without its tags.
func (rt *Runtime) plain(p *part) (*Value, error) {
	if p.plain == nil {
		text, err := rt.content(p, maxText)
		if err == nil {
			err = errors.Join(rt.Scan(4*len(text)), rt.Take(2*len(text)))
		}
		if err != nil {
			return nil, err
		}
		p.plain = &Value{Text: stripTags(text)}
	}
	return p.plain, nil
}
