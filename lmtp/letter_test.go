package lmtp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"letterlock/internal/dialogue"
	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/reply"
	"letterlock/internal/serve"
	"letterlock/lmtp"
)

const oneLetter = "MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n"

func TestEnvelopeSaysHowTheMessageCame(t *testing.T) {
	for _, c := range []struct{ network, peer, protocol string }{
		{"tcp", "127.0.0.1", "LMTP"},
		{"unix", "local", "LMTP"},
		{"tls", "127.0.0.1", "LMTPS"},
	} {
		t.Run(c.network, func(t *testing.T) {
			t.Parallel()
			d := openDoor(t)
			cl := d.dial(t, c.network)
			cl.greet()
			cl.ask(oneLetter+"hi\r\n.\r\n", "250 *", "250 *", "354 *", "250 *")
			cl.ask("MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\nBDAT 0 LAST\r\n", "250 *", "250 *", "250 *")
			got := d.box.taken()
			if len(got) != 2 {
				t.Fatalf("%d letters", len(got))
			}
			env := got[0].env
			if env.Peer != c.peer || env.Protocol != c.protocol || env.Helo != "client.example" || env.Received.IsZero() || !env.Demand.Stated() {
				t.Errorf("envelope %+v", env)
			}
			if (env.TLSVersion >= tls.VersionTLS12 && env.TLSCipher != 0) != (c.network == "tls") {
				t.Errorf("TLS version %x, cipher %x", env.TLSVersion, env.TLSCipher)
			}
			if len(env.ID) != 13 || env.ID >= got[1].env.ID {
				t.Errorf("ids %q, %q: want short ones that sort", env.ID, got[1].env.ID)
			}
		})
	}
}

func TestIdsSortAlsoWhenTheClockGoesBack(t *testing.T) {
	now := time.Now()
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) {
		o.Now = func() time.Time { now = now.Add(-time.Hour); return now } // one connection asks: no lock
	})
	cl := d.dial(t, "unix")
	cl.greet()
	last := ""
	for range 5 {
		cl.ask("MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nBDAT 0 LAST\r\n", "250 *", "250 *", "250 *")
		letters := d.box.taken()
		id := letters[len(letters)-1].env.ID
		if id <= last {
			t.Errorf("%s after %s", id, last)
		}
		last = id
	}
}

func TestServerWithoutACertificate(t *testing.T) {
	d := openDoor(t, func(_ *lmtp.Options, s *serve.Options) {
		s.TLS = nil
		s.Endpoints[1].ImplicitTLS = false
	})
	cl := d.dial(t, "tcp")
	cl.expect("220 *")
	if list := strings.Join(cl.lhlo(), " "); strings.Contains(list, "TLS") {
		t.Errorf("lists %s", list)
	}
	cl.ask("STARTTLS\r\n", "454 4.7.0 *") // RFC 3207 §4
	cl.ask("MAIL FROM:<a@b.example> REQUIRETLS\r\n", "523 5.7.10 *")
}

// TestRepliesAreShortLinesOfASCII: RFC 5321 §4.5.3.1.5, RFC 6531 §3.7.4.2.
func TestRepliesAreShortLinesOfASCII(t *testing.T) {
	d := openDoor(t)
	cl := d.dial(t, "tcp")
	cl.greet()
	cl.ask("MAIL FROM:<a@b.example> SMTPUTF8\r\n", "250 *")
	cl.Send("RCPT TO:<umlaut@example.org>\r\n")
	if got, want := cl.Line(), "550-5.1.1 kein Postfach f?r"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got := cl.Line()
	if !strings.HasPrefix(got, "550 5.1.1 250 xxx") || len(got) != 510 {
		t.Errorf("got %d octets: %s", len(got), got)
	}
	cl.ask("NOOP\r\n", "250 2.0.0 ok")
}

func TestRequireTLSIsListedInsideTLSAlone(t *testing.T) {
	d := openDoor(t)
	for _, c := range []struct {
		network string
		want    string
	}{{"tcp", "STARTTLS"}, {"unix", "STARTTLS"}, {"tls", "REQUIRETLS"}} {
		cl := d.dial(t, c.network)
		cl.expect("220 *")
		list := strings.Join(cl.lhlo(), " ")
		for _, k := range []string{"STARTTLS", "REQUIRETLS"} {
			if strings.Contains(list, " "+k) != (k == c.want) {
				t.Errorf("%s lists %s", c.network, list)
			}
		}
	}
}

