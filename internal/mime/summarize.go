package mime

import (
	"strings"
	"sync"

	"letterlock/internal/mail"
)

// What a stranger's message can make us keep. Beyond a bound the scan goes on
// but the summary says less: a composite part becomes a leaf of the type
// application/octet-stream, the last part reaches to the end, lists are cut.
const (
	maxDepth    = 32      // multiparts and messages inside each other
	maxSummary  = 1 << 20 // octets of memory, roughly
	maxBoundary = 256     // octets; RFC 2046 §5.1.1 allows 70

	costPart    = 320 // octets of a mail.Part with its share of the slice
	costSummary = 640
)

// Summarize scans a message once, in bounded memory, and never fails on bad
// input: only the reader's own errors come back.
//
// In what it makes, a part of type multipart always has Parts, one of type
// message/rfc822 or message/global always has a Message, and nothing else has.
// An Addr that is no group's end always has a Host: what is missing is named
// MISSING_MAILBOX or MISSING_DOMAIN. Offsets obey Header <= Body <= End, and
// children lie inside their parents.
func Summarize(b mail.Body) (*mail.Summary, error) {
	s := scanners.Get().(*scanner)
	defer s.free()
	s.reset(b, b.Size())
	s.room, s.found = maxSummary, noDelimiter
	sum := &mail.Summary{}
	s.entity(&sum.Root, sum, textPlain)
	if s.err != nil {
		return nil, s.err
	}
	var err error
	if sum.Preview, err = Preview(sum, b); err != nil {
		return nil, err
	}
	sum.Has |= mail.HasPreview
	return sum, nil
}

// scanner walks a message entity by entity. It stands on a delimiter line as
// long as found names an open boundary.
type scanner struct {
	window
	text    headerText
	open    []string // boundaries of the multiparts around us, outermost first
	found   int      // index in open of the delimiter we stand on
	closing bool     // that delimiter is the last one
	depth   int
	room    int  // octets the summary may still grow by
	full    bool // no more parts: delimiters are not looked for
}

const noDelimiter = -1

var scanners = sync.Pool{New: func() any { return &scanner{window: window{buf: make([]byte, windowSize)}} }}

func (s *scanner) free() {
	s.src, s.err = nil, nil
	clear(s.open[:cap(s.open)])
	s.open, s.depth, s.full = s.open[:0], 0, false
	s.text.free()
	scanners.Put(s)
}

type media struct{ kind, sub string }

var (
	textPlain   = media{"text", "plain"}
	messageMail = media{"message", "rfc822"} // what a digest is made of (RFC 2046 §5.1.5)
	octetStream = media{"application", "octet-stream"}
)

// entity scans a header and the body that belongs to it: a whole message if of
// is given, else a body part. byDefault is its type if it states none.
func (s *scanner) entity(p *mail.Part, of *mail.Summary, byDefault media) {
	p.Header = s.offset()
	if of != nil {
		s.header(messageFields)
	} else {
		s.header(contentFields)
	}
	p.Body = s.offset()
	lines := s.lf
	s.describe(p, byDefault)
	if of != nil {
		s.envelope(of)
	}
	s.spend()
	s.body(p)
	s.finish(p, lines)
	if is(p.Type, "multipart") && len(p.Parts) == 0 {
		p.Parts = []mail.Part{leaf(p.End, p.End)}
	}
}

// body scans up to the delimiter line or the end where p ends.
func (s *scanner) body(p *mail.Part) {
	composite := is(p.Type, "multipart") || isMessage(p)
	if composite && (s.full || s.depth == maxDepth || s.room < costPart+costSummary) {
		p.Type, p.Subtype = octetStream.kind, octetStream.sub
		composite = false
	}
	if !composite {
		s.skipBody()
		return
	}
	s.depth++
	if isMessage(p) {
		s.message(p)
	} else {
		s.multipart(p)
	}
	s.depth--
}

// message scans the message inside p. One in base64, which RFC 2046 §5.2.1
// forbids and RFC 6532 §3.7 does not, cannot be looked into from outside: it
// reads as a message without a header whose text has that encoding.
func (s *scanner) message(p *mail.Part) {
	s.room -= costSummary
	p.Message = &mail.Summary{}
	if !is(p.Encoding, "base64") {
		s.entity(&p.Message.Root, p.Message, textPlain)
		return
	}
	lines := s.lf
	p.Message.Root = leaf(p.Body, p.Body)
	p.Message.Root.Encoding = p.Encoding
	s.skipBody()
	s.finish(&p.Message.Root, lines)
}

