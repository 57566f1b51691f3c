package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The kinds of values settings have.

// check says what is wrong with a text; nil is nothing.
type check func(s string) *Error

// text is a string that passes a check.
func text(at func(*reading) *string, fit check) setting {
	return func(r *reading, _ string, value any) *Error {
		s, e := asText(value)
		if e == nil {
			e = fit(s)
		}
		if e == nil {
			*at(r) = s
		}
		return e
	}
}

func truth(at func(*reading) *bool) setting {
	return func(r *reading, _ string, value any) *Error {
		b, ok := value.(bool)
		if !ok {
			return wrong("write true or false, without quotes", "%s where true or false belongs", kind(value))
		}
		*at(r) = b
		return nil
	}
}

// places is a list of addresses to listen at.
func places(put func(*reading, []string), fit check) setting {
	return func(r *reading, _ string, value any) *Error {
		list, e := asList(value)
		for _, s := range list {
			if e == nil {
				e = fit(s)
			}
		}
		if e == nil {
			put(r, list)
		}
		return e
	}
}

// table is a section.
func table(r *reading, path string, value any) *Error {
	t, ok := value.(map[string]any)
	if !ok {
		return wrong(fmt.Sprintf("write [%s] on a line of its own, its keys below", strings.TrimSuffix(path, ".")), "%s where a section belongs", kind(value))
	}
	r.table(path, 0, t)
	return nil
}

// tables is a list of listeners.
func tables(at func(*reading) *[]Listener) setting {
	return sections(
		func(r *reading) { r.listener = &Listener{} },
		func(r *reading, key string, nth int, given map[string]any) {
			r.sections[key]++
			r.checkListener(key, nth, given)
			*at(r) = append(*at(r), *r.listener)
		})
}

// sections is a list of [[sections]]; begin and end stand around the reading of
// each.
func sections(begin func(*reading), end func(r *reading, key string, nth int, given map[string]any)) setting {
	return func(r *reading, path string, value any) *Error {
		key := strings.TrimSuffix(path, ".")
		list, ok := value.([]map[string]any)
		if !ok {
			return wrong(fmt.Sprintf("write [[%s]] on a line of its own, its keys below", key), "%s where a list of sections belongs", kind(value))
		}
		for i, t := range list {
			begin(r)
			r.table(path, i, t)
			end(r, key, i, t)
		}
		return nil
	}
}

func (r *reading) checkListener(key string, nth int, given map[string]any) {
	if r.listener.View == ViewClear {
		r.clearViews = append(r.clearViews, nth)
	}
	switch l := r.listener; {
	case given["address"] == nil:
		r.blame(wrong(`write address = "HOST:PORT"`, "a listener without address"), key, nth)
	case strings.HasPrefix(l.Address, "unix:") && len(l.Allow) > 0:
		r.blame(wrong("who may connect to a UNIX socket is decided by its group and folder", "allow does not go with a UNIX socket"), key+".allow", nth)
	case l.Proxy && l.ClientCA != "":
		r.blame(wrong("leave out the one or the other", "client_ca does not go with proxy: nobody could tell whether client or proxy shows the certificate"), key+".client_ca", nth)
	}
}

// allow is the networks of a listener. An empty list would let everybody in,
// which nobody means who writes it.
func allow(r *reading, _ string, value any) *Error {
	list, e := asNetworks(value)
	if e == nil && len(list) == 0 {
		e = wrong("leave it out to let everybody connect", "an empty list")
	}
	if e == nil {
		r.listener.Allow = list
	}
	return e
}

// networks is a list of networks, which may be empty.
func networks(at func(*reading) *[]netip.Prefix) setting {
	return func(r *reading, _ string, value any) *Error {
		list, e := asNetworks(value)
		if e == nil {
			*at(r) = list
		}
		return e
	}
}

func cleartextAuth(r *reading, _ string, value any) *Error {
	const ways = `write "never", "local", or a list of networks such as ["10.0.0.0/8"]`
	if s, ok := value.(string); ok {
		if s != "never" && s != "local" {
			return wrong(ways, "%s is not a choice", quote(s))
		}
		r.cfg.IMAP.CleartextAuth = CleartextAuth{Local: s == "local"}
		return nil
	}
	if _, ok := value.([]any); !ok {
		return wrong(ways, "%s is not a choice", kind(value))
	}
	list, e := asNetworks(value)
	if e == nil {
		r.cfg.IMAP.CleartextAuth = CleartextAuth{Networks: list}
	}
	return e
}

// What a text may be.

func anything(string) *Error { return nil }

// folder is a path as it stands: the ~ that a shell makes a home of would be a folder
// of that name, wherever letterlock is started.
func folder(s string) *Error {
	switch {
	case s == "":
		return wrong("name a folder", "empty")
	case s == "~" || strings.HasPrefix(s, "~/"):
		return wrong("write it out, such as /home/ann/mail", "%s: ~ is no home here", quote(s))
	}
	return nil
}

func oneOf(words ...string) check {
	return func(s string) *Error {
		if slices.Contains(words, s) {
			return nil
		}
		return wrong(`write "`+strings.Join(words, `", or "`)+`"`, "%s is not a choice", quote(s))
	}
}

func hostname(s string) *Error {
	if s == "" || isHostname(s) {
		return nil
	}
	return wrong("write a name such as mail.example.org; one with other letters in its xn-- form", "%s is not a hostname", quote(s))
}

