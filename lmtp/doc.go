// Package lmtp is the front door: the server side of LMTP (RFC 2033), which
// takes mail from an MTA and answers for every recipient by itself.
//
// It promises:
//
//   - What it answers 250 for was handed over whole. A message cut short
//     anywhere, in DATA or in a BDAT chunk, is never handed over; a sender
//     that falls silent is cut off, and the rest of a message is never read as
//     commands.
//   - REQUIRETLS (RFC 8689) is offered and taken inside TLS alone. What was
//     seen of a message arriving is judged once, when the envelope is sealed,
//     and the same envelope serves every recipient.
//   - Nothing but CRLF ends a line of the protocol, so no message can be
//     smuggled inside another. On the way in a bare LF becomes CRLF and a NUL
//     becomes 0x80, since IMAP may send neither (RFC 9051 §4.3.1); every other
//     octet stays as it came.
//   - A letter whose 250 nobody may have heard is told of, so that the second
//     offer of it need not become a second copy (RFC 1047).
//   - What the sender asked to be told of each recipient (DSN, where it is
//     offered) stands in the envelope; for a required message RET=FULL is
//     disregarded (RFC 8689 §5).
//   - Our own faults are temporary refusals, 451 4.3.0: they never bounce mail
//     and never show a stranger what went wrong inside.
//
// It does not know mailboxes, Sieve or the relay: a [Deliverer] says who may
// receive and takes the message, a [Spool] holds what is too big for memory.
//
// Why this is not a library: Go's LMTP server is that of emersion/go-smtp, and
// v0.25.1, run against real MTAs, accepts a BDAT ... LAST whose connection was
// lost as a complete message and cannot switch CHUNKING off, parses the rest of
// a timed-out DATA as commands, takes REQUIRETLS in clear, lets a second MAIL
// replace sender and tag while it keeps the recipients, turns our errors into
// permanent ones with their Go text, and goes on in clear after a failed TLS
// handshake. Each of these, and every lesser one found, is a test of this
// package: see testdata/defects. Its client is good, and drives our tests.
//
// RFC 2033 (LMTP), 5321 §4 (commands, replies, limits), 1870 (SIZE), 2034 and
// 3463 (enhanced codes), 2920 (PIPELINING), 3030 (CHUNKING), 3207 (STARTTLS),
// 3461 and 6533 §3 (DSN), 3848 (protocol names), 6152 (8BITMIME), 6531
// (SMTPUTF8), 8689 (REQUIRETLS), 9422 (LIMITS). Start reading at
// [Server.Handle].
package lmtp
