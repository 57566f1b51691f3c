package serve_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"letterlock/internal/serve"
)

// class greets with the peer and the class of the session (RFC 8689 §4.4), and
// is an echo after it. It knows STARTTLS, CLASS, KNOWN and STRANGER.
func class(ctx context.Context, c *serve.Conn) {
	fmt.Fprintf(c, "hello %s %s\r\n", c.Peer(), c.Reader().Class())
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return
		case line == "STARTTLS\r\n":
			io.WriteString(c, "go ahead\r\n")
			if c.StartTLS(ctx) != nil {
				return
			}
			r.Reset(c)
		case line == "KNOWN\r\n", line == "STRANGER\r\n":
			map[bool]func(){true: c.Known, false: c.Stranger}[line == "KNOWN\r\n"]()
			io.WriteString(c, line)
		case line == "CLASS\r\n":
			fmt.Fprintf(c, "%s\r\n", c.Reader().Class())
		default:
			io.WriteString(c, line)
		}
	}
}

func networks(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, n := range list {
		all = append(all, netip.MustParsePrefix(n))
	}
	return all
}

var loopback = networks("127.0.0.0/8", "::1/128")

// openProxied is a house whose endpoints are all behind proxies.
func openProxied(t *testing.T, opt serve.Options, endpoints ...string) *house {
	t.Helper()
	for _, s := range endpoints {
		e, err := serve.ParseEndpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		e.Proxy = true
		opt.Endpoints = append(opt.Endpoints, e)
	}
	if opt.Handle == nil {
		opt.Handle = class
	}
	return open(t, opt)
}

func TestProxyDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/proxy/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		stories := strings.Split(string(text), "\n== ")
		for _, story := range stories[1:] {
			name, lines, _ := strings.Cut(story, "\n")
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+name, func(t *testing.T) {
				play(t, strings.Split(strings.TrimSpace(lines), "\n"))
			})
		}
	}
}

// play is one story: settings first, then what proxy, client and server say.
func play(t *testing.T, lines []string) {
	opt, endpoint := serve.Options{Proxies: serve.Proxies{Trusted: loopback}}, "127.0.0.1:0"
	for len(lines) > 0 {
		word, value, _ := strings.Cut(lines[0], " ")
		switch word {
		case "endpoint":
			endpoint = map[string]string{"tls": "tls:127.0.0.1:0", "unix": "unix:" + filepath.Join(t.TempDir(), "s")}[value]
		case "trusted":
			opt.Proxies.Trusted = nil
		case "assume":
			opt.Proxies.AssumeTLS = networks(value)
		case "alpn":
			opt.ALPN = []string{value}
		default:
			h := openProxied(t, opt, endpoint)
			perform(h, h.visit(t, 0), lines)
			return
		}
		lines = lines[1:]
	}
}

func perform(h *house, g *guest, lines []string) {
	g.t.Helper()
	for _, line := range lines {
		word, value, _ := strings.Cut(line, " ")
		switch word {
		case "P:":
			g.Write(octets(g.t, value))
		case "C:":
			io.WriteString(g, value+"\r\n")
		case "S:":
			g.says(value)
		case "TLS":
			if err := g.startTLS(h.trust(g.t)); err != nil {
				g.t.Fatal(err)
			}
		case "END":
			g.gone()
		default:
			g.t.Fatalf("a line of no kind: %q", line)
		}
	}
}

// octets are written in quotes, as Go has them, or in hexadecimal.
func octets(t *testing.T, s string) []byte {
	t.Helper()
	if strings.HasPrefix(s, `"`) {
		text, err := strconv.Unquote(s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		return []byte(text)
	}
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "").Replace(s))
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return b
}

const fromAnn = "PROXY TCP4 192.0.2.9 198.51.100.1 50000 143\r\n"

func TestHeadersOfStrangersAreNotBelieved(t *testing.T) {
	h := openProxied(t, serve.Options{Proxies: serve.Proxies{Trusted: networks("192.0.2.0/24"), AssumeTLS: loopback}}, "127.0.0.1:0")
	h.visit(t, 0).gone() // at once: it had no time to lie
	if s := h.Stats(); s.Refused != 1 || s.Accepted != 0 {
		t.Errorf("%+v, want one refused", s)
	}
	if got := h.log.String(); !strings.Contains(got, "not a trusted proxy") {
		t.Errorf("the log says %q", got)
	}
}

func TestAHeaderMeansNothingWhereNoProxyIs(t *testing.T) {
	h := open(t, serve.Options{Handle: class, Proxies: serve.Proxies{Trusted: loopback, AssumeTLS: loopback}}, "127.0.0.1:0")
	g := h.visit(t, 0)
	g.says("hello 127.0.0.1 local")
	g.ask(strings.TrimSuffix(fromAnn, "\r\n"), strings.TrimSuffix(fromAnn, "\r\n"))
	g.ask("CLASS", "local")
}

