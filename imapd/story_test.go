package imapd_test

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"letterlock/imapd"
	"letterlock/internal/requiretls"
	"letterlock/internal/serve"

	"github.com/xdg-go/scram"
)

// bigLetter is n MiB that differ line by line.
func bigLetter(n int) string {
	var b strings.Builder
	b.WriteString("Subject: big\r\n\r\n")
	for i := 0; b.Len() < n<<20; i++ {
		fmt.Fprintf(&b, "line %08d of a letter that goes on and on\r\n", i)
	}
	return b.String()
}

// TestSlowReaderHoldsNobodyUp: a client stops in the middle of a big letter;
// others go on, expunge that very letter, and it still gets every octet.
func TestSlowReaderHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	text := bigLetter(8)
	h.loggedIn("w", "tls").ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text))
	slow := h.loggedIn("slow", "tls")
	slow.ok("SELECT INBOX")
	slow.send("f FETCH 1 BODY.PEEK[]\r\n")
	if line, want := slow.line(), fmt.Sprintf("* 1 FETCH (BODY[] {%d}", len(text)); line != want {
		t.Fatalf("got %s, want %s", line, want)
	}
	other := h.loggedIn("other", "tls")
	other.ok("SELECT INBOX")
	other.ok("APPEND INBOX {12+}\r\nA: b\r\n\r\nhi\r\n")
	other.ok(`STORE 1 +FLAGS (\Deleted)`)
	other.ok("EXPUNGE")
	got := make([]byte, len(text))
	if _, err := io.ReadFull(slow.r, got); err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Error("the letter came out changed")
	}
	if line := slow.line(); line != ")" {
		t.Errorf("got %s, want )", line)
	}
	for line := slow.line(); line != "f OK FETCH completed"; line = slow.line() {
		if strings.Contains(line, "EXPUNGE") {
			t.Errorf("%s while a FETCH was in progress (RFC 9051 §7.5.1)", line)
		}
	}
}

// TestClientThatStopsReadingIsCut: its place goes to somebody who reads.
func TestClientThatStopsReadingIsCut(t *testing.T) {
	t.Parallel()
	h := openHouse(t, func(o *imapd.Options) {
		o.Patience, o.MaxPerUser = 50*time.Millisecond, 1
	})
	text := bigLetter(8)
	deaf := h.loggedIn("deaf", "tls")
	deaf.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text))
	deaf.ok("SELECT INBOX")
	deaf.send(strings.Repeat("f FETCH 1 BODY.PEEK[]\r\n", 10))
	next := h.dial("next", "tls")
	next.line()
	for {
		lines := next.do("LOGIN ann@example.org " + secret)
		if strings.HasPrefix(lines[0], "OK") {
			return
		}
		if !strings.HasPrefix(lines[0], "NO [LIMIT]") {
			t.Fatalf("got %s", lines[0])
		}
	}
}

// TestSetOf64KiB: a command as long as clients make them is answered; one that
// is too long ends the session with a word.
func TestSetOf64KiB(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	c := h.loggedIn("c", "tls")
	c.ok("SELECT INBOX")
	var set strings.Builder
	for uid := 1; set.Len() < 64<<10; uid += 2 {
		fmt.Fprintf(&set, "%d,", uid)
	}
	got := c.ok("UID FETCH " + strings.TrimSuffix(set.String(), ",") + " (UID)")
	if got[0] != "* 1 FETCH (UID 1)" {
		t.Errorf("got %s", got[0])
	}
	// What ends a line that long could announce a literal: nobody knows where the
	// next command starts, so there is none.
	c.send("t UID FETCH " + strings.Repeat(set.String(), 3) + "1 (UID)\r\n")
	if line := c.line(); !strings.Contains(line, " BAD ") {
		t.Errorf("a set of 192 KiB: got %s, want BAD", line)
	}
	if line := c.line(); !strings.HasPrefix(line, "* BYE ") {
		t.Errorf("got %s, want BYE", line)
	}
}

// TestAppendComesBackAsItWasSent: small and through the spool, octet for octet.
func TestAppendComesBackAsItWasSent(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	c := h.loggedIn("c", "tls")
	c.ok("SELECT INBOX")
	for i, text := range []string{"x", "no header\r\nat all", "A: b\r\n\r\nbare\rlines\r", openLetter, bigLetter(3)} {
		c.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text))
		c.send(fmt.Sprintf("f FETCH %d BODY.PEEK[]\r\n", i+1))
		if line, want := c.line(), fmt.Sprintf("* %d FETCH (BODY[] {%d}", i+1, len(text)); line != want {
			t.Fatalf("got %s, want %s", line, want)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(c.r, got); err != nil {
			t.Fatal(err)
		}
		if string(got) != text {
			t.Errorf("%.40q… came back as %.40q…", text, got)
		}
		c.line()
		c.line()
	}
}

// TestSCRAMPlusLoginIsBound: a login that proves that nobody sits in between
// reads what release = bound keeps from the others.
func TestSCRAMPlusLoginIsBound(t *testing.T) {
	t.Parallel()
	h := openHouse(t, func(o *imapd.Options) { o.Release = requiretls.PolicyBound })
	h.deliver(letter{mailbox: "INBOX", text: openLetter, demand: requiretls.Required()})
	for name, bind := range map[string]binding{"none": nil, "tls-exporter": scram.NewTLSExporterBinding, "tls-server-end-point": scram.NewTLSServerEndpointBinding} {
		c := h.dial("c", "tls")
		c.line()
		c.scram(bind)
		if read, want := c.mayRead(), bind != nil; read != want {
			t.Errorf("%s: may read is %v, want %v", name, read, want)
		}
	}
}

