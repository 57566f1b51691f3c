// Package requiretls is RFC 8689, whole: what a sender may demand, what may go
// out under that demand, and who may read what it covers.
//
// Everything hangs on [Demand], a value with no setter: it is made from what
// was seen arriving ([Arrival]) or read back from the store ([DemandFromByte]),
// it can be raised and never lowered, and its zero value lets nothing through.
// Rooms gather facts ([Hop], [Reader]) and never decide; this package decides
// ([Demand.Clear], [Demand.ClearBounce], [Demand.Release]) and never touches
// sockets, DNS, queues or files. What it hands out are permits: a [Clearance]
// made for one very hop, a [Release] made for one demand. The function that
// writes MAIL FROM and the function that opens a stored body each need one.
//
// Who carries which duty (a test checks that each file still cites the section):
//
//	duty                                                   RFC 8689  upheld in
//	the keyword is offered inside TLS alone                §2        lmtp/session.go
//	MAIL takes REQUIRETLS without a value, once            §2        lmtp/mail.go
//	REQUIRETLS outside TLS is refused                      §2        internal/requiretls/demand.go
//	TLS-Required is one field whose only value is No       §3        internal/mime/tlsrequired.go
//	the parameter beats the header                         §4.1      internal/requiretls/demand.go
//	the tag is kept with the message and with every copy   §4.1      storage/schema.go
//	the tag is written into the segment with the body      §4.1      storage/segment/record.go
//	judging a hop for a required message: all facts proven §4.2.1    internal/requiretls/hop.go
//	QUIT and the next host where a step fails              §4.2.1    relay/try.go
//	the option is said only where it was offered in TLS    §4.2.1    relay/client.go
//	sending a waived message: TLS is tried, never demanded §4.2.2    relay/try.go
//	reading a required message                             §4.4      internal/requiretls/reader.go
//	withholding in every command that shows content        §4.4      imapd/release.go
//	a bounce carries the option or is redacted             §5        internal/requiretls/hop.go
//	a bounce of a required message returns headers at most §5        relay/bounce.go
//
// Start reading at [Demand].
package requiretls
