package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"letterlock/internal/config"
)

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse(text)
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, text)
	}
	return c
}

func TestReferenceSaysExactlyTheDefaults(t *testing.T) {
	if got, want := parse(t, config.Reference()), config.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("the reference file reads as\n%+v\nwant the defaults\n%+v", got, want)
	}
	if got, want := parse(t, ""), config.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("the empty file reads as\n%+v\nwant the defaults\n%+v", got, want)
	}
}

func TestReferenceListenersAreRealOnceUncommented(t *testing.T) {
	var lines []string
	section := false
	for line := range strings.Lines(config.Reference()) {
		if bare, ok := strings.CutPrefix(line, "# "); ok {
			section = strings.HasPrefix(bare, "[[") || section && regexp.MustCompile(`^[a-z_]+ +=`).MatchString(bare)
			if section {
				line = bare
			}
		} else {
			section = false
		}
		lines = append(lines, line)
	}
	c := parse(t, strings.Join(lines, ""))
	if n, m, o := len(c.LMTP.Listeners), len(c.IMAP.Listeners), len(c.ManageSieve.Listeners); n != 3 || m != 3 || o != 2 {
		t.Fatalf("%d LMTP, %d IMAP and %d ManageSieve listeners, want 3, 3 and 2: %+v", n, m, o, c)
	}
	if l := c.LMTP.Listeners[2]; l.Address != "192.0.2.7:24" || l.ClientCA != "/etc/ssl/mta-ca.pem" || len(l.Allow) != 1 {
		t.Errorf("the LMTP listener of the reference reads as %+v", l)
	}
}

// the example of the documentation, as far as this version goes
const everything = `
hostname = "mail.example.org"             # our name
data     = "/var/lib/letterlock"
[storage]
key_file = "/etc/letterlock/mail.keys"
[tls]
cert = "/etc/ssl/mail.pem"
key  = "/etc/ssl/mail.key"
[lmtp]
listen   = ["unix:/run/letterlock/lmtp.sock", "127.0.0.1:2424", "unix:{data}/other.sock"]
max_size = "48MiB"
[[lmtp.listener]]
address = "192.0.2.7:24"
trust_require_tls_header = true
allow = ["192.0.2.0/24", "2001:db8::7"]
client_ca = "/etc/ssl/mta.pem"
[imap]
listen         = ["127.0.0.1:1143", "tls:127.0.0.1:1993"]
cleartext_auth = ["10.0.0.0/8"]
release        = "local"
on_insecure    = "hide"
notice         = "generic"
unauthenticate = false
[[imap.listener]]
address = "tls:[2001:db8::1]:993"
proxy = true
[[imap.listener]]
address = "10.0.0.1:143"
view = "clear"
[proxy]
trusted    = ["192.0.2.0/24", "2001:db8::7"]
assume_tls = ["192.0.2.128/25"]
[address]
domain     = "example.org"
delimiter  = "+-"
case       = "keep"
[quota]
bytes    = "5GB"
messages = 100000
answer   = "reject"
[managesieve]
listen = ["127.0.0.1:4190", "tls:127.0.0.1:5190"]
[[managesieve.listener]]
address = "192.0.2.7:4190"
allow = ["192.0.2.0/24"]
proxy = true
[sieve]
spam_header = ["X-Spam-Flag: (yes)", 'X-Spam-Status:score=(-?[0-9.]+)', "X-Spam-Score"]
spam_max = 7.5
virus_header = ["X-Virus-Status"]
virus_words = { Clean = 1, "Found to be infected" = 5 }
[relay]
mode = "smarthost"
smarthost = "relay.example.org"
tls = "implicit"
user = "letterlock"
password_file = "/etc/letterlock/relay.password"
pins = ["sha256:00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F"]
level = "opportunistic+starttls"
requiretls = "opportunistic"
sender = "srs"
ca = "/etc/ssl/relay-ca.pem"
resolver = "[::1]:5353"
trust_resolver = true
bind = "192.0.2.7"
lifetime = "3d"
delay_notice = 0
first_retry = "90s"
last_retry = "2h"
concurrency = 10
per_destination = 2
[[relay.destination]]
domain = "Printer.example.org"
level = "opportunistic"
[[relay.destination]]
domain = "bank.example"
requiretls = "enforce"
[[relay.dkim]]
domain = "Example.org"
selector = "s1"
key = "dkim.key"
[admin]
listen = []
`

