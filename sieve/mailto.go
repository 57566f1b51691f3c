package sieve

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Mailto is what a mailto URI says about a notification (RFC 5436, RFC 6068).
type Mailto struct {
	To, Cc  []string // addr-specs
	Subject string   // empty: none
	Body    string
	Header  []HeaderField // what else it wants in the header
}

// HeaderField is one field for a generated message.
type HeaderField struct{ Name, Value string }

// Recipients are all who get the notification.
func (m *Mailto) Recipients() []string { return append(slices.Clone(m.To), m.Cc...) }

// drop takes out the recipients that another notification has.
func (m *Mailto) drop(o *Mailto) {
	had := func(addr string) bool {
		return slices.ContainsFunc(o.Recipients(), func(s string) bool { return sameAddress(s, addr) })
	}
	m.To, m.Cc = slices.DeleteFunc(m.To, had), slices.DeleteFunc(m.Cc, had)
}

const (
	maxNotified   = 4  // recipients of one notification
	maxURIHeaders = 16 // header fields in a URI
)

// parseMailto reads a URI behind "mailto:".
func parseMailto(e *Engine, rest string) (*Mailto, error) {
	path, query, _ := strings.Cut(rest, "?")
	m := &Mailto{}
	if path != "" {
		if err := addRecipients(&m.To, path, true); err != nil {
			return nil, err
		}
	}
	n := 0
	for field := range strings.SplitSeq(query, "&") {
		if field == "" {
			continue
		}
		if n++; n > maxURIHeaders {
			return nil, fmt.Errorf("a mailto: URI can set %d header fields, not more", maxURIHeaders)
		}
		if err := m.field(e, field); err != nil {
			return nil, err
		}
	}
	if n := len(m.To) + len(m.Cc); n > maxNotified {
		return nil, fmt.Errorf("a notification can go to %d addresses, not to %d", maxNotified, n)
	}
	return m, nil
}

// field reads one hfield.
func (m *Mailto) field(e *Engine, s string) error {
	rawName, rawValue, ok := strings.Cut(s, "=")
	name, err := unescapeURI(rawName)
	if err != nil || !ok || fieldName(name) != nil {
		return fmt.Errorf("%s is not valid in a mailto: URI", quote(s))
	}
	value, err := unescapeURI(rawValue)
	if err != nil {
		return err
	}
	switch lower := foldASCII(name); {
	case lower == "to":
		return addRecipients(&m.To, value, false)
	case lower == "cc":
		return addRecipients(&m.Cc, value, false)
	case lower == "body":
		m.Body = value
		return nil
	case strings.ContainsAny(value, "\r\n\x00"):
		return fmt.Errorf("the header field %s of a mailto: URI cannot have several lines", quote(name))
	case lower == "subject":
		m.Subject = value
	case ignoredInURI(e, lower):
	default:
		m.Header = append(m.Header, HeaderField{strings.ToUpper(name[:1]) + name[1:], value})
	}
	return nil
}

// ignoredInURI are fields that a URI cannot set: RFC 5436 §2.7, and those that
// say how the notification is built, signed, protected or delivered.
func ignoredInURI(e *Engine, lower string) bool {
	switch lower {
	case "from", "sender", "reply-to", "bcc", "date", "message-id", "return-receipt-to", "disposition-notification-to",
		"mime-version", "precedence", "dkim-signature", "authentication-results":
		return true
	}
	return e.Protected(lower) || strings.HasPrefix(lower, "content-") || strings.HasPrefix(lower, "resent-") || strings.HasPrefix(lower, "arc-")
}

func addRecipients(list *[]string, s string, escaped bool) error {
	for part := range strings.SplitSeq(s, ",") {
		addr := part
		if escaped {
			var err error
			if addr, err = unescapeURI(part); err != nil {
				return err
			}
		}
		spec, ok := ParseAddress(trimSpace(addr))
		if !ok {
			return fmt.Errorf("%s is not an address that can be notified", quote(addr))
		}
		if !slices.ContainsFunc(*list, func(had string) bool { return sameAddress(had, spec) }) {
			*list = append(*list, spec)
		}
	}
	return nil
}

// unescapeURI decodes %xx; + is a plus in mailto (RFC 6068 §5).
func unescapeURI(s string) (string, error) {
	if strings.ContainsAny(s, " \"<>\r\n") {
		return "", fmt.Errorf("%s is not valid in a URI; use `set :encodeurl`", quote(s))
	}
	text, err := url.PathUnescape(s)
	if err != nil {
		return "", fmt.Errorf("%s is not valid in a URI", quote(s))
	}
	return text, nil
}
