package lmtp_test

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/internal/dialogue"
	"letterlock/internal/serve"
	"letterlock/lmtp"
)

// TestCutConnectionAtEveryOctet: only what arrived whole is delivered.
func TestCutConnectionAtEveryOctet(t *testing.T) {
	d := openDoor(t)
	hello := "LHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<ben@example.org>\r\n"
	for name, dialogue := range map[string]string{
		"DATA": hello + "DATA\r\nSubject: x\r\n\r\n..text\r\n.\r\n",
		"BDAT": hello + "BDAT 12\r\nSubject: x\r\nBDAT 8 LAST\r\n\r\ntext\r\n",
	} {
		for n := range len(dialogue) + 1 {
			cl := d.dial(t, "unix")
			cl.Send(dialogue[:n])
			cl.Raw.(interface{ CloseWrite() error }).CloseWrite()
			replies, err := io.ReadAll(cl.R)
			if err != nil {
				t.Fatal(err)
			}
			cl.cut()
			got := d.box.taken()
			d.box.letters = nil
			if whole := n == len(dialogue); (len(got) == 1) != whole || strings.Count(string(replies), "delivered") != 2*len(got) {
				t.Fatalf("%s cut after octet %d of %d: delivered %v, said\n%s", name, n, len(dialogue), got, replies)
			}
		}
	}
}

// TestSmugglingFormsStayInsideTheMessage: each is known from attacks on servers
// that take more than CRLF . CRLF for the end.
func TestSmugglingFormsStayInsideTheMessage(t *testing.T) {
	d := openDoor(t)
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r\r\n.\n", "\n.\r", "\r\n.\x00\r\n", "\r\n.\r\r\n", "\r\n..\r\n", "\r\n.\n\r\n", "\r\n .\r\n"} {
		t.Run(fmt.Sprintf("%q", end), func(t *testing.T) {
			before := len(d.box.taken())
			cl := d.dial(t, "tcp")
			cl.greet()
			smuggled := "MAIL FROM:<evil@b.example>\r\nRCPT TO:<ben@example.org>\r\nDATA\r\nsmuggled"
			text := "text" + end + smuggled
			cl.ask(oneLetter+text+"\r\n.\r\nNOOP\r\n", "250 *", "250 *", "354 *", "250 2.0.0 <ann@example.org> *", "250 2.0.0 ok")
			got := d.box.taken()[before:]
			want, ok := modelData(text + "\r\n.\r\n")
			if len(got) != 1 || !ok || got[0].body != want {
				t.Errorf("delivered %d letters, the first is\n%q, want\n%q", len(got), got[0].body, want)
			}
			if !strings.Contains(got[0].body, smuggled) {
				t.Errorf("the message lost %q", smuggled)
			}
		})
	}
}

func TestLinesOfAnyLengthInTheBody(t *testing.T) {
	d := openDoor(t)
	long := strings.Repeat("x", 3_000_000)
	cl := d.dial(t, "tcp")
	cl.greet()
	cl.ask(oneLetter+long+"\r\n"+long+"\r\n.\r\n", "250 *", "250 *", "354 *", "250 *")
	// octets without any LF, in one write with the command; then a longer command
	octets := long[:5000]
	cl.ask("MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\nBDAT 5000 LAST\r\n"+octets+"NOOP "+long[:300]+"\r\n", "250 *", "250 *", "250 2.0.0 <ann@example.org> *", "250 2.0.0 ok")
	for i, want := range []string{long + "\r\n" + long + "\r\n", octets} {
		if got := d.box.taken()[i].body; got != want {
			t.Errorf("letter %d: got %d octets, want %d", i, len(got), len(want))
		}
	}
}

func TestCommandLineOf4096OctetsIsTakenAndALongerOneIsNot(t *testing.T) {
	d := openDoor(t)
	cl := d.dial(t, "tcp")
	cl.expect("220 *")
	noop := func(octets int) string { return "NOOP " + strings.Repeat("x", octets-7) + "\r\n" }
	cl.ask(noop(4096), "250 *")
	cl.ask(noop(4097), "500 5.5.2 *")
	cl.ask(noop(4097)+noop(500_000)+"NOOP\r\n", "500 5.5.2 *", "500 5.5.2 *", "250 *")
	cl.Send(strings.Repeat("x", 1<<20+1<<14)) // and one without any end is given up
	cl.expect("421 *")
}

