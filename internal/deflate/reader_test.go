package deflate_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"letterlock/internal/deflate"
)

// errSilent is a client that has said all it will for now.
var errSilent = errors.New("nothing comes")

// client is a connection: what was said, then silence.
type client struct{ bytes.Buffer }

func (c *client) Read(p []byte) (int, error) {
	if c.Len() == 0 {
		return 0, errSilent
	}
	return c.Buffer.Read(p)
}

// heard is everything the reader hands out before it has to wait.
func heard(r io.Reader) (string, error) {
	octets, err := io.ReadAll(r)
	return string(octets), err
}

// The streams are zlib's: what mail clients send.
func TestEveryFlushOfZlibHandsOutItsLine(t *testing.T) { // RFC 4978 §3
	scripts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	for _, name := range scripts {
		script, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		conn := &client{}
		r := deflate.NewReader(conn, nil)
		lines := bufio.NewScanner(bytes.NewReader(script))
		for lines.Scan() {
			want, ok := strings.CutPrefix(lines.Text(), "C: ")
			if !ok {
				continue // what the script is
			}
			want += "\r\n"
			lines.Scan()
			octets, err := hex.DecodeString(lines.Text())
			if err != nil {
				t.Fatal(err)
			}
			conn.Write(octets)
			if got, err := heard(r); got != want || !errors.Is(err, errSilent) {
				t.Errorf("%s: %x: got %q, %v, want %q", name, octets, got, err, want)
			}
		}
	}
}

// bitWriter writes blocks with the fixed codes by hand (RFC 1951 §3.2.6).
type bitWriter struct {
	octets []byte
	n      uint // bits of the last octet in use; 0 or 8: all
}

func (b *bitWriter) bit(one bool) {
	if b.n%8 == 0 {
		b.octets, b.n = append(b.octets, 0), 0
	}
	if one {
		b.octets[len(b.octets)-1] |= 1 << b.n
	}
	b.n++
}

func (b *bitWriter) word(bits string) {
	for _, c := range bits {
		b.bit(c == '1')
	}
}

// literal writes an octet below 144.
func (b *bitWriter) literal(c byte) {
	for i := 7; i >= 0; i-- {
		b.bit((c+0x30)>>i&1 == 1)
	}
}

func (b *bitWriter) fixedBlock(text string) {
	b.word("010")
	for i := range len(text) {
		b.literal(text[i])
	}
	b.word("0000000")
}

// A partial flush ends in an empty block with the fixed codes, of which the
// last bits may stay behind until more is said.
func TestPartialFlushAtEveryOctet(t *testing.T) {
	const text = "a1 UID FETCH 1:* (FLAGS UID)\r\n"
	var b bitWriter
	conn := &client{}
	r := deflate.NewReader(conn, nil)
	sent := 0
	for i := range len(text) {
		b.fixedBlock(text[i : i+1])
		b.fixedBlock("")
		whole := len(b.octets)
		if b.n%8 != 0 {
			whole--
		}
		conn.Write(b.octets[sent:whole])
		sent = whole
		if got, err := heard(r); got != text[i:i+1] || !errors.Is(err, errSilent) {
			t.Errorf("after octet %d: got %q, %v, want %q", i, got, err, text[i:i+1])
		}
	}
}

func TestBlockThatMerelyEndedIsHandedOut(t *testing.T) {
	for _, text := range []string{"a1 NOOP\r\n", strings.Repeat("a1 NOOP\r\n", 99), letter(5000)} {
		octets := sent(t, flate.BestCompression, text)
		conn := &client{}
		conn.Write(octets[:len(octets)-4]) // but for the empty stored block of the flush
		if got, err := heard(deflate.NewReader(conn, nil)); got != text || !errors.Is(err, errSilent) {
			t.Errorf("got %d octets, %v, want %d", len(got), err, len(text))
		}
	}
}

// sent is what a client with compress/flate sends for each text, flushed.
func sent(t testing.TB, level int, texts ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// letter is a text of some entropy and some repetition.
func letter(n int) string {
	words := strings.Fields("Dear friend the last stop of a letter is where it rests until somebody reads it and answers, with love")
	dice := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(words[dice.IntN(len(words))])
		b.WriteByte(" \n\t,abcdefg"[dice.IntN(11)])
	}
	return b.String()[:n]
}

