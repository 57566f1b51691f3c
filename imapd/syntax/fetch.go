package syntax

import (
	"slices"
	"strings"
)

// Fetch is FETCH or UID FETCH (RFC 9051 §6.4.5; RFC 7162 §3.1.4, §3.2.6;
// RFC 9394 §3.3).
type Fetch struct {
	UID          bool // Set is of UIDs; whether UID was among the items is for the caller to see
	Set          Set
	Items        []FetchItem // in the client's order, macros spelled out
	ChangedSince uint64      // the CHANGEDSINCE modifier; 0 without it
	Vanished     bool        // the VANISHED modifier
	Partial      Paging      // the PARTIAL modifier (RFC 9394 §3.3): of the messages of Set; zero without it
}

// FetchItem is one data item of FETCH.
type FetchItem struct {
	Kind    FetchKind
	Peek    bool     // does not set \Seen
	Lazy    bool     // of FetchPreview: NIL rather than a delay
	Section Section  // of FetchBodySection, FetchBinary and FetchBinarySize
	Partial *Partial // nil: whole
}

// FetchKind is the kind of a data item.
type FetchKind uint8

const (
	FetchFlags FetchKind = iota
	FetchUID
	FetchInternalDate
	FetchRFC822Size
	FetchEnvelope
	FetchBody          // BODY without section: the structure without extension data
	FetchBodyStructure // BODYSTRUCTURE
	FetchBodySection   // BODY[…]
	FetchBinary        // BINARY[…] (RFC 3516)
	FetchBinarySize    // BINARY.SIZE[…]
	FetchRFC822        // RFC 3501 §6.4.5: as BODY[], answered as RFC822
	FetchRFC822Header  // as BODY.PEEK[HEADER], answered as RFC822.HEADER
	FetchRFC822Text    // as BODY[TEXT], answered as RFC822.TEXT
	FetchModSeq        // RFC 7162 §3.1.5
	FetchEmailID       // RFC 8474 §5.1
	FetchThreadID      // RFC 8474 §5.2
	FetchSaveDate      // RFC 8514 §4.2
	FetchPreview       // RFC 8970
)

// Section names a piece of a message (RFC 9051 §6.4.5.1).
type Section struct {
	Part   []uint32 // part numbers; empty is the message itself
	Text   SectionText
	Fields []string // of HEADER.FIELDS and HEADER.FIELDS.NOT, as the client wrote them
}

// SectionText says which piece of a part is meant.
type SectionText uint8

const (
	WholePart SectionText = iota
	HeaderText
	HeaderFields
	HeaderFieldsNot
	BodyText // TEXT
	MIMEText // MIME: the header of a part
)

// Partial is <Offset.Count>, in octets.
type Partial struct {
	Offset int64
	Count  int64 // above 0
}

const (
	maxItems     = 256
	maxFields    = 1000
	maxPartDepth = 100
)

// fetch reads RFC 9051 §9, fetch, with the modifiers of RFC 4466 §2.4.
func (d *Decoder) fetch() Args {
	f := &Fetch{UID: d.byUID}
	d.sp()
	f.Set = d.set()
	d.sp()
	if d.peek() == '(' {
		d.list1(maxItems, func() { f.Items = append(f.Items, d.fetchItem(d.keyword())) })
	} else if name := d.keyword(); macros[name] != nil {
		f.Items = slices.Clone(macros[name])
	} else {
		f.Items = []FetchItem{d.fetchItem(name)}
	}
	if d.take(' ') {
		d.fetchModifiers(f)
	}
	if f.Vanished && (!f.UID || f.ChangedSince == 0) { // RFC 7162 §3.2.6
		d.fail("VANISHED goes with UID FETCH and CHANGEDSINCE")
	}
	if f.Partial != (Paging{}) && !f.UID { // RFC 9394 §3.3
		d.fail("PARTIAL goes with UID FETCH")
	}
	return f
}

// fetchModifiers reads RFC 4466 §6, fetch-modifiers, each of which says one thing:
// two of a name could say two.
func (d *Decoder) fetchModifiers(f *Fetch) {
	var seen []string
	d.list1(maxOptions, func() {
		name := d.keyword()
		if slices.Contains(seen, name) {
			d.fail("a modifier of FETCH is given twice")
		}
		seen = append(seen, name)
		d.fetchModifier(f, name)
	})
}

func (d *Decoder) fetchModifier(f *Fetch, name string) {
	switch name {
	case "CHANGEDSINCE":
		d.sp()
		// RFC 7162 §7 wants more than 0, and Thunderbird says 0 where it knows of
		// none: all of it. No message's is below 2.
		f.ChangedSince = max(uint64(d.number64()), 1)
	case "VANISHED":
		f.Vanished = true
	case "PARTIAL":
		d.sp()
		f.Partial = d.paging()
	default:
		d.fail("unknown modifier of FETCH")
	}
}

