package config

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Parse reads the text of a config file over the defaults. The error is
// [Problems].
func Parse(text string) (*Config, error) {
	if len(text) > maxFile {
		return nil, Problems{{Fact: "the file is longer than 1 MiB", Way: "is it the config file?"}}
	}
	var root map[string]any
	if _, err := toml.Decode(text, &root); err != nil {
		return nil, Problems{syntaxError(err)}
	}
	r := &reading{text: text, known: settings(), cfg: defaults(), given: make(map[string]bool)}
	r.cfg.LMTP.Listeners, r.cfg.IMAP.Listeners = nil, nil
	r.table("", 0, root)
	r.finish()
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
		return nil, r.problems
	}
	return r.cfg, nil
}

const maxProblems = 20

func syntaxError(err error) *Error {
	e := &Error{Fact: err.Error(), Way: `the file is TOML: [section], then key = "value"`}
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		e.Line, e.Fact = syntax.Position.Line, oneLine(syntax.Message)
	}
	return e
}

// reading is one file being read.
type reading struct {
	text     string
	known    map[string]setting
	cfg      *Config
	listener *Listener       // of the [[…listener]] being read
	given    map[string]bool // the keys the file has
	problems Problems
}

// table reads one table. path is "" or its name with a dot behind it, nth
// counts the tables of one name, from 0.
func (r *reading) table(path string, nth int, table map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		full := path + name
		r.given[full] = true
		put := r.known[full]
		if put == nil || strings.Contains(name, ".") {
			r.unknown(full, nth)
			continue
		}
		if e := put(r, full+".", table[name]); e != nil {
			r.blame(e, full, nth)
		}
	}
}

// blame keeps a problem, with its place. Nobody mends more than a page of them
// at once.
func (r *reading) blame(e *Error, key string, nth int) {
	if len(r.problems) == maxProblems {
		return
	}
	e.Key, e.Line = oneLine(key), lineOf(r.text, key, nth)
	r.problems = append(r.problems, e)
}

func (r *reading) unknown(key string, nth int) {
	r.blame(wrong(`rename it, or remove it; "letterlock help config" shows every key`, "unknown key, the nearest is %s", nearest(key)), key, nth)
}

// finish checks what no key can see alone.
func (r *reading) finish() {
	if !r.given["lmtp.listen"] && !r.given["lmtp.listener"] {
		r.cfg.LMTP.Listeners = defaults().LMTP.Listeners
	}
	if !r.given["imap.listen"] && !r.given["imap.listener"] {
		r.cfg.IMAP.Listeners = defaults().IMAP.Listeners
	}
	r.cfg.placeSockets()
	r.pair("tls.cert", r.cfg.TLS.Cert, "tls.key", r.cfg.TLS.Key)
	r.twice()
	r.proxies()
}

// proxies: a listener behind proxies needs one it can believe, and a promise is
// made only for those that are believed. Whoever may open a UNIX socket is.
func (r *reading) proxies() {
	trusted := r.cfg.Proxy.Trusted
	for _, l := range r.cfg.IMAP.Listeners {
		if l.Proxy && len(trusted) == 0 && !strings.HasPrefix(l.Address, "unix:") {
			r.blame(wrong(`name the proxies: [proxy], then trusted = ["192.0.2.7"]`, "proxy = true for %s, and no proxy is trusted", l.Address), "imap.listener.proxy", 0)
		}
	}
	for _, n := range r.cfg.Proxy.AssumeTLS {
		if !slices.ContainsFunc(trusted, func(t netip.Prefix) bool { return t.Bits() <= n.Bits() && t.Contains(n.Addr()) }) {
			r.blame(wrong("add it to proxy.trusted, or take it out here", "%s is not trusted", n), "proxy.assume_tls", 0)
		}
	}
}

// pair: the one goes only with the other.
func (r *reading) pair(a, valueA, b, valueB string) {
	if (valueA == "") == (valueB == "") {
		return
	}
	if valueA == "" {
		a, b = b, a
	}
	r.blame(wrong("set both, or neither to have a certificate made in the data folder", "set without %s", b), a, 0)
}

// twice: no two servers can listen at one place.
func (r *reading) twice() {
	seen := make(map[string]bool)
	check := func(key, address string) {
		place := strings.TrimPrefix(address, "tls:")
		if seen[place] && !strings.HasSuffix(place, ":0") {
			r.blame(wrong("give each its own port; a list that is left out has its defaults, an empty one none", "%s is listened at twice", place), key, 0)
		}
		seen[place] = true
	}
	for _, l := range r.cfg.LMTP.Listeners {
		check(r.listKey("lmtp.listen"), l.Address)
	}
	for _, l := range r.cfg.IMAP.Listeners {
		check(r.listKey("imap.listen"), l.Address)
	}
	for _, address := range r.cfg.Admin.Listen {
		check("admin.listen", address)
	}
}

// listKey is the key to blame for an address: the list, or where the file has
// none, the sections beside it.
func (r *reading) listKey(list string) string {
	if !r.given[list] && r.given[list+"er"] {
		return list + "er"
	}
	return list
}
