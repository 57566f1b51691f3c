package mail

import (
	"io"
	"time"

	"letterlock/internal/requiretls"
)

// Envelope is how a message came: one for all its recipients, sealed when the
// last octet has arrived (RFC 8689 §4.1: every instance gets the same demand).
type Envelope struct {
	ID         string            // ours, unique, in Received and in every log line
	From       Address           // the reverse-path; zero is <>
	Demand     requiretls.Demand // what the sender asked of everybody who handles it
	Received   time.Time         // when the last octet arrived
	Protocol   string            // "LMTP", "LMTPS", "UTF8LMTP", "UTF8LMTPS" (RFC 3848, RFC 6531 §4.3)
	SMTPUTF8   bool              // MAIL carried SMTPUTF8
	TLSVersion uint16            // crypto/tls number, 0 without TLS
	TLSCipher  uint16            // crypto/tls number, 0 without TLS
	Helo       string            // what the peer called itself
	Peer       string            // the peer's IP address, "local" for a UNIX socket
	DSN        map[Address]DSN   // what the sender asked to be told of each recipient; nil where nothing was asked
}

// Body is the octets of a message that nobody changes any more. Readers may
// read at once from several goroutines. It stays readable until whoever made
// it says otherwise.
type Body interface {
	io.ReaderAt
	Size() int64 // octets
}

// Delivery is the fate of one message for one recipient: a plan, decided whole
// and committed whole.
type Delivery struct {
	Account uint64  // whose store
	Rcpt    Address // as the MTA named it
	Prefix  []byte  // the recipient's own first header fields: Return-Path, Delivered-To, Received; CRLF lines
	Copies  []Copy  // where it goes; empty files it nowhere

	Outbound []*Outbound // what leaves because of it, with the copies or not at all
	Remember []Memory    // what not to do again for a while: answers sent (RFC 5230 §4.2), duplicates seen (RFC 7352)
}

// Memory is something remembered for an account until a time.
type Memory struct {
	Key   [32]byte // a digest of whatever it is
	Until time.Time
}

// Copy files one message into one mailbox.
type Copy struct {
	Mailbox string   // UTF-8 name, "/" between levels; one that does not exist falls back to INBOX, unless Create
	Create  bool     // make the mailbox where it is missing
	Flags   []string // system flags and keywords to start with
	Variant *Variant // what is filed instead of the message as it came; nil: that
}

// Variant is what rules file instead of the message as it came: that with another
// header (RFC 5293), or a message of ours about it (RFC 8580). Copies of one, to
// whomever, name the same Variant. What leaves is still the message as it came,
// and by that a letter is known that comes again.
type Variant struct {
	Body    Body
	Summary *Summary // of Body alone
	Prefix  []byte   // first header fields instead of those of the Delivery; nil: those
}
