package mime

import (
	"bytes"
	"errors"
	"io"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"letterlock/internal/mail"
)

// How much is looked at for a preview, and how long it gets.
const (
	maxPreview     = 200      // characters (RFC 8970 §3.3)
	previewText    = 1 << 10  // octets of plain text that are nearly always enough
	maxPreviewText = 8 << 10  // octets of plain text read for one, at most
	maxPreviewHTML = 64 << 10 // octets of HTML: style sheets stand in front
	maxPreviewTry  = 4        // parts looked into, where those before it have no words
)

// Preview is the start of what the message in r, whose summary is sum, says to
// people: of its first text part that says anything, plain text before HTML,
// attachments left out (RFC 8970 §3.3). White space is one space each, quoted
// lines count only where there is nothing else. It is UTF-8, at most 200
// characters; empty where there is no text, or only encrypted text. The error
// is r's.
func Preview(sum *mail.Summary, r io.ReaderAt) (string, error) {
	p := readings.Get().(*reading)
	defer p.free()
	p.src = r
	p.parts = previewParts(p.parts[:0], &sum.Root)
	for i, part := range p.parts {
		if i == maxPreviewTry {
			break
		}
		text, err := p.preview(part)
		if text != "" || err != nil {
			return text, err
		}
	}
	return "", nil
}

// previewParts appends the text parts a preview can be made of, the best first.
func previewParts(found []*mail.Part, p *mail.Part) []*mail.Part {
	switch {
	case len(found) >= 2*maxPreviewTry, is(p.Disposition, "attachment"):
	case p.Message != nil:
		return previewParts(found, &p.Message.Root)
	case p.Parts != nil:
		first := len(found)
		for i := range p.Parts {
			found = previewParts(found, &p.Parts[i])
		}
		if is(p.Subtype, "alternative") {
			plainFirst(found[first:])
		}
	case is(p.Type, "text") && (is(p.Subtype, "plain") || is(p.Subtype, "html")):
		return append(found, p)
	}
	return found
}

// plainFirst puts plain text, which needs no guessing, in front.
func plainFirst(parts []*mail.Part) {
	for i, p := range parts {
		if is(p.Subtype, "plain") {
			copy(parts[1:i+1], parts[:i])
			parts[0] = p
			return
		}
	}
}

func (p *reading) preview(part *mail.Part) (string, error) {
	source := &p.source
	*source = readErrors{r: p.leaf(part).Reader}
	if is(part.Subtype, "html") {
		text := p.htmlPreview(io.LimitReader(source, maxPreviewHTML))
		return text, source.err
	}
	if p.front == nil {
		p.front = make([]byte, maxPreviewText)
	}
	n := readFront(source, p.front[:previewText])
	text := p.plainPreview(wholeRunes(p.front[:n]))
	if n == previewText && !p.own.full() {
		n += readFront(source, p.front[n:])
		text = p.plainPreview(wholeRunes(p.front[:n]))
	}
	if source.err != nil {
		return "", source.err
	}
	return string(text), nil
}

// wholeRunes leaves out what was read of a last character, where it is not whole.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && i > len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// readFront fills b as far as r goes.
func readFront(r io.Reader, b []byte) (n int) {
	for n < len(b) {
		more, err := r.Read(b[n:])
		if n += more; err != nil {
			break
		}
	}
	return n
}

// readErrors keeps a reader's error from those who take it for the end.
type readErrors struct {
	r   io.Reader
	err error
}

func (e *readErrors) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		e.err = err
	}
	return n, err
}

// plainPreview is the lines in front of the signature (RFC 3676 §4.3), those
// that quote left out as long as others stay. Where the lines that do not quote
// fill it, whatever follows text makes no difference.
func (p *reading) plainPreview(text []byte) []byte {
	if bytes.HasPrefix(bytes.TrimLeft(text, "\r\n \t"), []byte("-----BEGIN PGP MESSAGE-----")) {
		return nil
	}
	p.own.reset()
	p.others.reset()
	for line := range bytes.Lines(text) {
		if string(bytes.TrimRight(line, "\r\n")) == "-- " {
			break
		}
		to := &p.own
		if line[0] == '>' {
			to, line = &p.others, bytes.TrimLeft(line, "> ")
		}
		if to.add(line); p.own.full() {
			break
		}
	}
	if p.own.n > 0 {
		return p.own.b
	}
	return p.others.b
}

