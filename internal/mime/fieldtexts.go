package mime

import (
	"bytes"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"letterlock/internal/mail"
)

// FieldText is one field of a header, for people.
type FieldText struct {
	Name string // as written; its case means nothing
	Text string // unfolded and decoded, UTF-8
}

// FieldTexts walks the fields of the header of part, which lies in r, in
// [MaxHeaderText] octets of memory however long it is. A field longer than that
// is cut. Up to there the texts are those that [Passages] gives with
// [ScopeText], line by line. The error is r's, and ends the walk.
func FieldTexts(part *mail.Part, r io.ReaderAt) iter.Seq2[FieldText, error] {
	return func(yield func(FieldText, error) bool) {
		p := readings.Get().(*reading)
		defer p.free()
		for at := part.Header; at < part.Body; {
			block, err := p.block(r, at, min(part.Body-at, MaxHeaderText))
			if err != nil {
				yield(FieldText{}, err)
				return
			}
			cut := at+int64(len(block)) < part.Body
			if whole := wholeFields(block); cut && whole > 0 {
				block, cut = block[:whole], false
			}
			if !eachFieldText(block, yield) {
				return
			}
			if at += int64(len(block)); cut {
				at = p.nextField(r, at, part.Body)
			}
		}
	}
}

// nextField finds where the field ends in the middle of which at is.
func (p *reading) nextField(r io.ReaderAt, at, end int64) int64 {
	for last := byte(0); at < end; {
		block, err := p.block(r, at, min(end-at, MaxHeaderText))
		if err != nil {
			return at // which is read again, and the error told
		}
		for i, c := range block {
			if last == '\n' && c != ' ' && c != '\t' {
				return at + int64(i)
			}
			last = c
		}
		at += int64(len(block))
	}
	return end
}

func eachFieldText(block []byte, yield func(FieldText, error) bool) bool {
	for at, end := 0, 0; at < len(block); at = end {
		end = fieldEnd(block, at)
		if f, ok := fieldText(block[at:end]); ok && !yield(f, nil) {
			return false
		}
	}
	return true
}

// fieldText decodes a field as a whole, as a passage has it, and cuts the name
// off afterwards. A name in which decoding would find something to do is nobody's
// to ask for (RFC 5322 §2.2 has ASCII there); its field is passed over.
func fieldText(line []byte) (f FieldText, ok bool) {
	name, colon := fieldName(line)
	if colon < 0 || bytes.Contains(name, []byte("=?")) || bytes.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return f, false
	}
	text := DecodeHeader(string(bytes.TrimRight(line, "\r\n")))
	return FieldText{string(name), strings.TrimLeft(text[strings.IndexByte(text, ':')+1:], " \t")}, true
}

// AddressText is the addresses of a field as a person reads them: "Ann Lee
// <ann@example.org>, "; a group as "name: ...; ".
func AddressText(list []mail.Addr) string {
	var b strings.Builder
	for _, a := range list {
		switch a.Group {
		case mail.GroupStart:
			b.WriteString(DecodeHeader(a.Mailbox) + ": ")
			continue
		case mail.GroupEnd:
			b.WriteString("; ")
			continue
		}
		if a.Name != "" {
			b.WriteString(DecodeHeader(a.Name) + " ")
		}
		b.WriteString("<" + a.Mailbox + "@" + a.Host + ">, ")
	}
	return b.String()
}