// macros of RFC 9051 §6.4.5, which stand alone.
var macros = map[string][]FetchItem{
	"ALL":  {{Kind: FetchFlags}, {Kind: FetchInternalDate}, {Kind: FetchRFC822Size}, {Kind: FetchEnvelope}},
	"FAST": {{Kind: FetchFlags}, {Kind: FetchInternalDate}, {Kind: FetchRFC822Size}},
	"FULL": {{Kind: FetchFlags}, {Kind: FetchInternalDate}, {Kind: FetchRFC822Size}, {Kind: FetchEnvelope}, {Kind: FetchBody}},
}

func (d *Decoder) fetchItem(name string) FetchItem {
	if d.items++; d.items > maxItems {
		d.exceeds("too many items in a list")
	}
	peeked, peek := strings.CutSuffix(name, ".PEEK")
	switch {
	case peeked == "BODY" && (peek || d.peek() == '['):
		item := FetchItem{Kind: FetchBodySection, Peek: peek, Section: d.section()}
		item.Partial = d.partial()
		return item
	case peeked == "BINARY":
		item := FetchItem{Kind: FetchBinary, Peek: peek, Section: d.binarySection()}
		item.Partial = d.partial()
		return item
	case name == "BINARY.SIZE":
		return FetchItem{Kind: FetchBinarySize, Peek: true, Section: d.binarySection()}
	case name == "PREVIEW":
		return FetchItem{Kind: FetchPreview, Lazy: d.lazy()}
	}
	for kind, known := range fetchNames {
		if known == name {
			return FetchItem{Kind: FetchKind(kind)}
		}
	}
	d.fail("unknown item to fetch")
	return FetchItem{}
}

// lazy reads the modifiers of PREVIEW, of which there is but LAZY (RFC 8970
// §6). Another list may follow PREVIEW too: the modifiers of the FETCH.
func (d *Decoder) lazy() (lazy bool) {
	if !d.ahead(" (LAZY") {
		return false
	}
	d.sp()
	d.list1(maxOptions, func() {
		if d.keyword() != "LAZY" {
			d.fail("unknown modifier of PREVIEW")
		}
	})
	return true
}

// fetchNames is the items that are but a name, by kind.
var fetchNames = [...]string{
	FetchFlags:         "FLAGS",
	FetchUID:           "UID",
	FetchInternalDate:  "INTERNALDATE",
	FetchRFC822Size:    "RFC822.SIZE",
	FetchEnvelope:      "ENVELOPE",
	FetchBody:          "BODY",
	FetchBodyStructure: "BODYSTRUCTURE",
	FetchRFC822:        "RFC822",
	FetchRFC822Header:  "RFC822.HEADER",
	FetchRFC822Text:    "RFC822.TEXT",
	FetchModSeq:        "MODSEQ",
	FetchEmailID:       "EMAILID",
	FetchThreadID:      "THREADID",
	FetchSaveDate:      "SAVEDATE",
	FetchPreview:       "PREVIEW",
}

// section reads RFC 9051 §9, section.
func (d *Decoder) section() (s Section) {
	d.expect('[')
	if d.take(']') {
		return s
	}
	whole := d.sectionPart(&s)
	if !whole {
		d.sectionText(&s)
	}
	d.expect(']')
	return s
}

// binarySection reads part numbers alone (RFC 3516 §4.2).
func (d *Decoder) binarySection() (s Section) {
	d.expect('[')
	if d.take(']') {
		return s
	}
	if whole := d.sectionPart(&s); !whole {
		d.fail("BINARY takes part numbers")
	}
	d.expect(']')
	return s
}

// sectionPart reads part numbers; whole says that nothing but they name the
// section.
func (d *Decoder) sectionPart(s *Section) (whole bool) {
	for isDigit(d.peek()) {
		s.Part = append(s.Part, d.nzNumber())
		if len(s.Part) > maxPartDepth {
			d.exceeds("parts nested too deep")
		}
		if !d.take('.') {
			return true
		}
	}
	return false
}

func (d *Decoder) sectionText(s *Section) {
	name := d.keyword()
	for text, known := range sectionNames {
		if known == name && known != "" {
			s.Text = SectionText(text)
		}
	}
	switch s.Text {
	case WholePart:
		d.fail("unknown section")
	case MIMEText:
		if len(s.Part) == 0 {
			d.fail("MIME is of a part")
		}
	case HeaderFields, HeaderFieldsNot:
		d.sp()
		d.list1(maxFields, func() { s.Fields = append(s.Fields, d.astring()) })
	}
}

var sectionNames = [...]string{
	HeaderText:      "HEADER",
	HeaderFields:    "HEADER.FIELDS",
	HeaderFieldsNot: "HEADER.FIELDS.NOT",
	BodyText:        "TEXT",
	MIMEText:        "MIME",
}

// partial reads <offset.count> where it is there.
func (d *Decoder) partial() *Partial {
	if !d.take('<') {
		return nil
	}
	p := &Partial{Offset: d.number64()}
	d.expect('.')
	p.Count = d.number64()
	d.expect('>')
	if p.Count == 0 {
		d.fail("a partial fetch asks for at least one octet")
	}
	return p
}