func TestThousandRecipientsAndOneMore(t *testing.T) {
	d := openDoor(t)
	cl := d.dial(t, "tcp")
	cl.greet()
	var commands strings.Builder
	commands.WriteString("MAIL FROM:<a@b.example>\r\n")
	for i := range 1001 {
		fmt.Fprintf(&commands, "RCPT TO:<user%d@example.org>\r\n", i)
	}
	commands.WriteString("DATA\r\nhi\r\n.\r\n")
	go io.WriteString(cl.Conn, commands.String())
	cl.expect("250 2.1.0 *")
	for i := range 1000 {
		cl.expect(fmt.Sprintf("250 2.1.5 <user%d@example.org> ok", i))
	}
	cl.expect("452 4.5.3 *", "354 *") // RFC 5321 §4.5.3.1.10
	for i := range 1000 {
		cl.expect(fmt.Sprintf("250 2.0.0 <user%d@example.org> *", i))
	}
	if got := d.box.taken(); len(got) != 1 || len(got[0].rcpts) != 1000 {
		t.Errorf("delivered %d letters", len(got))
	}
}

// TestSlowSteadySenderIsNotCut: the deadline is that of each read, not that of
// the message.
func TestSlowSteadySenderIsNotCut(t *testing.T) {
	t.Parallel()
	const idle = 2 * time.Second
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) { o.Idle = idle })
	cl := d.dial(t, "tcp")
	cl.greet()
	cl.ask(oneLetter, "250 *", "250 *", "354 *")
	drip := time.NewTicker(idle / 20)
	defer drip.Stop()
	for range 25 {
		<-drip.C
		cl.Send("x")
	}
	cl.ask("\r\n.\r\n", "250 *")
	if got, want := d.box.taken()[0].body, strings.Repeat("x", 25)+"\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSilentClientIsSentAway(t *testing.T) {
	t.Parallel()
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) { o.Idle = 200 * time.Millisecond })
	for _, said := range []string{"", "LHLO c\r\nMAIL FROM:<a@b.example>\r\n", "LHLO"} {
		cl := d.dial(t, "tcp")
		io.WriteString(cl.Conn, said) // a slow machine may be too late with it
		last := ""
		for !strings.HasPrefix(last, "421") {
			last = cl.Line()
		}
		if last != "421 4.4.2 timed out waiting for you" {
			t.Errorf("after %q: %s", said, last)
		}
		cl.closed()
	}
}

// TestClientThatNeverReadsIsCut: replies pile up until the system takes no more
// of them.
func TestClientThatNeverReadsIsCut(t *testing.T) {
	t.Parallel()
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) { o.Idle = 200 * time.Millisecond })
	cl := d.dial(t, "unix")
	noops := strings.Repeat("HELP\r\n", 1000)
	for {
		if _, err := io.WriteString(cl.Raw, noops); err != nil {
			break // broken pipe: the server has hung up
		}
	}
	d.gone.Wait()
}

