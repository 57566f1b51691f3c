package syntax

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

// GetMetadata is GETMETADATA (RFC 5464 §4.2). An empty Mailbox is the server.
type GetMetadata struct {
	Mailbox string
	Entries []string // never empty; in lower case, as names are case-insensitive
	MaxSize int64    // leave out values of more octets; -1: the option was not given
	Depth   Depth
}

// Depth says what below an entry is wanted too.
type Depth uint8

const (
	DepthSelf     Depth = iota // 0: nothing
	DepthChildren              // 1
	DepthInfinity
)

// SetMetadata is SETMETADATA (RFC 5464 §4.3). An empty Mailbox is the server.
type SetMetadata struct {
	Mailbox string
	Entries []MetadataEntry // never empty
}

// MetadataEntry is an annotation.
type MetadataEntry struct {
	Name  string  // in lower case where a client sent it
	Value *string // any octets; nil is NIL: no such entry
}

const maxEntries = 256

// getMetadata reads RFC 5464 §5, getmetadata. The grammar has the options
// before the mailbox, the examples behind it; clients do either.
func (d *Decoder) getMetadata() Args {
	g := &GetMetadata{MaxSize: -1}
	d.sp()
	if d.peek() == '(' {
		d.list1(maxOptions, func() { d.metadataOption(g) })
		d.sp()
	}
	g.Mailbox = d.mailbox()
	d.sp()
	if d.peek() == '(' && d.pos+1 < len(d.line) && isLetter(d.line[d.pos+1]) {
		d.list1(maxOptions, func() { d.metadataOption(g) })
		d.sp()
	}
	entry := func() { g.Entries = append(g.Entries, d.entry()) }
	if d.peek() == '(' {
		d.list1(maxEntries, entry)
		return g
	}
	for entry(); d.take(' '); { // as the examples of §4.4.1
		if len(g.Entries) == maxEntries {
			d.exceeds("too many entries")
		}
		entry()
	}
	return g
}

func (d *Decoder) metadataOption(g *GetMetadata) {
	switch d.keyword() {
	case "MAXSIZE":
		d.sp()
		g.MaxSize = d.number64()
	case "DEPTH":
		d.sp()
		switch d.keyword() {
		case "0":
			g.Depth = DepthSelf
		case "1":
			g.Depth = DepthChildren
		case "INFINITY":
			g.Depth = DepthInfinity
		default:
			d.fail("unknown depth")
		}
	default:
		d.fail("unknown option of GETMETADATA")
	}
}

func (d *Decoder) setMetadata() Args {
	s := &SetMetadata{Mailbox: d.oneMailbox()}
	d.sp()
	d.list1(maxEntries, func() {
		e := MetadataEntry{Name: d.entry()}
		d.sp()
		e.Value = d.metadataValue()
		s.Entries = append(s.Entries, e)
	})
	return s
}

// entry reads the name of an entry (RFC 5464 §3.2).
func (d *Decoder) entry() string {
	name := d.astring()
	if !d.ok() {
		return ""
	}
	if !strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.Contains(name, "//") ||
		strings.IndexFunc(name, isNoEntryChar) >= 0 {
		d.fail("not the name of a metadata entry")
	}
	return strings.ToLower(name)
}

func isNoEntryChar(r rune) bool {
	return r == '*' || r == '%' || r <= 0x19 || r == 0x7f || r >= utf8.RuneSelf
}

// metadataValue reads RFC 5464 §5, value. One that no command has room for is
// refused as too long for an entry (§4.3).
func (d *Decoder) metadataValue() *string {
	if lit, start, ok := announced(d.line); ok && start == d.pos && lit.size > int64(d.limits.Literals) {
		d.refuse(imap.ResponseCode("METADATA MAXSIZE "+strconv.Itoa(d.limits.Literals)), "the value is too long")
		return nil
	}
	if d.peek() == '~' {
		s := d.literal8String()
		return &s
	}
	s, ok := d.nstring()
	if !ok {
		return nil
	}
	return &s
}

// AppendMetadataStart begins "* METADATA mailbox (entry value …)" CRLF (RFC 5464
// §4.4.1); its entries follow, with a space between them, and then ")" CRLF.
func AppendMetadataStart(dst []byte, mailbox string, m Mode) []byte {
	return append(appendMetadata(dst, mailbox, m), " ("...)
}

// AppendMetadataEntry writes an entry and its value. One with a NUL is a binary
// literal.
func AppendMetadataEntry(dst []byte, name string, value []byte, m Mode) []byte {
	dst = append(AppendAstring(dst, name, m), ' ')
	if bytes.IndexByte(value, 0) >= 0 {
		dst = AppendLiteral8Header(dst, int64(len(value)))
		return append(dst, value...)
	}
	return AppendString(dst, string(value), m)
}

// AppendMetadataNames writes "* METADATA mailbox entry …" CRLF, unasked: these
// have changed (RFC 5464 §4.4.2). names is not empty.
func AppendMetadataNames(dst []byte, mailbox string, names []string, m Mode) []byte {
	dst = appendMetadata(dst, mailbox, m)
	for _, name := range names {
		dst = AppendAstring(append(dst, ' '), name, m)
	}
	return append(dst, "\r\n"...)
}

func appendMetadata(dst []byte, mailbox string, m Mode) []byte {
	return AppendMailbox(append(dst, "* METADATA "...), mailbox, m)
}