func TestAllowListIsForTheProxy(t *testing.T) {
	h := open(t, serve.Options{Handle: class, Proxies: serve.Proxies{Trusted: loopback}, Endpoints: []serve.Endpoint{
		{Network: "tcp", Address: "127.0.0.1:0", Proxy: true, Allow: networks("192.0.2.0/24")},
		{Network: "tcp", Address: "127.0.0.1:0", Proxy: true, Allow: networks("127.0.0.1/32")},
	}})
	h.visit(t, 0).gone()
	g := h.visit(t, 1)
	io.WriteString(g, fromAnn)
	g.says("hello 192.0.2.9 clear")
}

func TestLimitsAreForTheClientNotForTheProxy(t *testing.T) {
	h := openProxied(t, serve.Options{MaxPerAddr: 2, TooMany: "421 too many\r\n", Proxies: serve.Proxies{Trusted: loopback}}, "127.0.0.1:0")
	enter := func(address, want string) *guest {
		t.Helper()
		g := h.visit(t, 0)
		fmt.Fprintf(g, "PROXY TCP4 %s 198.51.100.1 50000 143\r\n", address)
		g.says(want)
		return g
	}
	first := enter("192.0.2.9", "hello 192.0.2.9 clear")
	enter("192.0.2.9", "hello 192.0.2.9 clear")
	enter("192.0.2.9", "421 too many").gone()
	enter("192.0.2.10", "hello 192.0.2.10 clear")
	if s := h.Stats(); s.Refused != 1 || s.BadHeaders != 0 {
		t.Errorf("%+v, want one refused", s)
	}
	first.Close()
	for { // the place is free a moment after the end was seen
		g := h.visit(t, 0)
		io.WriteString(g, fromAnn)
		if line, _ := g.r.ReadString('\n'); strings.HasPrefix(line, "hello") {
			break
		}
	}
}

func TestWhoIsKnownCountsForHisAddressNoMore(t *testing.T) {
	h := openProxied(t, serve.Options{MaxPerAddr: 1, TooMany: "421 too many\r\n", Proxies: serve.Proxies{Trusted: loopback}}, "127.0.0.1:0")
	enter := func(want string) *guest {
		t.Helper()
		g := h.visit(t, 0)
		io.WriteString(g, fromAnn)
		g.says(want)
		return g
	}
	first := enter("hello 192.0.2.9 clear")
	for range 2 { // once is enough
		first.ask("KNOWN", "KNOWN")
	}
	second := enter("hello 192.0.2.9 clear")
	enter("421 too many").gone()
	second.ask("KNOWN", "KNOWN")
	second.ask("STRANGER", "STRANGER")
	enter("421 too many").gone()
	second.ask("KNOWN", "KNOWN")
	second.Close()
	first.Close()
	for ; h.Stats().Open > 0; runtime.Gosched() {
	}
	enter("hello 192.0.2.9 clear")
	enter("421 too many").gone()
}

func TestConnectionsThatNameNobodyYetCountInAll(t *testing.T) {
	h := openProxied(t, serve.Options{MaxConns: 1, TooMany: "421 too many\r\n", Proxies: serve.Proxies{Trusted: loopback}}, "127.0.0.1:0")
	first := h.visit(t, 0)
	h.visit(t, 0).says("421 too many")
	io.WriteString(first, fromAnn)
	first.says("hello 192.0.2.9 clear")
}

func TestAProxyThatStopsInItsHeaderIsNotWaitedFor(t *testing.T) {
	h := openProxied(t, serve.Options{Proxies: serve.Proxies{Trusted: loopback, Wait: 20 * time.Millisecond}}, "127.0.0.1:0")
	for _, start := range []string{"", "PRO", fromAnn[:20], "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0"} {
		g := h.visit(t, 0)
		io.WriteString(g, start)
		g.gone()
	}
	if s := h.Stats(); s.BadHeaders != 4 {
		t.Errorf("%+v, want 4 bad headers", s)
	}
}

func TestABadHeaderEndsItsConnectionAlone(t *testing.T) {
	h := openProxied(t, serve.Options{Proxies: serve.Proxies{Trusted: loopback}}, "127.0.0.1:0")
	good := h.visit(t, 0)
	io.WriteString(good, fromAnn)
	good.says("hello 192.0.2.9 clear")
	bad := h.visit(t, 0)
	io.WriteString(bad, "a1 LOGIN ann secret\r\n")
	bad.gone()
	good.ask("unharmed", "unharmed")
	if got := h.log.String(); !strings.Contains(got, "does not begin with a PROXY header") || strings.Contains(got, "secret") {
		t.Errorf("the log says %q, want the reason and none of what was sent", got)
	}
}

