package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"letterlock/internal/wire"
)

// pair is two ends of a real connection.
func pair(t testing.TB) (server, client net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

// sent is a reader of what a client said before it left.
func sent(t testing.TB, octets string) *wire.Reader {
	t.Helper()
	server, client := pair(t)
	go func() {
		io.WriteString(client, octets)
		client.Close()
	}()
	return wire.NewReader(server, time.Minute)
}

func TestLines(t *testing.T) {
	const limit = 16
	long := strings.Repeat("x", limit-2)
	for name, c := range map[string]struct{ in, want string }{
		"plain":                    {"LHLO a\r\nQUIT\r\n", `"LHLO a" "QUIT" EOF`},
		"empty":                    {"\r\n\r\n", `"" "" EOF`},
		"as long as allowed":       {long + "\r\nNOOP\r\n", `"` + long + `" "NOOP" EOF`},
		"one octet longer":         {long + "x\r\nNOOP\r\n", `line too long "NOOP" EOF`},
		"much longer":              {strings.Repeat("y", 100_000) + "\r\nNOOP\r\n", `line too long "NOOP" EOF`},
		"bare LF":                  {"NOOP\nQUIT\r\n", `bare LF "QUIT" EOF`},
		"bare LF alone":            {"\nQUIT\r\n", `bare LF "QUIT" EOF`},
		"bare CR is of the line":   {"A\rB\r\n", `"A\rB" EOF`},
		"CR CR LF":                 {"A\r\r\n", `"A\r" EOF`},
		"cut inside a line":        {"NOOP\r\nQUI", `"NOOP" unexpected EOF`},
		"cut inside a long line":   {strings.Repeat("y", 100), `unexpected EOF`},
		"NUL and 8-bit stay":       {"A\x00\xff\r\n", `"A\x00\xff" EOF`},
		"LF of CRLF past limit":    {strings.Repeat("z", limit-1) + "\r\nNOOP\r\n", `line too long "NOOP" EOF`},
		"nothing":                  {"", `EOF`},
		"long line, bare LF, line": {strings.Repeat("y", 50) + "\nNOOP\r\n", `line too long "NOOP" EOF`},
	} {
		r := sent(t, c.in)
		var got []string
		for {
			line, err := r.Line(limit)
			if err == nil {
				got = append(got, fmt.Sprintf("%q", line))
				continue
			}
			got = append(got, err.Error())
			if !errors.Is(err, wire.ErrLineTooLong) && !errors.Is(err, wire.ErrBareLF) {
				break
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: got %s, want %s", name, s, c.want)
		}
	}
}

func TestLineWithoutEndIsGivenUp(t *testing.T) {
	server, client := pair(t)
	go func() {
		junk := bytes.Repeat([]byte("x"), 64<<10)
		for {
			if _, err := client.Write(junk); err != nil {
				return
			}
		}
	}()
	r := wire.NewReader(server, time.Minute)
	for range 2 {
		if _, err := r.Line(512); !errors.Is(err, wire.ErrEndlessLine) {
			t.Fatalf("got %v, want %v, every time", err, wire.ErrEndlessLine)
		}
	}
}

func TestLongLinesUpToTheLimitArriveWhole(t *testing.T) {
	for _, n := range []int{4094, 4095, 4096, 4097, 8190, 8191, 65534} {
		long := strings.Repeat("x", n)
		r := sent(t, "A\r\n"+long+"\r\nB\r\n")
		for _, want := range []string{"A", long, "B"} {
			line, err := r.Line(65536)
			if err != nil || string(line) != want {
				t.Errorf("%d octets: got %d octets, %v; want %d", n, len(line), err, len(want))
			}
		}
	}
}

func TestLineThenLiteralThenLine(t *testing.T) {
	literal := strings.Repeat("\r\n.\r\n\n", 5000)
	r := sent(t, fmt.Sprintf("A APPEND INBOX {%d+}\r\n%s\r\nB NOOP\r\n", len(literal), literal))
	if line, err := r.Line(8192); err != nil || !strings.HasPrefix(string(line), "A APPEND") {
		t.Fatalf("%q, %v", line, err)
	}
	got := make([]byte, len(literal))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != literal {
		t.Fatalf("the literal came as %d octets, %v", len(got), err)
	}
	for _, want := range []string{"", "B NOOP"} {
		if line, err := r.Line(8192); err != nil || string(line) != want {
			t.Errorf("got %q, %v; want %q", line, err, want)
		}
	}
}

func TestTakeHandsOutWhatWasReadAhead(t *testing.T) { // RFC 4978 §3
	r := sent(t, "COMPRESS\r\n\x4a\x34\n")
	if _, err := r.Line(512); err != nil {
		t.Fatal(err)
	}
	if got := string(r.Take()); got != "\x4a\x34\n" {
		t.Errorf("got %q, want the three octets behind the line", got)
	}
	if got := r.Take(); got != nil || r.Buffered() != 0 {
		t.Errorf("then got %q with %d octets buffered, want nothing", got, r.Buffered())
	}
	if _, err := r.Line(512); err != io.EOF {
		t.Errorf("got %v, want %v", err, io.EOF)
	}
}

func TestPeekAndDiscard(t *testing.T) {
	r := sent(t, "STARTTLS\r\nMAIL FROM:<injected@example.net>\r\n")
	if _, err := r.Line(512); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Peek(); err != nil || c != 'M' || r.Buffered() == 0 {
		t.Fatalf("peeked %q, %v, %d buffered", c, err, r.Buffered())
	}
	r.Discard() // RFC 3207 §4.2
	if line, err := r.Line(512); err != io.EOF {
		t.Errorf("after Discard: %q, %v; want nothing of what was sent in clear", line, err)
	}
}

// bodies for DATA, as they are sent and as they are meant
var bodies = map[string]struct{ in, want, rest string }{
	"plain":                            {"a\r\nb\r\n.\r\nQUIT\r\n", "a\r\nb\r\n", "QUIT\r\n"},
	"empty":                            {".\r\nQUIT\r\n", "", "QUIT\r\n"},
	"dots unstuffed":                   {"..\r\n...\r\n.a\r\n.\r\n", ".\r\n..\r\na\r\n", ""},
	"dot inside a line":                {"a.b\r\na.\r\n.\r\n", "a.b\r\na.\r\n", ""},
	"CR CR LF . CR LF":                 {"a\r\r\n.\r\nQUIT\r\n", "a\r\r\n", "QUIT\r\n"},
	"bare LF ends nothing":             {"a\n.\nMAIL FROM:<x@y>\r\n.\r\n", "a\n.\nMAIL FROM:<x@y>\r\n", ""},
	"LF . CRLF ends nothing":           {"a\n.\r\nMAIL FROM:<x@y>\r\n.\r\n", "a\n.\r\nMAIL FROM:<x@y>\r\n", ""},
	"CRLF . LF ends nothing":           {"a\r\n.\nMAIL FROM:<x@y>\r\n.\r\n", "a\r\n\nMAIL FROM:<x@y>\r\n", ""},
	"CRLF . CR ends nothing":           {"a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", ""},
	"bare CR . CR ends nothing":        {"a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", ""},
	"CR . CRLF ends nothing":           {"a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", ""},
	"dot CR CR LF ends nothing":        {".\r\r\nb\r\n.\r\n", "\r\r\nb\r\n", ""},
	"dot CR dot CRLF":                  {".\r.\r\n.\r\n", "\r.\r\n", ""},
	"dot after bare LF keeps its dots": {"a\n..b\r\n.\r\n", "a\n..b\r\n", ""},
	"line of 1 MiB":                    {strings.Repeat("x", 1<<20) + "\r\n.\r\nNOOP\r\n", strings.Repeat("x", 1<<20) + "\r\n", "NOOP\r\n"},
	"many short lines":                 {strings.Repeat("..\r\n", 50_000) + ".\r\nNOOP\r\n", strings.Repeat(".\r\n", 50_000), "NOOP\r\n"},
	"NUL and 8-bit stay":               {"\x00\xff\r\n.\r\n", "\x00\xff\r\n", ""},
}

func TestOnlyCRLFDotCRLFEndsDATA(t *testing.T) { // RFC 5321 §2.3.8, §4.5.2
	for name, c := range bodies {
		for form, wrap := range map[string]func(io.Reader) io.Reader{
			"whole":        func(r io.Reader) io.Reader { return r },
			"octet by one": iotest.OneByteReader,
		} {
			if len(c.in) > 1<<16 && form != "whole" {
				continue
			}
			r := sent(t, c.in)
			got, err := io.ReadAll(wrap(r.Dots()))
			rest, _ := io.ReadAll(r)
			if err != nil || string(got) != c.want || string(rest) != c.rest {
				t.Errorf("%s, read %s: %d octets %.60q, %v, then %q\nwant %d octets %.60q, then %q",
					name, form, len(got), got, err, rest, len(c.want), c.want, c.rest)
			}
		}
	}
}

func TestDATASentOctetByOctet(t *testing.T) {
	for name, c := range bodies {
		if len(c.in) > 1<<16 {
			continue
		}
		server, client := net.Pipe() // hands over each write as one read
		go func() {
			for i := range len(c.in) {
				client.Write([]byte{c.in[i]})
			}
			client.Close()
		}()
		got, err := io.ReadAll(wire.NewReader(server, time.Minute).Dots())
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
		server.Close()
	}
}

func TestDATACutShortIsNeverWhole(t *testing.T) {
	const whole = "Subject: a\r\n\r\nb\r\n.c\r\n.\r\n"
	for n := range len(whole) {
		d := sent(t, whole[:n]).Dots()
		got, err := io.ReadAll(d)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d octets: %q, %v; want %v", n, got, err, io.ErrUnexpectedEOF)
		}
		if _, err := d.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d octets, read again: %v", n, err)
		}
	}
}

