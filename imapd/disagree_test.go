package imapd_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"letterlock/imapd"
	"letterlock/internal/requiretls"
)

// demandRecords writes into every record of the vault that its sender asked for
// REQUIRETLS, which the index does not know: the demand is octet 7 of the header of a
// record, and behind 76 octets of that comes their CRC-32C.
func (h *house) demandRecords() {
	h.t.Helper()
	records := 0
	err := filepath.WalkDir(filepath.Join(h.dir, "data"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		octets, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		for at := 0; ; at++ {
			next := bytes.Index(octets[at:], []byte("LLr1"))
			if next < 0 || at+next+80 > len(octets) {
				return nil
			}
			at += next
			header := octets[at : at+80]
			sum := func() uint32 { return crc32.Checksum(header[:76], crc32.MakeTable(crc32.Castagnoli)) }
			if sum() != binary.LittleEndian.Uint32(header[76:]) {
				continue
			}
			header[7] = requiretls.Required().Byte()
			binary.LittleEndian.PutUint32(header[76:], sum())
			if _, err := file.WriteAt(header, int64(at)); err != nil {
				return err
			}
			records++
		}
	})
	if err != nil || records == 0 {
		h.t.Fatalf("%d records changed: %v", records, err)
	}
}

// RFC 8689 §4.1: where the record of a message and the index disagree, it is
// required: whoever may read what is required reads it, nobody else does, and what
// is made of it is required, too.
func TestRequireTLSOfTheRecordCounts(t *testing.T) {
	h := openHouse(t, func(o *imapd.Options) { o.Cleartext.Local = true })
	for range 3 {
		h.deliver(letter{mailbox: "INBOX", text: openLetter})
	}
	h.demandRecords()
	made := []string{
		`APPEND Drafts CATENATE (URL "/INBOX/;UID=2/;SECTION=TEXT")`,
		"REPLACE 3 Drafts {12+}\r\nA: b\r\n\r\nhi\r\n", `REPLACE 1 Drafts CATENATE (TEXT {4+}` + "\r\n\r\nhi)",
	}
	local := h.loggedIn("clear", "plain")
	local.ok("SELECT INBOX")
	for _, command := range append(made, "FETCH 1 BODY.PEEK[]", "FETCH 1:* (ENVELOPE BODY[TEXT])") {
		lines := local.do(command)
		if answer := lines[len(lines)-1]; !strings.HasPrefix(answer, "NO [PRIVACYREQUIRED]") || strings.Contains(strings.Join(lines, ""), "an open letter") {
			t.Errorf("in clear, %s: got %s", command, lines)
		}
	}
	secure := h.loggedIn("secure", "tls")
	secure.ok("SELECT INBOX")
	for _, command := range []string{"FETCH 1 BODY.PEEK[]", "FETCH 1 (ENVELOPE BODY[TEXT])", "FETCH 1 BINARY[1]"} {
		if lines := secure.ok(command); !strings.Contains(strings.Join(lines, ""), "an open letter") {
			t.Errorf("over TLS, %s: got %s", command, lines)
		}
	}
	for i, command := range made {
		secure.ok(command)
		box, err := h.account("ann").Mailbox(context.Background(), "Drafts")
		if err != nil || int(box.Messages) != i+1 || int(box.Required) != i+1 {
			t.Errorf("after %s: %d messages, %d of them required, %v; want %d", command, box.Messages, box.Required, err, i+1)
		}
	}
}
