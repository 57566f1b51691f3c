package serve_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"letterlock/internal/deflate"
	"letterlock/internal/serve"
	"letterlock/internal/wire"
)

const longestLine = 4096

// parlour is a room that compresses when asked to, and else says again what it
// was told. What ended it goes to ended.
func parlour(ended chan<- error) func(context.Context, *serve.Conn) {
	return func(_ context.Context, c *serve.Conn) {
		in, out := wire.NewReader(c, time.Minute), wire.NewWriter(c, time.Minute)
		defer c.OnDraining(in.Interrupt)()
		ended <- talk(c, in, out)
	}
}

func talk(c *serve.Conn, in *wire.Reader, out *wire.Writer) error {
	for {
		if err := in.Await(); err != nil {
			out.WriteString("draining\r\n")
			return errors.Join(err, out.Flush())
		}
		line, err := in.Line(longestLine)
		switch {
		case errors.Is(err, wire.ErrLineTooLong):
			out.WriteString("too long\r\n")
		case err != nil:
			return err
		case string(line) == "COMPRESS":
			out.WriteString("go ahead\r\n")
			if err := errors.Join(out.Flush(), c.Compress(in.Take())); err != nil {
				return err
			}
		case string(line) == "PLAIN":
			out.WriteString("as you like\r\n")
			if err := errors.Join(out.Flush(), c.Uncompress()); err != nil {
				return err
			}
		case string(line) == "AGAIN":
			fmt.Fprintf(out, "compressed=%t: %v\r\n", c.Compressed(), c.Compress(nil))
		default:
			out.Write(append(line, "\r\n"...))
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

// squeezed is a client's end that compresses with compress/flate.
type squeezed struct {
	*guest
	out *flate.Writer
}

// compress turns compression on, and sends first behind the command at once.
func (g *guest) compress(first string) *squeezed {
	g.t.Helper()
	var early bytes.Buffer
	out, err := flate.NewWriter(&early, flate.BestCompression)
	if err != nil {
		g.t.Fatal(err)
	}
	if first != "" {
		io.WriteString(out, first)
		out.Flush()
	}
	fmt.Fprintf(g, "COMPRESS\r\n%s", early.Bytes())
	g.says("go ahead")
	out.Reset(g.Conn) // a new window: the stream goes on all the same
	g.r = bufio.NewReader(deflate.NewReader(g.r, nil))
	return &squeezed{g, out}
}

func (s *squeezed) ask(line, want string) {
	s.t.Helper()
	io.WriteString(s.out, line+"\r\n")
	s.out.Flush()
	s.says(want)
}

// everywhere runs a story in clear and inside TLS.
func everywhere(t *testing.T, story func(t *testing.T, h *house, g *guest, ended <-chan error)) {
	for nth, name := range []string{"in clear", "inside TLS"} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			h := open(t, serve.Options{Grace: time.Minute, Handle: parlour(ended)}, "127.0.0.1:0", "tls:127.0.0.1:0")
			g := h.visit(t, nth)
			if nth == 1 {
				if err := g.startTLS(h.trust(t)); err != nil {
					t.Fatal(err)
				}
			}
			story(t, h, g, ended)
		})
	}
}

func TestCompression(t *testing.T) { // RFC 4978 §3
	everywhere(t, func(t *testing.T, h *house, g *guest, _ <-chan error) {
		g.ask("hello", "hello")
		s := g.compress("")
		s.ask("AGAIN", "compressed=true: compress: compressed already")
		for i := range 50 {
			line := fmt.Sprintf("* %d FETCH (UID %d FLAGS (\\Seen))", i, i*i)
			s.ask(line, line)
		}
		did := h.Stats()
		if did.Compressed != 1 || did.Plain < 50*30 || did.Deflated > did.Plain*7/10 {
			t.Errorf("%+v; want one connection, and answers at 70 %% at most", did)
		}
	})
}

