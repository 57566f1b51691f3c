package syntax

// Mode is what the session has enabled that changes the grammar. Its zero
// value is IMAP4rev1: quoted strings are ASCII, mailbox names are modified
// UTF-7.
type Mode uint8

const (
	Rev2       Mode = 1 << iota // ENABLE IMAP4rev2 (RFC 9051 §6.3.1)
	UTF8Accept                  // ENABLE UTF8=ACCEPT (RFC 6855 §3)
)

// UTF8 says whether quoted strings and mailbox names are UTF-8.
func (m Mode) UTF8() bool { return m != 0 }
