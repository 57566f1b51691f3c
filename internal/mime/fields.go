package mime

import (
	"bytes"

	"letterlock/internal/mail"
)

// field is a header field that a summary is made of.
type field uint8

const (
	noField field = iota
	contentType
	contentID
	contentDescription
	contentEncoding
	contentMD5
	contentDisposition
	contentLanguage
	contentLocation
	date
	subject
	from
	sender
	replyTo
	to
	cc
	bcc
	inReplyTo
	messageID
	references
)

// A body part has its own fields alone (RFC 2046 §5.1), a message has them all:
// wanted is the last field that is looked for.
const (
	contentFields = contentLocation
	messageFields = references
)

// fieldNamed is the field of a name in lower case.
func fieldNamed(lower string) field {
	switch lower {
	case "content-type":
		return contentType
	case "content-id":
		return contentID
	case "content-description":
		return contentDescription
	case "content-transfer-encoding":
		return contentEncoding
	case "content-md5":
		return contentMD5
	case "content-disposition":
		return contentDisposition
	case "content-language":
		return contentLanguage
	case "content-location":
		return contentLocation
	case "date":
		return date
	case "subject":
		return subject
	case "from":
		return from
	case "sender":
		return sender
	case "reply-to":
		return replyTo
	case "to":
		return to
	case "cc":
		return cc
	case "bcc":
		return bcc
	case "in-reply-to":
		return inReplyTo
	case "message-id":
		return messageID
	case "references":
		return references
	}
	return noField
}

const longestName = len("content-transfer-encoding")

// lookUp reads the name of the field that starts at line.
func lookUp(line []byte, wanted field) (f field, value int) {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return noField, 0
	}
	name := trimEnd(line[:colon]) // RFC 5322 §4.5 lets white space stand before the colon
	if len(name) > longestName {
		return noField, 0
	}
	var lower [longestName]byte
	for i, c := range name {
		lower[i] = lowerByte(c)
	}
	f = fieldNamed(string(lower[:len(name)]))
	if f > wanted {
		f = noField
	}
	return f, colon + 1
}

// headerText holds the values of one header's interesting fields, unfolded.
type headerText struct {
	raw   []byte
	text  string // raw, once the header has been read
	got   []value
	limit int  // octets of raw
	items int  // octets that lists made of them may still take; negative: something had no room
	cut   bool // values are missing, or not whole
}

type value struct {
	field    field
	from, to int // in raw
}

// keepText is the largest buffer that outlives a scan.
const keepText = 64 << 10

func (h *headerText) free() {
	if cap(h.raw) > keepText {
		h.raw = nil
	}
	h.reset()
}

func (h *headerText) reset() { h.raw, h.got, h.text, h.cut = h.raw[:0], h.got[:0], "", false }

// of is the text of one value.
func (h *headerText) of(v value) string { return trim(h.text[v.from:v.to]) }

// start begins a new field, its value at the rest of the line.
func (h *headerText) start(f field, rest []byte) {
	if f != noField {
		h.got = append(h.got, value{field: f, from: len(h.raw), to: len(h.raw)})
		h.add(rest)
	}
}

// add puts a piece of a line to the field at hand.
func (h *headerText) add(piece []byte) {
	if room := h.limit - len(h.raw); len(piece) > room {
		piece, h.cut = piece[:room], true
	}
	h.raw = append(h.raw, piece...)
	last := &h.got[len(h.got)-1]
	if n := len(h.raw); n > last.from && h.raw[n-1] == '\n' { // unfold (RFC 5322 §2.2.3)
		h.raw = h.raw[:n-1]
		if n--; n > last.from && h.raw[n-1] == '\r' {
			h.raw = h.raw[:n-1]
		}
	}
	last.to = len(h.raw)
}

// maxFields bounds how often the fields of one header are noted: a list of
// recipients may come in many fields (RFC 5322 §4.5), but not in thousands.
const maxFields = 512

// header reads a header up to its empty line, to the delimiter line that cuts
// it, or to the end. A line that is no field is passed over, as all servers do:
// only an empty line ends a header.
func (s *scanner) header(wanted field) {
	s.text.reset()
	s.text.limit, s.text.items = s.room/4, s.room/4
	current := noField
	for s.found == noDelimiter && !s.atDelimiter() {
		line, whole := s.line()
		if len(line) == 0 {
			break
		}
		if line[0] == '\n' || line[0] == '\r' && len(line) == 2 {
			s.take(line)
			break
		}
		current = s.headerLine(line, current, wanted)
		s.take(line)
		if !whole {
			s.longLine(current)
		}
	}
	s.text.text = string(s.text.raw)
}

// headerLine takes a line into the text if it belongs to a wanted field, and
// says which field is now at hand.
func (s *scanner) headerLine(line []byte, current, wanted field) field {
	if line[0] == ' ' || line[0] == '\t' {
		if current != noField {
			s.text.add(line)
		}
		return current
	}
	f, value := lookUp(line, wanted)
	if len(s.text.got) == maxFields {
		s.text.cut = s.text.cut || f != noField
		return noField
	}
	s.text.start(f, line[value:])
	return f
}

// longLine takes the rest of a line of which the window held the beginning.
func (s *scanner) longLine(current field) {
	for {
		line, whole := s.line()
		if current != noField {
			s.text.add(line)
		}
		s.take(line)
		if whole || len(line) == 0 {
			return
		}
	}
}

// spend takes what the last header has put into the summary from its room.
func (s *scanner) spend() {
	s.room -= len(s.text.raw) + s.room/4 - s.text.items
}

// describe fills in what the Content- fields say, each one's first occurrence.
func (s *scanner) describe(p *mail.Part, byDefault media) {
	p.Type, p.Subtype, p.Encoding = byDefault.kind, byDefault.sub, "7bit"
	var seen uint32
	for _, v := range s.text.got {
		if seen&(1<<v.field) != 0 || v.field > contentFields {
			continue
		}
		seen |= 1 << v.field
		s.content(p, v.field, s.text.of(v))
	}
}

func (s *scanner) content(p *mail.Part, f field, v string) {
	switch f {
	case contentType:
		if m, rest := parseMedia(v); m.sub != "" {
			p.Type, p.Subtype = m.kind, m.sub
			p.Params = parseParams(rest, &s.text.items)
		}
	case contentDisposition:
		var rest string
		p.Disposition, rest = token(v)
		p.DispParams = parseParams(rest, &s.text.items)
	case contentEncoding:
		if encoding, _ := token(v); encoding != "" {
			p.Encoding = encoding
		}
	case contentLanguage:
		p.Language = parseLanguages(v, &s.text.items)
	case contentID:
		p.ID = v
	case contentDescription:
		p.Description = v
	case contentMD5:
		p.MD5 = v
	case contentLocation:
		p.Location = v
	}
}
