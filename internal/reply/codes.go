package reply

// What Letterlock says when it refuses, each with its source. Registered
// enhanced codes are those of RFC 5248's registry.
var (
	// Ourselves. Our own bugs are temporary: they never bounce mail.
	LocalError   = Temp(51, "3.0", "local error, try again later")             // RFC 3463 §3.4
	ShuttingDown = Temp(21, "3.2", "shutting down, try again later")           // RFC 5321 §3.8
	TooBusy      = Temp(21, "7.0", "too many connections, try again later")    // RFC 5321 §3.8
	TimedOut     = Temp(21, "4.2", "timed out waiting for you")                // RFC 5321 §4.5.3.2
	DiskFull     = Temp(52, "3.1", "the mail system is full, try again later") // RFC 3463 §3.4

	// The dialogue.
	UnknownCommand = Perm(0, "5.1", "unknown command")                // RFC 5321 §4.2.4
	LineTooLong    = Perm(0, "5.2", "line too long")                  // RFC 5321 §4.5.3.1.4
	BadArguments   = Perm(1, "5.4", "the arguments cannot be read")   // RFC 5321 §4.2.2
	BadSequence    = Perm(3, "5.1", "not now: commands out of order") // RFC 5321 §4.1.4
	UnknownParam   = Perm(55, "5.4", "parameter not known")           // RFC 5321 §4.1.1.11
	TooManyErrors  = Temp(21, "7.0", "too many errors")               // RFC 5321 §4.3.2
	NotLMTP        = Perm(0, "5.1", "this is LMTP: say LHLO")         // RFC 2033 §4.1

	// Addresses and mailboxes.
	BadSender     = Perm(1, "1.7", "the sender's address cannot be read")       // RFC 3463 §3.2
	BadRecipient  = Perm(1, "1.3", "the recipient's address cannot be read")    // RFC 3463 §3.2
	NoSuchUser    = Perm(50, "1.1", "no such user here")                        // RFC 3463 §3.2
	NeedsSMTPUTF8 = Perm(53, "6.7", "a non-ASCII address needs SMTPUTF8")       // RFC 6531 §3.5
	TooManyRcpts  = Temp(52, "5.3", "too many recipients, send the rest later") // RFC 5321 §4.5.3.1.10
	MailboxFull   = Temp(52, "2.2", "mailbox full")                             // RFC 3463 §3.3
	TooBig        = Perm(52, "3.4", "message too big")                          // RFC 1870 §6.1
	MailLoop      = Perm(54, "4.6", "mail loop")                                // RFC 3463 §3.5

	// TLS and REQUIRETLS (RFC 8689). 523 is the basic code registered for X.7.10.
	NeedsTLS      = Perm(23, "7.10", "REQUIRETLS needs TLS, use STARTTLS")                                      // RFC 8689 §2
	TLSNotNow     = Temp(54, "7.0", "TLS not available now")                                                    // RFC 3207 §4
	NoVerifiedTLS = Perm(50, "7.10", "the message demands TLS and the next host has none that can be verified") // RFC 8689 §4.2.1
	NoRequireTLS  = Perm(50, "7.30", "REQUIRETLS support required and not offered by the next host")            // RFC 8689 §4.2.1, §7
	FactsMissing  = Temp(51, "7.10", "it is not known yet whether the next host can protect this message")      // RFC 8689 §4.2.1
)