func TestStreamsOfEveryKindArriveWhole(t *testing.T) {
	noise := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{}).Read(noise)
	texts := []string{letter(100_000), string(noise), strings.Repeat("x", 100_000), letter(40_000), "", "\n"}
	want := strings.Join(texts, "")
	for _, level := range []int{flate.NoCompression, flate.BestSpeed, flate.BestCompression, flate.HuffmanOnly} {
		octets := sent(t, level, texts...)
		for name, source := range map[string]io.Reader{
			"at once":      bytes.NewReader(octets),
			"by octets":    iotest.OneByteReader(bytes.NewReader(octets)),
			"end comes in": iotest.DataErrReader(bytes.NewReader(octets)),
		} {
			if got, err := heard(deflate.NewReader(source, nil)); got != want || err != nil {
				t.Errorf("level %d, %s: got %d octets, %v, want %d", level, name, len(got), err, len(want))
			}
		}
		if got, err := heard(iotest.OneByteReader(deflate.NewReader(bytes.NewReader(octets), nil))); got != want || err != nil {
			t.Errorf("level %d, read by octets: got %d octets, %v, want %d", level, len(got), err, len(want))
		}
		if got, err := heard(deflate.NewReader(bytes.NewReader(octets[33:]), octets[:33])); got != want || err != nil {
			t.Errorf("level %d, with octets read before: got %d octets, %v, want %d", level, len(got), err, len(want))
		}
	}
}

// A deadline may fall between any two octets.
func TestErrorOfTheConnectionSpoilsNothing(t *testing.T) {
	text := letter(3000)
	conn := &client{}
	r := deflate.NewReader(conn, nil)
	var got strings.Builder
	for _, c := range sent(t, flate.BestCompression, text) {
		conn.WriteByte(c)
		part, err := heard(r)
		if !errors.Is(err, errSilent) {
			t.Fatalf("after %d octets: %v", got.Len(), err)
		}
		got.WriteString(part)
	}
	if got.String() != text {
		t.Errorf("got %d octets, want %d", got.Len(), len(text))
	}
}

// Whatever part of a stream has come: what it says is handed out, no less than
// compress/flate gives up when it is cut there.
func TestPrefixesSayAllTheyCan(t *testing.T) {
	for _, level := range []int{flate.NoCompression, flate.BestSpeed, flate.BestCompression, flate.HuffmanOnly} {
		text := letter(2000)
		octets := sent(t, level, text[:700], text[700:])
		for n := range octets {
			got, err := heard(deflate.NewReader(bytes.NewReader(octets[:n]), nil))
			if err != nil {
				t.Fatalf("level %d, %d octets: %v", level, n, err)
			}
			least, _ := heard(flate.NewReader(bytes.NewReader(octets[:n])))
			if !strings.HasPrefix(text, got) || len(got) < len(least) {
				t.Fatalf("level %d: %d octets say %d octets %q, want at least %d", level, n, len(got), got, len(least))
			}
		}
	}
}

func TestEndOfTheStreamIsTheEnd(t *testing.T) {
	var b bitWriter
	b.fixedBlock("bye")
	b.word("110" + "0000000") // the last block, empty
	r := deflate.NewReader(bytes.NewReader(append(b.octets, "more of it"...)), nil)
	if got, err := heard(r); got != "bye" || err != nil {
		t.Errorf("got %q, %v, want bye and its end", got, err)
	}
	if n, err := r.Read(make([]byte, 9)); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v, want %v", n, err, io.EOF)
	}
}