func TestEverythingThatCanBeSaid(t *testing.T) {
	c := parse(t, everything)
	want := config.Default()
	want.Hostname, want.Data = "mail.example.org", "/var/lib/letterlock"
	want.Storage.KeyFile = "/etc/letterlock/mail.keys"
	want.TLS.Cert, want.TLS.Key = "/etc/ssl/mail.pem", "/etc/ssl/mail.key"
	want.LMTP.Listeners = []config.Listener{
		{Address: "unix:/run/letterlock/lmtp.sock"}, {Address: "127.0.0.1:2424"}, {Address: "unix:/var/lib/letterlock/other.sock"},
		{Address: "192.0.2.7:24", TrustRequireTLSHeader: true, ClientCA: "/etc/ssl/mta.pem",
			Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::7/128")}},
	}
	want.LMTP.MaxSize = 48 << 20
	want.IMAP.Listeners = append(want.IMAP.Listeners, config.Listener{Address: "tls:[2001:db8::1]:993", Proxy: true},
		config.Listener{Address: "10.0.0.1:143", View: "clear"})
	want.Proxy.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::7/128")}
	want.Proxy.AssumeTLS = []netip.Prefix{netip.MustParsePrefix("192.0.2.128/25")}
	want.IMAP.CleartextAuth.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	want.IMAP.Release, want.IMAP.Notice, want.IMAP.OnInsecure = "local", "generic", "hide"
	want.IMAP.Unauthenticate = false
	want.Address.Domain, want.Address.Delimiter, want.Address.Case = "example.org", "+-", "keep"
	want.Quota.Bytes, want.Quota.Messages, want.Quota.Answer = 5_000_000_000, 100_000, "reject"
	want.ManageSieve.Listeners = append(want.ManageSieve.Listeners, config.Listener{Address: "tls:127.0.0.1:5190"},
		config.Listener{Address: "192.0.2.7:4190", Proxy: true, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	want.Sieve = config.Sieve{
		SpamHeader:  []config.HeaderField{{Name: "X-Spam-Flag", Pattern: "(yes)"}, {Name: "X-Spam-Status", Pattern: "score=(-?[0-9.]+)"}, {Name: "X-Spam-Score"}},
		SpamMax:     7.5,
		VirusHeader: []config.HeaderField{{Name: "X-Virus-Status"}},
		VirusWords:  map[string]int{"clean": 1, "found to be infected": 5},
	}
	pin := make([]byte, 32)
	for i := range pin {
		pin[i] = byte(i)
	}
	want.Relay = config.Relay{
		Mode: "smarthost", Smarthost: "relay.example.org", TLS: "implicit", User: "letterlock", PasswordFile: "/etc/letterlock/relay.password",
		Pins: [][]byte{pin}, Level: "opportunistic+starttls", RequireTLS: "opportunistic", Sender: "srs",
		DKIM: []config.DKIM{{Domain: "example.org", Selector: "s1", Key: "dkim.key"}}, CA: "/etc/ssl/relay-ca.pem", Resolver: "[::1]:5353", TrustResolver: true,
		Bind: netip.MustParseAddr("192.0.2.7"), Lifetime: 3 * 24 * time.Hour, FirstRetry: 90 * time.Second, LastRetry: 2 * time.Hour, Concurrency: 10, PerDestination: 2,
		Destinations: []config.Destination{{Domain: "printer.example.org", Level: "opportunistic"}, {Domain: "bank.example", RequireTLS: "enforce"}},
	}
	want.Admin.Listen = []string{}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestProxyAtAUnixSocketNeedsNobodyTrusted(t *testing.T) {
	c := parse(t, "[[imap.listener]]\naddress = \"unix:/run/imap.sock\"\nproxy = true\n")
	if got := c.IMAP.Listeners; len(got) != 1 || !got[0].Proxy {
		t.Errorf("IMAP listens at %+v", got)
	}
}

func TestListenersTakeThePlaceOfTheDefaults(t *testing.T) {
	c := parse(t, "[[imap.listener]]\naddress = \"tls:127.0.0.1:1993\"\n")
	if got := c.IMAP.Listeners; len(got) != 1 || got[0].Address != "tls:127.0.0.1:1993" {
		t.Errorf("IMAP listens at %+v, want the one listener of the file", got)
	}
	if got := c.LMTP.Listeners; len(got) != 2 {
		t.Errorf("LMTP listens at %+v, want its defaults", got)
	}
}

func TestDefaultSocketFollowsTheDataFolder(t *testing.T) {
	c := parse(t, `data = "/srv/mail"`)
	if got, want := c.LMTP.Listeners[1].Address, "unix:/srv/mail/lmtp.sock"; got != want {
		t.Errorf("the socket is %s, want %s", got, want)
	}
}

func TestWhatIsWrongIsSaidWithLineKeyAndWayOut(t *testing.T) {
	for name, c := range map[string]struct{ text, err, hint string }{
		"misspelt key":         {"[imap]\n\nrelase = \"tls\"\n", "line 3: imap.relase: unknown key, the nearest is imap.release", "rename it"},
		"wrong section":        {"release = \"tls\"\n", "line 1: release: unknown key, the nearest is imap.release", "rename it"},
		"wrong case":           {"Hostname = \"a.example\"\n", "line 1: Hostname: unknown key, the nearest is hostname", "rename it"},
		"misspelt section":     {"\n[lmpt]\nlisten = []\n", "line 2: lmpt: unknown key, the nearest is lmtp", "rename it"},
		"in 2nd listener":      {"[[lmtp.listener]]\naddress = \"h:1\"\n[[lmtp.listener]]\naddress = \"h:2\"\nalow = []\n", "line 5: lmtp.listener.alow: unknown key, the nearest is lmtp.listener.allow", "rename it"},
		"quoted dots":          {"\"imap.release\" = \"tls\"\n", "unknown key", "rename it"},
		"syntax":               {"[imap]\nrelease = tls\n", "line 2: ", "the file is TOML"},
		"wrong type":           {"[imap]\nrelease = 1\n", "line 2: imap.release: a number where a text belongs", "in quotes"},
		"no choice":            {"[imap]\nrelease = \"TLS\"\n", `line 2: imap.release: "TLS" is not a choice`, `write "tls", or "bound", or "local"`},
		"no section":           {"imap = 1\n", "line 1: imap: a number where a section belongs", "write [imap]"},
		"no list":              {"[lmtp]\nlisten = \"127.0.0.1:24\"\n", "line 2: lmtp.listen: a text where a list belongs", "write a list"},
		"no port":              {"[lmtp]\nlisten = [\"127.0.0.1\"]\n", `lmtp.listen: "127.0.0.1" is no place to listen at`, "HOST:PORT"},
		"port too high":        {"[lmtp]\nlisten = [\"127.0.0.1:65536\"]\n", `lmtp.listen: "127.0.0.1:65536" has no port`, "65535"},
		"no socket":            {"[lmtp]\nlisten = [\"unix:\"]\n", `"unix:" names no socket`, "unix:PATH"},
		"admin over TLS":       {"[admin]\nlisten = [\"tls:127.0.0.1:1\"]\n", "is no place to listen at", "HOST:PORT"},
		"size":                 {"[lmtp]\nmax_size = \"50 apples\"\n", `"50 apples" is not a size`, "50MB"},
		"size too small":       {"[lmtp]\nmax_size = 63999\n", "63999 octets are out of bounds", "64KB"},
		"size too big":         {"[lmtp]\nmax_size = \"9223372036854775807GiB\"\n", "is not a size", "50MB"},
		"quota as text":        {"[quota]\nmessages = \"many\"\n", "line 2: quota.messages: a text where a number belongs", "in digits"},
		"quota below zero":     {"[quota]\nbytes = -1\n", "line 2: quota.bytes: -1 is below zero", "no limit"},
		"quota answer":         {"[quota]\nanswer = \"bounce\"\n", `"bounce" is not a choice`, `"defer"`},
		"host bits":            {"[imap]\ncleartext_auth = [\"10.1.0.0/8\"]\n", `"10.1.0.0/8" has bits set behind its 8`, `write "10.0.0.0/8"`},
		"no network":           {"[imap]\ncleartext_auth = [\"lan\"]\n", `"lan" is not a network`, "192.0.2.0/24"},
		"cleartext":            {"[imap]\ncleartext_auth = \"always\"\n", `"always" is not a choice`, `"never"`},
		"hostname":             {"hostname = \"mail example\"\n", `"mail example" is not a hostname`, "mail.example.org"},
		"empty data":           {"data = \"\"\n", "line 1: data: empty", "name a folder"},
		"data in a home":       {"data = \"~/mail\"\n", `line 1: data: "~/mail": ~ is no home here`, "write it out"},
		"key without cert":     {"[tls]\nkey = \"k\"\n", "line 2: tls.key: set without tls.cert", "set both"},
		"twice":                {"[imap]\nlisten = [\"127.0.0.1:2424\"]\n", "line 2: imap.listen: 127.0.0.1:2424 is listened at twice", "its own port"},
		"twice in sections":    {"[imap]\nlisten = []\n[[imap.listener]]\naddress = \"h:1\"\n[[imap.listener]]\naddress = \"tls:h:1\"\n", "line 5: imap.listener: h:1 is listened at twice", "its own port"},
		"everywhere twice":     {"[lmtp]\nlisten = []\n[imap]\nlisten = [\"0.0.0.0:143\", \"[::]:143\"]\n", "line 4: imap.listen: [::]:143 is listened at twice, as 0.0.0.0:143", "one of them is enough"},
		"everywhere and here":  {"[lmtp]\nlisten = [\"localhost:24\"]\n[imap]\nlisten = [\":24\"]\n", "line 4: imap.listen: :24 is listened at twice, as localhost:24", "every address"},
		"one host, two names":  {"[lmtp]\nlisten = [\"localhost:24\", \"127.0.0.1:24\"]\n", "line 2: lmtp.listen: 127.0.0.1:24 is listened at twice", "its own port"},
		"one socket twice":     {"[lmtp]\nlisten = [\"unix:a/b\", \"unix:./a/b\"]\n", "line 2: lmtp.listen: ./a/b is listened at twice", "its own port"},
		"cleartext as truth":   {"[imap]\ncleartext_auth = true\n", "line 2: imap.cleartext_auth: true or false is not a choice", `"never"`},
		"2nd without trust":    {"[[imap.listener]]\naddress = \"h:1\"\n[[imap.listener]]\naddress = \"h:2\"\nproxy = true\n", "line 5: imap.listener.proxy: proxy = true for h:2, and no proxy is trusted", "trusted = "},
		"no address":           {"[[imap.listener]]\nclient_ca = \"x\"\n", "line 1: imap.listener: a listener without address", "address ="},
		"allow on socket":      {"[[lmtp.listener]]\naddress = \"unix:/s\"\nallow = [\"10.0.0.1\"]\n", "line 3: lmtp.listener.allow: allow does not go with a UNIX socket", "group"},
		"allow nobody":         {"[[lmtp.listener]]\naddress = \"h:1\"\nallow = []\n", "line 3: lmtp.listener.allow: an empty list", "everybody"},
		"allow as text":        {"[[lmtp.listener]]\naddress = \"h:1\"\nallow = \"10.0.0.0/8\"\n", "a text where a list belongs", "write a list"},
		"trust as text":        {"[[lmtp.listener]]\naddress = \"h:1\"\ntrust_require_tls_header = \"yes\"\n", "a text where true or false belongs", "without quotes"},
		"trust at IMAP":        {"[[imap.listener]]\naddress = \"h:1\"\ntrust_require_tls_header = true\n", "the nearest is lmtp.listener.trust_require_tls_header", "rename it"},
		"listener no list":     {"[lmtp.listener]\naddress = \"h:1\"\n", "line 1: lmtp.listener: a section where a list of sections belongs", "[[lmtp.listener]]"},
		"line break in text":   {"hostname = \"a\\nb\"\n", "a line break or NUL in it", "one line"},
		"delimiter":            {"[address]\ndelimiter = \"@\"\n", `"@" cannot separate user and detail`, `"+"`},
		"a word as delimiter":  {"[address]\ndelimiter = \"plus\"\n", `"plus" cannot separate user and detail`, `"+"`},
		"proxy without trust":  {"[[imap.listener]]\naddress = \"h:1\"\nproxy = true\n", "line 3: imap.listener.proxy: proxy = true for h:1, and no proxy is trusted", "trusted = "},
		"rules behind proxies": {"[[managesieve.listener]]\naddress = \"h:1\"\nproxy = true\n", "line 3: managesieve.listener.proxy: proxy = true for h:1, and no proxy is trusted", "trusted = "},
		"proxy as text":        {"[[imap.listener]]\naddress = \"h:1\"\nproxy = \"v2\"\n", "a text where true or false belongs", "without quotes"},
		"proxy at LMTP":        {"[[lmtp.listener]]\naddress = \"h:1\"\nproxy = true\n", "lmtp.listener.proxy: unknown key, the nearest is imap.listener.proxy", "rename it"},
		"whose certificate":    {"[proxy]\ntrusted = [\"10.0.0.0/8\"]\n[[imap.listener]]\naddress = \"h:1\"\nproxy = true\nclient_ca = \"x\"\n", "line 6: imap.listener.client_ca: client_ca does not go with proxy", "the one or the other"},
		"promise for others":   {"[proxy]\ntrusted = [\"10.0.0.0/8\"]\nassume_tls = [\"10.1.0.0/16\", \"10.0.0.0/7\"]\n", "line 3: proxy.assume_tls: 10.0.0.0/7 is not trusted", "proxy.trusted"},
		"trusted lan":          {"[proxy]\ntrusted = [\"lan\"]\n", `line 2: proxy.trusted: "lan" is not a network`, "192.0.2.0/24"},

		"date": {"data = 2026-01-01\n", "a date or time where a text belongs", "in quotes"},

		"no smarthost":          {"[relay]\nmode = \"smarthost\"\n", "line 2: relay.mode: a smarthost is wanted and none is named", "smarthost ="},
		"smarthost in mode mx":  {"[relay]\nmode = \"mx\"\nresolver = \"127.0.0.1:53\"\nsmarthost = \"h\"\n", "line 4: relay.smarthost: in mode \"mx\"", "leave it out"},
		"mx without resolver":   {"[relay]\nmode = \"mx\"\n", "line 2: relay.mode: mode \"mx\" needs a resolver", "DNSSEC"},
		"relay mode":            {"[relay]\nmode = \"direct\"\n", `"direct" is not a choice`, `"smarthost"`},
		"smarthost's name":      {"[relay]\nsmarthost = \"a b:25\"\n", `line 2: relay.smarthost: "a b:25" is no host`, "587"},
		"smarthost's port":      {"[relay]\nsmarthost = \"h:smtp\"\n", `"h:smtp" has no port`, "587"},
		"resolver by name":      {"[relay]\nresolver = \"dns.example:53\"\n", `"dns.example:53" is no resolver`, "127.0.0.1:53"},
		"password without user": {"[relay]\npassword_file = \"f\"\n", "line 2: relay.password_file: set without relay.user", "set both"},
		"pin":                   {"[relay]\npins = [\"AB:CD\"]\n", `"AB:CD" is no SHA-256 sum`, "openssl"},
		"bind":                  {"[relay]\nbind = \"eth0\"\n", `"eth0" is no address`, "192.0.2.7"},
		"lifetime":              {"[relay]\nlifetime = \"5 days\"\n", `line 2: relay.lifetime: "5 days" is no time`, `"5d"`},
		"lifetime as number":    {"[relay]\nlifetime = 5\n", "a number where a text belongs", `"5d"`},
		"lifetime for ever":     {"[relay]\nlifetime = \"400d\"\n", "400d is out of bounds", "anything from 1m to 30d"},
		"lifetime overflows":    {"[relay]\nlifetime = \"9223372036854775807d\"\n", "is no time", `"5d"`},
		"retries":               {"[relay]\nfirst_retry = \"5h\"\n", "line 2: relay.first_retry: longer than last_retry", "longest"},
		"no concurrency":        {"[relay]\nconcurrency = 0\n", "line 2: relay.concurrency: 0 is out of bounds", "from 1 to 1000"},
		"destination":           {"[[relay.destination]]\nlevel = \"enforce\"\n", "line 1: relay.destination: a destination without domain", "domain ="},
		"destination's level":   {"[[relay.destination]]\ndomain = \"d\"\nlevel = \"none\"\n", `line 3: relay.destination.level: "none" is not a choice`, `"opportunistic"`},
		"dkim without key":      {"[[relay.dkim]]\ndomain = \"d\"\nselector = \"s\"\n", "line 1: relay.dkim: without key", "domain, selector and key"},
		"selector":              {"[[relay.dkim]]\ndomain = \"d\"\nselector = \"_s\"\nkey = \"k\"\n", `line 3: relay.dkim.selector: "_s" is no selector`, "._domainkey"},
		"sender":                {"[relay]\nsender = \"me\"\n", `"me" is not a choice`, `"srs"`},
		"destination no list":   {"[relay.destination]\ndomain = \"d\"\n", "line 1: relay.destination: a section where a list of sections belongs", "[[relay.destination]]"},

		"spam header as text":      {"[sieve]\nspam_header = \"X-Spam-Score\"\n", "line 2: sieve.spam_header: a text where a list belongs", "write a list"},
		"no field name":            {"[sieve]\nspam_header = [\"X Spam\"]\n", `line 2: sieve.spam_header: "X Spam" names no header field`, `"X-Spam-Score"`},
		"no expression":            {"[sieve]\nspam_header = [\"X-Spam-Score:\"]\n", `line 2: sieve.spam_header: no regular expression behind the colon of "X-Spam-Score:"`, `write "X-Spam-Score"`},
		"broken expression":        {"[sieve]\nvirus_header = [\"X-Virus: (a\"]\n", "line 2: sieve.virus_header: \"X-Virus: (a\": error parsing regexp: missing closing )", "RE2"},
		"expression with no group": {"[sieve]\n\nspam_header = [\"X-Spam: yes\"]\n", `line 3: sieve.spam_header: "X-Spam: yes" has 0 groups, and not one`, "(parentheses)"},
		"expression with two":      {"[sieve]\nspam_header = [\"X-Spam: (yes|no), (.*)\"]\n", "has 2 groups", "(?:"},
		"spam max of nothing":      {"[sieve]\nspam_max = 0\n", "line 2: sieve.spam_max: 0 is not above zero", "such as 10"},
		"spam max without end":     {"[sieve]\nspam_max = inf\n", "line 2: sieve.spam_max: +Inf is not above zero", "such as 10"},
		"spam max that is none":    {"[sieve]\nspam_max = nan\n", "line 2: sieve.spam_max: NaN is not above zero", "such as 10"},
		"spam max as text":         {"[sieve]\nspam_max = \"10\"\n", "a text where a number belongs", "without quotes"},
		"virus words as a list":    {"[sieve]\nvirus_words = [\"clean\"]\n", "line 2: sieve.virus_words: a list where words belong", "clean = 1"},
		"no virus words":           {"[sieve]\nvirus_words = {}\n", "line 2: sieve.virus_words: no words", "clean = 1"},
		"virus word beyond five":   {"[sieve]\nvirus_words = { clean = 1, infected = 6 }\n", `line 2: sieve.virus_words: "infected": 6 is out of bounds`, "1 to 5"},
		"virus word as text":       {"[sieve]\nvirus_words = { clean = \"1\" }\n", `"clean": a text where a number belongs`, "clean = 1"},
		"empty virus word":         {"[sieve]\nvirus_words = { \" \" = 1 }\n", "an empty word", "clean = 1"},

		"insecure":          {"[imap]\non_insecure = \"deny\"\n", `"deny" is not a choice`, `write "withhold", or "refuse", or "hide"`},
		"hidden nowhere":    {"[imap]\non_insecure = \"hide\"\n[[imap.listener]]\naddress = \"h:1\"\n", `line 2: imap.on_insecure: "hide", and no listener has view = "clear"`, `view = "clear"`},
		"clear, not hidden": {"[[imap.listener]]\naddress = \"h:1\"\n[[imap.listener]]\naddress = \"h:2\"\nview = \"clear\"\n", `line 5: imap.listener.view: view = "clear" goes with on_insecure = "hide" alone`, `write on_insecure = "hide"`},
		"view":              {"[imap]\non_insecure = \"hide\"\n[[imap.listener]]\naddress = \"h:1\"\nview = \"tls\"\n", `line 5: imap.listener.view: "tls" is not a choice`, `"clear"`},
		"view of LMTP":      {"[[lmtp.listener]]\naddress = \"h:1\"\nview = \"clear\"\n", "line 3: lmtp.listener.view: unknown key, the nearest is imap.listener.view", "rename it"},
	} {
		_, err := config.Parse(c.text)
		var problems config.Problems
		if !errors.As(err, &problems) || len(problems) != 1 {
			t.Errorf("%s: %v; want one problem, %s", name, err, c.err)
			continue
		}
		if !strings.Contains(err.Error(), c.err) || !strings.Contains(problems.Hint(), c.hint) {
			t.Errorf("%s:\nerror: %v\nhint: %s\nwant error: %s\nhint: %s", name, err, problems.Hint(), c.err, c.hint)
		}
	}
}

func TestAllProblemsAreNamedAtOnce(t *testing.T) {
	_, err := config.Parse("nonsense = 1\n[imap]\nnotice = \"loud\"\n[admin]\nlisten = 4\n")
	want := []string{"line 1: nonsense: ", "line 3: imap.notice: ", "line 5: admin.listen: "}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("got %q, want %q", lines, want)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("got %q, want %q", lines[i], want[i])
		}
	}
	var one *config.Error
	if !errors.As(err, &one) || one.Line != 1 || one.Key != "nonsense" {
		t.Errorf("the first problem is %+v", one)
	}
}

func TestFilesAreLookedForInOrder(t *testing.T) {
	t.Chdir(t.TempDir())
	save := config.Places
	t.Cleanup(func() { config.Places = save })
	etc := filepath.Join(t.TempDir(), "letterlock.toml")
	config.Places = []string{save[0], etc}

	load := func(file string) *config.Config {
		t.Helper()
		c, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c := load(""); c.File != "" || c.Data != "data" || c.Hostname == "" || c.Address.Domain != c.Hostname {
		t.Errorf("with no file: %+v; want the defaults, and the machine's name", c)
	}
	write(etc, `hostname = "etc.example"`)
	if c := load(""); c.File != etc || c.Hostname != "etc.example" || c.Address.Domain != "etc.example" {
		t.Errorf("with a file in /etc: %+v", c)
	}
	write("letterlock.toml", `hostname = "here.example"`)
	if c := load(""); c.Hostname != "here.example" {
		t.Errorf("with a file here: %+v", c)
	}
	if c := load(etc); c.Hostname != "etc.example" {
		t.Errorf("with a file named: %+v", c)
	}
	write("letterlock.toml", `hostnam = "here.example"`)
	_, err := config.Load("")
	if err == nil || !strings.HasPrefix(err.Error(), "./letterlock.toml line 1: hostnam: ") {
		t.Errorf("a broken file is not to be passed over: %v", err)
	}
	_, err = config.Load("missing.toml")
	var way interface{ Hint() string }
	if !errors.As(err, &way) || !strings.Contains(err.Error(), "missing.toml") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(config.Reference())
	f.Add(everything)
	f.Add("[[lmtp.listener]]\naddress=1\n[lmtp.listener.x]\n")
	f.Add("a.b.c = {d = [{e = 1}]}\n\"\" = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Parse(text)
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", c, err)
		}
		var problems config.Problems
		if err != nil && (!errors.As(err, &problems) || len(problems) == 0 || strings.Count(err.Error(), "\n") != len(problems)-1) {
			t.Errorf("not one line for each problem: %q", err)
		}
	})
}

func TestChangedSectionsAreNamed(t *testing.T) {
	was := parse(t, "hostname = \"mx.example\"\n[lmtp]\nlisten = [\"127.0.0.1:24\"]\n")
	was.File = "here"
	for text, want := range map[string]string{
		"# moved\nhostname = \"mx.example\"\n[lmtp]\nlisten = [\"127.0.0.1:24\"]\n":                               "[]",
		"hostname = \"mx.example\"\n[lmtp]\nlisten = [\"127.0.0.1:25\"]\n[relay]\nlifetime = \"2d\"\n":            "[lmtp relay]",
		"hostname = \"mx.example\"\n[lmtp]\nlisten = [\"127.0.0.1:24\"]\n[managesieve]\nlisten = []\n":            "[managesieve]",
		"hostname = \"mx2.example\"\ndata = \"elsewhere\"\n[lmtp]\nlisten = [\"127.0.0.1:24\"]\nmax_size=\"1MB\"": "[hostname data lmtp]",
	} {
		if got := fmt.Sprint(was.Changed(parse(t, text))); got != want {
			t.Errorf("%s\nchanged %s, want %s", text, got, want)
		}
	}
}
