package imapd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

// maxField is how much of one header field is searched, in octets.
const maxField = 64 << 10

// fold is the form in which texts are compared: without case (RFC 9051
// §6.4.4).
func fold(s string) string { return strings.ToLower(s) }

// messageText is a message as its reader sees it: headers decoded, text parts
// decoded and in UTF-8. An error of the store goes to the candidate; what a
// sender wrote wrongly is no error.
type messageText struct {
	octets io.ReaderAt
	root   *mail.Part
	err    *error
}

func (c *candidate) text() messageText {
	return messageText{c.octets, &c.summary.Root, &c.err}
}

// inField says whether a field of the message's header has the needle in it;
// an empty needle asks for the field alone.
func (t messageText) inField(name, needle string) bool {
	return t.anyField(t.root, func(field, value string) bool {
		return strings.EqualFold(field, name) && strings.Contains(fold(mime.DecodeHeader(value)), needle)
	})
}

// anywhere is TEXT: header, body, and the headers of the parts.
func (t messageText) anywhere(needle string) bool {
	return t.inHeader(t.root, needle) || t.inPart(t.root, needle, mimeHeadersToo)
}

// inBody is BODY: the text parts, and messages inside with their headers.
func (t messageText) inBody(needle string) bool {
	return t.inPart(t.root, needle, contentAlone)
}

// reach says whether the headers of body parts are searched.
type reach uint8

const (
	contentAlone reach = iota
	mimeHeadersToo
)

func (t messageText) inHeader(p *mail.Part, needle string) bool {
	return t.anyField(p, func(field, value string) bool {
		return strings.Contains(fold(field+": "+mime.DecodeHeader(value)), needle)
	})
}

func (t messageText) inPart(p *mail.Part, needle string, far reach) bool {
	if *t.err != nil {
		return false
	}
	if p.Message != nil {
		inner := &p.Message.Root
		return t.inHeader(inner, needle) || t.inPart(inner, needle, far)
	}
	for i := range p.Parts {
		child := &p.Parts[i]
		if far == mimeHeadersToo && t.inHeader(child, needle) || t.inPart(child, needle, far) {
			return true
		}
	}
	return p.Parts == nil && strings.EqualFold(p.Type, "text") && t.inText(p, needle)
}

// inText looks through one text part.
func (t messageText) inText(p *mail.Part, needle string) bool {
	charset, _ := mime.Param(p.Params, "charset")
	stored := &sourceErrors{r: io.NewSectionReader(t.octets, p.Body, p.Size())}
	r, err := mime.Text(stored, p.Encoding, charset)
	if err != nil { // an encoding or charset nobody knows: as it stands
		r = stored
	}
	found := contains(r, needle)
	if stored.err != nil && *t.err == nil {
		*t.err = stored.err
	}
	return found
}

// sourceErrors tells the store's errors from those of a decoder.
type sourceErrors struct {
	r   io.Reader
	err error
}

func (s *sourceErrors) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// contains looks for the folded needle in the stream, in bounded memory.
func contains(r io.Reader, needle string) bool {
	if needle == "" {
		return true
	}
	want := []byte(needle)
	memory := searchBuffers.Get().(*searchBuffer)
	defer searchBuffers.Put(memory)
	chunk := memory.chunk[:]
	tail := memory.tail[:0] // the end of what was seen, folded: a match may start there
	defer func() { memory.tail = tail }()
	raw := 0 // octets of an unfinished character at the front of chunk
	for {
		n, err := r.Read(chunk[raw:])
		n += raw
		whole := n
		if err == nil {
			whole = wholeRunes(chunk[:n])
		}
		tail = appendFolded(tail, chunk[:whole])
		if bytes.Contains(tail, want) {
			return true
		}
		if keep := len(want) - 1; len(tail) > keep {
			tail = append(tail[:0], tail[len(tail)-keep:]...)
		}
		raw = copy(chunk, chunk[whole:n])
		if err != nil {
			return false
		}
	}
}

// searchBuffer is what looking through one text takes.
type searchBuffer struct {
	chunk [16 << 10]byte
	tail  []byte
}

var searchBuffers = sync.Pool{New: func() any { return new(searchBuffer) }}

// appendFolded appends the folded form of b.
func appendFolded(dst, b []byte) []byte {
	start := len(dst)
	dst = append(dst, b...)
	for i, c := range dst[start:] {
		switch {
		case c >= utf8.RuneSelf:
			return append(dst[:start+i], bytes.ToLower(b[i:])...)
		case 'A' <= c && c <= 'Z':
			dst[start+i] = c + 'a' - 'A'
		}
	}
	return dst
}

// wholeRunes is how much of b ends with a whole character.
func wholeRunes(b []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		if c := b[len(b)-back]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-back:]) {
				return len(b) - back
			}
			break
		}
	}
	return len(b)
}

// anyField asks is of the fields of a part's header, unfolded, until one is it.
func (t messageText) anyField(p *mail.Part, is func(name, value string) bool) bool {
	if *t.err != nil {
		return false
	}
	stored := &sourceErrors{r: io.NewSectionReader(t.octets, p.Header, p.Body-p.Header)}
	lines := lineReaders.Get().(*bufio.Reader)
	defer lineReaders.Put(lines)
	lines.Reset(stored)
	found := anyField(lines, is)
	if stored.err != nil {
		*t.err = stored.err
	}
	return found
}

var lineReaders = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

func anyField(br *bufio.Reader, is func(name, value string) bool) bool {
	var field []byte
	ask := func() bool {
		name, value, ok := strings.Cut(string(field), ":")
		field = field[:0]
		return ok && is(strings.TrimRight(name, " \t"), strings.TrimLeft(value, " \t"))
	}
	for lineStart := true; ; {
		piece, err := br.ReadSlice('\n')
		if lineStart && len(piece) > 0 && piece[0] != ' ' && piece[0] != '\t' && len(field) > 0 && ask() {
			return true
		}
		lineStart = len(piece) > 0 && piece[len(piece)-1] == '\n'
		text := bytes.TrimRight(piece, "\r\n")
		field = append(field, text[:min(len(text), maxField-len(field))]...)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return len(field) > 0 && ask()
		}
	}
}
