package imapd

import (
	"bytes"
	"regexp"
	"testing"
)

var bareLF = regexp.MustCompile(`(^|[^\r])\n`)

// FuzzIntake: however the octets of a message come in, every LF is behind a CR then,
// and nothing else has changed; and it takes as much as it may.
func FuzzIntake(f *testing.F) {
	f.Add([]byte("A: b\n\nx\r\ny\n\n\r\r\n\n"), 3, int64(1000))
	f.Add([]byte("\n\n\n"), 1, int64(5))
	f.Add([]byte("\r\n\r"), 2, int64(3))
	f.Fuzz(func(t *testing.T, octets []byte, piece int, left int64) {
		want := bytes.Clone(octets)
		for bareLF.Match(want) {
			want = bareLF.ReplaceAll(want, []byte("$1\r\n"))
		}
		var got bytes.Buffer
		in := &intake{to: &got, left: left}
		var err error
		for rest := bytes.Clone(octets); len(rest) > 0 && err == nil; {
			n := min(len(rest), max(1, piece&31))
			_, err = in.Write(rest[:n])
			rest = rest[n:]
		}
		switch {
		case in.full != (err != nil) || in.full != (int64(len(want)) > left && len(octets) > 0):
			t.Errorf("%q with room for %d: full %v, %v", octets, left, in.full, err)
		case !in.full && !bytes.Equal(got.Bytes(), want):
			t.Errorf("%q is %q, want %q", octets, got.Bytes(), want)
		case !bytes.HasPrefix(want, got.Bytes()):
			t.Errorf("%q begins as %q, want %q", octets, got.Bytes(), want)
		}
	})
}
