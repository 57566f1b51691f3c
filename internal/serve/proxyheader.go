package serve

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// header is what one PROXY header says. Its zero value says nothing, as LOCAL
// and UNKNOWN do.
type header struct {
	client   netip.Addr // not valid: not said, or not an address
	named    bool       // there is a client the proxy speaks for
	tls      ClientTLS
	version  string // of the client's TLS, as the proxy spells it
	verified bool
	alpn     string // what client and proxy agreed on
}

// The sections are those of HAProxy's proxy-protocol.txt, which is the standard.
const (
	headerV1Max = 107 // §2.1, CRLF included
	headerV2Min = 16  // §2.2: signature, command, family, length
	lengthAt    = 14  // of the length in a v2 header
)

var (
	errNoHeader = errors.New("the connection does not begin with a PROXY header")
	errNothing  = errors.New("the connection ended before its first octet")
)

// readHeader reads one header from r and not an octet more: what follows may be
// a TLS handshake.
func readHeader(r io.Reader) ([]byte, error) {
	octets := make([]byte, len(proxyproto.SIGV1), 2*headerV1Max)
	switch n, err := io.ReadFull(r, octets); {
	case n == 0 && err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errNothing
	case err != nil:
		return nil, err
	}
	switch {
	case bytes.Equal(octets, proxyproto.SIGV1):
		return readLine(r, octets)
	case bytes.HasPrefix(proxyproto.SIGV2, octets):
		return readBlock(r, octets)
	}
	return nil, errNoHeader
}

// readLine reads the rest of a version 1 header. One octet at a time is what it
// takes to stop in time; a header is short and there is one.
func readLine(r io.Reader, octets []byte) ([]byte, error) {
	for octets[len(octets)-1] != '\n' {
		if len(octets) == headerV1Max {
			return nil, fmt.Errorf("the line is longer than %d octets", headerV1Max)
		}
		var err error
		if octets, err = readMore(r, octets, 1); err != nil {
			return nil, err
		}
	}
	return octets, nil
}

// readBlock reads the rest of a version 2 header.
func readBlock(r io.Reader, octets []byte) ([]byte, error) {
	octets, err := readMore(r, octets, headerV2Min-len(octets))
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(octets, proxyproto.SIGV2) {
		return nil, errNoHeader
	}
	length := binary.BigEndian.Uint16(octets[lengthAt:])
	if length > proxyproto.MaxV2HeaderSize {
		return nil, fmt.Errorf("%d octets of addresses and fields, at most %d are taken", length, proxyproto.MaxV2HeaderSize)
	}
	return readMore(r, octets, int(length))
}

func readMore(r io.Reader, octets []byte, n int) ([]byte, error) {
	had := len(octets)
	octets = append(octets, make([]byte, n)...)
	_, err := io.ReadFull(r, octets[had:])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return octets, err
}

// parseHeader reads a whole header. It writes into octets.
func parseHeader(octets []byte) (header, error) {
	// the version 1 parser wants its line in one buffer
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(octets), headerV1Max+1))
	if err != nil {
		return header{}, err
	}
	if h.Command.IsLocal() {
		return header{}, nil // §2.2: addresses and fields are to be ignored
	}
	said := header{named: true}
	switch source := h.SourceAddr.(type) {
	case *net.TCPAddr:
		if addr := source.AddrPort().Addr().Unmap(); !addr.IsUnspecified() {
			said.client = addr
		}
	case *net.UnixAddr:
		if !h.TransportProtocol.IsStream() {
			return header{}, errDatagram
		}
	default:
		return header{}, errDatagram
	}
	if h.Version == 1 {
		return said, nil
	}
	return said, said.fields(octets, headerV2Min+addressesSize(h.TransportProtocol))
}

var errDatagram = errors.New("it speaks of datagrams, this is a stream")

// addressesSize is how many octets of a version 2 header are addresses (§2.2).
func addressesSize(f proxyproto.AddressFamilyAndProtocol) int {
	switch {
	case f.IsIPv4():
		return 2*4 + 2*2
	case f.IsIPv6():
		return 2*16 + 2*2
	}
	return 2 * 108
}

// fields reads the fields behind the addresses (§2.2.1 to §2.2.7).
func (h *header) fields(octets []byte, at int) error {
	for at < len(octets) {
		if len(octets)-at < 3 {
			return proxyproto.ErrTruncatedTLV
		}
		kind, size := proxyproto.PP2Type(octets[at]), int(binary.BigEndian.Uint16(octets[at+1:]))
		at += 3
		if size > len(octets)-at {
			return proxyproto.ErrTruncatedTLV
		}
		if err := h.field(kind, octets[at:at+size], octets); err != nil {
			return fmt.Errorf("field 0x%02x: %w", byte(kind), err)
		}
		at += size
	}
	return nil
}

var (
	errTwice    = errors.New("it is there twice")
	errChecksum = errors.New("the checksum is wrong")
)

// field reads one field; value is a part of octets. Kinds we have no use for
// are passed over, as the standard wants.
func (h *header) field(kind proxyproto.PP2Type, value, octets []byte) error {
	switch kind {
	case proxyproto.PP2_TYPE_CRC32C:
		return checksum(value, octets)
	case proxyproto.PP2_TYPE_ALPN:
		if h.alpn != "" {
			return errTwice
		}
		h.alpn = string(value)
	case proxyproto.PP2_TYPE_SSL:
		if h.tls != TLSUnstated {
			return errTwice
		}
		return h.ssl(proxyproto.TLV{Type: kind, Value: value})
	}
	return nil
}

// ssl reads what the proxy says of the client's TLS (§2.2.6). The verification
// result is 0 as well where no certificate was shown.
func (h *header) ssl(field proxyproto.TLV) error {
	said, err := tlvparse.SSL(field)
	if err != nil {
		return err
	}
	h.tls = TLSNone
	if !said.ClientSSL() {
		return nil
	}
	h.version, _ = said.SSLVersion()
	h.verified = said.Verified() && (said.ClientCertConn() || said.ClientCertSess())
	if goodVersion(h.version) {
		h.tls = TLSUsed
	}
	return nil
}

// goodVersion says whether a version as OpenSSL spells it is at or above our
// floor. What we cannot read is not.
func goodVersion(s string) bool {
	minor, ok := strings.CutPrefix(s, "TLSv1.")
	n, err := strconv.ParseUint(minor, 10, 8)
	return ok && err == nil && n >= 2
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum compares: it was computed with zeros in its own place (§2.2.3).
func checksum(value, octets []byte) error {
	if len(value) != crc32.Size {
		return errChecksum
	}
	want := binary.BigEndian.Uint32(value)
	clear(value)
	if crc32.Checksum(octets, castagnoli) != want {
		return errChecksum
	}
	return nil
}
