package syntax

import (
	"strconv"

	"github.com/emersion/go-imap/v2"
)

// ListItem is a LIST response (RFC 9051 §7.3.1).
type ListItem struct {
	Attrs     []imap.MailboxAttr
	Delim     byte // 0: NIL
	Mailbox   string
	OldName   string   // OLDNAME extended data item (RFC 9051 §6.3.9.7); "" without
	ChildInfo []string // CHILDINFO extended data item (RFC 5258 §3.5): SUBSCRIBED
}

// AppendList writes "* LIST …" CRLF.
func AppendList(dst []byte, l *ListItem, m Mode) []byte {
	dst = appendListed(dst, "* LIST ", l, m)
	if l.OldName != "" || len(l.ChildInfo) > 0 {
		dst = append(dst, ' ')
		dst = appendExtended(dst, l, m)
	}
	return append(dst, "\r\n"...)
}

// AppendLsub writes "* LSUB …" CRLF (RFC 3501 §7.2.3).
func AppendLsub(dst []byte, l *ListItem, m Mode) []byte {
	return append(appendListed(dst, "* LSUB ", l, m), "\r\n"...)
}

func appendListed(dst []byte, start string, l *ListItem, m Mode) []byte {
	dst = append(dst, start...)
	dst = appendList(dst, l.Attrs, func(dst []byte, a imap.MailboxAttr) []byte { return append(dst, a...) })
	if l.Delim == 0 {
		dst = append(dst, " NIL "...)
	} else {
		dst = append(dst, ' ')
		dst = AppendString(dst, string(rune(l.Delim)), m)
		dst = append(dst, ' ')
	}
	return AppendMailbox(dst, l.Mailbox, m)
}

// appendExtended writes mbox-list-extended (RFC 9051 §9).
func appendExtended(dst []byte, l *ListItem, m Mode) []byte {
	dst = append(dst, '(')
	if l.OldName != "" {
		dst = append(dst, `"OLDNAME" (`...)
		dst = AppendMailbox(dst, l.OldName, m)
		dst = append(dst, ')')
	}
	if len(l.ChildInfo) > 0 {
		if l.OldName != "" {
			dst = append(dst, ' ')
		}
		dst = append(dst, `"CHILDINFO" `...)
		dst = appendList(dst, l.ChildInfo, func(dst []byte, option string) []byte { return AppendString(dst, option, m) })
	}
	return append(dst, ')')
}

// StatusData is a STATUS response (RFC 9051 §7.3.5).
type StatusData struct {
	Mailbox       string
	Items         StatusItems // which of the following to say
	Messages      uint32
	UIDNext       uint32
	UIDValidity   uint32
	Unseen        uint32
	Deleted       uint32
	Recent        uint32
	Size          int64  // octets
	AppendLimit   int64  // octets; 0: NIL (RFC 7889 §5)
	HighestModSeq uint64 // RFC 7162 §3.1.7
	MailboxID     string // RFC 8474 §4.3
	DeletedSize   int64  // octets of what is \Deleted: DELETED-STORAGE (RFC 9208 §4.1.4)
}

// AppendStatus writes "* STATUS …" CRLF.
func AppendStatus(dst []byte, s *StatusData, m Mode) []byte {
	dst = append(dst, "* STATUS "...)
	dst = AppendMailbox(dst, s.Mailbox, m)
	dst = append(dst, " ("...)
	first := true
	for _, item := range statusNames {
		if s.Items&item.item == 0 {
			continue
		}
		if !first {
			dst = append(dst, ' ')
		}
		first = false
		dst = append(dst, item.name...)
		dst = append(dst, ' ')
		dst = s.appendValue(dst, item.item)
	}
	return append(dst, ")\r\n"...)
}

func (s *StatusData) appendValue(dst []byte, item StatusItems) []byte {
	switch item {
	case StatusMailboxID:
		return AppendObjectID(dst, s.MailboxID)
	case StatusAppendLimit:
		if s.AppendLimit == 0 {
			return append(dst, "NIL"...)
		}
	}
	return strconv.AppendUint(dst, s.value(item), 10)
}

func (s *StatusData) value(item StatusItems) uint64 {
	switch item {
	case StatusMessages:
		return uint64(s.Messages)
	case StatusRecent:
		return uint64(s.Recent)
	case StatusUIDNext:
		return uint64(s.UIDNext)
	case StatusUIDValidity:
		return uint64(s.UIDValidity)
	case StatusUnseen:
		return uint64(s.Unseen)
	case StatusDeleted:
		return uint64(s.Deleted)
	case StatusSize:
		return uint64(s.Size)
	case StatusAppendLimit:
		return uint64(s.AppendLimit)
	case StatusDeletedStorage:
		return uint64(s.DeletedSize)
	}
	return s.HighestModSeq
}

// AppendObjectID writes "(F7)", as MAILBOXID, EMAILID and THREADID are followed
// by (RFC 8474 §7).
func AppendObjectID(dst []byte, id string) []byte {
	dst = append(dst, '(')
	dst = append(dst, id...)
	return append(dst, ')')
}

// AppendInProgress writes "INPROGRESS (tag done goal)", to stand in brackets
// (RFC 9585 §5). A goal of 0 is not known.
func AppendInProgress(dst []byte, tag string, done, goal uint32) []byte {
	dst = AppendString(append(dst, "INPROGRESS ("...), tag, 0)
	dst = appendNumber(dst, " ", done)
	if goal == 0 {
		return append(dst, " NIL)"...)
	}
	return append(appendNumber(dst, " ", goal), ')')
}