func TestClientWithoutItsCertificateGetsNoMailThrough(t *testing.T) {
	_, clients := dialogue.ClientCertificate(t, "somebody@example.org")
	d := openDoor(t, func(_ *lmtp.Options, s *serve.Options) {
		for i := range s.Endpoints {
			s.Endpoints[i].ClientCA = clients
		}
	})
	cl := d.dial(t, "tcp")
	cl.greet()
	// RFC 3207 §4: 530 to all but NOOP, LHLO, STARTTLS, QUIT
	cl.ask("MAIL FROM:<a@b.example>\r\n", "530 5.7.0 *")
	cl.ask("RCPT TO:<ann@example.org>\r\n", "530 5.7.0 *")
	cl.ask("DATA\r\n", "530 5.7.0 *")
	cl.ask("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "503 5.5.1 *", "250 *")
	cl.ask("STARTTLS\r\n", "220 *")
	cl.Send("no handshake\r\n")
	cl.closed()
}

// TestNothingSentBeforeTheHandshakeSurvivesIt: RFC 3207 §6.
func TestNothingSentBeforeTheHandshakeSurvivesIt(t *testing.T) {
	d := openDoor(t)
	for _, network := range []string{"tcp", "unix"} {
		cl := d.dial(t, network)
		cl.greet()
		cl.ask("MAIL FROM:<clear@b.example>\r\nRCPT TO:<ann@example.org>\r\n", "250 *", "250 *")
		cl.ask("STARTTLS\r\nLHLO injected.example\r\nMAIL FROM:<injected@b.example>\r\nRCPT TO:<ann@example.org>\r\n", "220 *")
		cl.handshake()
		cl.ask("DATA\r\n", "503 5.5.1 *")
		cl.ask("MAIL FROM:<a@b.example>\r\n", "503 5.5.1 *LHLO*")
		cl.lhlo()
		cl.ask("RCPT TO:<ann@example.org>\r\n", "503 5.5.1 *")
	}
}

func TestManyClientsWithManyMessages(t *testing.T) {
	d := openDoor(t)
	var all sync.WaitGroup
	const clients, each = 20, 20
	for i := range clients {
		cl := d.dial(t, []string{"tcp", "unix", "tls"}[i%3])
		all.Go(func() {
			cl.greet()
			for k := range each {
				cl.ask(oneLetter+fmt.Sprintf("%d of %d\r\n.\r\n", k, i), "250 *", "250 *", "354 *", "250 *")
			}
			cl.ask("QUIT\r\n", "221 *")
			cl.closed()
		})
	}
	all.Wait()
	ids := map[string]bool{}
	for _, l := range d.box.taken() {
		ids[l.env.ID] = true
	}
	if len(ids) != clients*each {
		t.Errorf("%d different ids for %d letters", len(ids), clients*each)
	}
}

// Behind a proxy the TLS that counts is the client's: REQUIRETLS is offered inside it
// alone (RFC 8689 §2), STARTTLS outside it alone (RFC 3207 §4.2).
func TestTLSBehindAProxyIsTheClients(t *testing.T) {
	const v2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00"
	const addresses = "\xc0\x00\x02\x07\xc0\x00\x02\x01\x15\xb3\x00\x8f"
	d := openDoor(t, func(_ *lmtp.Options, conf *serve.Options) {
		conf.Proxies.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		for i := range conf.Endpoints {
			conf.Endpoints[i].Proxy = true
		}
	})
	for name, c := range map[string]struct {
		header     string
		tls        bool // begun under the proxy's word
		startTLS   bool
		requireTLS bool
	}{
		"over TLS":                            {v2 + "\x1e" + addresses + "\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3", false, false, true},
		"in clear":                            {v2 + "\x14" + addresses + "\x20\x00\x05\x00\x00\x00\x00\x00", false, true, false},
		"in clear, the proxy itself over TLS": {v2 + "\x14" + addresses + "\x20\x00\x05\x00\x00\x00\x00\x00", true, false, false},
		"nothing said, TLS passed on":         {v2 + "\x0c" + addresses, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			network := "tcp"
			d.gone.Add(1)
			if c.tls {
				network = "tls"
			}
			mta := &client{dialogue.Dial(t, network, d.addrs[network]), t, d}
			mta.Send(c.header)
			if c.tls {
				mta.handshake()
			}
			mta.expect("220 *")
			offered := mta.lhlo()
			if starts, demands := slices.Contains(offered, "STARTTLS"), slices.Contains(offered, "REQUIRETLS"); starts != c.startTLS || demands != c.requireTLS {
				t.Errorf("offered: %v, want STARTTLS: %v, REQUIRETLS: %v", offered, c.startTLS, c.requireTLS)
			}
			answer := "523 5.7.10 *"
			if c.requireTLS {
				answer = "250 2.1.0 *"
			}
			mta.ask("MAIL FROM:<ann@example.net> REQUIRETLS\r\n", answer)
			if !c.startTLS {
				mta.ask("STARTTLS\r\n", "*5* *")
			}
			mta.cut()
		})
	}
}