// tlsRequiredField stands for the real scanner, which another room has.
func tlsRequiredField(header []byte) (no, bad bool) {
	fields := 0
	for l := range strings.SplitSeq(string(header), "\r\n") {
		if name, value, ok := strings.Cut(l, ":"); ok && strings.EqualFold(name, "TLS-Required") {
			fields++
			no = strings.EqualFold(strings.TrimSpace(value), "no")
		}
	}
	return no && fields == 1, fields > 1 || fields == 1 && !no
}

// requireTLSField too.
func requireTLSField(header []byte) bool {
	unfolded := strings.NewReplacer("\r\n ", " ", "\r\n\t", " ").Replace(string(header))
	for l := range strings.SplitSeq(unfolded, "\r\n") {
		name, value, _ := strings.Cut(l, ":")
		if strings.EqualFold(strings.TrimRight(name, " \t"), "Require-TLS-ESMTP") && strings.EqualFold(strings.TrimSpace(value), "yes") {
			return true
		}
	}
	return false
}

// TestTrustWithoutAReaderOfHeadersIsAFaultOfOurs: a tag we were told to look for
// and cannot see must not be lost.
func TestTrustWithoutAReaderOfHeadersIsAFaultOfOurs(t *testing.T) {
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) {
		o.TrustHeader = func(e serve.Endpoint) bool { return true }
	})
	cl := d.dial(t, "unix")
	cl.greet()
	cl.ask(oneLetter+"hi\r\n.\r\n", "250 *", "250 *", "354 *", "451 4.3.0 *")
}

func TestHeaderTooLongToReadIsTaggedWhereTheTagIsTrusted(t *testing.T) {
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) {
		o.RequireTLSHeader = requireTLSField
		o.TrustHeader = func(e serve.Endpoint) bool { return e.Network == "unix" }
	})
	endless := strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 1100)
	for network, want := range map[string]string{"unix": "required", "tcp": "usual"} {
		cl := d.dial(t, network)
		cl.greet()
		cl.ask(oneLetter+endless+"\r\n.\r\n", "250 *", "250 *", "354 *", "250 *")
		letters := d.box.taken()
		if got := letters[len(letters)-1].env.Demand.String(); got != want {
			t.Errorf("%s: demand %s, want %s", network, got, want)
		}
	}
}

func TestTLSRequiredNoIsReadFromTheTopHeader(t *testing.T) {
	long := strings.Repeat("X-Long: "+strings.Repeat("x", 60)+"\r\n", 5000)
	endless := strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 1100)
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) { o.TLSRequired = tlsRequiredField })
	for _, c := range []struct{ name, param, text, want string }{
		{"no", "", "TLS-Required: No\r\n\r\ntext\r\n", "waived"},
		{"header alone", "", "TLS-Required: No\r\n", "waived"},
		{"none", "", "Subject: x\r\n\r\ntext\r\n", "usual"},
		{"in the body", "", "Subject: x\r\n\r\nTLS-Required: No\r\n", "usual"},
		{"no header at all", "", "\r\nTLS-Required: No\r\n", "usual"},
		{"empty", "", "", "usual"},
		{"twice", "", "TLS-Required: No\r\nTLS-Required: No\r\n\r\n", "usual"},
		{"another value", "", "TLS-Required: Yes\r\n\r\n", "usual"},
		{"RFC 8689 §4.1: the parameter beats the header", " REQUIRETLS", "TLS-Required: No\r\n\r\n", "required"},
		{"far down", "", long + "TLS-Required: No\r\n\r\ntext\r\n", "waived"},
		{"far down in a big message", "", long + "TLS-Required: No\r\n\r\n" + strings.Repeat("text\r\n", 300000), "waived"},
		{"a header nobody can read whole is usual", "", "TLS-Required: No\r\n" + endless + "\r\ntext\r\n", "usual"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := d.dial(t, "tls")
			cl.greet()
			cl.ask("MAIL FROM:<a@b.example>"+c.param+"\r\nRCPT TO:<ann@example.org>\r\n", "250 *", "250 *")
			cl.ask(fmt.Sprintf("BDAT %d LAST\r\n%s", len(c.text), c.text), "250 *")
			letters := d.box.taken()
			if got := letters[len(letters)-1].env.Demand.String(); got != c.want {
				t.Errorf("demand %s, want %s", got, c.want)
			}
		})
	}
}

// fullSpool fails like a full disk once it holds room octets.
type fullSpool struct {
	lmtp.SpoolFile
	room int
	err  error
}

func (f *fullSpool) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, f.err
	}
	return f.SpoolFile.Write(p)
}

