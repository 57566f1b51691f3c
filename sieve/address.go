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
// routes. It returns the addr-spec alone.
func ParseAddress(s string) (addrSpec string, ok bool) {
	if strings.ContainsAny(s, "\r\n\x00") {
		return "", false
	}
	list := mime.Addresses(s)
	if len(list) != 1 || list[0].Group != 0 || list[0].Route != "" {
		return "", false
	}
	local, domain := list[0].Mailbox, list[0].Host
	if domain == mime.MissingDomain || local == mime.MissingMailbox || !validDomain(domain) {
		return "", false
	}
	if dotAtom(local) {
		return local + "@" + domain, true
	}
	if !strings.Contains(s, `"`) {
		return "", false
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"@` + domain, true
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
