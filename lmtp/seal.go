package lmtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"letterlock/internal/mail"
)

// seal makes the envelope once the last octet is there. The demand is judged
// from everything that was seen: one envelope, one demand, for every recipient
// (RFC 8689 §4.1).
func (c *session) seal(ctx context.Context, tx *transaction) (*mail.Envelope, error) {
	if err := c.readHeader(tx); err != nil {
		return nil, err
	}
	demand, err := tx.arrival.Demand()
	if err != nil {
		return nil, err
	}
	env := &mail.Envelope{
		ID:       tx.id,
		From:     tx.from,
		Demand:   demand,
		Received: c.opt.Now(),
		Protocol: protocol(tx),
		SMTPUTF8: tx.utf8,
		Helo:     c.helo,
		Peer:     c.conn.Peer(),
		DSN:      tx.asked,
	}
	if demand.IsRequired() { // RFC 8689 §5: RET=FULL is disregarded
		for rcpt, d := range env.DSN {
			d.Return = min(d.Return, mail.ReturnHeaders)
			env.DSN[rcpt] = d
		}
	}
	if state := c.conn.TLS(); state != nil {
		env.TLSVersion, env.TLSCipher = state.Version, state.CipherSuite
	}
	c.opt.Mail.Mended(ctx, env, tx.body.mend.lfs, tx.body.mend.nuls)
	return env, nil
}

// protocol is the word after "with" in Received (RFC 3848, RFC 6531 §4.3).
func protocol(tx *transaction) string {
	p := "LMTP"
	if tx.utf8 {
		p = "UTF8LMTP"
	}
	if tx.arrival.OverTLS {
		p += "S"
	}
	return p
}

// maxHeader is how much of a header is read, in octets.
const maxHeader = 1 << 20

// readHeader looks for what the header has to say about TLS.
func (c *session) readHeader(tx *transaction) error {
	header, whole, err := tx.body.hold.header()
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if c.opt.TrustHeader != nil && c.opt.TrustHeader(c.conn.Endpoint()) {
		if c.opt.RequireTLSHeader == nil {
			return errNoHeaderReader
		}
		tx.arrival.TrustedHeader = !whole || c.opt.RequireTLSHeader(header) // in doubt, the stricter
	}
	if c.opt.TLSRequired == nil || !whole { // a second field may hide behind the first
		return nil
	}
	no, bad := c.opt.TLSRequired(header)
	if bad { // RFC 8689 §3: ignored, never a reason to refuse
		c.log.Info("TLS-Required ignored", "id", tx.id)
	}
	tx.arrival.HeaderNo = no && !bad
	return nil
}

var errNoHeaderReader = errors.New("lmtp: Options.TrustHeader without RequireTLSHeader")

// header is the header with the empty line that ends it; whole says that it
// has no more than maxHeader octets. A message without an empty line is all
// header.
func (h *holding) header() (head []byte, whole bool, err error) {
	if h.file == nil { // memoryBody is no bigger than maxHeader
		head, _ = cutHeader(h.octets())
		return head, true, nil
	}
	for size := int64(16 << 10); size <= maxHeader && !whole; size *= 4 {
		front := make([]byte, min(size, h.file.Size()))
		if _, err := h.file.ReadAt(front, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, false, err
		}
		head, whole = cutHeader(front)
		whole = whole || int64(len(front)) == h.file.Size()
	}
	return head, whole, nil
}

// cutHeader takes the header off the front of b; whole says that its end was
// found.
func cutHeader(b []byte) (h []byte, whole bool) {
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return b[:2], true
	}
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return b[:i+4], true
	}
	return b, false
}
