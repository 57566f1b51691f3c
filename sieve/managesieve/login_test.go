package managesieve_test

import (
	"crypto/tls"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"letterlock/internal/auth"
	"letterlock/internal/dialogue"
	"letterlock/internal/requiretls"
	"letterlock/sieve/managesieve"
)

// logIn plays a SCRAM login with another library's client and gives the line
// that ended it.
func (c *client) logIn(mechanism, login, password string, binding *scram.ChannelBinding) string {
	c.t.Helper()
	generator := scram.SHA256
	if strings.HasPrefix(mechanism, "SCRAM-SHA-1") {
		generator = scram.SHA1
	}
	person, err := generator.NewClient(login, password, "")
	if err != nil {
		c.t.Fatal(err)
	}
	talk := person.NewConversation()
	if binding != nil {
		talk = person.NewConversationWithChannelBinding(*binding)
	}
	first, err := talk.Step("")
	if err != nil {
		c.t.Fatal(err)
	}
	c.Send(`AUTHENTICATE "` + mechanism + `" "` + base64.StdEncoding.EncodeToString([]byte(first)) + "\"\r\n")
	for {
		line, err := c.TryLine()
		if err != nil {
			c.t.Fatalf("%s: %v after %q", mechanism, err, line)
		}
		if final, ok := strings.CutPrefix(line, `OK (SASL "`); ok {
			if _, err := talk.Step(unbase64(c.t, strings.TrimSuffix(final, `")`))); err != nil || !talk.Valid() {
				c.t.Fatalf("%s: the client does not believe the server: %v", mechanism, err)
			}
			return line
		}
		if !strings.HasPrefix(line, `"`) {
			return line
		}
		answer, err := talk.Step(unbase64(c.t, strings.Trim(line, `"`)))
		if err != nil {
			c.t.Fatalf("%s: the client gives up: %v", mechanism, err)
		}
		c.Send(`"` + base64.StdEncoding.EncodeToString([]byte(answer)) + "\"\r\n")
	}
}

func unbase64(t testing.TB, s string) string {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return string(text)
}

func (c *client) binding(kind string) *scram.ChannelBinding {
	c.t.Helper()
	state := c.Conn.(*tls.Conn).ConnectionState()
	make := scram.NewTLSExporterBinding
	if kind == "tls-server-end-point" {
		make = scram.NewTLSServerEndpointBinding
	}
	binding, err := make(&state)
	if err != nil {
		c.t.Fatal(err)
	}
	return &binding
}

func TestSCRAMIsOfferedAndWorks(t *testing.T) { // RFC 5804 §2.1: SCRAM-SHA-1 MUST be there
	h := openHouse(t)
	for _, try := range []struct {
		mechanism, binding string
		class              requiretls.Class
	}{
		{"SCRAM-SHA-1", "", requiretls.ClassTLS},
		{"SCRAM-SHA-256", "", requiretls.ClassTLS},
		{"SCRAM-SHA-1-PLUS", "tls-exporter", requiretls.ClassBound},
		{"SCRAM-SHA-256-PLUS", "tls-exporter", requiretls.ClassBound},
		{"SCRAM-SHA-256-PLUS", "tls-server-end-point", requiretls.ClassBound},
	} {
		c := h.dial("tls")
		c.answer()
		var binding *scram.ChannelBinding
		if try.binding != "" {
			binding = c.binding(try.binding)
		}
		if got := c.logIn(try.mechanism, "ann@example.org", secret, binding); !strings.HasPrefix(got, "OK (SASL ") {
			t.Errorf("%s %s: %s", try.mechanism, try.binding, got)
		}
		c.ok("LISTSCRIPTS")
		want := "msg=login protocol=managesieve peer=127.0.0.1 protection=" + try.class.String() + " user=ann@example.org"
		if lines := strings.Split(strings.TrimSpace(h.mail.String()), "\n"); !strings.HasSuffix(lines[len(lines)-1], want) {
			t.Errorf("%s %s: the log says\n%s\nwant\n… %s", try.mechanism, try.binding, lines[len(lines)-1], want)
		}
	}
}

func TestFailedLoginsAreLogged(t *testing.T) {
	h := openHouse(t)
	c := h.dial("tls")
	c.answer()
	for _, login := range []string{"ann@example.org", "eve@example.org"} {
		if got, want := c.logIn("SCRAM-SHA-256", login, "wrong", nil), `NO "Wrong name or password"`; got != want {
			t.Errorf("%s: %s, want %s", login, got, want)
		}
		if got, want := h.mail.String(), `msg="login failed" protocol=managesieve peer=127.0.0.1 protection=tls reason="wrong name or password" user=`+login; !strings.Contains(got, want) {
			t.Errorf("the log says\n%s\nwant\n… %s", got, want)
		}
	}
}

