// Package relay carries mail to other people's servers.
//
// It takes what is due from an [Outbox], finds the recipient's hosts, and
// offers the message to each in turn until one has taken responsibility or
// none can. Until then the row stays; a crash at any point costs at most a
// second copy, never the message (RFC 5321 §6.1).
//
// It promises: no byte of a message leaves under weaker protection than its
// sender demanded. What it learns of a host are facts ([requiretls.Hop]); the
// judge is [requiretls.Demand], and the one function that writes MAIL FROM
// asks for the permit made for that very hop. It does not know who wrote the
// mail, why it leaves, or how rows are kept.
//
// The SMTP client is our own, over internal/wire. That of emersion/go-smtp
// (v0.25.1) adds BODY=8BITMIME whenever it is offered, whatever the message is
// (RFC 6152 §3 makes it a statement about the message), does not know an EHLO
// keyword in other than upper case (RFC 5321 §2.4), reads answers of any
// number of lines, writes the body without a deadline, and sends REQUIRETLS
// for a keyword that was offered in clear (RFC 8689 §2).
//
// What it learns of domains, and counts for their TLS reports, outlives the
// process in a [PolicyFolder]. What we originate is signed by a [Signer]; the
// sender of what is sent on can be rewritten by [SRS]. What is known of a next
// hop already, whoever sorts mail asks by [Runner.Preflight]; an admin by
// [Runner.Route] and [Runner.Policy].
//
// RFC 5321 §5 (routing), 2920 (PIPELINING), 3207, 7505 (null MX), 6698, 7671 and
// 7672 (DANE), 8461 (MTA-STS), 8460 (TLS reports), 8689, 3461, 3464 and 6522
// (reports of delivery), 6376 and 8463 (DKIM), 6531 and 6533. Start reading at
// [Runner.Run]; what a store must promise stands in outbox.go.
package relay