func domain(s string) *Error {
	if s == "" || isHostname(s) || !isASCII(s) && utf8.ValidString(s) && !strings.ContainsAny(s, " \t@<>\"\r\n") {
		return nil
	}
	return wrong("write a domain such as example.org", "%s is not a domain", quote(s))
}

// delimiter is none of letters and digits: nearly every address has some of them, and
// a word such as "plus" is a set of four.
func delimiter(s string) *Error {
	bad := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@\"\\<> \t\r\n\x00", r)
	}
	if len(s) <= 8 && isASCII(s) && !strings.ContainsFunc(s, bad) {
		return nil
	}
	return wrong(`write the characters that may separate user and detail, such as "+"`, "%s cannot separate user and detail", quote(s))
}

// endpoint is "HOST:PORT", "tls:HOST:PORT" or "unix:PATH".
func endpoint(s string) *Error {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" || strings.ContainsRune(path, 0) {
			return wrong(`write "unix:PATH", such as "unix:/run/letterlock/lmtp.sock"`, "%s names no socket", quote(s))
		}
		return nil
	}
	return plainTCP(strings.TrimPrefix(s, "tls:"))
}

func plainTCP(s string) *Error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return wrong(`write "HOST:PORT"; an IPv6 address goes in brackets: "[::1]:143"`, "%s is no place to listen at", quote(s))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return wrong("ports are numbers up to 65535", "%s has no port", quote(s))
	}
	return nil
}

// isHostname says whether s is a domain name as RFC 5321 §4.1.2 has it.
func isHostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notLDH) {
			return false
		}
	}
	return true
}

func notLDH(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-')
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c >= utf8.RuneSelf })
}

// What TOML has.

func asText(value any) (string, *Error) {
	s, ok := value.(string)
	switch {
	case !ok:
		return "", wrong("write it in quotes", "%s where a text belongs", kind(value))
	case strings.ContainsAny(s, "\x00\r\n"):
		return "", wrong("write it in one line", "a line break or NUL in it")
	}
	return s, nil
}

func asList(value any) ([]string, *Error) {
	list, ok := value.([]any)
	if !ok {
		return nil, wrong(`write a list: ["first", "second"]`, "%s where a list belongs", kind(value))
	}
	texts := make([]string, 0, len(list))
	for _, v := range list {
		s, e := asText(v)
		if e != nil {
			return nil, e
		}
		texts = append(texts, s)
	}
	return texts, nil
}

func asNetworks(value any) ([]netip.Prefix, *Error) {
	list, e := asList(value)
	var networks []netip.Prefix
	for _, s := range list {
		p, e := network(s)
		if e != nil {
			return nil, e
		}
		networks = append(networks, p)
	}
	return networks, e
}

// network is "192.0.2.0/24" or a single address.
func network(s string) (netip.Prefix, *Error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, wrong(`write it as "192.0.2.0/24" or "2001:db8::/32"`, "%s is not a network", quote(s))
	case p != p.Masked():
		return p, wrong(fmt.Sprintf("write %q", p.Masked()), "%s has bits set behind its %d", quote(s), p.Bits())
	}
	return p, nil
}

// size is octets: 50000000, "50MB", "48 MiB".
func size(at func(*reading) *int64, fit func(int64) *Error) setting {
	return func(r *reading, _ string, value any) *Error {
		n, e := asOctets(value)
		return putNumber(at(r), n, e, fit)
	}
}

func number(at func(*reading) *int64, fit func(int64) *Error) setting {
	return func(r *reading, _ string, value any) *Error {
		n, ok := value.(int64)
		if !ok {
			return wrong("write it in digits, without quotes", "%s where a number belongs", kind(value))
		}
		return putNumber(at(r), n, nil, fit)
	}
}

// putNumber keeps a number that could be read and fits.
func putNumber(at *int64, n int64, e *Error, fit func(int64) *Error) *Error {
	if e == nil {
		e = fit(n)
	}
	if e == nil {
		*at = n
	}
	return e
}

func messageSize(n int64) *Error {
	if n < minSize || n > maxSize {
		return wrong("anything from 64KB to 2GB", "%d octets are out of bounds", n)
	}
	return nil
}

func notNegative(n int64) *Error {
	if n < 0 {
		return wrong("0 is no limit", "%d is below zero", n)
	}
	return nil
}

const (
	minSize = 64_000        // RFC 5321 §4.5.3.1.7: 64K octets must be taken
	maxSize = 2_000_000_000 // RFC822.SIZE and literals are 32 bits wide for older clients
)

func asOctets(value any) (int64, *Error) {
	if n, ok := value.(int64); ok {
		return n, nil
	}
	s, e := asText(value)
	if e != nil {
		return 0, e
	}
	n, err := ParseOctets(s)
	if err != nil {
		return 0, wrong(err.Error(), "%s is not a size", quote(s))
	}
	return int64(n), nil
}

// kind is what a person would call the value.
func kind(value any) string {
	switch value.(type) {
	case string:
		return "a text"
	case bool:
		return "true or false"
	case int64, float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "a section"
	case []map[string]any:
		return "a list of sections"
	}
	return "a date or time"
}

// quote is a value in a message: in quotes, not too long, in one line.
func quote(s string) string { return oneLine(strconv.QuoteToGraphic(s)) }

func oneLine(s string) string {
	const most = 120
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return s
}