func TestFullDiskRefusesForNowAndTheSessionGoesOn(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"full", syscall.ENOSPC, "452 4.3.1 *"},
		{"quota", syscall.EDQUOT, "452 4.3.1 *"},
		{"the store says so", reply.DiskFull, "452 4.3.1 *"},
		{"broken", errSecret, "451 4.3.0 local error, try again later"},
		{"cannot be opened", nil, "451 4.3.0 local error, try again later"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) {
				real := o.Spool
				o.Spool = func() (lmtp.SpoolFile, error) {
					if c.err == nil {
						return nil, errSecret
					}
					f, err := real()
					return &fullSpool{f, 1 << 21, c.err}, err
				}
			})
			cl := d.dial(t, "tcp")
			cl.greet()
			for range 2 {
				cl.ask("MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<ben@example.org>\r\nDATA\r\n", "250 *", "250 *", "250 *", "354 *")
				cl.ask(strings.Repeat("text\r\n", 500000)+".\r\n", c.want, c.want)
			}
			cl.ask(oneLetter+"small\r\n.\r\n", "250 *", "250 *", "354 *", "250 *")
			if got := d.box.taken(); len(got) != 1 || got[0].body != "small\r\n" {
				t.Errorf("delivered %v", got)
			}
		})
	}
}

func TestRecipientsNeedMemoryToo(t *testing.T) {
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) { o.Memory = 4 * 400 })
	cl := d.dial(t, "tcp")
	cl.greet()
	for range 2 {
		cl.ask("MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<ben@example.org>\r\nRCPT TO:<cid@example.org>\r\nRSET\r\n",
			"250 *", "250 *", "250 *", "452 4.5.3 *", "250 *")
	}
}

// TestMessageThatNeverEndsIsGivenUp: however steadily it drips.
func TestMessageThatNeverEndsIsGivenUp(t *testing.T) {
	var late atomic.Int64
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	})
	for _, c := range []struct{ begin, more string }{
		{oneLetter, "more\r\n"},
		{"MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\nBDAT 1\r\nx", "BDAT 3\r\nyz"},
	} {
		cl := d.dial(t, "tcp")
		cl.greet()
		cl.ask(c.begin, "250 *", "250 *", "*")
		late.Add(int64(3 * time.Hour))
		cl.ask(c.more, "421 4.4.2 *")
		cl.closed()
	}
}

func TestBigMessageWithoutSpoolIsRefusedForNow(t *testing.T) {
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) { o.Spool = nil })
	cl := d.dial(t, "tcp")
	cl.greet()
	cl.ask(oneLetter, "250 *", "250 *", "354 *")
	cl.ask(strings.Repeat("text\r\n", 500000)+".\r\n", "452 4.3.1 *")
}

func TestMemoryThatIsUsedUpSendsBodiesToTheSpool(t *testing.T) {
	var mu sync.Mutex
	spooled := 0
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) {
		o.Memory = 150_000
		real := o.Spool
		o.Spool = func() (lmtp.SpoolFile, error) {
			mu.Lock()
			defer mu.Unlock()
			spooled++
			return real()
		}
	})
	text := strings.Repeat("sixty octets of text, and that is how long this line will be\r\n", 1000)
	first, second := d.dial(t, "tcp"), d.dial(t, "unix")
	for _, cl := range []*client{first, second} {
		cl.greet()
		cl.ask("MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\n", "250 *", "250 *")
		cl.ask(fmt.Sprintf("BDAT %d\r\n%s", len(text), text), "250 *")
	}
	first.ask("BDAT 0 LAST\r\n", "250 *")
	second.ask("BDAT 0 LAST\r\n", "250 *")
	for range 20 { // what was given back is there again
		first.ask("MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\n", "250 *", "250 *")
		first.ask(fmt.Sprintf("BDAT %d LAST\r\n%s", len(text), text), "250 *")
	}
	for _, l := range d.box.taken() {
		if l.body != text {
			t.Errorf("got %d octets, want %d", len(l.body), len(text))
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if spooled != 1 {
		t.Errorf("%d bodies were spooled, want the second alone", spooled)
	}
}

func TestEveryFateIsLoggedOnceWithItsCause(t *testing.T) {
	var book bytes.Buffer
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) {
		o.Mail = maillog.New(slog.New(slog.NewTextHandler(&book, nil)))
	})
	cl := d.dial(t, "unix")
	cl.greet()
	cl.ask("MAIL FROM:<a@b.example> REQUIRETLS\r\n", "523 *")
	cl.ask("MAIL FROM:<a@b.example>\r\nRCPT TO:<nobody@example.org>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<late-full@example.org>\r\n"+
		"RCPT TO:<late-broken@example.org>\r\nDATA\r\nhi\n\x00\r\n.\r\n",
		"250 *", "550 *", "250 *", "250 *", "250 *", "354 *", "250 *", "452 *", "451 4.3.0 local error, try again later")
	cl.cut()
	want := []string{
		`*msg=refused id="" peer=local code="523 5.7.10"*`,
		`*msg=refused id=0* peer=local code="550 5.1.1"*nobody@example.org*`,
		`*msg=mended id=0* peer=local bare_lf=1 nul=1*`,
		`*msg=accepted id=0* peer=local protocol=LMTP * size=7 * to=*ann@example.org*`,
		`*msg=refused id=0* code="452 4.2.2" * cause="ann has 10 GB"*late-full@example.org*`,
		`*msg=refused id=0* code="451 4.3.0" * cause="store: ` + errSecret.Error() + `"*late-broken@example.org*`,
	}
	got := strings.Split(strings.TrimSpace(book.String()), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), book.String())
	}
	for i := range want {
		if !dialogue.Like(got[i], want[i], "*") {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

// badBody fails when it is read back.
type badBody struct{ lmtp.SpoolFile }

func (badBody) ReadAt([]byte, int64) (int, error) { return 0, errors.New("I/O error") }

func TestSpoolThatCannotBeReadBackIsAFaultOfOurs(t *testing.T) {
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) {
		o.TLSRequired = tlsRequiredField
		real := o.Spool
		o.Spool = func() (lmtp.SpoolFile, error) { f, err := real(); return badBody{f}, err }
	})
	cl := d.dial(t, "tcp")
	cl.greet()
	cl.ask(oneLetter, "250 *", "250 *", "354 *")
	cl.ask(strings.Repeat("text\r\n", 500000)+".\r\n", "451 4.3.0 local error, try again later")
	if got := d.box.taken(); len(got) > 0 {
		t.Errorf("delivered %v", got)
	}
}

