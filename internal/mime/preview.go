package mime

import (
	"errors"
	"io"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"letterlock/internal/mail"
)

// How much is looked at for a preview, and how long it gets.
const (
	maxPreview     = 200      // characters (RFC 8970 §3.3)
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
	for i, part := range previewParts(nil, &sum.Root) {
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
	passage := p.leaf(part)
	source := &readErrors{r: passage.Reader}
	if is(part.Subtype, "html") {
		text := htmlPreview(io.LimitReader(source, maxPreviewHTML))
		return text, source.err
	}
	text, err := io.ReadAll(io.LimitReader(source, maxPreviewText))
	if err != nil {
		return "", err
	}
	return plainPreview(string(text)), nil
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
// that quote left out as long as others stay.
func plainPreview(text string) string {
	if strings.HasPrefix(strings.TrimLeft(text, "\r\n \t"), "-----BEGIN PGP MESSAGE-----") {
		return ""
	}
	own, quoted := extract{}, extract{}
	for line := range strings.Lines(text) {
		if strings.TrimRight(line, "\r\n") == "-- " {
			break
		}
		to := &own
		if strings.HasPrefix(line, ">") {
			to, line = &quoted, strings.TrimLeft(line, "> ")
		}
		if to.add(line); own.full() {
			break
		}
	}
	if own.n > 0 {
		return own.b.String()
	}
	return quoted.b.String()
}

// htmlPreview is what is to be seen of HTML.
func htmlPreview(r io.Reader) string {
	out := extract{}
	z := html.NewTokenizer(r)
	z.SetMaxBuf(maxPreviewHTML)
	hidden := atom.Atom(0) // the element whose text is not shown
	for !out.full() {
		switch z.Next() {
		case html.ErrorToken:
			return out.b.String()
		case html.TextToken:
			if hidden == 0 {
				out.add(string(z.Text()))
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
	return out.b.String()
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
	b       strings.Builder
	n       int  // characters so far
	between bool // white space came last
}

func (e *extract) full() bool { return e.n >= maxPreview }

// gap ends a word.
func (e *extract) gap() { e.between = true }

// add takes what can be seen of text. Characters that steer or fill, as
// newsletters put them in front to keep a preview empty, are no text.
func (e *extract) add(text string) {
	for _, r := range text {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			e.gap()
		case r == '\u034f' || r == '\u200d' && e.between || r != '\u200d' && unicode.Is(unicode.Cf, r):
		case e.between && e.n > 0 && e.n+2 > maxPreview:
			e.n = maxPreview // no room for a space and a character
			return
		case e.full():
			return
		default:
			if e.between && e.n > 0 {
				e.b.WriteByte(' ')
				e.n++
			}
			e.between = false
			e.b.WriteRune(r)
			e.n++
		}
	}
}
