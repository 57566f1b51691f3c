package mime

import (
	"strings"

	"letterlock/internal/mail"
)

// What stands for a missing half of an address. ENVELOPE cannot leave the host
// out, since that marks a group (RFC 9051 §7.5.2).
const (
	MissingMailbox = "MISSING_MAILBOX"
	MissingDomain  = "MISSING_DOMAIN"
)

// costAddr is the octets of a mail.Addr.
const costAddr = 80

// Addresses reads the value of an address field (RFC 5322 §3.4 with all of
// §4.4, RFC 6854): lists, groups, routes, comments, quoted names, 8-bit.
// Encoded words stay as they are. Nothing that stands there is lost: what is no
// address becomes the name of one whose mailbox and host are placeholders. Of a
// list beyond 4096 entries the rest is left out.
func Addresses(v string) []mail.Addr {
	room := 4096 * costAddr
	return appendAddresses(nil, trim(v), &room)
}

func appendAddresses(list []mail.Addr, v string, room *int) []mail.Addr {
	if v == "" {
		return list
	}
	r := addressReader{v: v, list: list, room: room, remark: entry{comment: -1}}
	if list == nil {
		r.list = make([]mail.Addr, 0, 1+min(strings.Count(v, ",")+2*strings.Count(v, ":"), 64, max(0, *room/costAddr)))
	}
	before := len(list)
	r.read()
	switch {
	case len(r.list) > before:
	case r.remark.comment >= 0:
		r.add(r.remark.addr(v))
	default:
		r.add(mail.Addr{Name: v, Mailbox: MissingMailbox, Host: MissingDomain})
	}
	return r.list
}

// addressReader walks an address list entry by entry.
type addressReader struct {
	v       string
	i       int
	list    []mail.Addr
	room    *int
	grouped bool
	remark  entry // the last of comments alone: no address (RFC 5322 §3.4, [CFWS])
	// A quote or a comment that never closes is text, and so are all after it.
	plainQuotes, plainComments bool
}

func (r *addressReader) read() {
	for r.i < len(r.v) && *r.room >= 0 {
		e := r.entry()
		r.i = e.end + 1
		switch {
		case e.stop == ':':
			r.startGroup(phrase(r.v[e.start:e.end]))
			continue
		case !e.blank:
			r.add(e.addr(r.v))
		case e.comment >= 0:
			r.remark = e
		}
		if e.stop == ';' {
			r.endGroup()
		}
	}
	r.endGroup()
}

func (r *addressReader) add(a mail.Addr) bool {
	*r.room -= costAddr
	if *r.room >= 0 {
		r.list = append(r.list, a)
	}
	return *r.room >= 0
}

func (r *addressReader) startGroup(name string) {
	if name == "" {
		name = MissingMailbox
	}
	r.grouped = r.add(mail.Addr{Mailbox: name, Group: mail.GroupStart})
}

func (r *addressReader) endGroup() {
	if r.grouped {
		r.list = append(r.list, mail.Addr{Group: mail.GroupEnd})
		r.grouped = false
	}
}

// entry is one entry of a list: its borders in the text, and its brackets.
type entry struct {
	start, end       int
	stop             byte // what ended it: , ; : or 0
	blank            bool // white space and comments alone
	opening, closing int  // of < and of > (or where it should be); opening is -1 without
	comment          int  // the last one; -1 without
	commentEnd       int
}

// entry finds the end of the entry at hand. A colon ends one only where a
// group may start.
func (r *addressReader) entry() entry {
	e := entry{start: r.i, opening: -1, comment: -1, blank: true}
	at := false
	for i := r.i; i < len(r.v); {
		c := r.v[i]
		if isSpace(c) {
			i++
			continue
		}
		if c == ',' || c == ';' || c == ':' && !r.grouped && !at && e.opening < 0 {
			e.end, e.stop = i, c
			return e
		}
		at = at || c == '@'
		next := r.step(&e, i, at)
		e.blank = e.blank && c == '(' && next == e.commentEnd
		i = next
	}
	e.end = len(r.v)
	return e
}

// step passes over what stands at v[i]. at says that an @ came before.
func (r *addressReader) step(e *entry, i int, at bool) int {
	switch c := r.v[i]; {
	case c == '"' && !r.plainQuotes:
		if end, closed := skipQuoted(r.v, i); closed {
			return end
		}
		r.plainQuotes = true
	case c == '(' && !r.plainComments:
		if end, closed := skipComment(r.v, i); closed {
			e.comment, e.commentEnd = i, end
			return end
		}
		r.plainComments = true
	case c == '[' && at:
		return literalEnd(r.v, i)
	case c == '=':
		if word, ok := cutWord(r.v[i:]); ok {
			return i + word.length // with commas and brackets, whatever RFC 2047 §5 says of phrases
		}
	case c == '<' && e.opening < 0:
		e.opening, e.closing = i, r.closingBracket(i)
		if e.closing < len(r.v) && r.v[e.closing] == '>' {
			return e.closing + 1
		}
		return e.closing
	}
	return i + 1
}