// Who relays a login through a TLS connection of their own is found out.
func TestALoginBoundToAnotherConnectionIsRefused(t *testing.T) {
	h := openHouse(t)
	victim, middle := h.dial("tls"), h.dial("tls")
	middle.answer()
	if got, want := middle.logIn("SCRAM-SHA-256-PLUS", "ann@example.org", secret, victim.binding("tls-exporter")), `NO "Wrong name or password"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := h.mail.String(), "channel binding does not fit"; !strings.Contains(got, want) {
		t.Errorf("the log says\n%s\nwant it to say: %s", got, want)
	}
}

// RFC 9266 §4.1: one login for one channel binding. RFC 5804 §1.7 allows the
// capabilities to change with UNAUTHENTICATE.
func TestAChannelBindingIsUsedForOneLoginAlone(t *testing.T) {
	c := openHouse(t).dial("tls")
	c.answer()
	if got := c.logIn("SCRAM-SHA-256-PLUS", "ann@example.org", secret, c.binding("tls-exporter")); !strings.HasPrefix(got, "OK") {
		t.Fatal(got)
	}
	c.ok("UNAUTHENTICATE")
	c.Send("CAPABILITY\r\n")
	if _, err := c.TryLine(); err != nil {
		t.Fatal(err)
	}
	if got, err := c.TryLine(); err != nil || strings.Contains(got, "PLUS") {
		t.Errorf("offered afterwards: %s, %v; want no -PLUS", got, err)
	}
	c.answer()
	if got, want := c.logIn("SCRAM-SHA-256-PLUS", "ann@example.org", secret, c.binding("tls-exporter")), `NO "This mechanism is not offered"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := c.logIn("SCRAM-SHA-256", "ann@example.org", secret, nil); !strings.HasPrefix(got, "OK") {
		t.Error(got)
	}
}

// What the password checker says of itself becomes the answer.
func TestLoginsThatCannotBeDecidedNow(t *testing.T) {
	h := openHouse(t)
	for login, want := range map[string]string{
		"trouble@example.org": "NO (TRYLATER) ",
		"busy@example.org":    "NO (TRYLATER) ",
		"slowed@example.org":  "BYE (TRYLATER) ",
	} {
		c := h.dial("tls")
		c.answer()
		if got := c.do(`AUTHENTICATE "PLAIN" "` + plain("", login, secret) + `"`); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s…", login, got, want)
		}
	}
	if got, want := h.log.String(), "disk on fire"; !strings.Contains(got, want) {
		t.Errorf("our log says %q, want it to name %q", got, want)
	}
}

// RFC 5804 §2.2: a client certificate alone logs nobody in; EXTERNAL does.
func TestEXTERNALByClientCertificate(t *testing.T) {
	h := openHouse(t)
	c := h.dial("certificate")
	c.answer()
	if got, want := c.do("LISTSCRIPTS"), `NO "Log in first"`; got != want {
		t.Errorf("before: %s, want %s", got, want)
	}
	c.ok(`AUTHENTICATE "EXTERNAL" ""`)
	c.ok("LISTSCRIPTS")
	if got, want := h.mail.String(), "protection=bound user=ann@example.org"; !strings.Contains(got, want) {
		t.Errorf("the log says %q, want %q", got, want)
	}
	c.ok("UNAUTHENTICATE")
	if got, want := c.do(`AUTHENTICATE "EXTERNAL" "`+base64.StdEncoding.EncodeToString([]byte("bob@example.org"))+`"`), `NO "You may not act for somebody else"`; got != want {
		t.Errorf("as bob: %s, want %s", got, want)
	}
}

func TestOptionsThatAreMissingAreAMistakeOfTheProgram(t *testing.T) {
	defer func() {
		if p := recover(); p == nil {
			t.Error("a server without scripts was made")
		}
	}()
	managesieve.New(managesieve.Options{Logins: auth.NewChecker(town, 1)})
}

func TestSomebodyWhoLeavesInTheMiddleHarmsNobody(t *testing.T) {
	h := openHouse(t)
	for _, octets := range []string{"", "NOOP", "AUTHENTICATE \"PLAIN\"\r\n", "PUTSCRIPT \"x\" {10+}\r\nabc", "AUTHENTICATE \"PLAIN\"\r\n{100+}\r\nabc"} {
		c := h.dial("tls")
		c.answer()
		c.Send(octets)
		c.Conn.Close()
	}
	c := h.dial("tls")
	c.answer()
	c.ok("NOOP")
	h.stop() // says if a connection ended by a bug
}

// A client that is in TLS, be it that of the proxy in front of us, is not told to
// begin it (RFC 5804 §2.2).
func TestSTARTTLSNotOfferedInTLSOfAProxy(t *testing.T) {
	h := openHouse(t)
	for how, c := range map[string]struct{ field, answer string }{
		"over TLS": {"\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3", "NO *"},
		"in clear": {"\x20\x00\x05\x00\x00\x00\x00\x00", "OK *"},
	} {
		proxy := h.dial("proxied")
		addresses := "\xc0\x00\x02\x07\xc0\x00\x02\x01\x15\xb3\x10\x5e"
		proxy.Send("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00" + string(rune(len(addresses+c.field))) + addresses + c.field)
		offered := false
		for line := proxy.Line(); !strings.HasPrefix(line, "OK"); line = proxy.Line() {
			offered = offered || line == `"STARTTLS"`
		}
		proxy.Send("STARTTLS\r\n")
		got := proxy.answer()
		if want := how == "in clear"; offered != want || !dialogue.Like(got, c.answer, "*") {
			t.Errorf("%s: offered is %v, want %v; STARTTLS is answered %s, want %s", how, offered, want, got, c.answer)
		}
	}
}