// htmlPreview is what is to be seen of HTML.
func (p *reading) htmlPreview(r io.Reader) string {
	out := &p.own
	out.reset()
	z := html.NewTokenizer(r)
	z.SetMaxBuf(maxPreviewHTML)
	hidden := atom.Atom(0) // the element whose text is not shown
	for !out.full() {
		switch z.Next() {
		case html.ErrorToken:
			return string(out.b)
		case html.TextToken:
			if hidden == 0 {
				out.add(z.Text())
			}
		case html.StartTagToken:
			if name := tagName(z); hidden == 0 && unseen[name] {
				hidden = name
			} else if !inline[name] {
				out.gap()
			}
		case html.EndTagToken:
			if name := tagName(z); name == hidden {
				hidden = 0
			} else if !inline[name] {
				out.gap()
			}
		case html.SelfClosingTagToken:
			out.gap()
		}
	}
	return string(out.b)
}

func tagName(z *html.Tokenizer) atom.Atom {
	name, _ := z.TagName()
	return atom.Lookup(name)
}

// unseen are elements whose text nobody sees, inline those that end no word.
var (
	unseen = map[atom.Atom]bool{atom.Style: true, atom.Script: true, atom.Title: true, atom.Textarea: true, atom.Select: true}
	inline = map[atom.Atom]bool{atom.A: true, atom.B: true, atom.I: true, atom.U: true, atom.Em: true, atom.Strong: true,
		atom.Span: true, atom.Font: true, atom.Small: true, atom.Big: true, atom.Sub: true, atom.Sup: true, atom.Code: true, atom.Wbr: true}
)

// extract gathers the characters of a preview.
type extract struct {
	b       []byte
	n       int  // characters so far
	between bool // white space came last
}

func (e *extract) reset() { e.b, e.n, e.between = e.b[:0], 0, false }

func (e *extract) full() bool { return e.n >= maxPreview }

// gap ends a word.
func (e *extract) gap() { e.between = true }

// add takes what can be seen of text.
func (e *extract) add(text []byte) {
	for len(text) > 0 && !e.full() {
		c, size := text[0], 1
		switch {
		case c <= ' ' || c == 0x7f:
			e.gap()
		case c < utf8.RuneSelf:
			e.character(text[:1])
			more := visible(text[1:], maxPreview-e.n)
			e.b = append(e.b, text[1:1+more]...)
			e.n, size = e.n+more, 1+more
		default:
			var r rune
			r, size = utf8.DecodeRune(text)
			e.rune(r)
		}
		text = text[size:]
	}
}

// visible is how many octets in front of text, at most most, are characters that
// are seen and need no looking up.
func visible(text []byte, most int) int {
	text = text[:min(len(text), most)]
	for i, c := range text {
		if c <= ' ' || c >= 0x7f {
			return i
		}
	}
	return len(text)
}

// rune takes one that is no ASCII. Characters that steer or fill, as newsletters
// put them in front to keep a preview empty, are no text.
func (e *extract) rune(r rune) {
	switch {
	case unicode.IsSpace(r) || unicode.IsControl(r):
		e.gap()
	case r == '\u034f' || r == '\u200d' && e.between || r != '\u200d' && unicode.Is(unicode.Cf, r):
	default:
		var b [utf8.UTFMax]byte
		e.character(b[:utf8.EncodeRune(b[:], r)])
	}
}

func (e *extract) character(c []byte) {
	if e.between && e.n > 0 {
		if e.n+2 > maxPreview { // no room for a space and a character
			e.n = maxPreview
			return
		}
		e.b = append(e.b, ' ')
		e.n++
	}
	e.between = false
	e.b = append(e.b, c...)
	e.n++
}
