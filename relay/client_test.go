package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/internal/testnet"
	"letterlock/internal/wire"
)

// scripted is a client whose server has said all it will ever say.
func scripted(t testing.TB, said string) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(theirs, said) // a client that has enough leaves
		theirs.Close()
	}()
	t.Cleanup(func() { ours.Close(); theirs.Close(); <-done })
	return newClient(ours)
}

func TestAnswersAreRead(t *testing.T) { // RFC 5321 §4.2, RFC 2034
	for said, want := range map[string]string{
		"550 5.1.1 nobody\r\n":               "550 5.1.1 nobody",
		"550-5.1.1 no\r\n550 5.1.1 body\r\n": "550 5.1.1 no body",
		"451\r\n":                            "451 ",
		"452 4.2.2\r\n":                      "452 4.2.2 ",
		"550 5.1 x\r\n":                      "550 5.1 x",
		"550 4.1.1 the class is another\r\n": "550 4.1.1 the class is another",
		"354 go\r\n":                         "451 4.5.0 unexpected reply 354 go",
		"550 a\x07b\r\n":                     "550 a b",
		"550 5.1.1 " + strings.Repeat("x", 900) + "\r\n": "550 5.1.1 " + strings.Repeat("x", 600) + "…",
	} {
		_, err := scripted(t, said).expect("250", waitCommand)
		e := refused(err)
		if e == nil || e.Line() != want {
			t.Errorf("%q: %v, want %q", said, err, want)
		}
	}
	for _, nonsense := range []string{"hello\r\n", "25\r\n", "250x\r\n", "999 x\r\n", "250-a\r\n251 b\r\n", "250 a\n", "", strings.Repeat("250-x\r\n", 200), "250 " + strings.Repeat("x", 5000) + "\r\n"} {
		if a, err := scripted(t, nonsense).expect("250", waitCommand); err == nil || refused(err) != nil {
			t.Errorf("%.20q was read as %+v, %v", nonsense, a, err)
		}
	}
}

func TestNothingSaidBeforeTheHandshakeCounts(t *testing.T) { // RFC 3207 §4.2, §6
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		buf := make([]byte, 100)
		_, _ = theirs.Read(buf)                                                   // STARTTLS
		_, _ = io.WriteString(theirs, "220 go\r\n250-evil\r\n250 REQUIRETLS\r\n") // one write: all of it is buffered
		theirs.Close()
	}()
	if err := newClient(ours).startTLS(t.Context(), tlsConfig("x")); !errors.Is(err, errProtocol) {
		t.Errorf("octets between STARTTLS and the handshake: %v", err)
	}
}

func TestMailNeedsThePermitForThisHop(t *testing.T) { // RFC 8689 §4.2
	hop, other := &requiretls.Hop{Name: "a"}, &requiretls.Hop{Name: "b"}
	permit, err := requiretls.Usual().Clear(other)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("MAIL FROM was written with another hop's permit")
		}
	}()
	_ = scripted(t, "250 ok\r\n").mail(permit, hop, "<>", nil)
}

func stuffed(t testing.TB, message string, one func(io.Reader) io.Reader) string {
	t.Helper()
	ours, theirs := net.Pipe()
	got := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(theirs)
		got <- string(b)
	}()
	d := &dotWriter{w: wire.NewWriter(ours, waitBlock), start: true}
	if _, err := io.Copy(d, one(strings.NewReader(message))); err != nil {
		t.Fatal(err)
	}
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	return <-got
}

func TestDotsAreAdded(t *testing.T) { // RFC 5321 §4.5.2
	for message, want := range map[string]string{
		"":                   ".\r\n",
		"a\r\n":              "a\r\n.\r\n",
		"a":                  "a\r\n.\r\n",
		".\r\n":              "..\r\n.\r\n",
		"a\r\n.\r\nb\r\n":    "a\r\n..\r\nb\r\n.\r\n",
		"..a\r\n":            "...a\r\n.\r\n",
		"a\n.\r\n":           "a\n.\r\n.\r\n", // a bare LF ends no line
		"a\r.\r\n":           "a\r.\r\n.\r\n",
		"a\r\n.b.\r\n.c\r\n": "a\r\n..b.\r\n..c\r\n.\r\n",
	} {
		for name, one := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "by octets": iotest.OneByteReader} {
			if got := stuffed(t, message, one); got != want {
				t.Errorf("%q %s: %q, want %q", message, name, got, want)
			}
		}
	}
}