// literalEnd gives the position after the domain literal at v[i], or after
// its bracket where it does not close.
func literalEnd(v string, i int) int {
	if n := strings.IndexAny(v[i:], "],"); n > 0 && v[i+n] == ']' {
		return i + n + 1
	}
	return i + 1
}

// closingBracket finds the > for the < at v[i]. Where there is none before the
// next <, the address ends at the first comma or semicolon.
func (r *addressReader) closingBracket(i int) int {
	stop := len(r.v)
	for i++; i < len(r.v); i++ {
		switch r.v[i] {
		case '"':
			if end, closed := skipQuoted(r.v, i); closed && !r.plainQuotes {
				i = end - 1
			}
		case '>':
			return i
		case '<':
			return min(stop, i)
		case ',', ';':
			stop = min(stop, i)
		}
	}
	return stop
}

// addr reads the entry. Its name is the phrase before the brackets, else the
// last comment, as people wrote it before there were phrases.
func (e *entry) addr(v string) (a mail.Addr) {
	if e.opening >= 0 {
		a.Name = phrase(v[e.start:e.opening])
		spec(&a, v[e.opening+1:e.closing])
	} else {
		bareSpec(&a, v[e.start:e.end])
	}
	if a.Name == "" && e.comment >= 0 {
		a.Name = trim(unquote(v[e.comment:e.commentEnd]))
	}
	if a.Mailbox == "" {
		a.Mailbox = MissingMailbox
	}
	if a.Host == "" {
		a.Host = MissingDomain
	}
	return a
}

// spec reads what stands in brackets: [route ":"] local-part "@" domain.
func spec(a *mail.Addr, s string) {
	s = trim(s)
	if strings.HasPrefix(s, "@") {
		if route, rest, ok := strings.Cut(s, ":"); ok {
			a.Route, s = withoutSpace(route), rest
		}
	}
	at := lastAt(s)
	if at < 0 {
		a.Mailbox = phrase(s)
		return
	}
	a.Mailbox, a.Host = localPart(s[:at]), withoutSpace(phrase(s[at+1:]))
}

// bareSpec reads an entry without brackets: an address, perhaps after words
// that were meant as its name; or no address at all.
func bareSpec(a *mail.Addr, s string) {
	at := lastAt(s)
	if at >= 0 {
		split := lastWord(s[:at])
		a.Name = phrase(s[:split])
		a.Mailbox, a.Host = localPart(s[split:at]), withoutSpace(phrase(s[at+1:]))
		return
	}
	text := phrase(s)
	if s = trim(s); strings.ContainsAny(text, space) || strings.HasPrefix(s, `"`) || strings.HasPrefix(s, "=?") {
		a.Name = text
	} else {
		a.Mailbox = text
	}
}

// lastAt finds the @ before the domain: the last outside quotes and comments.
func lastAt(s string) int {
	at := -1
	for i := 0; i < len(s); {
		switch s[i] {
		case '"':
			i, _ = skipQuoted(s, i)
			continue
		case '(':
			i, _ = skipComment(s, i)
			continue
		case '@':
			at = i
		}
		i++
	}
	return at
}

// lastWord finds where the last word of s starts; white space around dots does
// not part words (RFC 5322 §4.4, obs-local-part).
func lastWord(s string) int {
	start := 0
	dot := true
	for i := 0; i < len(s); {
		next := i + 1
		switch c := s[i]; {
		case isSpace(c) || c == '(':
			next = skipCFWS(s, i)
			if !dot && next < len(s) && s[next] != '.' {
				start = next
			}
		case c == '"':
			next, _ = skipQuoted(s, i)
			dot = false
		default:
			dot = c == '.'
		}
		i = next
	}
	return start
}

// localPart is a local part without quotes and comments. Spaces that nobody
// quoted stay, except around dots.
func localPart(s string) string {
	text := phrase(s)
	if strings.Contains(text, " ") && !strings.Contains(s, `"`) {
		text = strings.ReplaceAll(strings.ReplaceAll(text, " .", "."), ". ", ".")
	}
	return text
}

// phrase is the text of a phrase (RFC 5322 §3.2.5): quotes and comments removed,
// one space where white space was.
func phrase(s string) string {
	s = trim(s)
	if plain(s) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		next := i + 1
		switch c := s[i]; {
		case isSpace(c) || c == '(':
			next = skipCFWS(s, i)
			if len(b) > 0 && next < len(s) {
				b = append(b, ' ')
			}
		case c == '"':
			next, _ = skipQuoted(s, i)
			b = append(b, unquote(s[i:next])...)
		default:
			b = append(b, c)
		}
		i = next
	}
	return string(b)
}

// plain says whether phrase has nothing to do; the frequent case of one quoted
// string is not plain, but costs only its copy.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '(' || c == '\t' || c == '\r' || c == '\n':
			return false
		case c == ' ' && s[i-1] == ' ': // s starts with no space
			return false
		}
	}
	return true
}