func TestSilentPeerIsCut(t *testing.T) {
	server, client := pair(t)
	r := wire.NewReader(server, 20*time.Millisecond)
	for name, read := range map[string]func() error{
		"line":  func() error { _, err := r.Line(512); return err },
		"await": r.Await,
		"body":  func() error { _, err := r.Dots().Read(make([]byte, 10)); return err },
		"raw":   func() error { _, err := r.Read(make([]byte, 10)); return err },
	} {
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v, want %v", name, err, os.ErrDeadlineExceeded)
		}
	}
	if _, err := io.WriteString(client, "too late\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := r.Line(512); err == nil {
		t.Errorf("read %q after a deadline: what follows it may be the rest of a body", line)
	}
}

// Each octet has the whole idle time to come.
func TestSteadySlowSenderIsNotCut(t *testing.T) {
	server, client := net.Pipe()
	defer server.Close()
	defer client.Close()
	counted := &deadlines{Conn: server}
	r := wire.NewReader(counted, time.Minute)
	go func() {
		for _, c := range "NOOP\r\n" {
			client.Write([]byte{byte(c)})
		}
	}()
	if line, err := r.Line(512); err != nil || string(line) != "NOOP" {
		t.Fatalf("%q, %v", line, err)
	}
	if counted.set != 6 {
		t.Errorf("%d deadlines for 6 reads, want one each", counted.set)
	}
}

