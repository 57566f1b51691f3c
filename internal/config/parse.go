package config

import (
	"cmp"
	"errors"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
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
	r := &reading{text: text, known: settings(), cfg: defaults(), given: make(map[string]bool), sections: make(map[string]int)}
	r.cfg.LMTP.Listeners, r.cfg.IMAP.Listeners, r.cfg.ManageSieve.Listeners = nil, nil, nil
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
	text        string
	known       map[string]setting
	cfg         *Config
	listener    *Listener       // of the [[…listener]] being read
	destination *Destination    // of the [[relay.destination]]
	dkim        *DKIM           // of the [[relay.dkim]]
	sections    map[string]int  // how many [[…listener]] there are
	clearViews  []int           // which of the [[imap.listener]] have ViewClear
	given       map[string]bool // the keys the file has
	problems    Problems
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

// blamed says whether the value of a key was wrong, and so is not there.
func (r *reading) blamed(key string) bool {
	return slices.ContainsFunc(r.problems, func(e *Error) bool { return e.Key == key })
}

func (r *reading) unknown(key string, nth int) {
	r.blame(wrong(`rename it, or remove it; "letterlock help config" shows every key`, "unknown key, the nearest is %s", nearest(key)), key, nth)
}

// finish checks what no key can see alone.
func (r *reading) finish() {
	for _, d := range r.doors() {
		if !r.given[d.key] && !r.given[d.key+"er"] {
			*d.listeners = d.usual
		}
	}
	r.cfg.placeSockets()
	r.together("tls.cert", r.cfg.TLS.Cert, "tls.key", r.cfg.TLS.Key, "set both, or neither to have a certificate made in the data folder")
	r.relay()
	r.twice()
	r.proxies()
	r.hiding()
}

// door is one protocol's listeners.
type door struct {
	key       string // "lmtp.listen"; [[lmtp.listener]] has an er more
	listeners *[]Listener
	usual     []Listener // where the file names none
}

func (r *reading) doors() []door {
	usual := defaults()
	return []door{
		{"lmtp.listen", &r.cfg.LMTP.Listeners, usual.LMTP.Listeners},
		{"imap.listen", &r.cfg.IMAP.Listeners, usual.IMAP.Listeners},
		{"managesieve.listen", &r.cfg.ManageSieve.Listeners, usual.ManageSieve.Listeners},
	}
}

// proxies: a listener behind proxies needs one it can believe, and a promise is
// made only for those that are believed. Whoever may open a UNIX socket is.
func (r *reading) proxies() {
	trusted := r.cfg.Proxy.Trusted
	for _, d := range r.doors() {
		for i, l := range *d.listeners {
			if l.Proxy && len(trusted) == 0 && !strings.HasPrefix(l.Address, "unix:") {
				section, nth := r.sectionOf(d, i)
				r.blame(wrong(`name the proxies: [proxy], then trusted = ["192.0.2.7"]`, "proxy = true for %s, and no proxy is trusted", l.Address), section+".proxy", nth)
			}
		}
	}
	for _, n := range r.cfg.Proxy.AssumeTLS {
		if !slices.ContainsFunc(trusted, func(t netip.Prefix) bool { return t.Bits() <= n.Bits() && t.Contains(n.Addr()) }) {
			r.blame(wrong("add it to proxy.trusted, or take it out here", "%s is not trusted", n), "proxy.assume_tls", 0)
		}
	}
}

// hiding: what is hidden is hidden at listeners of its own. A client that met both
// views at one address would take the one for the other.
func (r *reading) hiding() {
	hides := r.cfg.IMAP.OnInsecure == InsecureHide
	switch {
	case r.blamed("imap.on_insecure"), r.blamed("imap.listener.view"):
	case hides && len(r.clearViews) == 0:
		r.blame(wrong(`give those who get it a listener of their own: [[imap.listener]], then address = "HOST:PORT" and view = "clear"; or write "withhold"`,
			`"hide", and no listener has view = "clear"`), "imap.on_insecure", 0)
	case !hides && len(r.clearViews) > 0:
		r.blame(wrong(`write on_insecure = "hide" in section [imap], or leave view out`, `view = "clear" goes with on_insecure = "hide" alone`),
			"imap.listener.view", r.clearViews[0])
	}
}

// together: the one goes only with the other.
func (r *reading) together(a, valueA, b, valueB, way string) {
	if (valueA == "") == (valueB == "") {
		return
	}
	if valueA == "" {
		a, b = b, a
	}
	r.blame(wrong(way, "set without %s", b), a, 0)
}

// twice: no two servers can listen at one place.
func (r *reading) twice() {
	var seen []place
	check := func(address, key string, nth int) {
		at := placeOf(address)
		for _, other := range seen {
			switch {
			case !at.meets(other):
				continue
			case at.address == other.address, at.host == other.host && at.host != "*":
				r.blame(wrong("give each its own port; a list that is left out has its defaults, an empty one none", "%s is listened at twice", at.address), key, nth)
			default:
				r.blame(wrong("0.0.0.0 and [::] are every address of the machine, IPv4 and IPv6: one of them is enough, and nothing else can have its port",
					"%s is listened at twice, as %s", at.address, other.address), key, nth)
			}
			break
		}
		seen = append(seen, at)
	}
	for _, d := range r.doors() {
		for i, l := range *d.listeners {
			key, nth := r.sectionOf(d, i)
			check(l.Address, key, nth)
		}
	}
	for _, address := range r.cfg.Admin.Listen {
		check(address, "admin.listen", 0)
	}
}

// place is where a server listens, in one spelling.
type place struct {
	address    string // as it was written
	host, port string // "*" is every address; no port: the path of a socket
}

func placeOf(address string) place {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return place{address: path, host: filepath.Clean(path)}
	}
	address = strings.TrimPrefix(address, "tls:")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return place{address: address, host: address}
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "" || addr.IsUnspecified():
		host = "*"
	case strings.EqualFold(host, "localhost"):
		host = "127.0.0.1"
	case err == nil:
		host = addr.Unmap().String()
	}
	return place{address, host, port}
}

// meets says whether two servers cannot listen at both.
func (p place) meets(q place) bool {
	return p.port == q.port && p.port != "0" && (p.host == q.host || p.port != "" && (p.host == "*" || q.host == "*"))
}

// sectionOf is the key to blame for a door's nth listener: the list, whose addresses
// come first, or one of the sections beside it.
func (r *reading) sectionOf(d door, i int) (key string, nth int) {
	if nth = i - len(*d.listeners) + r.sections[d.key+"er"]; nth >= 0 {
		return d.key + "er", nth
	}
	return d.key, 0
}
