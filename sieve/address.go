package sieve

import (
	"strings"

	"letterlock/internal/mime"
)

// Address is one address as tests see it.
type Address struct {
	Local  string // without quotes; empty where Valid is false
	Domain string
	Text   string // local@domain; of an invalid one, what was written
	Valid  bool
	Null   bool // the empty reverse-path: "" whatever the part (RFC 5228 §5.4)

	delimiter string
}

// address parts (RFC 5228 §2.7.4)
func partAll(a *Address) (string, bool)    { return a.Text, true }
func partLocal(a *Address) (string, bool)  { return a.Local, a.Valid }
func partDomain(a *Address) (string, bool) { return a.Domain, a.Valid }

// Detail splits the local part (RFC 5233 §4); ok false: there is no detail.
func (a *Address) Detail() (user, detail string, ok bool) {
	i := strings.IndexAny(a.Local, a.delimiter)
	if i < 0 {
		return a.Local, "", false
	}
	return a.Local[:i], a.Local[i+1:], true
}

// addresses are those of a field's value, groups opened (RFC 5228 §5.1).
func (f *field) addresses(rt *Runtime) ([]Address, error) {
	if f.found {
		return f.addrs, nil
	}
	f.found = true
	if err := rt.Scan(16 * len(f.raw)); err != nil {
		return nil, err
	}
	list := mime.Addresses(unfold(f.raw))
	if err := rt.Take(2*len(f.raw) + 256*len(list)); err != nil {
		return nil, err
	}
	f.addrs = make([]Address, 0, len(list))
	raw := f.raw
	for i := range list {
		if a := &list[i]; a.Group == 0 {
			f.addrs = append(f.addrs, newAddress(&raw, a.Name, a.Mailbox, a.Host, rt.engine.config.Delimiter))
		}
	}
	return f.addrs, nil
}

// nearby is how far ahead an address is looked for in what it was parsed from:
// behind a usual name.
const nearby = 256

// newAddress is an address as it was parsed from raw, of which it is a piece
// where it stands near the start; raw then goes on behind it. It is not looked
// for any further: a list of a megabyte would be read once for each address.
func newAddress(raw *string, name, mailbox, host, delimiter string) Address {
	if host == mime.MissingDomain || mailbox == mime.MissingMailbox {
		text := name
		if mailbox != mime.MissingMailbox {
			text = mailbox
		}
		return Address{Text: text, delimiter: delimiter}
	}
	text := mailbox + "@" + host
	if i := strings.Index((*raw)[:min(len(*raw), nearby+len(text))], text); i >= 0 {
		end := i + len(text)
		text, *raw = (*raw)[i:end], (*raw)[end:]
	}
	return Address{Local: mailbox, Domain: host, Text: text, Valid: true, delimiter: delimiter}
}

// parsePath reads an envelope address; a source route is dropped
// (RFC 5228 §5.4).
func parsePath(s, delimiter string) Address {
	s = strings.TrimSuffix(strings.TrimPrefix(trimSpace(s), "<"), ">")
	if s == "" {
		return Address{Null: true, delimiter: delimiter}
	}
	if strings.HasPrefix(s, "@") {
		if _, rest, ok := strings.Cut(s, ":"); ok {
			s = rest
		}
	}
	a := Address{Text: s, delimiter: delimiter}
	i := strings.LastIndexByte(s, '@')
	a.Local, a.Domain, a.Valid = s, "", i > 0
	if a.Valid {
		a.Local, a.Domain = s[:i], s[i+1:]
	}
	if len(a.Local) > 1 && a.Local[0] == '"' && a.Local[len(a.Local)-1] == '"' {
		a.Local = unescape(a.Local[1 : len(a.Local)-1])
	}
	return a
}

// ParseAddress checks an address for use in outgoing mail (RFC 5228 §2.4.2.3):
// an addr-spec, alone or behind a display name in angle brackets; no groups, no
// routes. Nothing is guessed, as it is in the headers of strangers: what is sent to
// half of an address is sent to somebody else. It returns the addr-spec alone.
func ParseAddress(s string) (addrSpec string, ok bool) {
	clean, plain, ok := blanked(s)
	if !ok || strings.ContainsAny(s, "\r\n\x00") {
		return "", false
	}
	if open := strings.IndexByte(plain, '<'); open >= 0 {
		end := strings.IndexByte(plain, '>')
		if end < open || trimSpace(plain[end+1:]) != "" || strings.ContainsAny(plain[:open], "@,;:") {
			return "", false
		}
		clean, plain = clean[open+1:end], plain[open+1:end]
	}
	at := strings.LastIndexByte(plain, '@')
	if at < 0 {
		return "", false
	}
	local, domain := trimSpace(clean[:at]), trimSpace(clean[at+1:])
	if text, quoted := unquoted(local); quoted && text != "" {
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
		if dotAtom(text) {
			local = text
		}
	} else if !dotAtom(local) {
		return "", false
	}
	return local + "@" + domain, validDomain(domain)
}

// blanked is an address with blanks for its comments, and as plain with letters
// for quoted strings, too: what is left there is syntax. Both are as long as s. It
// is not ok where a comment or a string has no end.
func blanked(s string) (clean, plain string, ok bool) {
	if !strings.ContainsAny(s, `"(`) {
		return s, s, true
	}
	c, p := []byte(s), []byte(s)
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		from, inside := i, depth > 0
		switch {
		case s[i] == '\\' && (quoted || inside) && i+1 < len(s):
			i++
		case s[i] == '"' && !inside:
			quoted = !quoted
			p[i] = 'q'
		case s[i] == '(' && !quoted:
			depth++
			inside = true
		case s[i] == ')' && inside:
			depth--
		}
		for ; from <= i; from++ {
			if inside {
				c[from], p[from] = ' ', ' '
			} else if quoted {
				p[from] = 'q'
			}
		}
	}
	return string(c), string(p), depth == 0 && !quoted
}

// unquoted is what one quoted string says.
func unquoted(s string) (text string, ok bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", false
	}
	s = s[1 : len(s)-1]
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		} else if s[i] == '"' {
			return "", false
		}
	}
	return unescape(s), true
}

// dotAtom says whether a local part needs no quotes (RFC 5322 §3.2.3, RFC 6532
// §3.2).
func dotAtom(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && c < 0x80 && strings.IndexByte("!#$%&'*+-/=?^_`{|}~.", c) < 0 {
			return false
		}
	}
	return true
}

func validDomain(s string) bool {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		return !strings.ContainsAny(s[1:len(s)-1], "[]\\ \t")
	}
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '.' && c < 0x80 {
			return false
		}
	}
	return true
}
