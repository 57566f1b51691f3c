package relay

import "letterlock/internal/reply"

// What the relay says of hosts and domains, to the log, to its next try and to
// the sender. What REQUIRETLS says stands in package reply.
var (
	noDomain    = reply.Perm(50, "1.2", "there is no such domain")                                    // RFC 3463 §3.2
	nullMX      = reply.Perm(56, "1.10", "the domain takes no mail: null MX")                         // RFC 7505 §4.2
	noHost      = reply.Perm(50, "4.4", "the domain has no host for mail")                            // RFC 3463 §3.5
	noAddress   = reply.Perm(50, "4.4", "the host has no address we can send to")                     // RFC 3463 §3.5
	lostAddress = reply.Temp(51, "4.4", "the smarthost has no address we can send to")                // RFC 3463 §3.5: ours to mend
	noLogin     = reply.Temp(54, "7.0", "the smarthost wants us to log in")                           // RFC 4954 §6: ours to mend
	badDomain   = reply.Perm(53, "1.2", "the domain cannot be read")                                  // RFC 3463 §3.2
	hostTakesNo = reply.Perm(50, "3.2", "the host takes no mail")                                     // RFC 7504 §4
	needsUTF8   = reply.Perm(53, "6.7", "the host does not take the message: it needs SMTPUTF8")      // RFC 6531 §3.5
	needs8Bit   = reply.Perm(54, "6.3", "the host does not take the message: it needs 8BITMIME")      // RFC 6152 §3
	tooBig      = reply.Perm(52, "3.4", "the message is bigger than the host takes")                  // RFC 1870 §6.1
	expired     = reply.Perm(50, "4.7", "could not be delivered in time")                             // RFC 3463 §3.5
	byAdmin     = reply.Perm(50, "7.1", "returned by the administrator of the sending server")        // RFC 3463 §3.8
	dnsTrouble  = reply.Temp(51, "4.3", "DNS cannot be asked")                                        // RFC 3463 §3.5
	noAnswer    = reply.Temp(51, "4.1", "the host does not answer")                                   // RFC 3463 §3.5
	lostHost    = reply.Temp(51, "4.2", "the connection was lost")                                    // RFC 3463 §3.5
	badHost     = reply.Temp(51, "5.0", "the host does not speak SMTP")                               // RFC 3463 §3.6
	noTLSThere  = reply.Temp(51, "7.4", "policy wants TLS and the host has none")                     // RFC 3207, RFC 8461 §5, RFC 7672 §2.2
	noProof     = reply.Temp(51, "7.5", "policy wants a proven host and the certificate proves none") // RFC 8461 §5, RFC 7672 §2.2
	notInPolicy = reply.Temp(51, "7.5", "the host is not among those of the domain's MTA-STS policy") // RFC 8461 §4.1
)
