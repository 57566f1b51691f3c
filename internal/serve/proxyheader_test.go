package serve

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

// What a header says depends on its octets alone, not on how they come, and what
// stands behind it stays where it is.
func FuzzProxyHeader(f *testing.F) {
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	const v4 = "\xc0\x00\x02\x09\xc6\x33\x64\x01\xc3\x50\x00\x8f"
	f.Add([]byte("PROXY TCP4 192.0.2.9 198.51.100.1 50000 143\r\na1 NOOP\r\n"))
	f.Add([]byte("PROXY TCP6 2001:db8::9 2001:db8::1 50000 143\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(v2 + "\x20\x00\x00\x00"))
	f.Add([]byte(v2 + "\x21\x11\x00\x0c" + v4 + "\x16\x03\x01"))
	f.Add([]byte(v2 + "\x21\x11\x00\x1e" + v4 + "\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"))
	f.Add([]byte(v2 + "\x21\x11\x00\x13" + v4 + "\x01\x00\x04imap"))
	f.Add([]byte(v2 + "\x21\x11\x00\x13" + v4 + "\x03\x00\x04\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		whole, err := readHeader(r)
		pieces, errPieces := readHeader(iotest.OneByteReader(bytes.NewReader(stream)))
		if (err == nil) != (errPieces == nil) || err == nil && !bytes.Equal(whole, pieces) {
			t.Fatalf("%q, %v at once, %q, %v octet by octet", whole, err, pieces, errPieces)
		}
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(r)
		if !bytes.Equal(slices.Concat(whole, rest), stream) {
			t.Fatalf("%q became %q and %q", stream, whole, rest)
		}
		said, err := parseHeader(whole)
		if err != nil {
			return
		}
		if said.tls == TLSUsed && (!said.named || !bytes.Contains(stream, []byte("TLSv1."))) {
			t.Errorf("%q makes %+v", stream, said)
		}
		if said.client.IsValid() && (said.client.Zone() != "" || said.client.Is4In6() || said.client.IsUnspecified()) {
			t.Errorf("%q is from %v", stream, said.client)
		}
	})
}
