// Package conformance asks a mail server, from outside, which duties of a
// receiving server under RFC 8689 (REQUIRETLS) it keeps.
//
// [Run] connects to one LMTP or SMTP address as a client would, takes every
// duty in turn and says what was sent, what was answered and what follows: pass,
// fail, not offered, or cannot be seen from outside. The last is not politeness.
// How a server tags a message is its own affair (RFC 8689 §4.1), so a duty
// about the tag is judged only where a mailbox can be read over IMAP and the
// server writes the tag into its Received field, as many do: "with ESMTPS
// (requiretls)".
//
// It is made to be pointed at servers in use. At most [MaxConnections] to the
// mail server and a dozen to the mailbox, one at a time; at most a dozen short
// letters, all to the recipients named by the caller, with a Message-ID ending
// in "@conformance.invalid"; every step ends within [Target].Step. It removes
// nothing: the letters stay where the server put them. Where a server allows
// logins without TLS and a mailbox is given, its password is said in clear, twice:
// use an account made for this.
//
// Certificates are judged in one row; the letters, which say nothing, travel
// whatever its verdict. The mailbox's password goes over TLS that was verified,
// unless [AnyCertificate] is said.
//
// RFC 8689 §2 to §5 (the duties), 3207 §4.2 (STARTTLS), 5321 and 2033 (the
// dialogue), 8314 and 9051 §11 (reading). The rows' numbers are those of
// Letterlock's own list of duties; each row names its section. It knows nothing
// of how a server is built. Start reading at [Run], then at the table in
// duties.go.
package conformance
