package syntax

import (
	"strconv"
	"strings"

	"letterlock/internal/mail"
)

// AppendBody writes a body structure without extension data: BODY of FETCH
// (RFC 9051 §7.5.2).
func AppendBody(dst []byte, p *mail.Part, m Mode) []byte {
	return structure{m, basic}.part(dst, p)
}

// AppendBodyStructure writes a body structure with its extension data:
// BODYSTRUCTURE of FETCH (RFC 9051 §7.5.2). Types, parameters and encodings
// stand as they do in the header, in its order, but for parameters cut into
// sections, which are put together (RFC 2231 §6).
func AppendBodyStructure(dst []byte, p *mail.Part, m Mode) []byte {
	return structure{m, extended}.part(dst, p)
}

// structure writes body structures.
type structure struct {
	mode Mode
	form form
}

type form uint8

const (
	basic form = iota
	extended
)

func (s structure) part(dst []byte, p *mail.Part) []byte {
	if strings.EqualFold(p.Type, "multipart") {
		return s.multipart(dst, p)
	}
	dst = append(dst, '(')
	dst = s.fields(dst, p)
	switch {
	case holdsMessage(p):
		dst = append(dst, ' ')
		dst = s.message(dst, p)
	case strings.EqualFold(p.Type, "text"):
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, p.Lines, 10)
	}
	if s.form == extended {
		dst = append(dst, ' ')
		dst = AppendNstring(dst, p.MD5, s.mode)
		dst = s.extension(dst, p)
	}
	return append(dst, ')')
}

// emptyPart stands where the grammar demands a part and there is none.
var emptyPart = mail.Part{Type: "text", Subtype: "plain", Encoding: "7bit"}

// multipart writes body-type-mpart, which has at least one part.
func (s structure) multipart(dst []byte, p *mail.Part) []byte {
	dst = append(dst, '(')
	for i := range p.Parts {
		dst = s.part(dst, &p.Parts[i])
	}
	if len(p.Parts) == 0 {
		dst = s.part(dst, &emptyPart)
	}
	dst = append(dst, ' ')
	dst = AppendString(dst, p.Subtype, s.mode)
	if s.form == extended {
		dst = append(dst, ' ')
		dst = s.params(dst, p.Params)
		dst = s.extension(dst, p)
	}
	return append(dst, ')')
}

// fields writes type, subtype and body-fields.
func (s structure) fields(dst []byte, p *mail.Part) []byte {
	dst = AppendString(dst, p.Type, s.mode)
	dst = append(dst, ' ')
	dst = AppendString(dst, p.Subtype, s.mode)
	dst = append(dst, ' ')
	dst = s.params(dst, p.Params)
	dst = append(dst, ' ')
	dst = AppendNstring(dst, p.ID, s.mode)
	dst = append(dst, ' ')
	dst = AppendNstring(dst, p.Description, s.mode)
	dst = append(dst, ' ')
	dst = AppendString(dst, p.Encoding, s.mode)
	dst = append(dst, ' ')
	return strconv.AppendInt(dst, p.Size(), 10)
}

// holdsMessage says that a part must be written as body-type-msg, whether or
// not its message could be read.
func holdsMessage(p *mail.Part) bool {
	return strings.EqualFold(p.Type, "message") && (strings.EqualFold(p.Subtype, "rfc822") || strings.EqualFold(p.Subtype, "global"))
}

// message writes envelope, structure and lines of the message in a part.
func (s structure) message(dst []byte, p *mail.Part) []byte {
	inner := p.Message
	if inner == nil {
		inner = &mail.Summary{Root: emptyPart}
	}
	dst = AppendEnvelope(dst, inner, s.mode)
	dst = append(dst, ' ')
	dst = s.part(dst, &inner.Root)
	dst = append(dst, ' ')
	return strconv.AppendInt(dst, p.Lines, 10)
}

func (s structure) params(dst []byte, params []mail.Param) []byte {
	if len(params) == 0 {
		return append(dst, "NIL"...)
	}
	params = joined(params)
	dst = append(dst, '(')
	for i := range params {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendString(dst, params[i].Name, s.mode)
		dst = append(dst, ' ')
		dst = AppendString(dst, params[i].Value, s.mode)
	}
	return append(dst, ')')
}

// extension writes disposition, language and location.
func (s structure) extension(dst []byte, p *mail.Part) []byte {
	dst = append(dst, ' ')
	if p.Disposition == "" {
		dst = append(dst, "NIL"...)
	} else {
		dst = append(dst, '(')
		dst = AppendString(dst, p.Disposition, s.mode)
		dst = append(dst, ' ')
		dst = s.params(dst, p.DispParams)
		dst = append(dst, ')')
	}
	dst = append(dst, ' ')
	if len(p.Language) == 0 {
		dst = append(dst, "NIL"...)
	} else {
		dst = appendList(dst, p.Language, func(dst []byte, tag string) []byte { return AppendString(dst, tag, s.mode) })
	}
	dst = append(dst, ' ')
	return AppendNstring(dst, p.Location, s.mode)
}
