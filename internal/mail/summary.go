package mail

import "time"

// Summary is what the header and the structure of a message say, computed once
// when it arrives and cached: what IMAP's ENVELOPE and BODYSTRUCTURE (RFC 9051
// §7.5.2), SEARCH, SORT and THREAD are answered from. Strings are the octets of
// the header, unfolded and otherwise as they came: encoded words stay encoded,
// 8-bit stays 8-bit.
type Summary struct {
	Date       string    // the Date field's text; empty without one
	Sent       time.Time // what Date means, with its zone; zero where it cannot be read
	Subject    string
	From       []Addr
	Sender     []Addr // empty: as From
	ReplyTo    []Addr // empty: as From
	To         []Addr
	Cc         []Addr
	Bcc        []Addr
	InReplyTo  string
	MessageID  string
	References []string // ids in angle brackets, oldest first (RFC 5322 §3.6.4); for threading
	Has        Fields   // which fields were present at all: absent is NIL, empty is ""
	Preview    string   // the start of its text for people, UTF-8, at most 200 characters (RFC 8970); of the outermost message alone, and only with HasPreview
	Root       Part     // the structure; Root.Header starts at 0
}

// Fields is a set of header fields, and of what else was there to be had.
type Fields uint16

const (
	HasDate Fields = 1 << iota
	HasSubject
	HasInReplyTo
	HasMessageID
	HasPreview // Preview was made: empty, it says that there is nothing to be shown
	CutShort   // the header says more than there is room for: texts or addresses are missing
)

// Addr is one address of a header field as ENVELOPE names it. A group starts
// with an Addr that has Mailbox alone and no Host and ends with a zero Addr
// (RFC 9051 §7.5.2).
type Addr struct {
	Name    string // display name, quotes removed, encoded words kept
	Route   string // source route, "@a,@b"; empty nearly always
	Mailbox string
	Host    string
	Group   GroupMark
}

// GroupMark says whether an Addr is an address or one end of a group.
type GroupMark uint8

const (
	NoGroup GroupMark = iota
	GroupStart
	GroupEnd
)

// Part is one body part. Offsets are in octets from the start of the message.
type Part struct {
	Type        string  // as it stands in the header; "text" by default
	Subtype     string  // "plain" by default
	Params      []Param // in the order of the header, duplicates and RFC 2231 forms kept
	ID          string
	Description string
	Encoding    string // as it stands in the header; "7bit" by default
	MD5         string
	Disposition string // empty: none
	DispParams  []Param
	Language    []string
	Location    string

	Header int64 // where the part's header starts
	Body   int64 // where its body starts: after the empty line
	End    int64 // where its body ends: before the CRLF that belongs to the boundary
	Lines  int64 // lines of the body

	Parts   []Part   // of a multipart, in order; a multipart without parts has one empty text part
	Message *Summary // of a message/rfc822 or message/global: the message inside, Message.Root.Header == Body
}

// Param is one parameter of Content-Type or Content-Disposition.
type Param struct{ Name, Value string }

// Size is the octets of the part's body.
func (p *Part) Size() int64 { return p.End - p.Body }

// Shift is a copy of s for a message that starts with n more octets of header
// fields in front: every offset moves, but the root's header still starts at 0.
func (s *Summary) Shift(n int64) *Summary {
	c := *s
	c.Root = s.Root.shift(n)
	c.Root.Header = 0
	return &c
}

func (p Part) shift(n int64) Part {
	p.Header += n
	p.Body += n
	p.End += n
	if p.Parts != nil {
		parts := make([]Part, len(p.Parts))
		for i := range p.Parts {
			parts[i] = p.Parts[i].shift(n)
		}
		p.Parts = parts
	}
	if p.Message != nil {
		inner := *p.Message
		inner.Root = inner.Root.shift(n)
		p.Message = &inner
	}
	return p
}
