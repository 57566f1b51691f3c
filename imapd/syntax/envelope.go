package syntax

import "letterlock/internal/mail"

// AppendEnvelope writes an envelope (RFC 9051 §7.5.2): the header's texts as
// they are, NIL where the field is absent, "" where it is empty. Sender and
// Reply-To that are missing are From.
func AppendEnvelope(dst []byte, s *mail.Summary, m Mode) []byte {
	dst = append(dst, '(')
	dst = appendField(dst, s, mail.HasDate, s.Date, m)
	dst = append(dst, ' ')
	dst = appendField(dst, s, mail.HasSubject, s.Subject, m)
	for _, addrs := range [...][]mail.Addr{s.From, orFrom(s.Sender, s), orFrom(s.ReplyTo, s), s.To, s.Cc, s.Bcc} {
		dst = append(dst, ' ')
		dst = appendAddrs(dst, addrs, m)
	}
	dst = append(dst, ' ')
	dst = appendField(dst, s, mail.HasInReplyTo, s.InReplyTo, m)
	dst = append(dst, ' ')
	dst = appendField(dst, s, mail.HasMessageID, s.MessageID, m)
	return append(dst, ')')
}

// appendField writes the text of a field. A text without its mark in Has is
// still a text.
func appendField(dst []byte, s *mail.Summary, field mail.Fields, text string, m Mode) []byte {
	if s.Has&field != 0 {
		return AppendString(dst, text, m)
	}
	return AppendNstring(dst, text, m)
}

func orFrom(addrs []mail.Addr, s *mail.Summary) []mail.Addr {
	if len(addrs) == 0 {
		return s.From
	}
	return addrs
}

func appendAddrs(dst []byte, addrs []mail.Addr, m Mode) []byte {
	if len(addrs) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for i := range addrs {
		dst = appendAddr(dst, &addrs[i], m)
	}
	return append(dst, ')')
}

// appendAddr writes one address. NIL for the host means that a group starts,
// NIL for both that it ends; an address that lacks either has "" there.
func appendAddr(dst []byte, a *mail.Addr, m Mode) []byte {
	switch a.Group {
	case mail.GroupStart:
		dst = append(dst, "(NIL NIL "...)
		dst = AppendString(dst, a.Mailbox, m)
		return append(dst, " NIL)"...)
	case mail.GroupEnd:
		return append(dst, "(NIL NIL NIL NIL)"...)
	}
	dst = append(dst, '(')
	dst = AppendNstring(dst, a.Name, m)
	dst = append(dst, ' ')
	dst = AppendNstring(dst, a.Route, m)
	dst = append(dst, ' ')
	dst = AppendString(dst, a.Mailbox, m)
	dst = append(dst, ' ')
	dst = AppendString(dst, a.Host, m)
	return append(dst, ')')
}