func TestHealthChecksThatOnlyConnectAreNoNoise(t *testing.T) {
	h := openProxied(t, serve.Options{Proxies: serve.Proxies{Trusted: loopback}}, "127.0.0.1:0")
	g := h.visit(t, 0)
	g.Conn.(*net.TCPConn).CloseWrite()
	g.gone()
	if s, log := h.Stats(), h.log.String(); s.BadHeaders != 0 || log != "" {
		t.Errorf("%+v, the log says %q; want nothing", s, log)
	}
}

func TestWhatTheProxySaidCanBeAskedFor(t *testing.T) {
	said := make(chan serve.Proxied, 1)
	h := openProxied(t, serve.Options{Proxies: serve.Proxies{Trusted: loopback}, Handle: func(_ context.Context, c *serve.Conn) {
		said <- *c.Proxied()
	}}, "127.0.0.1:0")
	proxy := netip.MustParseAddr("127.0.0.1")
	const v2 = "0d0a0d0a000d0a515549540a 2111 "
	const addresses = "c0000209 c6336401 c350 008f "
	const version = "21 0007 544c5376312e33"
	for name, c := range map[string]struct {
		header string
		want   serve.Proxied
	}{
		"version 1":                {`"` + strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(fromAnn) + `"`, serve.Proxied{Proxy: proxy}},
		"TLS":                      {v2 + "001e" + addresses + "20 000f 01 00000000 " + version, serve.Proxied{Proxy: proxy, TLS: serve.TLSUsed, Version: "TLSv1.3"}},
		"a verified certificate":   {v2 + "001e" + addresses + "20 000f 07 00000000 " + version, serve.Proxied{Proxy: proxy, TLS: serve.TLSUsed, Version: "TLSv1.3", Verified: true}},
		"a certificate of nobody":  {v2 + "001e" + addresses + "20 000f 07 00000012 " + version, serve.Proxied{Proxy: proxy, TLS: serve.TLSUsed, Version: "TLSv1.3"}},
		"neither TLS nor anything": {v2 + "0014" + addresses + "20 0005 00 00000000 ", serve.Proxied{Proxy: proxy, TLS: serve.TLSNone}},
	} {
		g := h.visit(t, 0)
		g.Write(octets(t, c.header))
		if got := <-said; got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestWhatProxyEndpointsCannotBe(t *testing.T) {
	for name, opt := range map[string]serve.Options{
		"no proxy to believe":  {Endpoints: []serve.Endpoint{{Network: "tcp", Address: "127.0.0.1:0", Proxy: true}}},
		"a client certificate": {Endpoints: []serve.Endpoint{{Network: "tcp", Address: "127.0.0.1:0", Proxy: true, ClientCA: "ca.pem"}}, Proxies: serve.Proxies{Trusted: loopback}},
	} {
		s, err := serve.Listen(opt)
		if err == nil {
			s.Close()
			t.Errorf("%s: is listened at", name)
		}
		var way interface{ Hint() string }
		if !errors.As(err, &way) {
			t.Errorf("%s: %v has no way out", name, err)
		}
	}
}

func TestHopsInClearAreNamed(t *testing.T) {
	lan := networks("10.0.0.0/8")
	both := append(slices.Clone(loopback), lan...)
	for _, c := range []struct {
		endpoint string
		trusted  []netip.Prefix
		want     []netip.Prefix
	}{
		{endpoint: "192.0.2.1:143", trusted: both, want: lan},
		{endpoint: ":143", trusted: networks("0.0.0.0/0"), want: networks("0.0.0.0/0")},
		{endpoint: ":143", trusted: networks("127.0.0.1/32", "::1/128")},
		{endpoint: "127.0.0.1:143", trusted: both},
		{endpoint: "localhost:143", trusted: both},
		{endpoint: "[::1]:143", trusted: both},
		{endpoint: "tls:192.0.2.1:993", trusted: both},
		{endpoint: "unix:/run/imap.sock", trusted: both},
	} {
		e, err := serve.ParseEndpoint(c.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		p := serve.Proxies{Trusted: c.trusted}
		if got := p.ClearHop(e); got != nil {
			t.Errorf("%s without proxies: %v", c.endpoint, got)
		}
		e.Proxy = true
		if got := p.ClearHop(e); !slices.Equal(got, c.want) {
			t.Errorf("%s, %v: %v, want %v", c.endpoint, c.trusted, got, c.want)
		}
	}
}
