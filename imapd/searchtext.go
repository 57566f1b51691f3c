package imapd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"letterlock/internal/mime"
)

// maxField is how much of one header field is searched, in octets.
const maxField = 64 << 10

// fold is the form in which texts are compared: without case (RFC 9051
// §6.4.4).
func fold(s string) string { return strings.ToLower(s) }

// needle is a text that is sought, folded, and whether it was found in the
// message being looked through.
type needle struct {
	want  []byte
	found bool
}

// needles are looked for together, in one pass over a message.
type needles []*needle

// fieldNeedle is sought in the header fields of one name.
type fieldNeedle struct {
	needle
	name string
}

// maxNeedles is how many texts one search looks for.
const maxNeedles = 256

var errNeedles = no("LIMIT", "A search can look for up to 256 texts at once")

// needle is the one of in for a text, made where it is new.
func (q *searching) needle(in *needles, value string) (*needle, error) {
	want := fold(value)
	for _, n := range *in {
		if string(n.want) == want {
			return n, nil
		}
	}
	n := &needle{want: []byte(want)}
	*in = append(*in, n)
	return n, q.notTooMany()
}

func (q *searching) field(name, value string) (*needle, error) {
	n := &fieldNeedle{needle{want: []byte(fold(value))}, name}
	q.fields = append(q.fields, n)
	return &n.needle, q.notTooMany()
}

func (q *searching) notTooMany() error {
	if len(q.fields)+len(q.body)+len(q.anywhere) > maxNeedles {
		return errNeedles
	}
	return nil
}

// forget begins another message. The empty text is in each (RFC 9051 §6.4.4).
func (q *searching) forget() {
	for _, f := range q.fields {
		f.found = false
	}
	for _, ns := range []needles{q.body, q.anywhere} {
		for _, n := range ns {
			n.found = len(n.want) == 0
		}
	}
}

// lookThroughHeader looks for what is sought in single fields.
func (q *searching) lookThroughHeader(c *candidate) error {
	if len(q.fields) == 0 {
		return nil
	}
	root := &c.summary.Root
	stored := &sourceErrors{r: io.NewSectionReader(c.octets, root.Header, root.Body-root.Header)}
	lines := lineReaders.Get().(*bufio.Reader)
	defer lineReaders.Put(lines)
	lines.Reset(stored)
	anyField(lines, q.inField)
	return stored.err
}

// inField looks for what is sought in fields of that name, and says whether
// nothing is sought any more.
func (q *searching) inField(name, value string) (done bool) {
	text, done := "", true
	for _, f := range q.fields {
		if !f.found && strings.EqualFold(f.name, name) {
			if text == "" {
				text = fold(mime.DecodeHeader(value))
			}
			f.found = strings.Contains(text, string(f.want))
		}
		done = done && f.found
	}
	return done
}

// lookThroughText looks for what BODY and TEXT seek, until the search knows
// enough.
func (q *searching) lookThroughText(c *candidate) error {
	if err := q.lookThrough(c, q.body, mime.ScopeBody); err != nil {
		return err
	}
	return q.lookThrough(c, q.anywhere, mime.ScopeText)
}

func (q *searching) lookThrough(c *candidate, sought needles, scope mime.Scope) error {
	if sought.open() == 0 || q.test(c) != unknown {
		return nil
	}
	for passage := range mime.Passages(c.summary, c.octets, scope) {
		before := sought.open()
		if err := sought.look(passage); err != nil {
			return fmt.Errorf("read message: %w", err)
		}
		if now := sought.open(); now == 0 || now < before && q.test(c) != unknown {
			return nil
		}
	}
	return nil
}

// open is how many are not found yet.
func (ns needles) open() (n int) {
	for _, one := range ns {
		if !one.found {
			n++
		}
	}
	return n
}

// sourceErrors tells the store's errors from the end.
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

// look looks for those that were not found yet in a stream of text, in bounded
// memory.
func (ns needles) look(r io.Reader) error {
	longest := 0
	for _, n := range ns {
		longest = max(longest, len(n.want))
	}
	memory := searchBuffers.Get().(*searchBuffer)
	defer searchBuffers.Put(memory)
	chunk := memory.chunk[:]
	seen := memory.seen[:0] // the end of what came, folded: a match may start there
	defer func() { memory.seen = seen }()
	raw := 0 // octets of an unfinished character at the front of chunk
	for {
		n, err := r.Read(chunk[raw:])
		n += raw
		whole := n
		if err == nil {
			whole = wholeRunes(chunk[:n])
		}
		old := len(seen)
		seen = appendFolded(seen, chunk[:whole])
		if ns.mark(seen, old) == 0 || err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if keep := longest - 1; len(seen) > keep {
			seen = append(seen[:0], seen[len(seen)-keep:]...)
		}
		raw = copy(chunk, chunk[whole:n])
	}
}

// mark marks what is in text, of which the first old octets were searched
// before, and says how many are still open.
func (ns needles) mark(text []byte, old int) (open int) {
	for _, n := range ns {
		if n.found {
			continue
		}
		if n.found = bytes.Contains(text[max(0, old-len(n.want)+1):], n.want); !n.found {
			open++
		}
	}
	return open
}

// searchBuffer is what looking through one text takes.
type searchBuffer struct {
	chunk [32 << 10]byte
	seen  []byte
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

var lineReaders = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// anyField asks is of the fields of a header, unfolded, until one is it.
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
