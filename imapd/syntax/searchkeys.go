package syntax

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

// maxKeys is how many keys one search may have.
const maxKeys = 4000

// search reads RFC 9051 §9, search.
func (d *Decoder) search() Args {
	s := &Search{UID: d.byUID}
	d.sp()
	if word := d.searchReturn(s, d.word()); word == "CHARSET" {
		d.charset()
		d.sp()
		s.Keys = d.searchKeys("")
	} else {
		s.Keys = d.searchKeys(word)
	}
	d.checkRelevancy(s)
	return s
}

// word reads a word where the next thing starts like one.
func (d *Decoder) word() string {
	if !isLetter(d.peek()) {
		return ""
	}
	return d.keyword()
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// charset reads the charset and refuses what is neither US-ASCII nor UTF-8,
// the two that RFC 9051 §6.4.4 demands. With UTF8=ACCEPT none may be named
// (RFC 6855 §3).
func (d *Decoder) charset() {
	if d.mode&UTF8Accept != 0 {
		d.fail("no CHARSET after UTF8=ACCEPT")
	}
	d.sp()
	d.charsetName()
}

func (d *Decoder) charsetName() {
	switch name := d.astring(); {
	case strings.EqualFold(name, "UTF-8"), strings.EqualFold(name, "US-ASCII"):
	default:
		d.badCharset("charset not supported")
	}
}

func (d *Decoder) badCharset(text string) {
	d.failWith(BadError{Status: imap.StatusResponseTypeNo, Code: "BADCHARSET (US-ASCII UTF-8)", Text: text})
}

// searchText reads a string to search for.
func (d *Decoder) searchText() string {
	d.sp()
	s := d.astring()
	if !utf8.ValidString(s) {
		d.badCharset("the text is neither US-ASCII nor UTF-8")
	}
	return s
}

// searchKeys reads key *(SP key). word is the first key's name where it is
// already read.
func (d *Decoder) searchKeys(word string) And {
	var keys And
	for {
		keys = append(keys, d.searchKey(word))
		if !d.take(' ') {
			return keys
		}
		word = ""
	}
}

// searchKey reads one key, and counts it.
func (d *Decoder) searchKey(word string) Key {
	if d.keys++; d.keys > maxKeys {
		d.exceeds("too many search keys")
		return nil
	}
	if d.depth++; d.depth > d.limits.Depth {
		d.exceeds("search keys nested too deep")
		return nil
	}
	defer func() { d.depth-- }()

	c := d.peek()
	switch {
	case word != "":
		return d.namedKey(word)
	case c == '(':
		return d.group()
	case c == '*' || c == '$' || isDigit(c):
		return Seqs{d.set()}
	}
	return d.namedKey(d.keyword())
}

func (d *Decoder) group() Key {
	d.expect('(')
	keys := d.searchKeys("")
	d.expect(')')
	if len(keys) == 1 {
		return keys[0]
	}
	return keys
}

// namedKey reads what follows a key's name (RFC 9051 §6.4.4, RFC 3501 §6.4.4).
func (d *Decoder) namedKey(name string) Key {
	if key, ok := plainKeys[name]; ok {
		return key
	}
	if key, ok := dateKeys[name]; ok {
		d.sp()
		key.Day = d.date()
		return key
	}
	switch name {
	case "BCC", "BODY", "CC", "FROM", "HEADER", "SUBJECT", "TEXT", "TO":
		return d.textKey(name)
	case "KEYWORD", "UNKEYWORD":
		return d.keywordKey(name)
	case "MODSEQ":
		return d.modSeqKey()
	case "EMAILID", "THREADID": // RFC 8474 §6
		return d.objectKey(name)
	case "FILTER": // RFC 5466 §3.1
		d.sp()
		return NamedFilter{d.filterName()}
	}
	return d.nestedKey(name)
}

// nestedKey reads the keys that take a number, a set or other keys.
func (d *Decoder) nestedKey(name string) Key {
	switch name {
	case "LARGER", "SMALLER":
		d.sp()
		return Size{than[name], d.number64()}
	case "YOUNGER", "OLDER": // RFC 5032
		d.sp()
		return Within{ages[name], d.nzNumber()}
	case "UID":
		d.sp()
		return UIDs{d.set()}
	case "NOT":
		d.sp()
		return Not{d.searchKey("")}
	case "FUZZY": // RFC 6203 §3
		d.sp()
		d.fuzzy = true
		return Fuzzy{d.searchKey("")}
	case "OR":
		d.sp()
		left := d.searchKey("")
		d.sp()
		return Or{left, d.searchKey("")}
	}
	d.fail("unknown search key")
	return nil
}

// textKey reads the keys that look for a text.
func (d *Decoder) textKey(name string) Key {
	switch name {
	case "BODY":
		return Body{d.searchText()}
	case "TEXT":
		return Text{d.searchText()}
	case "HEADER":
		d.sp()
		field := d.astring()
		return Header{field, d.searchText()}
	}
	return Header{name, d.searchText()}
}

var plainKeys = map[string]Key{
	"ALL":        All{},
	"ANSWERED":   HasFlag{imap.FlagAnswered},
	"DELETED":    HasFlag{imap.FlagDeleted},
	"DRAFT":      HasFlag{imap.FlagDraft},
	"FLAGGED":    HasFlag{imap.FlagFlagged},
	"SEEN":       HasFlag{imap.FlagSeen},
	"UNANSWERED": Not{HasFlag{imap.FlagAnswered}},
	"UNDELETED":  Not{HasFlag{imap.FlagDeleted}},
	"UNDRAFT":    Not{HasFlag{imap.FlagDraft}},
	"UNFLAGGED":  Not{HasFlag{imap.FlagFlagged}},
	"UNSEEN":     Not{HasFlag{imap.FlagSeen}},
	"RECENT":     Recent{}, // RFC 3501 §6.4.4, with the next two
	"NEW":        And{Recent{}, Not{HasFlag{imap.FlagSeen}}},
	"OLD":        Not{Recent{}},

	"SAVEDATESUPPORTED": SaveDateSupported{}, // RFC 8514 §4.3
}

var (
	than     = map[string]Than{"LARGER": Larger, "SMALLER": Smaller}
	ages     = map[string]Age{"YOUNGER": Younger, "OLDER": Older}
	dateKeys = map[string]Date{
		"BEFORE": {Of: InternalDate, When: Before}, "ON": {Of: InternalDate, When: On}, "SINCE": {Of: InternalDate, When: Since},
		"SENTBEFORE": {Of: SentDate, When: Before}, "SENTON": {Of: SentDate, When: On}, "SENTSINCE": {Of: SentDate, When: Since},
		"SAVEDBEFORE": {Of: SaveDate, When: Before}, "SAVEDON": {Of: SaveDate, When: On}, "SAVEDSINCE": {Of: SaveDate, When: Since}, // RFC 8514 §4.3
	}
)

func (d *Decoder) keywordKey(name string) Key {
	d.sp()
	has := HasFlag{imap.Flag(d.atom())}
	if name == "UNKEYWORD" {
		return Not{has}
	}
	return has
}

// modSeqKey reads RFC 7162 §3.1.5: MODSEQ ["/flags/…" priv|shared|all] n.
func (d *Decoder) modSeqKey() Key {
	m := ModSeq{}
	d.sp()
	if d.peek() == '"' {
		flag, ok := strings.CutPrefix(d.quoted(), "/flags/")
		d.sp()
		scope := d.keyword()
		if !ok || scope != "PRIV" && scope != "SHARED" && scope != "ALL" {
			d.fail("unknown metadata item")
		}
		m.Flag = imap.Flag(flag)
		d.sp()
	}
	m.Value = uint64(d.number64())
	return m
}

// objectKey reads RFC 8474 §7: an identifier is 1 to 255 letters, digits, _ and -.
func (d *Decoder) objectKey(name string) Key {
	d.sp()
	id := d.run(isObjectChar)
	if id == "" || len(id) > 255 {
		d.fail("not an object identifier")
	}
	if name == "THREADID" {
		return ThreadID{id}
	}
	return EmailID{id}
}

func isObjectChar(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' || c == '-' }

// filterName reads RFC 5466 §4, filter-name.
func (d *Decoder) filterName() string {
	name := d.atom()
	if strings.Contains(name, "/") {
		d.fail("no / may be in the name of a filter")
	}
	return name
}

// ParseKeys reads the search keys of a stored filter, UTF-8 without literals
// (RFC 5466 §3.2). FILTER may be among them: whoever resolves it bounds how deep.
func ParseKeys(text string) (And, error) {
	d := NewDecoder(nowhere{}, func() error { return errNoLiterals })
	d.SetLimits(Known(0))
	d.SetMode(Rev2)
	d.line = []byte(text)
	keys := d.searchKeys("")
	d.end()
	if d.ok() {
		return keys, nil
	}
	if d.broken != nil {
		return nil, d.broken
	}
	return nil, errors.New(d.bad.Text)
}

// nowhere is where no literal comes from.
type nowhere struct{}

var errNoLiterals = errors.New("no literal may be here")

func (nowhere) Line(int) ([]byte, error) { return nil, errNoLiterals }
func (nowhere) Read([]byte) (int, error) { return 0, errNoLiterals }
