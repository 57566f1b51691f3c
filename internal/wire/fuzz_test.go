package wire_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"letterlock/internal/wire"
)

// script is a connection that hands out what was sent, step octets at a time.
type script struct {
	net.Conn
	in   []byte
	step int
}

func (s *script) SetReadDeadline(time.Time) error { return nil }

func (s *script) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.step)], s.in)
	s.in = s.in[n:]
	return n, nil
}

// slowDots is RFC 5321 §4.5.2 said plainly: lines end in CRLF; one that is "."
// ends the body; others lose a first dot.
func slowDots(in string) (body, rest string, whole bool) {
	var b strings.Builder
	for {
		line, after, ok := strings.Cut(in, "\r\n")
		if !ok {
			return "", "", false
		}
		if line == "." {
			return b.String(), after, true
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		in = after
	}
}

func FuzzDots(f *testing.F) {
	for _, c := range bodies {
		if len(c.in) < 1000 {
			f.Add([]byte(c.in), uint8(1), uint8(3))
			f.Add([]byte(c.in), uint8(255), uint8(255))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, step, size uint8) {
		r := wire.NewReader(&script{in: bytes.Clone(in), step: int(step) + 1}, time.Minute)
		var got bytes.Buffer
		_, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{r.Dots()}, make([]byte, int(size)+1))
		want, rest, whole := slowDots(string(in))
		if !whole {
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%q: %q, %v; want %v", in, got.Bytes(), err, io.ErrUnexpectedEOF)
			}
			return
		}
		after, _ := io.ReadAll(r)
		if err != nil || got.String() != want || string(after) != rest {
			t.Errorf("%q: %q, %v, then %q; want %q, then %q", in, got.Bytes(), err, after, want, rest)
		}
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("LHLO a\r\nNOOP\nQUIT\r\n"), uint8(3), uint16(10))
	f.Add(bytes.Repeat([]byte("x"), 9000), uint8(255), uint16(4096))
	f.Fuzz(func(t *testing.T, in []byte, step uint8, most uint16) {
		limit := int(most) + 2
		r := wire.NewReader(&script{in: bytes.Clone(in), step: int(step) + 1}, time.Minute)
		for rest := string(in); ; {
			line, err := r.Line(limit)
			want, after, ended := strings.Cut(rest, "\n")
			bare, crlf := strings.CutSuffix(want, "\r")
			switch {
			case !ended && rest == "":
				if err != io.EOF {
					t.Fatalf("at the end: %q, %v", line, err)
				}
				return
			case !ended:
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("cut in %q: %q, %v", rest, line, err)
				}
				return
			case len(want)+1 > limit:
				if !errors.Is(err, wire.ErrLineTooLong) {
					t.Fatalf("%q over %d: %q, %v", want, limit, line, err)
				}
			case !crlf:
				if !errors.Is(err, wire.ErrBareLF) {
					t.Fatalf("%q: %q, %v", want, line, err)
				}
			case err != nil || string(line) != bare:
				t.Fatalf("%q: %q, %v", want, line, err)
			}
			rest = after
		}
	})
}

func BenchmarkDots(b *testing.B) {
	body := []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 13_000) + ".\r\n")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := wire.NewReader(&script{in: body, step: 16 << 10}, time.Minute)
		if _, err := io.Copy(io.Discard, r.Dots()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLines(b *testing.B) {
	in := []byte(strings.Repeat("RCPT TO:<somebody@example.org>\r\n", 1000))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r := wire.NewReader(&script{in: in, step: 4096}, time.Minute)
		for range 1000 {
			if _, err := r.Line(4096); err != nil {
				b.Fatal(err)
			}
		}
	}
}
