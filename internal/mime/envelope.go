package mime

import (
	"strings"

	"letterlock/internal/mail"
)

// envelope fills in what the fields of a message's header say. Recipients in
// several fields of one name are one list (RFC 5322 §4.5.3); of all else the
// first occurrence counts. Recipients come last: however many there are, they
// leave the sender his room.
func (s *scanner) envelope(sum *mail.Summary) {
	var seen uint32
	for _, v := range s.text.got {
		if seen&(1<<v.field) == 0 {
			s.envelopeField(sum, v.field, s.text.of(v))
		}
		seen |= 1 << v.field
	}
	for _, v := range s.text.got {
		if list := recipients(sum, v.field); list != nil {
			*list = appendAddresses(*list, s.text.of(v), &s.text.items)
		}
	}
	if s.text.cut || s.text.items < 0 {
		sum.Has |= mail.CutShort
	}
}

func (s *scanner) envelopeField(sum *mail.Summary, f field, v string) {
	switch f {
	case date:
		sum.Date, sum.Sent = v, ParseDate(v)
		sum.Has |= mail.HasDate
	case subject:
		sum.Subject = v
		sum.Has |= mail.HasSubject
	case inReplyTo:
		sum.InReplyTo = v
		sum.Has |= mail.HasInReplyTo
	case messageID:
		sum.MessageID = v
		sum.Has |= mail.HasMessageID
	case references:
		sum.References = parseReferences(v, &s.text.items)
	case from:
		sum.From = appendAddresses(nil, v, &s.text.items)
	case sender:
		sum.Sender = appendAddresses(nil, v, &s.text.items)
	case replyTo:
		sum.ReplyTo = appendAddresses(nil, v, &s.text.items)
	}
}

func recipients(sum *mail.Summary, f field) *[]mail.Addr {
	switch f {
	case to:
		return &sum.To
	case cc:
		return &sum.Cc
	case bcc:
		return &sum.Bcc
	}
	return nil
}

// maxReferences is more than any thread is deep. Of a longer list the last
// ones stay: the parent is the last (RFC 5322 §3.6.4).
const maxReferences = 1000

// parseReferences takes every id in angle brackets; white space inside one, left
// by careless folding, goes.
func parseReferences(v string, room *int) []string {
	n := strings.Count(v, "<")
	for most := min(maxReferences, max(0, *room/costString)); n > most; n-- {
		v = v[strings.IndexByte(v, '<')+1:]
	}
	if n == 0 {
		return nil
	}
	ids := make([]string, 0, n)
	for {
		start := strings.IndexByte(v, '<')
		if start < 0 {
			break
		}
		v = v[start:]
		end := strings.IndexByte(v, '>')
		if next := strings.IndexByte(v[1:], '<'); next >= 0 && next+1 < end {
			v = v[1:] // never closed
			continue
		}
		if end < 0 {
			break
		}
		if id := withoutSpace(v[:end+1]); id != "<>" {
			ids = append(ids, id)
		}
		v = v[end+1:]
	}
	*room -= len(ids) * costString
	return ids
}

func withoutSpace(s string) string {
	if !strings.ContainsAny(s, space) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if !isSpace(s[i]) {
			b = append(b, s[i])
		}
	}
	return string(b)
}