func TestCompressionEnds(t *testing.T) { // RFC 8437 §4.1
	var finished, partial, inside bitWriter
	finished.fixedBlock("bye")
	finished.word("110" + "0000000")
	partial.fixedBlock("bye")
	partial.fixedBlock("")
	inside.fixedBlock("bye")
	inside.word("001" + "00000")
	synced := sent(t, flate.BestSpeed, "bye")
	const plain = "a2 NOOP\r\n"
	for _, stop := range []struct {
		name       string
		first      []byte // what has come when bye is read
		then, rest string
		corrupt    bool
	}{
		{"last block", finished.octets, "", "", false},
		{"last block, and more", append(finished.octets, "plain, of many octets"...), "", "plain, of many octets", false},
		{"partial flush", partial.octets[:len(partial.octets)-1], "", "", false},
		{"sync flush", synced, "", "", false},
		{"sync flush in two parts", synced[:len(synced)-3], string(synced[len(synced)-3:]), "", false},
		{"sync flush in two parts, the next command behind it", synced[:len(synced)-3], string(synced[len(synced)-3:]) + plain, "", false},
		{"more of the same", sent(t, flate.BestSpeed, "bye", "more"), "", "", true},
		{"inside a block", inside.octets, "", "", true},
	} {
		conn := &client{}
		conn.Write(stop.first)
		r := deflate.NewReader(conn, nil)
		if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
			t.Fatal(stop.name, err)
		}
		conn.WriteString(stop.then)
		rest, err := r.Rest()
		if string(rest) != stop.rest || errors.Is(err, deflate.ErrCorrupt) != stop.corrupt || !stop.corrupt && err != nil {
			t.Errorf("%s: got %q, %v, want %q, corrupt %t", stop.name, rest, err, stop.rest, stop.corrupt)
		}
		if left := conn.String(); left != "" && left != plain {
			t.Errorf("%s: %q was not read, want all of the stream to be", stop.name, left)
		}
	}
}

func TestStreamsThatAreNone(t *testing.T) {
	for name, bits := range map[string]string{
		"unknown kind of block":              "011",
		"stored block of two sizes":          "000" + "00000" + "0000000000000000" + "0000000000000000",
		"length code 286":                    "010" + "11000110",
		"distance code 30":                   "010" + "0000001" + "11110",
		"distance from before the beginning": "010" + "0000001" + "00000",
		"287 length codes":                   "001" + "01111" + "00000" + "0000",
		"31 distance codes":                  "001" + "00000" + "01111" + "0000",
		"too many codes of sizes":            "001" + "00000" + "00000" + "0000" + strings.Repeat("100", 4),
		"size again before the first":        "001" + "00000" + "00000" + "0000" + "100" + "000000" + "100" + "1" + "00",
		"no end of block":                    "001" + "00000" + "00000" + "0000" + "000000" + "100" + "100" + "1" + "1111111" + "1" + "1110110",
	} {
		var b bitWriter
		b.word(bits)
		r := deflate.NewReader(bytes.NewReader(append(b.octets, make([]byte, 9)...)), nil)
		for range 2 {
			if n, err := r.Read(make([]byte, 99)); n != 0 || !errors.Is(err, deflate.ErrCorrupt) {
				t.Errorf("%s: %d, %v, want %v", name, n, err, deflate.ErrCorrupt)
			} else {
				t.Log(name, err)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, level := range []int{flate.NoCompression, flate.BestSpeed, flate.BestCompression, flate.HuffmanOnly} {
		octets := sent(f, level, "a1 NOOP\r\n", letter(600))
		f.Add(octets, uint16(0), byte(0), uint8(1))
		f.Add(append(octets, 1, 0, 0, 0xff, 0xff), uint16(17), byte(4), uint8(200))
	}
	f.Fuzz(func(t *testing.T, octets []byte, at uint16, flip byte, step uint8) {
		octets = bytes.Clone(octets)
		if int(at) < len(octets) {
			octets[at] ^= flip
		}
		want, wantErr := io.ReadAll(flate.NewReader(bytes.NewReader(octets)))
		conn := &client{}
		conn.Write(octets)
		got, err := readBy(deflate.NewReader(conn, nil), int(step)+1)
		switch {
		case wantErr == nil && (err != nil || !bytes.Equal(got, want)):
			t.Errorf("%x: got %d octets, %v, want %d", octets, len(got), err, len(want))
		case wantErr != nil && err == nil:
			t.Errorf("%x: got %d octets, want %v", octets, len(got), wantErr)
		case errors.Is(wantErr, io.ErrUnexpectedEOF) && !errors.Is(err, deflate.ErrCorrupt) && !bytes.HasPrefix(got, want):
			t.Errorf("%x: got %q, want %q at least", octets, got, want)
		}
	})
}

// readBy reads step octets at a time.
func readBy(r io.Reader, step int) (all []byte, err error) {
	p := make([]byte, step)
	for {
		n, err := r.Read(p)
		all = append(all, p[:n]...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}
