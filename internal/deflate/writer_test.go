package deflate_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"letterlock/internal/deflate"
)

func TestEveryWriteCanBeReadAtOnce(t *testing.T) {
	conn := &client{}
	w, r := deflate.NewWriter(conn), deflate.NewReader(conn, nil)
	for _, said := range []string{"* OK\r\n", "", "* 1 EXISTS\r\n", letter(20_000), letter(70_000), strings.Repeat("* 1 EXISTS\r\n", 9000), "a1 OK NOOP completed\r\n"} {
		if n, err := io.WriteString(w, said); n != len(said) || err != nil {
			t.Fatalf("%d, %v, want %d", n, err, len(said))
		}
		if got, err := heard(r); got != said || !errors.Is(err, errSilent) {
			t.Fatalf("got %d octets, %v, want %d", len(got), err, len(said))
		}
	}
}

func TestClientsWithOtherLibrariesReadUs(t *testing.T) {
	var out bytes.Buffer
	w := deflate.NewWriter(&out)
	want := letter(50_000)
	for i := 0; i < len(want); i += 777 {
		io.WriteString(w, want[i:min(len(want), i+777)])
	}
	got, err := io.ReadAll(flate.NewReader(&out))
	if string(got) != want || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %d octets, %v, want %d and no end", len(got), err, len(want))
	}
}

func TestWhatCannotBeCompressedHardlyGrows(t *testing.T) {
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	var out bytes.Buffer
	if _, err := deflate.NewWriter(&out).Write(noise); err != nil {
		t.Fatal(err)
	}
	if most := len(noise) + len(noise)/1000; out.Len() > most {
		t.Errorf("%d octets became %d, want at most %d", len(noise), out.Len(), most)
	}
}

// answers are what a client that looks at a mailbox is told, one by one.
func answers() []string {
	var all []string
	for i := range 200 {
		all = append(all,
			fmt.Sprintf("* %d FETCH (UID %d FLAGS (\\Seen) MODSEQ (%d))\r\nb%d OK UID STORE completed\r\n", i, 1000+3*i, 77_000+i*i, i),
			fmt.Sprintf("* %d EXISTS\r\nb%d OK NOOP completed\r\n", i, i))
	}
	return all
}

func TestSmallAnswersShrink(t *testing.T) {
	var out bytes.Buffer
	w := deflate.NewWriter(&out)
	said := 0
	for _, a := range answers() {
		n, err := io.WriteString(w, a)
		if err != nil {
			t.Fatal(err)
		}
		said += n
	}
	t.Logf("%d octets became %d", said, out.Len())
	if out.Len() > said*7/10 {
		t.Errorf("%d octets became %d, want at most 70 %%", said, out.Len())
	}
}

func TestWriterSaysItsFirstErrorForEver(t *testing.T) {
	broken := errors.New("broken")
	dst := &failing{after: 1, err: broken}
	w := deflate.NewWriter(dst)
	if n, err := w.Write(make([]byte, 40_000)); n != 16<<10 || err != broken {
		t.Errorf("%d, %v, want one piece and %v", n, err, broken)
	}
	if n, err := io.WriteString(w, "more"); n != 0 || err != broken {
		t.Errorf("%d, %v, want %v", n, err, broken)
	}
}

// failing takes so many writes.
type failing struct {
	after int
	err   error
}

func (f *failing) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func FuzzWriter(f *testing.F) {
	f.Add([]byte("* 1 EXISTS\r\na1 OK NOOP completed\r\n"), uint16(7))
	f.Add([]byte(letter(9000)), uint16(3000))
	f.Fuzz(func(t *testing.T, said []byte, step uint16) {
		conn := &client{}
		w, r := deflate.NewWriter(conn), deflate.NewReader(conn, nil)
		for rest := said; len(rest) > 0; {
			part := rest[:min(len(rest), int(step)+1)]
			rest = rest[len(part):]
			if n, err := w.Write(part); n != len(part) || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
			if got, err := heard(r); got != string(part) {
				t.Fatalf("got %q, %v, want %q", got, err, part)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	text := letter(1 << 20)
	octets := sent(b, flate.DefaultCompression, text)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	p := make([]byte, 4096)
	for b.Loop() {
		r := deflate.NewReader(bytes.NewReader(octets), nil)
		for {
			if _, err := r.Read(p); err != nil {
				break
			}
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	all := answers()
	body := letter(1 << 20)
	b.Run("answers", func(b *testing.B) {
		w := deflate.NewWriter(io.Discard)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			io.WriteString(w, all[i%len(all)])
		}
	})
	b.Run("bodies", func(b *testing.B) {
		w := deflate.NewWriter(io.Discard)
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			io.WriteString(w, body)
		}
	})
}