// TestSCRAMPlusLoginBehindProxy: what the proxy says of TLS is not asked for
// where the client has proven that the TLS we end is its own (RFC 5802 §6).
func TestSCRAMPlusLoginBehindProxy(t *testing.T) {
	t.Parallel()
	h := openHouse(t, func(o *imapd.Options) { o.Release = requiretls.PolicyBound })
	h.deliver(letter{mailbox: "INBOX", text: openLetter, demand: requiretls.Required()})
	certs, err := serve.LoadCertificates(filepath.Join(h.dir, "tls", "cert.pem"), filepath.Join(h.dir, "tls", "key.pem"), nil)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := serve.Listen(serve.Options{Name: "imap", Handle: h.imap.Handle, TLS: certs, Proxies: serve.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Endpoints: []serve.Endpoint{{Network: "tcp", Address: "127.0.0.1:0", Proxy: true, ImplicitTLS: true}}})
	if err != nil {
		t.Fatal(err)
	}
	h.alsoRun(srv)
	for name, bind := range map[string]binding{"none": nil, "tls-exporter": scram.NewTLSExporterBinding, "tls-server-end-point": scram.NewTLSServerEndpointBinding} {
		conn, err := net.Dial("tcp", srv.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := &client{t: t, h: h, name: name}
		c.use(conn)
		c.send("PROXY TCP4 192.0.2.7 192.0.2.1 5555 993\r\n")
		c.startTLS()
		c.line()
		c.scram(bind)
		if read, want := c.mayRead(), bind != nil; read != want {
			t.Errorf("%s: may read is %v, want %v", name, read, want)
		}
	}
}

// TestSTARTTLSNotOfferedInTLS: a client that is in TLS, be it of the proxy in front
// of us, is not told to begin it (RFC 9051 §6.2.1).
func TestSTARTTLSNotOfferedInTLS(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	for how, answer := range map[string]string{"proxied": "s BAD TLS cannot be started here", "clear": "s OK Begin TLS negotiation now"} {
		c, greeting := h.greetedThroughProxy(how, how)
		c.send("s STARTTLS\r\n")
		got := c.line()
		if offered, want := strings.Contains(greeting, " STARTTLS "), how == "clear"; offered != want || got != answer {
			t.Errorf("%s: offered is %v, want %v; STARTTLS is answered %s, want %s", how, offered, want, got, answer)
		}
	}
}

// TestManyPeopleAtOneAddress: an office behind a NAT and all who use a webmail come from
// one address. Who has logged in counts for himself, and until then for the address.
func TestManyPeopleAtOneAddress(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	srv := h.behindProxies(1)
	come := func(name, want string) *client {
		t.Helper()
		c, greeting := h.comeThrough(srv, name, "proxied")
		if !strings.HasPrefix(greeting, want) {
			t.Fatalf("%s is greeted with %q, want %s", name, greeting, want)
		}
		return c
	}
	first := come("first", "* OK")
	come("too early", "* BYE")
	first.ok("LOGIN ann@example.org " + secret)
	come("second", "* OK").ok("LOGIN ann@example.org " + secret)
	first.ok("UNAUTHENTICATE")
	come("too early again", "* BYE")
	first.ok("LOGIN ann@example.org " + secret)
	come("third", "* OK")
}

// mayRead says whether INBOX's first letter is shown.
func (c *client) mayRead() bool {
	c.t.Helper()
	c.ok("EXAMINE INBOX")
	return strings.Contains(strings.Join(c.do("FETCH 1 BODY.PEEK[TEXT]"), "\n"), "an open letter")
}

// binding makes what a login is bound to; nil: it is not.
type binding func(*tls.ConnectionState) (scram.ChannelBinding, error)

// scram logs ann in by SCRAM-SHA-256, or by its -PLUS.
func (c *client) scram(bind binding) {
	c.t.Helper()
	user, err := scram.SHA256.NewClient("ann@example.org", secret, "")
	if err != nil {
		c.t.Fatal(err)
	}
	mechanism, talk := "SCRAM-SHA-256", user.NewConversation()
	if bind != nil {
		mechanism += "-PLUS"
		state := c.conn.(*tls.Conn).ConnectionState()
		binding, err := bind(&state)
		if err != nil {
			c.t.Fatal(err)
		}
		talk = user.NewConversationWithChannelBinding(binding)
	}
	say, err := talk.Step("")
	c.send("s AUTHENTICATE " + mechanism + " " + base64.StdEncoding.EncodeToString([]byte(say)) + "\r\n")
	for err == nil && !talk.Done() {
		challenge, decodeErr := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.line(), "+ "))
		if decodeErr != nil {
			c.t.Fatal(decodeErr)
		}
		say, err = talk.Step(string(challenge))
		c.send(base64.StdEncoding.EncodeToString([]byte(say)) + "\r\n")
	}
	if line := c.line(); err != nil || !strings.HasPrefix(line, "s OK") {
		c.t.Fatalf("%s: %s, %v", mechanism, line, err)
	}
}