type deadlines struct {
	net.Conn
	set int
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set++
	return d.Conn.SetReadDeadline(t)
}

func TestInterruptWakesAwaitAlone(t *testing.T) {
	server, client := pair(t)
	r := wire.NewReader(server, time.Minute)

	woken := make(chan error)
	go func() { woken <- r.Await() }()
	r.Interrupt() // before or while it waits
	if err := <-woken; err != wire.ErrInterrupted {
		t.Fatalf("got %v, want %v", err, wire.ErrInterrupted)
	}

	io.WriteString(client, "NO")
	if err := r.Await(); err != nil {
		t.Fatalf("once woken it waits again: %v", err)
	}
	r.Interrupt()
	io.WriteString(client, "OP\r\nQUIT\r\n")
	if line, err := r.Line(512); err != nil || string(line) != "NOOP" {
		t.Fatalf("a line being read must not break: %q, %v", line, err)
	}
	if line, err := r.Line(512); err != nil || string(line) != "QUIT" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := r.Await(); err != wire.ErrInterrupted {
		t.Fatalf("the interruption was lost: %v", err)
	}
	client.Close()
	if err := r.Await(); err != io.EOF {
		t.Errorf("got %v, want %v", err, io.EOF)
	}
}

func TestBufferedInputComesBeforeAnInterruption(t *testing.T) {
	r := sent(t, "A\r\nB\r\n")
	if _, err := r.Line(512); err != nil {
		t.Fatal(err)
	}
	r.Interrupt()
	if r.Buffered() > 0 {
		if err := r.Await(); err != nil {
			t.Errorf("with a command waiting: %v", err)
		}
	}
}

func TestWriterSendsEverythingInOrder(t *testing.T) {
	server, client := pair(t)
	var want bytes.Buffer
	big := bytes.Repeat([]byte("0123456789"), 20_000)
	go func() {
		w := wire.NewWriter(server, time.Minute)
		w.WriteString("* 1 FETCH (BODY[] {200000}\r\n")
		w.Write(big)
		w.WriteString(")\r\n")
		w.ReadFrom(bytes.NewReader(big))
		w.WriteString(strings.Repeat("short ", 10_000))
		w.Flush()
		w.WriteString("never flushed")
		server.Close()
	}()
	want.WriteString("* 1 FETCH (BODY[] {200000}\r\n")
	want.Write(big)
	want.WriteString(")\r\n")
	want.Write(big)
	want.WriteString(strings.Repeat("short ", 10_000))
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d octets arrived, %v; want %d", len(got), err, want.Len())
	}
}

func TestClientThatStopsReadingIsCut(t *testing.T) {
	server, _ := pair(t)
	w := wire.NewWriter(server, 20*time.Millisecond)
	endless := io.MultiReader(strings.NewReader("a"), zeros{})
	if _, err := w.ReadFrom(endless); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if _, err := w.WriteString("more"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the cut: %v", err)
	}
	if err := w.Flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("flush after the cut: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestWriterSourceThatFailsSpoilsNothing(t *testing.T) {
	server, client := pair(t)
	w := wire.NewWriter(server, time.Minute)
	broken := errors.New("disk on fire")
	if n, err := w.ReadFrom(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken))); n != 3 || !errors.Is(err, broken) {
		t.Fatalf("%d, %v; want 3, %v", n, err, broken)
	}
	w.WriteString("def")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if got, _ := io.ReadAll(client); string(got) != "abcdef" {
		t.Errorf("got %q", got)
	}
}
