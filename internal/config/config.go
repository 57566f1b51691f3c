package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"reflect"
	"strings"
)

// Config is what the file says, or the defaults.
type Config struct {
	File string // where it was read from; "" where no file was found

	Hostname string // our name in greetings and Received; "" in the file is the machine's name
	Data     string // the data folder

	Storage struct {
		KeyFile string // the keys all mail is encrypted with; "": it is not
	}
	TLS struct {
		Cert, Key string // PEM files; both "": a private CA in the data folder
	}
	LMTP struct {
		Listeners []Listener
		MaxSize   int64 // octets of one message
	}
	IMAP struct {
		Listeners     []Listener
		CleartextAuth CleartextAuth
		Release       string // ReleaseTLS, ReleaseBound or ReleaseLocal
		OnInsecure    string // InsecureWithhold, InsecureRefuse or InsecureHide
		Notice        string // NoticeCount, NoticeGeneric or NoticeOff

		Unauthenticate bool // a connection may log in as one person after another (RFC 8437)
	}
	Proxy struct {
		Trusted   []netip.Prefix // whose PROXY header is believed
		AssumeTLS []netip.Prefix // of these, the ones whose clients are said to use TLS though the header does not tell
	}
	Address struct {
		Domain    string // for addresses without one; "" in the file is the hostname
		Delimiter string // between user and detail; "": none
		Case      string // CaseFold or CaseKeep
	}
	Quota struct {
		Bytes    int64  // octets a new account may hold; 0: no limit
		Messages int64  // and messages; 0: no limit
		Answer   string // QuotaDefer or QuotaReject
	}
	ManageSieve struct {
		Listeners []Listener
	}
	Sieve Sieve
	Relay Relay
	Admin struct {
		Listen []string // HOST:PORT
	}
}

// Listener is one place a server listens at.
type Listener struct {
	Address               string         // "HOST:PORT", "tls:HOST:PORT" or "unix:PATH"
	Allow                 []netip.Prefix // who may connect, behind a proxy which proxies may; empty: everybody
	ClientCA              string         // PEM file; "": no client certificate is asked for
	Proxy                 bool           // IMAP, ManageSieve: every connection begins with a PROXY header
	View                  string         // IMAP: ViewClear, with InsecureHide alone, or ""
	TrustRequireTLSHeader bool           // LMTP: "Require-TLS-ESMTP: yes" counts as the tag (RFC 8689)
}

// CleartextAuth says who may log in without TLS. Its zero value is nobody.
type CleartextAuth struct {
	Local    bool           // UNIX sockets and loopback
	Networks []netip.Prefix // and these
}

// What settings that are one word may say.
const (
	ReleaseTLS   = "tls"
	ReleaseBound = "bound"
	ReleaseLocal = "local"

	InsecureWithhold = "withhold"
	InsecureRefuse   = "refuse"
	InsecureHide     = "hide" // at the listeners with ViewClear, of which there is one; InsecureWithhold at all others

	ViewClear = "clear"

	NoticeCount   = "count"
	NoticeGeneric = "generic"
	NoticeOff     = "off"

	CaseFold = "fold"
	CaseKeep = "keep"

	QuotaDefer  = "defer"
	QuotaReject = "reject"
)

// Default is what holds where no file says otherwise.
func Default() *Config {
	c := defaults()
	c.placeSockets()
	return c
}

// defaults are the defaults with {data} still to be replaced.
func defaults() *Config {
	c := &Config{Data: "data"}
	c.LMTP.Listeners = []Listener{{Address: "127.0.0.1:2424"}, {Address: "unix:{data}/lmtp.sock"}}
	c.LMTP.MaxSize = 50_000_000
	c.IMAP.Listeners = []Listener{{Address: "127.0.0.1:1143"}, {Address: "tls:127.0.0.1:1993"}}
	c.IMAP.Release = ReleaseTLS
	c.IMAP.OnInsecure = InsecureWithhold
	c.IMAP.Notice = NoticeCount
	c.IMAP.Unauthenticate = true
	c.Address.Delimiter = "+"
	c.Address.Case = CaseFold
	c.Quota.Answer = QuotaDefer
	c.ManageSieve.Listeners = []Listener{{Address: "127.0.0.1:4190"}}
	c.Sieve = defaultSieve()
	c.Relay = defaultRelay()
	c.Admin.Listen = []string{"127.0.0.1:9090"}
	return c
}

// placeSockets puts the data folder where an address says {data}.
func (c *Config) placeSockets() {
	for _, ls := range [][]Listener{c.LMTP.Listeners, c.IMAP.Listeners, c.ManageSieve.Listeners} {
		for i := range ls {
			if strings.HasPrefix(ls[i].Address, "unix:") {
				ls[i].Address = strings.ReplaceAll(ls[i].Address, "{data}", c.Data)
			}
		}
	}
}

// Places are where [Load] looks when it is told no file, in order.
var Places = []string{"./letterlock.toml", "/etc/letterlock/letterlock.toml"}

// maxFile bounds what is read: 1 MiB.
const maxFile = 1 << 20

// Changed names the sections, and the keys above them, in which other says something
// else than c. In which files both stand does not count.
func (c *Config) Changed(other *Config) (names []string) {
	a, b := reflect.ValueOf(*c), reflect.ValueOf(*other)
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if name != "File" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			names = append(names, strings.ToLower(name))
		}
	}
	return names
}

// Load reads the file, or with "" the first of [Places] that is there, or
// neither, and fills in what depends on the machine: the hostname and the
// domain. What is wrong with the file is [Problems].
func Load(file string) (*Config, error) {
	c, err := find(file)
	if err != nil {
		return nil, err
	}
	if c.Hostname == "" {
		c.Hostname = machineName()
	}
	if c.Address.Domain == "" {
		c.Address.Domain = c.Hostname
	}
	return c, nil
}

func find(file string) (*Config, error) {
	if file != "" {
		c, err := read(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &Error{Fact: err.Error(), Way: "--config names the file; without it letterlock looks for " + strings.Join(Places, " and ")}
		}
		return c, err
	}
	for _, place := range Places {
		c, err := read(place)
		if !errors.Is(err, fs.ErrNotExist) {
			return c, err
		}
	}
	return Default(), nil
}

func read(file string) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	c, err := Parse(string(text))
	if problems, ok := err.(Problems); ok {
		for _, p := range problems {
			p.File = file
		}
	}
	if err != nil {
		return nil, err
	}
	c.File = file
	return c, nil
}

// machineName is the name of the machine, where it can be a name in SMTP.
func machineName() string {
	name, err := os.Hostname()
	if err != nil || !isHostname(name) {
		return "localhost"
	}
	return name
}