func TestCompressionEndsAndBeginsAgain(t *testing.T) { // RFC 8437 §4.1
	everywhere(t, func(t *testing.T, _ *house, g *guest, _ <-chan error) {
		below := g.r
		s := g.compress("")
		s.ask("PLAIN", "as you like")
		g.r = below
		g.ask("hello", "hello")
		s = g.compress("")
		io.WriteString(s.out, "PLAIN\r\n")
		s.out.Close() // the last block
		io.WriteString(s.Conn, "pipelined\r\n")
		answers, err := until(below, "pipelined\r\n")
		if err != nil {
			t.Fatalf("got %q, %v, want an answer in clear at last", answers, err)
		}
		compressed := strings.TrimSuffix(answers, "pipelined\r\n")
		got, err := io.ReadAll(deflate.NewReader(strings.NewReader(compressed), nil))
		if string(got) != "as you like\r\n" || err != nil {
			t.Errorf("got %q, %v before it, want %q", got, err, "as you like\r\n")
		}
	})
}

// until reads up to the end wanted.
func until(r io.Reader, end string) (string, error) {
	var got []byte
	for p := make([]byte, 1); !strings.HasSuffix(string(got), end); {
		if _, err := r.Read(p); err != nil {
			return string(got), err
		}
		got = append(got, p...)
	}
	return string(got), nil
}

// A client that does not wait for our answer has compressed what it sent behind
// its command.
func TestOctetsBehindTheCommandAreCompressed(t *testing.T) { // RFC 4978 §3
	everywhere(t, func(_ *testing.T, _ *house, g *guest, _ <-chan error) {
		s := g.compress("early\r\n")
		s.says("early")
		s.ask("later", "later")
	})
}

func TestCompressedSessionHearsOfDraining(t *testing.T) {
	everywhere(t, func(t *testing.T, h *house, g *guest, ended <-chan error) {
		s := g.compress("")
		s.ask("hello", "hello")
		stopped := make(chan error, 1)
		go func() { stopped <- h.stop() }()
		s.says("draining")
		s.gone()
		s.Close()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, wire.ErrInterrupted) {
			t.Errorf("the session ended with %v, want %v", err, wire.ErrInterrupted)
		}
	})
}

func TestLimitsHoldForWhatWasCompressed(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *house, g *guest, ended <-chan error) {
		s := g.compress("")
		s.ask(strings.Repeat("x", 100_000), "too long")
		s.ask("hello", "hello")
		go func() { // 1000 times what is sent
			io.Copy(s.out, io.LimitReader(zeros{}, 64<<20))
			s.out.Flush()
		}()
		if err := <-ended; !errors.Is(err, wire.ErrEndlessLine) {
			t.Errorf("the session ended with %v, want %v", err, wire.ErrEndlessLine)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestOctetsThatAreNotCompressedEndTheSession(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *house, g *guest, ended <-chan error) {
		s := g.compress("")
		io.WriteString(s.Conn, "a1 NOOP\r\nwhat is this, a stream?\r\n")
		if err := <-ended; !errors.Is(err, deflate.ErrCorrupt) {
			t.Errorf("the session ended with %v, want %v", err, deflate.ErrCorrupt)
		}
	})
}

func TestSilentCompressedClientIsCut(t *testing.T) {
	silent := make(chan error, 1)
	h := open(t, serve.Options{Handle: func(_ context.Context, c *serve.Conn) {
		in := wire.NewReader(c, 20*time.Millisecond)
		if err := c.Compress(nil); err != nil {
			silent <- err
			return
		}
		silent <- in.Await()
	}}, "127.0.0.1:0")
	h.visit(t, 0)
	if err := <-silent; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

func TestClientThatLeavesIsTheEnd(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *house, g *guest, ended <-chan error) {
		s := g.compress("")
		s.ask("hello", "hello")
		s.Close()
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("the session ended with %v, want %v", err, io.EOF)
		}
	})
}