// multipart scans the parts of p (RFC 2046 §5.1). Without a boundary its whole
// body is taken for one text part, so that it can be read at all.
func (s *scanner) multipart(p *mail.Part) {
	s.room -= costPart
	boundary, _ := Param(p.Params, "boundary")
	boundary = strings.TrimRight(boundary, " \t")
	if boundary == "" || len(boundary) > maxBoundary {
		lines := s.lf
		p.Parts = []mail.Part{leaf(p.Body, p.Body)}
		s.skipBody()
		s.finish(&p.Parts[0], lines)
		return
	}
	level := len(s.open)
	s.open = append(s.open, boundary)
	s.skipBody() // the preamble
	byDefault := textPlain
	if is(p.Subtype, "digest") {
		byDefault = messageMail
	}
	for s.found == level && !s.closing {
		s.nextPart(p, byDefault)
	}
	s.open = s.open[:level]
	if s.found == level {
		s.leaveDelimiter()
		s.skipBody() // the epilogue
	}
}

func (s *scanner) nextPart(p *mail.Part, byDefault media) {
	s.leaveDelimiter()
	s.room -= costPart
	s.full = s.full || s.room < 2*costPart
	p.Parts = append(p.Parts, mail.Part{})
	s.entity(&p.Parts[len(p.Parts)-1], nil, byDefault)
}

func (s *scanner) leaveDelimiter() {
	s.found = noDelimiter
	s.skipLine()
}

// finish ends p where we stand: at the end of the message, or at a delimiter
// line, to which the line break before it belongs (RFC 2046 §5.1.1) unless
// that one already ended p's header.
func (s *scanner) finish(p *mail.Part, linesBefore int64) {
	p.End, p.Lines = s.offset(), s.lf-linesBefore
	if s.found == noDelimiter {
		return
	}
	inner := p.Body
	if n := len(p.Parts); n > 0 {
		inner = p.Parts[n-1].End
	}
	if p.Message != nil {
		inner = p.Message.Root.End
	}
	if end := p.End - s.eol(); end >= inner && end < p.End {
		p.End = end
		p.Lines--
	}
}

// skipBody goes to the next delimiter of any open multipart, or to the end.
func (s *scanner) skipBody() {
	if s.found != noDelimiter {
		return
	}
	if len(s.open) == 0 || s.full {
		s.skipAll()
		return
	}
	for !s.atDelimiter() && s.skipToDashes() {
	}
}

// atDelimiter looks whether the line at hand is a delimiter line of any open
// multipart. The longest boundary wins, then the innermost multipart: an inner
// boundary may start with an outer one, against RFC 2046 §5.1.
func (s *scanner) atDelimiter() bool {
	if len(s.open) == 0 || s.full {
		return false
	}
	if start := s.ahead(2); len(start) < 2 || start[0] != '-' || start[1] != '-' {
		return false
	}
	line := s.ahead(2 + maxBoundary + 4)[2:]
	length := -1
	for i, boundary := range s.open {
		if len(boundary) < length {
			continue
		}
		if ok, closing := delimits(line, boundary); ok {
			s.found, s.closing, length = i, closing, len(boundary)
		}
	}
	return length >= 0
}

// delimits looks for boundary at the start of what follows "--". After it may
// stand "--", then nothing or white space and anything. RFC 2046 §5.1.1 would
// let it be followed by anything at once; but then a part with the boundary
// "ab" would end wherever one inside it says "abc".
func delimits(line []byte, boundary string) (ok, closing bool) {
	if len(line) < len(boundary) || string(line[:len(boundary)]) != boundary {
		return false, false
	}
	rest := line[len(boundary):]
	if ends(rest) {
		return true, false
	}
	closing = len(rest) >= 2 && rest[0] == '-' && rest[1] == '-' && ends(rest[2:])
	return closing, closing
}

func ends(rest []byte) bool {
	return len(rest) == 0 || rest[0] == '\n' || rest[0] == '\r' || rest[0] == ' ' || rest[0] == '\t'
}

func leaf(body, end int64) mail.Part {
	return mail.Part{Type: textPlain.kind, Subtype: textPlain.sub, Encoding: "7bit", Header: body, Body: body, End: end}
}

func isMessage(p *mail.Part) bool {
	return is(p.Type, "message") && (is(p.Subtype, "rfc822") || is(p.Subtype, "global"))
}

// is compares without regard to case.
func is(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }
