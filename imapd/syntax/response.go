package syntax

import (
	"strconv"

	"github.com/emersion/go-imap/v2"
)

// ESearch is an ESEARCH response (RFC 9051 §7.3.4).
type ESearch struct {
	Tag    string
	UID    bool
	Return SearchReturn // which of the following were asked for
	Min    uint32       // 0: nothing found
	Max    uint32       // 0: nothing found
	All    []Range      // empty: nothing found
	Count  uint32
	ModSeq uint64 // RFC 7162 §3.1.10; 0: not said
}

// AppendESearch writes "* ESEARCH …" CRLF. MIN, MAX and ALL are left out where
// nothing was found, COUNT is not (RFC 9051 §6.4.4.1).
func AppendESearch(dst []byte, e *ESearch) []byte {
	dst = append(dst, "* ESEARCH (TAG "...)
	dst = AppendString(dst, e.Tag, 0)
	dst = append(dst, ')')
	if e.UID {
		dst = append(dst, " UID"...)
	}
	if e.Return&ReturnMin != 0 && e.Min != 0 {
		dst = appendNumber(dst, " MIN ", e.Min)
	}
	if e.Return&ReturnMax != 0 && e.Max != 0 {
		dst = appendNumber(dst, " MAX ", e.Max)
	}
	if e.Return&ReturnAll != 0 && len(e.All) > 0 {
		dst = append(dst, " ALL "...)
		dst = AppendSet(dst, e.All)
	}
	if e.Return&ReturnCount != 0 {
		dst = appendNumber(dst, " COUNT ", e.Count)
	}
	if e.ModSeq != 0 {
		dst = appendNumber(dst, " MODSEQ ", e.ModSeq)
	}
	return append(dst, "\r\n"...)
}

func appendNumber[N ~uint32 | ~uint64](dst []byte, name string, n N) []byte {
	dst = append(dst, name...)
	return strconv.AppendUint(dst, uint64(n), 10)
}

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
		dst = append(dst, '(')
		dst = append(dst, s.MailboxID...)
		return append(dst, ')')
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
	}
	return s.HighestModSeq
}