func FuzzDotsComeOffAgain(f *testing.F) {
	f.Add("a\r\n.\r\nb")
	f.Add(".\r\r\n.")
	f.Fuzz(func(t *testing.T, message string) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		go func() {
			d := &dotWriter{w: wire.NewWriter(theirs, waitBlock), start: true}
			_, _ = io.WriteString(d, message)
			_ = d.end()
			theirs.Close()
		}()
		got, err := io.ReadAll(wire.NewReader(ours, waitBlock).Dots())
		want := message
		if !strings.HasSuffix(want, "\r\n") && want != "" {
			want += "\r\n"
		}
		if err != nil || string(got) != want {
			t.Errorf("%q came back as %q, %v", message, got, err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add("250-a\r\n250 b\r\n")
	f.Add("550 5.1.1 x\r\n")
	f.Fuzz(func(t *testing.T, said string) {
		a, err := scripted(t, said).answer(waitCommand)
		if err != nil {
			return
		}
		e := a.refusal()
		if e.Class != reply.Permanent && e.Class != reply.Temporary || strings.ContainsAny(e.Line(), "\r\n") || len(e.Line()) > 800 {
			t.Errorf("%q became %q", said, e.Line())
		}
	})
}

func TestHeaderIsToldFromBody(t *testing.T) {
	const header = "Subject: x\r\n\r\n"
	for _, c := range []struct {
		message            string
		eightBit, inHeader bool
	}{
		{header + "body\r\n", false, false},
		{header + "Grüße\r\n", true, false},
		{"Subject: ü\r\n\r\nbody\r\n", true, true},
		{"\r\nü\r\n", true, false},
		{strings.Repeat("X: y\r\n", 20_000) + "\r\nü\r\n", true, false},
		{strings.Repeat("X: y\r\n", 20_000) + "Y: ü\r\n\r\n", true, true},
		{"", false, false},
	} {
		o := (&mail.Envelope{Demand: requiretls.Usual()}).Redirect(mail.Redirect{})
		m, err := measure(&Letter{Outbound: o, Body: strings.NewReader(c.message)}, mail.FullForm)
		if err != nil || m.eightBit != c.eightBit || m.utf8Header != c.inHeader || m.size != int64(len(c.message)) {
			t.Errorf("%.40q: %+v, %v; want 8 bit %v, in the header %v", c.message, m, err, c.eightBit, c.inHeader)
		}
	}
}

// A message whose header is ASCII and that of a part is not is internationalized as
// well (RFC 6531 §3.2, RFC 6532): it is sent with SMTPUTF8 or not at all.
func TestInternationalizedPartsNeedSMTPUTF8(t *testing.T) {
	const head = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
	forwarded := "Content-Type: message/rfc822\r\n\r\nSubject: Grüße\r\n\r\nx\r\n"
	for message, want := range map[string]bool{
		head + "--b\r\nContent-Disposition: attachment; filename=\"Grüße.txt\"\r\n\r\nx\r\n--b--\r\n":    true,
		head + "--b\r\n\r\nx\r\n--b\r\n" + forwarded + "--b--\r\n":                                       true,
		head + "--b\r\n" + strings.Repeat("X-Long: y\r\n", 9000) + "X: ü\r\n\r\nx\r\n--b--\r\n":          true,
		head + "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße\r\n-- \r\nJörg\r\n--b--\r\n": false,
		head + "Vorwort für alte Programme\r\n--b\r\n\r\nx\r\n--b--\r\n":                                 false,
		"Subject: x\r\n\r\nGrüße\r\n": false,
	} {
		for came, asked := range map[string]bool{"with SMTPUTF8": true, "without": false} {
			o := (&mail.Envelope{Demand: requiretls.Usual(), SMTPUTF8: asked}).Redirect(mail.Redirect{To: carl})
			l := &Letter{Outbound: o, Body: strings.NewReader(message)}
			m, err := measure(l, mail.FullForm)
			if err != nil {
				t.Fatal(err)
			}
			want := want && asked
			old := &session{client: &client{ext: map[string]string{"8BITMIME": ""}}}
			if _, e := old.transaction(l, m); (e == needsUTF8) != want {
				t.Errorf("came %s, to a host that has none: %v, want a refusal: %v\n%.300s", came, e, want, message)
			}
			modern := &session{client: &client{ext: map[string]string{"8BITMIME": "", "SMTPUTF8": ""}}}
			if c, e := modern.transaction(l, m); e != nil || slices.Contains(c.mail, "SMTPUTF8") != want {
				t.Errorf("came %s, to a host that has it: MAIL %q, %v; want SMTPUTF8: %v\n%.300s", came, c.mail, e, want, message)
			}
		}
	}
}

func TestXtext(t *testing.T) { // RFC 3461 §4
	if got := xtext("a+b=c d~"); got != "a+2Bb+3Dc+20d~" {
		t.Errorf("%q", got)
	}
}

func TestEachStepThatFailsKeepsTheLetter(t *testing.T) {
	for _, step := range []string{"connect", "EHLO", "EHLO2", "STARTTLS", "MAIL", "RCPT", "DATA", "end"} {
		for name, order := range map[string]func(*testnet.Host){
			"4xx": func(h *testnet.Host) { h.Answers[step] = "451 4.3.0 later" },
			"cut": func(h *testnet.Host) { h.Cut = step },
		} {
			w := newWorld(t)
			w.host("a", "10", "10")
			w.hosts["a"].Change(order)
			id := w.send([]string{"usual"})
			s, _ := w.box.fate(id)
			want := Deferred
			if step == "STARTTLS" || step == "EHLO2" && name == "cut" { // opportunistic: once more in clear
				want = Sent
			}
			if s.Fate != want || s.Fate == Deferred && !s.Due.After(w.now) {
				t.Errorf("%s at %s: %v, due %s; log:\n%s", name, step, s.Fate, s.Due, w.log)
			}
		}
	}
}

// pipelined is a client whose server offers PIPELINING, has said all it will
// ever say, and keeps what it heard.
func pipelined(t *testing.T, said string) (c *client, heard func() string) {
	t.Helper()
	ours, theirs := net.Pipe()
	got := make(chan string, 1)
	go func() {
		b := make([]byte, 4096)
		n, _ := theirs.Read(b)
		all := string(b[:n])
		said, cut := strings.CutSuffix(said, "CUT")
		_, _ = io.WriteString(theirs, said)
		if cut {
			theirs.Close()
		}
		rest, _ := io.ReadAll(theirs)
		got <- all + "|" + string(rest)
	}()
	c = newClient(ours)
	c.ext["PIPELINING"] = ""
	return c, func() string { ours.Close(); return <-got }
}

func TestOneWriteWherePipeliningIsOffered(t *testing.T) { // RFC 2920 §3.1
	hop := &requiretls.Hop{Name: "a", Encrypted: requiretls.Yes, CertProven: requiretls.Yes, MXProven: requiretls.Yes, Offered: requiretls.Yes}
	permit, err := requiretls.Required().Clear(hop)
	if err != nil {
		t.Fatal(err)
	}
	const commands = "MAIL FROM:<a@x> SIZE=3 REQUIRETLS\r\nRCPT TO:<b@y> NOTIFY=NEVER\r\nDATA\r\n"
	for said, want := range map[string][2]string{
		"250 ok\r\n250 ok\r\n354 go\r\n":                                     {"<nil>", ""},
		"250 ok\r\n550 5.1.1 nobody\r\n503 5.5.1 no\r\n":                     {"550 5.1.1 nobody", ""},
		"550 5.7.1 not you\r\n503 5.5.1 no\r\n503 5.5.1 no\r\n":              {"550 5.7.1 not you", ""},
		"250 ok\r\n550 5.1.1 nobody\r\n354 go\r\n554 5.5.1 no recipient\r\n": {"550 5.1.1 nobody", ".\r\n"},
		"250 ok\r\n550 5.1.1 nobody\r\n354 go\r\n250 taken for nobody\r\n":   {"550 5.1.1 nobody", ".\r\n"},
		"250 ok\r\n550 5.1.1 nobody\r\n354 go\r\nCUT":                        {"550 5.1.1 nobody", ""},
		"421 4.3.2 going\r\nCUT":                                             {"421 4.3.2 going", ""},
		"250 ok\r\n250 ok\r\n451 4.3.1 full\r\n":                             {"451 4.3.1 full", ""},
	} {
		c, heard := pipelined(t, said)
		err := c.begin(permit, hop, command{from: "<a@x>", to: "<b@y>", mail: []string{"SIZE=3"}, rcpt: []string{"NOTIFY=NEVER"}})
		line := "<nil>"
		if e := refused(err); e != nil {
			line = e.Line()
		} else if err != nil {
			line = err.Error()
		}
		if got := heard(); line != want[0] || got != commands+"|"+want[1] {
			t.Errorf("%q: %s, heard %q; want %s, then %q", said, line, got, want[0], want[1])
		}
	}
	c, heard := pipelined(t, "250 ok\r\nCUT")
	if err := c.begin(permit, hop, command{from: "<a@x>", to: "<b@y>"}); err == nil || refused(err) != nil {
		t.Errorf("a lost connection: %v", err)
	}
	heard()
}

// RFC 5321 §4.5.3.2: timeouts are those of commands, and not of the whole
// transaction. Who takes a big letter slowly gets it.
func TestSlowHostGetsABigLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		took := make(chan int, 1)
		go func() { took <- takeSlowly(theirs) }()
		r := New(Options{
			Hostname: "mail.ours.test", Smarthost: &Smarthost{Host: "192.0.2.1", Level: Opportunistic},
			Dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil },
		})
		text := "Subject: big\r\n\r\n" + strings.Repeat("sixteen octets\r\n", 1<<18)
		env := &mail.Envelope{From: bob, Demand: requiretls.Usual(), Received: time.Now()}
		o := r.try(t.Context(), &Letter{Outbound: env.Redirect(mail.Redirect{To: carl}), Body: strings.NewReader(text)}, false)
		ours.Close()
		if n := <-took; o.err != nil || n != len(text) {
			t.Errorf("%d octets of %d arrived: %v", n, len(text), o.err)
		}
	})
}

// takeSlowly speaks SMTP and takes 32 KiB of a letter every 18 seconds: four MiB in 38 minutes.
func takeSlowly(conn net.Conn) (octets int) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 32<<10)
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 slow.test")
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return octets
		case line != "DATA\r\n":
			say("250 ok")
			continue
		}
		say("354 go on")
		for read := 0; line != ".\r\n"; read += len(line) {
			if read > 32<<10 {
				read = 0
				time.Sleep(18 * time.Second) // of the bubble
			}
			if line, err = r.ReadString('\n'); err != nil {
				return octets
			}
			octets += len(line)
		}
		octets -= len(".\r\n")
		say("250 taken")
	}
}