// hoarder keeps the bodies it was handed, against the contract.
type hoarder struct {
	nowhere
	kept chan mail.Body
}

func (h hoarder) Deliver(_ context.Context, _ *mail.Envelope, body mail.Body, rcpts []mail.Address) []error {
	h.kept <- body
	return make([]error, len(rcpts))
}

func TestABodyReadTooLateIsNobodyElsesLetter(t *testing.T) {
	h := hoarder{kept: make(chan mail.Body, 2)}
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) { o.Deliver = h })
	cl := d.dial(t, "unix")
	cl.greet()
	cl.ask(oneLetter+"first\r\n.\r\n", "250 *", "250 *", "354 *", "250 *")
	cl.ask(oneLetter+"second letter\r\n.\r\n", "250 *", "250 *", "354 *", "250 *")
	first := <-h.kept
	if n, err := first.ReadAt(make([]byte, 100), 0); n != 0 || err != io.EOF || first.Size() != 0 {
		t.Errorf("after its end the first body has %d octets (size %d): %v", n, first.Size(), err)
	}
}

// The memory that bodies lie in is used again: whatever their sizes and however
// they come, each arrives as it was sent.
func TestBodiesOfAllSizesShareMemoryAndNothingElse(t *testing.T) {
	d := openDoor(t)
	var clients sync.WaitGroup
	for n := range 8 {
		clients.Go(func() {
			cl := d.dial(t, "unix")
			cl.greet()
			for i, size := range []int{0, 1, 4094, 4095, 4096, 4097, 70_000, 131_072, 140_000, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3} {
				line := fmt.Sprintf("%d.%d of the letter\r\n", n, i)
				text := strings.Repeat(line, size/len(line)+1)
				declared := ""
				if (n+i)%2 == 0 {
					declared = fmt.Sprintf(" SIZE=%d", len(text)*(1+n%3)/2)
				}
				who := fmt.Sprintf("RCPT TO:<c%d-%d@example.org>\r\n", n, i)
				if n%2 == 0 {
					cl.ask("MAIL FROM:<a@b.example>"+declared+"\r\n"+who+"DATA\r\n"+text+".\r\n", "250 *", "250 *", "354 *", "250 *")
				} else {
					cl.ask("MAIL FROM:<a@b.example>"+declared+"\r\n"+who+fmt.Sprintf("BDAT %d LAST\r\n", len(text))+text, "250 *", "250 *", "250 *")
				}
			}
		})
	}
	clients.Wait()
	for _, l := range d.box.taken() {
		var n, i int
		if _, err := fmt.Sscanf(l.rcpts[0].Local, "c%d-%d", &n, &i); err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%d.%d of the letter\r\n", n, i)
		if strings.ReplaceAll(l.body, line, "") != "" || len(l.body) == 0 {
			t.Errorf("letter %d.%d of %d octets has others in it", n, i, len(l.body))
		}
	}
}
